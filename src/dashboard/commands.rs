//! What the page has a button for and the API has no request for: commands of this executable, as the user would type them.
//!
//! A request names one line of a table and fills its blanks; no text of a request becomes a flag.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

/// Where requests for commands begin.
pub const PATH: &str = "/coracle/";

/// The executable and the cluster that commands are for.
pub struct Commands {
    pub executable: PathBuf,
    pub profile: String,
    /// What the page is told of the cluster and its addons, which does not change.
    pub about: Value,
}

/// Method, path below [`PATH`] with blanks, and the words of the command with the same blanks.
type Line = (&'static str, &'static str, &'static [&'static str]);

const TABLE: &[Line] = &[
    ("GET", "addons", &["addons", "list", "-o", "json"]),
    ("POST", "addons/{name}/enable", &["addons", "enable", "{name}"]),
    ("POST", "addons/{name}/disable", &["addons", "disable", "{name}"]),
    (
        "POST",
        "releases/{namespace}/{name}/rollback/{revision}",
        &["chart", "rollback", "{name}", "{revision}", "--namespace={namespace}"],
    ),
    ("POST", "releases/{namespace}/{name}/uninstall", &["chart", "uninstall", "{name}", "--namespace={namespace}"]),
    // The values come as YAML in the body.
    (
        "POST",
        "releases/{namespace}/{name}/install/{chart}",
        &[
            "chart",
            "upgrade",
            "{name}",
            "{chart}",
            "--install",
            "--namespace={namespace}",
            "--create-namespace",
            "--values=-",
        ],
    ),
];

/// The words of the command that a request is for, or nothing.
fn words(method: &str, path: &str) -> Option<Vec<String>> {
    TABLE.iter().filter(|(known, ..)| *known == method).find_map(|(_, pattern, words)| {
        let blanks = fill(pattern, path)?;
        let word =
            |word: &&str| blanks.iter().fold(word.to_string(), |word, (blank, value)| word.replace(blank, value));
        Some(words.iter().map(word).collect())
    })
}

/// What stands in the blanks of a pattern, which a path must have for the rest.
fn fill<'p>(pattern: &'p str, path: &str) -> Option<Vec<(&'p str, String)>> {
    let (patterns, parts): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    if patterns.len() != parts.len() {
        return None;
    }
    let mut blanks = Vec::new();
    for (pattern, part) in patterns.into_iter().zip(parts) {
        match pattern.starts_with('{') {
            true => blanks.push((pattern, value(pattern, part)?)),
            false if pattern == part => {}
            false => return None,
        }
    }
    Some(blanks)
}

/// A value for a blank: a chart is any place, everything else is a name or a number. None may look like a flag.
fn value(blank: &str, part: &str) -> Option<String> {
    let decoded = form_urlencoded::parse(part.replace('+', "%2B").as_bytes()).next()?.0.into_owned();
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    let is_allowed = !decoded.is_empty() && !decoded.starts_with('-') && !decoded.contains(['\0', '{', '}']);
    (is_allowed && (blank == "{chart}" || is_plain(&decoded))).then_some(decoded)
}

impl Commands {
    /// Runs the command that a request is for, with `input`, and tells its exit code and what it printed; nothing where
    /// there is no such command.
    pub async fn run(&self, method: &str, path: &str, input: &[u8]) -> Option<std::io::Result<Value>> {
        if (method, path) == ("GET", "about") {
            return Some(Ok(self.about.clone()));
        }
        Some(self.execute(&words(method, path)?, input).await)
    }

    async fn execute(&self, words: &[String], input: &[u8]) -> std::io::Result<Value> {
        let mut command = tokio::process::Command::new(&self.executable);
        // `chart` takes the context by Helm's flag, and it is the profile's name as well.
        match words.first().is_some_and(|word| word == "chart") {
            true => command.args(words).arg(format!("--kube-context={}", self.profile)),
            false => command.arg(format!("--profile={}", self.profile)).args(words),
        };
        let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = streams.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input ends before it has all.
            stdin.write_all(input).await.ok();
        }
        let output = child.wait_with_output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(json!({"code": output.status.code(), "out": text(&output.stdout), "err": text(&output.stderr)}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_fills_the_blanks_of_one_command() {
        let words = |path: &str| super::words("POST", path).map(|words| words.join(" "));
        assert_eq!(words("addons/dashboard/enable").unwrap(), "addons enable dashboard");
        assert_eq!(words("releases/a/shop/rollback/2").unwrap(), "chart rollback shop 2 --namespace=a");
        let chart = words("releases/a/shop/install/oci%3A%2F%2Fr.example%2Fweb").unwrap();
        assert!(chart.starts_with("chart upgrade shop oci://r.example/web --install"), "{chart}");
    }

    #[test]
    fn nothing_of_a_request_becomes_a_flag_or_another_command() {
        for path in [
            "addons/--help/enable",
            "addons/x y/enable",
            "addons//enable",
            "addons/x/delete",
            "releases/a/shop/install/--post-renderer",
            "releases/a/%2D%2Dx/uninstall",
            "releases/a/{namespace}/uninstall",
            "delete",
        ] {
            assert_eq!(words("POST", path), None, "{path}");
        }
        assert_eq!(words("GET", "addons/x/enable"), None, "what changes something is no GET");
    }
}
