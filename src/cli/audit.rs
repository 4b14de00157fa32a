//! The audit log: every command that was run, one CloudEvent a line, as `coracle logs --audit` shows it.

use crate::base::login::{HIDDEN, without_login};
use crate::config::{Home, Preferences};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

/// Entries that are kept, unless the preference `MaxAuditEntries` says otherwise.
const ENTRIES: usize = 1000;
/// Commands that change nothing and would only fill the log.
const SILENT: &[&str] = &["completion", "options", "version", "license", "help"];

/// Writes one entry. A home that cannot be written to is told by the command itself.
pub fn record(home: &Home, profile: &str, user: Option<&str>, begun: jiff::Timestamp, code: u8) {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(command) = words.iter().find(|word| !word.starts_with('-') && *word != profile) else { return };
    if SILENT.contains(&command.as_str()) || !home.root().exists() {
        return;
    }
    let user = user.map(String::from).or_else(os_user).unwrap_or_default();
    let arguments = told(&words, command).join(" ");
    let entry = json!({
        "data": {
            "args": arguments, "command": command, "endTime": jiff::Timestamp::now().to_string(),
            "exitcode": code.to_string(), "id": uuid::Uuid::new_v4().to_string(), "profile": profile,
            "startTime": begun.to_string(), "user": user, "version": format!("v{}", env!("CARGO_PKG_VERSION")),
        },
        "datacontenttype": "application/json", "id": uuid::Uuid::new_v4().to_string(),
        "source": "https://coracle.local/", "specversion": "1.0", "type": "io.k8s.sigs.minikube.audit",
    });
    append(home, &entry).ok();
}

/// The user of this process, as the environment or else the machine's list of users names it.
fn os_user() -> Option<String> {
    let named =
        ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok()).find(|name| !name.is_empty());
    named.or_else(|| {
        let list = std::fs::read_to_string("/etc/passwd").ok()?;
        name_of(&list, rustix::process::getuid().as_raw()).map(String::from)
    })
}

/// The name of a user in `/etc/passwd`.
fn name_of(list: &str, id: u32) -> Option<&str> {
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

/// The words of a command without what only its user may know.
fn told(words: &[String], command: &str) -> Vec<String> {
    const SECRET: &[&str] =
        &["--build-env", "--docker-env", "--password", "--set", "--set-json", "--set-literal", "--set-string"];
    // Elsewhere `-p` is the profile.
    let is_secret = |word: &str| SECRET.contains(&word) || word == "-p" && command == "chart";
    let mut told: Vec<String> = Vec::new();
    let mut hides = false;
    for word in words.iter().filter(|word| *word != command) {
        told.push(match word.split_once('=') {
            _ if hides => HIDDEN.into(),
            Some((flag, _)) if is_secret(flag) => format!("{flag}={HIDDEN}"),
            _ => without_login(word),
        });
        hides = !hides && is_secret(word);
    }
    told
}

fn append(home: &Home, entry: &Value) -> std::io::Result<()> {
    let path = home.audit_file();
    std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let mut file = std::fs::File::options().append(true).create(true).mode(0o600).open(&path)?;
    // A log of an older executable was everybody's to read.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    writeln!(file, "{entry}")?;
    // Cut now and then, not at every command.
    if file.metadata()?.len() > 1 << 20 {
        let most = Preferences::load(home)?.0.get("MaxAuditEntries").and_then(|text| text.parse().ok());
        let text = std::fs::read_to_string(&path)?;
        let lines: Vec<&str> = text.lines().collect();
        let kept = lines[lines.len().saturating_sub(most.unwrap_or(ENTRIES))..].join("\n") + "\n";
        crate::base::atomic::write(&path, kept.as_bytes(), 0o600)?;
    }
    Ok(())
}

/// The last entries, as a table.
pub fn table(home: &Home, length: usize) -> String {
    // Without a log there is nothing to show.
    let text = std::fs::read_to_string(home.audit_file()).unwrap_or_default();
    let entries: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut out =
        format!("{:<14} {:<40} {:<16} {:<12} {:<24} {}\n", "COMMAND", "ARGS", "PROFILE", "USER", "START", "CODE");
    for entry in &entries[entries.len().saturating_sub(length)..] {
        let field = |name: &str| entry["data"][name].as_str().unwrap_or_default().to_string();
        let start: String = field("startTime").chars().take(19).collect();
        out += &format!(
            "{:<14} {:<40} {:<16} {:<12} {start:<24} {}\n",
            field("command"),
            field("args"),
            field("profile"),
            field("user"),
            field("exitcode")
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_values_are_not_told() {
        let of = |line: &str, command: &str| {
            let words: Vec<String> = line.split(' ').map(String::from).collect();
            told(&words, command).join(" ")
        };
        assert_eq!(of("chart registry login h -u me -p secret", "chart"), "registry login h -u me -p *****");
        assert_eq!(of("chart repo add r https://me:secret@host/x@y", "chart"), "repo add r https://*****@host/x@y");
        assert_eq!(of("image pull http://host/a@b", "image"), "pull http://host/a@b");
        assert_eq!(of("chart repo add r u --password=secret", "chart"), "repo add r u --password=*****");
        assert_eq!(of("chart install x ./x --set a=b --wait", "chart"), "install x ./x --set ***** --wait");
        assert_eq!(of("stop -p two", "stop"), "-p two", "elsewhere it is the profile");
    }

    #[test]
    fn a_user_has_the_name_that_the_machine_gives() {
        let list = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!((name_of(list, 1000), name_of(list, 0), name_of(list, 7)), (Some("ann"), Some("root"), None));
    }

    #[test]
    fn the_log_is_its_owners_alone_also_one_that_was_not() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        let path = home.audit_file();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        append(&home, &json!({})).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
