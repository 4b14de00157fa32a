//! Reading words with a tree of commands, of which only the branch that is asked for is made: to describe every flag of every
//! command takes longer than most commands run.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, Error};
use std::ffi::OsString;

/// A tree of commands.
pub struct Tree {
    /// What is said before a command, and no command.
    pub root: fn() -> Command,
    /// A command alone; none for a word that is not its name.
    pub branch: fn(&str) -> Option<Command>,
    /// Everything.
    pub whole: fn() -> Command,
    /// What is done to the commands before they read words; help does not show it.
    pub pass: fn(Command) -> Command,
}

impl Tree {
    /// Reads words, the first of which is the program.
    ///
    /// A branch is right where the words fit it. The whole tree reads them where they fit none: it knows what else there is,
    /// which help and errors tell.
    pub fn read(&self, words: &[OsString]) -> Result<(Command, ArgMatches), Error> {
        if let Some(read) = self.read_branch(words) {
            return Ok(read);
        }
        let mut whole = (self.pass)((self.whole)());
        match whole.try_get_matches_from_mut(words) {
            Ok(matches) => Ok((whole, matches)),
            // Of itself the tree says what people write.
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                let mut shown = (self.whole)();
                let matches = shown.try_get_matches_from_mut(words)?;
                Ok((shown, matches))
            }
            Err(error) => Err(error),
        }
    }

    fn read_branch(&self, words: &[OsString]) -> Option<(Command, ArgMatches)> {
        let branch = words.iter().skip(1).find_map(|word| (self.branch)(word.to_str()?))?;
        let mut command = (self.pass)((self.root)().subcommand(branch));
        let matches = command.try_get_matches_from_mut(words).ok()?;
        Some((command, matches))
    }
}

/// The command that a word names, if it is the word of a variant.
pub fn named<A: Args>(word: &str, variant: &str) -> Option<Command> {
    // A process reads its words once, and clap wants names that last.
    is_word_of(word, variant).then(|| A::augment_args(Command::new(&*word.to_string().leak())))
}

/// Whether clap derives the word from the variant: `ssh-key` from `SshKey`.
fn is_word_of(word: &str, variant: &str) -> bool {
    let dash = |at: usize, letter: char| (at > 0 && letter.is_ascii_uppercase()).then_some('-');
    let derived = variant
        .chars()
        .enumerate()
        .flat_map(|(at, letter)| dash(at, letter).into_iter().chain([letter.to_ascii_lowercase()]));
    word.chars().eq(derived)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[derive(clap::Parser)]
    #[command(name = "ship", disable_help_subcommand = true)]
    struct Root {
        #[arg(long, global = true)]
        port: Option<String>,
    }

    #[derive(clap::Args)]
    struct Sail {
        #[arg(long)]
        far: bool,
    }

    const TREE: Tree = Tree {
        root: Root::command,
        branch: |word| named::<Sail>(word, "Sail"),
        whole: || {
            let harbour = Command::new("harbour").arg(clap::Arg::new("name"));
            Root::command().subcommand(Sail::augment_args(Command::new("sail").visible_alias("go"))).subcommand(harbour)
        },
        pass: |command| command,
    };

    fn read(line: &str) -> Result<(usize, ArgMatches), String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (command, matches) = TREE.read(&words).map_err(|error| error.to_string())?;
        Ok((command.get_subcommands().count(), matches))
    }

    #[test]
    fn a_word_is_that_of_its_variant_only() {
        assert!(is_word_of("ssh-key", "SshKey") && is_word_of("start", "Start"));
        for word in ["sshkey", "Ssh-Key", "ssh", "ssh-", "ssh-key-", ""] {
            assert!(!is_word_of(word, "SshKey"), "{word}");
        }
    }

    #[test]
    fn what_fits_a_branch_is_read_with_nothing_else() {
        for line in ["ship sail --far", "ship --port sail sail --far", "ship --port x sail --far"] {
            let (count, matches) = read(line).unwrap();
            let (name, inner) = matches.subcommand().unwrap();
            assert!(count == 1 && name == "sail" && inner.get_flag("far"), "{line}");
        }
    }

    #[test]
    fn other_words_are_read_with_the_whole_tree() {
        for (line, name) in [("ship go --far", "sail"), ("ship harbour sail", "harbour")] {
            let (count, matches) = read(line).unwrap();
            assert_eq!((count, matches.subcommand_name()), (2, Some(name)), "{line}");
        }
    }

    #[test]
    fn help_and_errors_know_all_commands() {
        assert!(read("ship --help sail").unwrap_err().contains("harbour"));
        assert!(read("ship sial").unwrap_err().contains("sail"));
        assert!(read("ship sail --port 1 --deep").unwrap_err().contains("--deep"));
    }
}
