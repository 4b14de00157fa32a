//! `repo`: repositories that charts come from.

use super::table::{Format, Table, encoded};
use super::{Outcome, Problem, Scope, at_least, exactly, operate};
use crate::charts::Error;
use crate::charts::repository::{self, Entry, Index, RepositoryFile};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Add, list, remove, update, and index chart repositories
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Add a chart repository
    Add(AddFlags),
    /// Generate an index file given a directory containing packaged charts
    Index(IndexFlags),
    /// List chart repositories
    #[command(visible_alias = "ls")]
    List(ListFlags),
    /// Remove one or more chart repositories
    #[command(visible_alias = "rm")]
    Remove(RemoveFlags),
    /// Update information of available charts locally from chart repositories
    #[command(visible_alias = "up")]
    Update(UpdateFlags),
}

#[derive(clap::Args)]
struct AddFlags {
    /// What to call it, and its address
    #[arg(value_name = "NAME URL")]
    arguments: Vec<String>,
    /// Chart repository username
    #[arg(long)]
    username: Option<String>,
    /// Chart repository password
    #[arg(long)]
    password: Option<String>,
    /// Read chart repository password from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Replace (overwrite) the repo if it already exists
    #[arg(long)]
    force_update: bool,
    #[arg(long, hide = true)]
    no_update: bool,
    /// Identify HTTPS client using this SSL certificate file
    #[arg(long)]
    cert_file: Option<String>,
    /// Identify HTTPS client using this SSL key file
    #[arg(long)]
    key_file: Option<String>,
    /// Verify certificates of HTTPS-enabled servers using this CA bundle
    #[arg(long)]
    ca_file: Option<String>,
    /// Skip tls certificate checks for the repository
    #[arg(long)]
    insecure_skip_tls_verify: bool,
    /// By default, this command will not allow adding official repos that have been permanently deleted
    #[arg(long)]
    allow_deprecated_repos: bool,
    /// Pass credentials to all domains
    #[arg(long)]
    pass_credentials: bool,
    #[command(flatten)]
    patience: Patience,
}

/// How long servers may take.
#[derive(clap::Args)]
struct Patience {
    /// Time to wait for the index file download to complete
    #[arg(long, default_value = "2m0s")]
    timeout: String,
}

impl Patience {
    fn limit(&self) -> Result<Option<Duration>, Problem> {
        operate::duration(&self.timeout, "timeout").map(Some)
    }
}

#[derive(clap::Args)]
struct IndexFlags {
    /// The folder
    #[arg(value_name = "DIR")]
    arguments: Vec<String>,
    /// Url of chart repository
    #[arg(long)]
    url: Option<String>,
    /// Merge the generated index into the given index
    #[arg(long)]
    merge: Option<PathBuf>,
    /// Output in JSON format
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct ListFlags {
    /// Suppress headers in the output
    #[arg(long)]
    no_headers: bool,
    /// Prints the output in the specified format. Allowed values: table, json, yaml
    #[arg(short, long, default_value = "table")]
    output: Format,
}

#[derive(clap::Args)]
struct RemoveFlags {
    /// Names
    #[arg(value_name = "REPO")]
    names: Vec<String>,
}

#[derive(clap::Args)]
struct UpdateFlags {
    /// Names; all if left out
    #[arg(value_name = "REPO")]
    names: Vec<String>,
    #[command(flatten)]
    patience: Patience,
    #[arg(long, hide = true)]
    fail_on_repo_update_fail: bool,
}

/// Looks after repositories.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    match arguments.action {
        Action::Add(flags) => add(flags, scope),
        Action::Index(flags) => index(&flags),
        Action::List(flags) => list(&flags, scope),
        Action::Remove(flags) => remove(&flags, scope),
        Action::Update(flags) => update(&flags, scope),
    }
}

/// The repositories file; two that change it at the same time wait for each other.
fn locked(scope: &Scope) -> Result<std::fs::File, Problem> {
    let path = scope.settings.repository_config.with_extension("lock");
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| Error::io("mkdir", folder, &error))?;
    let lock = std::fs::File::create(&path).map_err(|error| Error::io("open", &path, &error))?;
    lock.lock().map_err(|error| Error::io("lock", &path, &error))?;
    Ok(lock)
}

/// Repositories that are gone for good, with what has taken their place. Source: Helm `pkg/cmd/repo_add.go`.
const GONE: [(&str, &str); 2] = [
    ("//kubernetes-charts.storage.googleapis.com", "https://charts.helm.sh/stable"),
    ("//kubernetes-charts-incubator.storage.googleapis.com", "https://charts.helm.sh/incubator"),
];

fn add(flags: AddFlags, scope: &Scope) -> Outcome {
    exactly(2, &flags.arguments, "repo add", "[NAME] [URL] [flags]")?;
    let (name, url) = (&flags.arguments[0], &flags.arguments[1]);
    if !flags.allow_deprecated_repos
        && let Some((_, other)) = GONE.iter().find(|(gone, _)| url.contains(gone))
    {
        return Err(Problem(format!("repo {url:?} is no longer available; try {other:?} instead")));
    }
    let limit = flags.patience.limit()?;
    let _lock = locked(scope)?;
    let path = &scope.settings.repository_config;
    let mut file = RepositoryFile::load(path)?.unwrap_or_default();
    let username = flags.username.unwrap_or_default();
    let mut password = flags.password.unwrap_or_default();
    if !username.is_empty() && password.is_empty() {
        password = match flags.password_stdin {
            true => super::registry::stdin()?,
            false => super::registry::ask("Password: ", true, scope)?,
        };
    }
    let entry = Entry {
        name: name.clone(),
        url: url.clone(),
        username,
        password,
        cert_file: flags.cert_file.unwrap_or_default(),
        key_file: flags.key_file.unwrap_or_default(),
        ca_file: flags.ca_file.unwrap_or_default(),
        insecure_skip_tls_verify: flags.insecure_skip_tls_verify,
        pass_credentials_all: flags.pass_credentials,
    };
    if name.contains('/') {
        let rule = "contains '/', please specify a different name without '/'";
        return Err(Problem(format!("repository name ({name}) {rule}")));
    }
    match file.get(name) {
        Some(known) if !flags.force_update && *known == entry => {
            scope.print(&format!("{name:?} already exists with the same configuration, skipping\n"));
            return Ok(());
        }
        Some(_) if !flags.force_update => {
            let problem = "already exists, please specify a different name";
            return Err(Problem(format!("repository name ({name}) {problem}")));
        }
        _ => {}
    }
    repository::check_scheme(url)?;
    scope.wait(repository::update_repository(&entry, limit, &scope.settings)).map_err(|Problem(text)| {
        let url = repository::shown(url);
        Problem(format!("looks like {url:?} is not a valid chart repository or cannot be reached: {text}"))
    })?;
    file.set(entry);
    file.write(path)?;
    scope.print(&format!("{name:?} has been added to your repositories\n"));
    Ok(())
}

fn index(flags: &IndexFlags) -> Outcome {
    exactly(1, &flags.arguments, "repo index", "[DIR] [flags]")?;
    let folder = Path::new(&flags.arguments[0]);
    let mut index = Index::of_folder(folder, flags.url.as_deref().unwrap_or_default())?;
    let write = |index: &Index, path: &Path| {
        let text = if flags.json { index.to_json() } else { index.to_yaml() };
        crate::charts::write_file(path, text.as_bytes())
    };
    if let Some(path) = &flags.merge {
        if path.exists() {
            index.merge(Index::load(path).map_err(|error| format!("merge failed: {error}"))?);
        } else {
            write(&Index::new(), path)?;
        }
    }
    Ok(write(&index, &folder.join("index.yaml"))?)
}

fn list(flags: &ListFlags, scope: &Scope) -> Outcome {
    // What cannot be read has no repositories, as in Helm.
    let file = RepositoryFile::load(&scope.settings.repository_config).unwrap_or_default().unwrap_or_default();
    if file.repositories.is_empty() && flags.output == Format::Table {
        super::aside("no repositories to show");
        return Ok(());
    }
    let entries = file.repositories.iter();
    let values = entries.map(|entry| serde_json::json!({"name": entry.name, "url": entry.url})).collect();
    if let Some(text) = encoded(flags.output, &serde_json::Value::Array(values))? {
        scope.print(&text);
        return Ok(());
    }
    let mut table = Table::default();
    if !flags.no_headers {
        table.row(["NAME", "URL"]);
    }
    file.repositories.iter().for_each(|entry| table.row([&entry.name, &entry.url]));
    scope.print(&table.to_string());
    Ok(())
}

fn remove(flags: &RemoveFlags, scope: &Scope) -> Outcome {
    at_least(1, &flags.names, "repo remove", "[REPO1 [REPO2 ...]] [flags]")?;
    let _lock = locked(scope)?;
    let path = &scope.settings.repository_config;
    let mut file = RepositoryFile::load(path)?.unwrap_or_default();
    if file.repositories.is_empty() {
        return Err(Problem("no repositories configured".into()));
    }
    for name in &flags.names {
        if !file.remove(name) {
            return Err(Problem(format!("no repo named {name:?} found")));
        }
        file.write(path)?;
        for cached in [scope.settings.charts_path(name), scope.settings.index_path(name)] {
            match std::fs::remove_file(&cached) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("can't remove index file", &cached, &error).into());
                }
                _ => {}
            }
        }
        scope.print(&format!("{name:?} has been removed from your repositories\n"));
    }
    Ok(())
}

fn update(flags: &UpdateFlags, scope: &Scope) -> Outcome {
    let limit = flags.patience.limit()?;
    let file = RepositoryFile::load(&scope.settings.repository_config)?.unwrap_or_default();
    if file.repositories.is_empty() {
        return Err(Problem("no repositories found. You must add one before updating".into()));
    }
    if let Some(name) = flags.names.iter().find(|name| file.get(name).is_none()) {
        return Err(Problem(format!("no repositories found matching '{name}'.  Nothing will be updated")));
    }
    let wanted = |entry: &&Entry| flags.names.is_empty() || flags.names.contains(&entry.name);
    let entries: Vec<Entry> = file.repositories.iter().filter(wanted).cloned().collect();
    let say = |text: &str| scope.print(&format!("{text}\n"));
    say("Hang tight while we grab the latest from your chart repositories...");
    let updating = repository::update_repositories(&entries, limit, &scope.settings, &say);
    let failed = scope.wait(async { Ok(updating.await) })?;
    if !failed.is_empty() {
        let failed = failed.join(" ");
        return Err(Problem(format!("failed to update the following repositories: [{failed}]")));
    }
    say("Update Complete. ⎈Happy Helming!⎈");
    Ok(())
}
