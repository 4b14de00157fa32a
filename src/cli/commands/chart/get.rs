//! `get`: what is known of a release.

use super::fields;
use super::printing::{self, Show};
use super::session::Session;
use super::table::Format;
use super::{Outcome, Scope, exactly};
use crate::charts::release::{Metadata, Release};
use crate::charts::template::Value;
use crate::charts::{Offline, render_text};
use serde_json::Value as Json;

/// Download extended information of a named release
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Download all information for a named release
    All {
        #[command(flatten)]
        revision: Revision,
        /// Go template for formatting the output, eg: {{.Release.Name}}
        #[arg(long)]
        template: Option<String>,
    },
    /// Download all hooks for a named release
    Hooks(Revision),
    /// Download the manifest for a named release
    Manifest(Revision),
    /// This command fetches metadata for a given release
    Metadata {
        #[command(flatten)]
        revision: Revision,
        /// Prints the output in the specified format: table, json or yaml
        #[arg(short, long, default_value = "table")]
        output: Format,
    },
    /// Download the notes for a named release
    Notes(Revision),
    /// Download the values file for a named release
    Values {
        #[command(flatten)]
        revision: Revision,
        /// Dump all (computed) values
        #[arg(short, long)]
        all: bool,
        /// Prints the output in the specified format: table, json or yaml
        #[arg(short, long, default_value = "table")]
        output: Format,
    },
}

#[derive(clap::Args)]
struct Revision {
    /// The name of the release
    #[arg(value_name = "RELEASE_NAME")]
    names: Vec<String>,
    /// Get the named release with revision
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    revision: i64,
}

impl Revision {
    fn find(&self, word: &str, scope: &Scope) -> Result<Release, super::Problem> {
        exactly(1, &self.names, &format!("get {word}"), "RELEASE_NAME [flags]")?;
        let session = Session::open(scope, false)?;
        session.run(session.actions.find(&self.names[0], self.revision))
    }
}

/// Prints what is asked for.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    let text = match arguments.what {
        What::All { revision, template: Some(template) } if !template.is_empty() => {
            let release = fields::of(&revision.find("all", scope)?)?;
            render_text("_", &template, &Value::map_from([("Release", release)]), &Offline)?
        }
        What::All { revision, .. } => {
            let show = Show {
                everything: true,
                metadata: true,
                hide_notes: false,
                colour: printing::is_coloured(&scope.globals.color),
            };
            printing::release(&revision.find("all", scope)?, show)
        }
        What::Hooks(revision) => {
            let release = revision.find("hooks", scope)?;
            let hook = |hook: &crate::charts::release::record::Hook| {
                format!("---\n# Source: {}\n{}\n", hook.path, hook.manifest)
            };
            release.hooks.iter().map(hook).collect()
        }
        What::Manifest(revision) => revision.find("manifest", scope)?.manifest + "\n",
        What::Notes(revision) => match revision.find("notes", scope)?.info.notes {
            notes if notes.is_empty() => notes,
            notes => format!("NOTES:\n{notes}\n"),
        },
        What::Metadata { revision, output } => {
            let metadata = Metadata::of(&revision.find("metadata", scope)?);
            printing::formatted(output, &metadata, || metadata_text(&metadata))?
        }
        What::Values { revision, all, output } => {
            let release = revision.find("values", scope)?;
            let values = match all {
                true => printing::computed(&release),
                // Go's nil map: nothing was given.
                false if release.config.is_empty() => Json::Null,
                false => Json::Object(release.config),
            };
            let title = if all { "COMPUTED VALUES:" } else { "USER-SUPPLIED VALUES:" };
            match output {
                Format::Table => format!("{title}\n{}", printing::yaml(&values)?),
                other => printing::formatted(other, &values, String::new)?,
            }
        }
    };
    scope.print(&text);
    Ok(())
}

fn metadata_text(metadata: &Metadata) -> String {
    let set = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    };
    let method = match metadata.apply_method.as_str() {
        "" => "client-side apply (defaulted)".into(),
        "csa" => "client-side apply".into(),
        "ssa" => "server-side apply".into(),
        other => format!("unknown ({other:?})"),
    };
    let rows = [
        ("NAME", metadata.name.clone()),
        ("CHART", metadata.chart.clone()),
        ("VERSION", metadata.version.clone()),
        ("APP_VERSION", metadata.app_version.clone()),
        ("ANNOTATIONS", set(&metadata.annotations)),
        ("LABELS", set(&metadata.labels)),
        ("DEPENDENCIES", metadata.dependency_names()),
        ("NAMESPACE", metadata.namespace.clone()),
        ("REVISION", metadata.revision.to_string()),
        ("STATUS", metadata.status.clone()),
        ("DEPLOYED_AT", metadata.deployed_at.clone()),
        ("APPLY_METHOD", method),
    ];
    rows.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}
