//! `search`: charts by a word, in the repositories that were added or in a hub.

use super::table::{Format, Table, encoded};
use super::{Outcome, Problem, Scope};
use crate::charts::repository::{self, ChartVersion, Download, Index, RepositoryFile};
use crate::charts::version::{Constraints, Version};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;

/// A match this deep in a chart's texts does not count.
const WORST_SCORE: usize = 25;

/// Search for a keyword in charts
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    place: Place,
}

#[derive(clap::Subcommand)]
enum Place {
    /// Search for charts in the Artifact Hub or your own hub instance
    Hub(HubFlags),
    /// Search repositories for a keyword in charts
    Repo(RepoFlags),
}

#[derive(clap::Args)]
struct HubFlags {
    /// Words
    #[arg(value_name = "KEYWORD")]
    words: Vec<String>,
    /// Hub instance to query for charts
    #[arg(long, default_value = "https://hub.helm.sh")]
    endpoint: String,
    /// Maximum column width for output table
    #[arg(long, default_value_t = 50)]
    max_col_width: usize,
    /// Print charts repository URL
    #[arg(long)]
    list_repo_url: bool,
    /// Search fails if no results are found
    #[arg(long)]
    fail_on_no_result: bool,
    /// Prints the output in the specified format. Allowed values: table, json, yaml
    #[arg(short, long, default_value = "table")]
    output: Format,
}

#[derive(clap::Args)]
struct RepoFlags {
    /// Words; every chart if left out
    #[arg(value_name = "KEYWORD")]
    words: Vec<String>,
    /// Use regular expressions for searching repositories you have added
    #[arg(short, long)]
    regexp: bool,
    /// Show the long listing, with each version of each chart on its own line
    #[arg(short = 'l', long)]
    versions: bool,
    /// Use development versions, too
    #[arg(long)]
    devel: bool,
    /// Search using semantic versioning constraints on repositories you have added
    #[arg(long)]
    version: Option<String>,
    /// Maximum column width for output table
    #[arg(long, default_value_t = 50)]
    max_col_width: usize,
    /// Search fails if no results are found
    #[arg(long)]
    fail_on_no_result: bool,
    /// Prints the output in the specified format. Allowed values: table, json, yaml
    #[arg(short, long, default_value = "table")]
    output: Format,
}

/// Searches.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    match arguments.place {
        Place::Hub(flags) => hub(&flags, scope),
        Place::Repo(flags) => repo(&flags, scope),
    }
}

/// One chart that was found.
struct Found {
    name: String,
    score: usize,
    chart: ChartVersion,
}

fn repo(flags: &RepoFlags, scope: &Scope) -> Outcome {
    let file = RepositoryFile::load(&scope.settings.repository_config)?.unwrap_or_default();
    if file.repositories.is_empty() {
        return Err(Problem("no repositories configured".into()));
    }
    let version = flags.version.as_deref().filter(|version| !version.is_empty());
    let version = version.unwrap_or(if flags.devel { ">0.0.0-0" } else { ">0.0.0" });
    let constraints =
        Constraints::parse(version).map_err(|error| format!("an invalid version/constraint format: {error}"))?;
    let words = flags.words.join(" ");
    let matcher = Matcher::new(&words, flags.regexp)?;
    let mut found = Vec::new();
    for entry in &file.repositories {
        match Index::load(&scope.settings.index_path(&entry.name)) {
            Ok(index) => found.extend(matcher.search(&entry.name, index)),
            Err(error) => scope.log("WARN", &format!("repo is corrupt or missing repo={} error={error}", entry.name)),
        }
    }
    // Versions of a chart are newest first already.
    found.sort_by(|a, b| (a.score, &a.name).cmp(&(b.score, &b.name)));
    let mut shown: Vec<Found> = Vec::new();
    for one in found {
        let again = !flags.versions && shown.iter().any(|other| other.name == one.name);
        let fits = Version::parse(&one.chart.metadata.version).is_ok_and(|version| constraints.check(&version));
        if !again && fits {
            shown.push(one);
        }
    }
    let rows = shown.iter().map(|one| {
        let metadata = &one.chart.metadata;
        [&one.name, &metadata.version, &metadata.app_version, &metadata.description].map(String::clone)
    });
    let rows: Vec<[String; 4]> = rows.collect();
    let values: Vec<Row> = rows
        .iter()
        .map(|[name, version, app_version, description]| Row { name, version, app_version, description })
        .collect();
    let head = ["NAME", "CHART VERSION", "APP VERSION", "DESCRIPTION"];
    let output = Output { format: flags.output, width: flags.max_col_width, must_find: flags.fail_on_no_result };
    output.print(&head, &rows, &values, scope)
}

/// A chart of a repository, its fields in Helm's order.
#[derive(Serialize)]
struct Row<'r> {
    name: &'r str,
    version: &'r str,
    app_version: &'r str,
    description: &'r str,
}

/// A chart of a hub.
#[derive(Serialize)]
struct Page<'p> {
    url: &'p str,
    version: &'p str,
    app_version: &'p str,
    description: &'p str,
    repository: Repository<'p>,
}

#[derive(Serialize)]
struct Repository<'p> {
    url: &'p str,
    name: Value,
}

struct Output {
    format: Format,
    width: usize,
    must_find: bool,
}

impl Output {
    fn print<const N: usize>(
        &self,
        head: &[&str; N],
        rows: &[[String; N]],
        values: &[impl Serialize],
        scope: &Scope,
    ) -> Outcome {
        if rows.is_empty() && self.must_find {
            return Err(Problem("no results found".into()));
        }
        if let Some(text) = encoded(self.format, &values)? {
            scope.print(&text);
        } else if rows.is_empty() {
            scope.print("No results found\n");
        } else {
            let mut table = Table::new(self.width);
            table.row(*head);
            rows.iter().for_each(|row| table.row(row.iter().map(String::as_str)));
            scope.print(&table.to_string());
        }
        Ok(())
    }
}

/// What is looked for in a chart's name, description and keywords.
enum Matcher {
    All,
    Words(String),
    Regex(std::rc::Rc<regex::Regex>),
}

impl Matcher {
    fn new(words: &str, is_regex: bool) -> Result<Self, Problem> {
        Ok(match (words, is_regex) {
            ("", _) => Self::All,
            (words, false) => Self::Words(words.to_lowercase()),
            (words, true) => Self::Regex(crate::charts::functions::expression(words)?),
        })
    }

    /// The part of the text in which the match is; the earlier, the better.
    fn score(&self, parts: &[String]) -> Option<usize> {
        const SEPARATOR: &str = "\u{b}";
        let text = parts.join(SEPARATOR);
        let place = match self {
            Self::All => 0,
            Self::Words(words) => text.to_lowercase().find(words)?,
            Self::Regex(regex) => regex.find(&text)?.start(),
        };
        let lower = if matches!(self, Self::Words(_)) { text.to_lowercase() } else { text };
        Some(lower[..place].matches(SEPARATOR).count()).filter(|score| *score < WORST_SCORE)
    }

    fn search(&self, repository: &str, index: Index) -> Vec<Found> {
        let mut found = Vec::new();
        for (name, versions) in index.entries {
            let mut seen = HashSet::new();
            for chart in versions {
                let metadata = &chart.metadata;
                // An index may have a version twice; it is one.
                if !seen.insert(metadata.version.clone()) {
                    continue;
                }
                let full = format!("{repository}/{name}");
                let parts =
                    [metadata.name.clone(), full.clone(), metadata.description.clone(), metadata.keywords.join(" ")];
                if let Some(score) = self.score(&parts) {
                    found.push(Found { name: full, score, chart });
                }
            }
        }
        found
    }
}

fn hub(flags: &HubFlags, scope: &Scope) -> Outcome {
    let words: String = form_urlencoded::byte_serialize(flags.words.join(" ").as_bytes()).collect();
    let no_way = |why: &str| Problem(format!("unable to create connection to {:?}: {why}", flags.endpoint));
    match crate::charts::functions::checked_url(&flags.endpoint) {
        Err(why) => return Err(no_way(&why)),
        Ok((_, host)) if host.is_empty() => return Err(no_way("no hostname provided")),
        Ok(_) => {}
    }
    let endpoint = flags.endpoint.trim_end_matches('/');
    let url = format!("{endpoint}/api/chartsvc/v1/charts/search?q={words}");
    let failed = |_| Problem(format!("unable to perform search against {:?}", flags.endpoint));
    let data = scope.wait(async { repository::get(&url, &Download::default()).await }).map_err(failed)?;
    let answer: Value = serde_json::from_slice(&data).map_err(|error| failed(Problem(error.to_string())))?;
    let results = answer.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let rows: Vec<[String; 5]> = results
        .iter()
        .map(|result| {
            let text = |pointer: &str| result.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
            let page = text("/artifactHub/packageUrl");
            let page = if page.is_empty() { format!("{endpoint}/charts/{}", text("/id")) } else { page };
            let latest = "/relationships/latestChartVersion/data";
            let (version, app) = (text(&format!("{latest}/version")), text(&format!("{latest}/app_version")));
            [page, version, app, text("/attributes/description"), text("/attributes/repo/url")]
        })
        .collect();
    let names = results.iter().map(|result| result.pointer("/attributes/repo/name").cloned().unwrap_or_default());
    let values = rows.iter().zip(names).map(|([url, version, app_version, description, repo], name)| Page {
        url,
        version,
        app_version,
        description,
        repository: Repository { url: repo, name },
    });
    let values: Vec<Page> = values.collect();
    let output = Output { format: flags.output, width: flags.max_col_width, must_find: flags.fail_on_no_result };
    if flags.list_repo_url {
        return output.print(
            &["URL", "CHART VERSION", "APP VERSION", "DESCRIPTION", "REPO URL"],
            &rows,
            &values,
            scope,
        );
    }
    let rows: Vec<[String; 4]> = rows.iter().cloned().map(|[a, b, c, d, _]| [a, b, c, d]).collect();
    output.print(&["URL", "CHART VERSION", "APP VERSION", "DESCRIPTION"], &rows, &values, scope)
}
