//! `.helmignore`: which files of a chart's folder are not part of it.
//!
//! The rules are Helm's, not git's: the first rule that says so ignores, `!` ignores what does not match, and there is
//! no `**`.

use super::pattern;

/// The name of the file with the rules.
pub const FILE: &str = ".helmignore";

/// Rules in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    shape: Shape,
    /// The pattern is held against the whole path, not only against the last part.
    whole: bool,
    negated: bool,
    folders_only: bool,
}

/// What a rule's names look like. Most rules need no search.
#[derive(Clone, Debug)]
enum Shape {
    /// This one.
    Name(String),
    /// Every part that ends like this (`*.swp`).
    Ending(String),
    /// With how much stands in front of its first special letter.
    Pattern(String, usize),
}

impl Shape {
    fn of(pattern: &str) -> Self {
        let special = |text: &str| text.find(['*', '?', '[', '\\']);
        match (special(pattern), pattern.strip_prefix('*')) {
            (None, _) => Self::Name(pattern.into()),
            (_, Some(ending)) if special(ending).is_none() => Self::Ending(ending.into()),
            (Some(front), _) => Self::Pattern(pattern.into(), front),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Ending(ending) => name.strip_suffix(&**ending).is_some_and(|front| !front.contains('/')),
            // A pattern that turns out to be broken matches nothing.
            Self::Pattern(pattern, front) => {
                name.starts_with(&pattern[..*front]) && pattern::matches(pattern, name).unwrap_or(false)
            }
        }
    }
}

/// Why a line is no rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Helm has no such patterns.
    #[error("double-star (**) syntax is not supported")]
    DoubleStar,
    /// The pattern is broken.
    #[error("syntax error in pattern")]
    Pattern,
}

impl Rules {
    /// The rules of a file and those that always hold: nothing in `templates/` that starts with a dot is read.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
        let mut rules = Vec::new();
        for line in lines.chain(["templates/.?*"]) {
            rules.extend(Rule::parse(line.trim())?);
        }
        Ok(Self { rules })
    }

    /// Whether the rules leave out a path, relative to the chart and with `/` between its parts.
    pub fn ignore(&self, path: &str, is_folder: bool) -> bool {
        if path.is_empty() || path == "." || path == "./" {
            return false;
        }
        let last = path.rsplit('/').next().unwrap_or(path);
        for rule in &self.rules {
            let matches = rule.shape.matches(if rule.whole { path } else { last });
            if rule.negated {
                if rule.folders_only && !is_folder || !matches {
                    return true;
                }
            } else if matches && (is_folder || !rule.folders_only) {
                return true;
            }
        }
        false
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Option<Self>, Problem> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if line.contains("**") {
            return Err(Problem::DoubleStar);
        }
        pattern::matches(line, "abc").map_err(|_| Problem::Pattern)?;
        let (negated, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (folders_only, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
        let (whole, line) = line.strip_prefix('/').map_or((line.contains('/'), line), |rest| (true, rest));
        Ok(Some(Self { shape: Shape::of(line), whole, negated, folders_only }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Helm's own table (pkg/ignore/rules_test.go), as facts.
    #[test]
    fn rules_ignore_what_helm_ignores() {
        for (rule, path, wanted) in [
            ("helm.txt", "helm.txt", true),
            ("helm.*", "helm.txt", true),
            ("helm.*", "rudder.txt", false),
            ("*.txt", "tiller.txt", true),
            ("*", "cargo/a.txt", true),
            ("cargo/a.txt", "cargo/a.txt", true),
            ("cargo/*.txt", "cargo/a.txt", true),
            ("*.txt", "mast/a.txt", true),
            ("/mast/a.txt", "mast/a.txt", true),
            ("/*.txt", "mast/a.txt", false),
            ("!*.txt", "helm.txt", false),
            ("!*.txt", "rudder.md", true),
            ("rudd[er].txt", "rudde.txt", true),
            ("a[^b].txt", "ab.txt", false),
            ("?.txt", "a.txt", true),
            ("?.txt", "ab.txt", false),
        ] {
            let rules = Rules::parse(rule).unwrap();
            assert_eq!(rules.ignore(path, false), wanted, "{rule} on {path}");
        }
        assert!(Rules::parse("cargo/").unwrap().ignore("cargo", true));
        assert!(!Rules::parse("cargo/").unwrap().ignore("cargo", false));
        assert!(Rules::parse("!cargo/").unwrap().ignore("a.txt", false));
    }

    #[test]
    fn hidden_files_of_templates_are_never_read() {
        let rules = Rules::parse("").unwrap();
        assert!(rules.ignore("templates/.dotfile", false));
        assert!(!rules.ignore("templates/foo.yaml", false));
        assert!(!rules.ignore(".config", false));
    }

    #[test]
    fn broken_rules_are_refused() {
        assert_eq!(Rules::parse("foo/**/bar").unwrap_err(), Problem::DoubleStar);
        assert_eq!(Rules::parse("[a-").unwrap_err(), Problem::Pattern);
        assert!(Rules::parse("# comment\n\n  \n").is_ok());
    }
}
