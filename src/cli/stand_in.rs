//! Programs that scripts expect on a node: `sudo`, `systemctl` and `crictl` are links to this executable in a folder at the
//! beginning of the path (see `drivers::etc`). They do what makes sense in a node, and say what does not.

use super::exit::Exit;
use super::table::framed;
use crate::boot::freeze;
use crate::config::NodePaths;
use crate::images::{Image, Store};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What `systemctl is-active` exits with when nothing is. Source: systemd, LSB's codes of `status`.
const INACTIVE: Exit = Exit::Code(3);

/// If this process has the name of such a program, plays it.
pub fn run_direct(words: &[OsString]) -> Option<Exit> {
    let name = std::path::Path::new(words.first()?).file_name()?.to_str()?;
    let rest: Vec<String> = words[1..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let played = match name {
        "sudo" => Err(sudo(&rest)),
        "systemctl" => systemctl(&rest),
        "crictl" => crictl(&rest),
        _ => return None,
    };
    Some(played.unwrap_or_else(|why| {
        super::printer::aside(format_args!("{name}: {why}"));
        Exit::Failure
    }))
}

/// Options of `sudo` that are followed by a word of their own.
const SUDO_VALUES: &[&str] = &["-u", "--user", "-g", "--group", "-C", "-h", "-p", "-r", "-t", "-T", "-U", "-D", "-R"];

/// The variables and the command behind the options of `sudo`: everybody in a node is root.
fn behind_options(words: &[String]) -> (Vec<(&str, &str)>, &[String]) {
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
        at += if SUDO_VALUES.contains(&word.as_str()) { 2 } else { 1 };
        if word == "--" {
            break;
        }
    }
    let rest = words.get(at..).unwrap_or_default();
    let variables: Vec<_> = rest.iter().map_while(|word| word.split_once('=')).collect();
    let command = &rest[variables.len()..];
    (variables, command)
}

/// Becomes the command; returns why it cannot.
fn sudo(words: &[String]) -> String {
    let (variables, command) = behind_options(words);
    let Some((program, rest)) = command.split_first() else { return "usage: sudo COMMAND".into() };
    let error = Command::new(program).args(rest).envs(variables).exec();
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("{program}: command not found"),
        _ => format!("{program}: {error}"),
    }
}

/// Whether a unit of that name would be one that runs here: the node agent is a part of the server.
fn is_active(unit: &str, has_server: bool) -> bool {
    has_server && matches!(unit.trim_end_matches(".service"), "kubelet" | "coracle")
}

fn systemctl(words: &[String]) -> Result<Exit, String> {
    let (options, words): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| word.starts_with('-'));
    let Some((&verb, units)) = words.split_first() else {
        return Err("there is no systemd in a node; `is-active` is answered".into());
    };
    if verb != "is-active" {
        return Err(format!("there is no systemd in a node, so `{verb}` cannot be done; `is-active` is answered"));
    }
    let has_server = !freeze::servers().map_err(|error| error.to_string())?.is_empty();
    let states: Vec<bool> = units.iter().map(|unit| is_active(unit, has_server)).collect();
    if !options.iter().any(|option| *option == "-q" || *option == "--quiet") {
        states.iter().for_each(|active| say(if *active { "active" } else { "inactive" }));
    }
    Ok(if states.contains(&true) { Exit::Success } else { INACTIVE })
}

/// A line on stdout. A reader that went away is no error of ours.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

fn crictl(words: &[String]) -> Result<Exit, String> {
    let is_option = |word: &&String| word.starts_with('-');
    let has = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    // The form is the word behind its flag, and no name.
    let form = words.iter().position(|word| word == "-o" || word == "--output");
    let form = form.and_then(|at| words.get(at + 1)).map(String::as_str);
    let mut plain = words.iter().filter(|word| !is_option(word) && Some(word.as_str()) != form);
    let verb = plain.next().map(String::as_str).unwrap_or_default();
    let names: Vec<&String> = plain.collect();
    let store = Store::open(NodePaths::default().images()).map_err(|error| error.to_string())?;
    let is_json = form == Some("json") || has(&["--output=json", "-ojson"]);
    match verb {
        "images" | "image" | "img" => {
            let images = store.list().map_err(|error| error.to_string())?;
            match (is_json, has(&["-q", "--quiet"])) {
                (true, _) => say(&json!({"images": images.iter().map(record).collect::<Vec<_>>()}).to_string()),
                (_, true) => images.iter().for_each(|image| say(&image.id)),
                _ => say(table(&images).trim_end()),
            }
        }
        "inspecti" => {
            for name in names {
                say(&json!({"status": record(&find(&store, name)?)}).to_string());
            }
        }
        "rmi" => {
            for name in names {
                find(&store, name)?;
                store.remove(name).map_err(|error| error.to_string())?;
                say(&format!("Deleted: {name}"));
            }
        }
        _ => {
            return Err(format!(
                "`{verb}` is not built: there is no CRI in a node; images, inspecti and rmi are answered, and kubectl shows containers"
            ));
        }
    }
    Ok(Exit::Success)
}

fn find(store: &Store, name: &str) -> Result<Image, String> {
    let found = store.resolve(name).map_err(|error| error.to_string())?;
    found.ok_or_else(|| format!("no such image \"{name}\" present"))
}

/// An image as the CRI describes it.
fn record(image: &Image) -> Value {
    json!({
        "id": image.id, "repoTags": image.repo_tags, "repoDigests": image.repo_digests, "size": image.size.to_string(),
        "uid": null, "username": "", "pinned": false,
    })
}

fn table(images: &[Image]) -> String {
    let rows = images.iter().flat_map(|image| {
        let id: String = image.id.trim_start_matches("sha256:").chars().take(13).collect();
        image.repo_tags.iter().map(move |name| {
            let (name, tag) = name.rsplit_once(':').unwrap_or((name, ""));
            vec![name.to_string(), tag.to_string(), id.clone(), image.size.to_string()]
        })
    });
    framed(&["IMAGE", "TAG", "IMAGE ID", "SIZE"], &rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_options_of_sudo_is_the_command() {
        let of = |line: &str| {
            let words: Vec<String> = line.split(' ').map(String::from).collect();
            let (variables, command) = behind_options(&words);
            format!("{}|{}", variables.len(), command.join(" "))
        };
        assert_eq!(of("crictl images"), "0|crictl images");
        assert_eq!(of("-n -u root A=1 ls -l"), "1|ls -l");
        assert_eq!(of("-E -- -odd"), "0|-odd");
        assert_eq!(of("-u"), "0|");
    }

    #[test]
    fn only_the_node_agent_is_active_and_only_while_it_runs() {
        assert!(is_active("kubelet", true) && is_active("kubelet.service", true));
        assert!(!is_active("kubelet", false) && !is_active("docker", true) && !is_active("crio", true));
        assert!(systemctl(&["restart".into(), "kubelet".into()]).unwrap_err().contains("restart"));
    }

    #[test]
    fn other_names_are_other_programs() {
        assert!(run_direct(&["/usr/bin/coracle".into(), "sudo".into()]).is_none());
    }
}
