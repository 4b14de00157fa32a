//! `template`: what a chart renders to, printed or written to files, without a cluster.

use super::flags::kube_version;
use super::making::Installing;
use super::session::Session;
use super::{Outcome, Problem, Scope, at_least, operate};
use crate::base::memory;
use crate::charts::chart::pattern;
use crate::charts::release::source;
use crate::charts::release::{DryRun, Request};
use crate::charts::values::{Map, Warning};
use crate::charts::{self, Capabilities, Chart, Error, Hook, ReleaseOptions, Rendered, manifests, push_document};
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

/// Locally render templates
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the release, and the chart: a path, an archive, REPO/NAME or an address
    #[arg(value_name = "NAME] [CHART")]
    arguments: Vec<String>,
    /// Only show manifests rendered from the given templates
    #[arg(short, long)]
    show_only: Vec<String>,
    /// Writes the executed templates to files in output-dir instead of stdout
    #[arg(long)]
    output_dir: Option<String>,
    /// Deprecated: use '--dry-run=server'
    #[arg(long, hide = true)]
    validate: bool,
    /// Include CRDs in the templated output
    #[arg(long)]
    include_crds: bool,
    /// Skip tests from templated output
    #[arg(long)]
    skip_tests: bool,
    /// Set .Release.IsUpgrade instead of .Release.IsInstall
    #[arg(long)]
    is_upgrade: bool,
    /// Kubernetes version used for Capabilities.KubeVersion
    #[arg(long)]
    kube_version: Option<String>,
    /// Kubernetes api versions used for Capabilities.APIVersions (multiple can be specified)
    #[arg(short, long, value_delimiter = ',')]
    api_versions: Vec<String>,
    /// Use release name in the output-dir path
    #[arg(long)]
    release_name: bool,
    /// Simulates the operation: "client" avoids the cluster, "server" asks it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "unset", default_value = "client")]
    dry_run: String,
    #[arg(long, hide = true)]
    render_subchart_notes: bool,
    #[arg(long, hide = true)]
    hide_notes: bool,
    // What only matters to a cluster is taken and means nothing here.
    #[command(flatten)]
    installing: Installing,
}

/// Renders a chart.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    at_least(1, &arguments.arguments, "template", "[NAME] [CHART] [flags]")?;
    let mut capabilities = Capabilities::default();
    if let Some(version) = arguments.kube_version.as_deref().filter(|version| !version.is_empty()) {
        capabilities.kube_version = kube_version(version)?;
    }
    capabilities.api_versions.extend(arguments.api_versions.iter().cloned());
    let installing = &arguments.installing;
    // Nothing is made, but what cannot be asked for is told.
    installing.options()?;
    let rendering = &installing.making.rendering;
    let dry_run = operate::dry_run(&arguments.dry_run)?;
    if dry_run == DryRun::None {
        let word = &arguments.dry_run;
        return Err(Problem(format!("invalid dry-run value ({word:?}). Must be \"server\" or \"client\"")));
    }
    let asks_cluster = arguments.validate || dry_run == DryRun::Server;
    let (name, reference) = installing.name_and_chart(&arguments.arguments, Some("release-name"))?;
    let (mut chart, given) = rendering.read(&reference, scope)?;
    check_name(&name)?;
    if asks_cluster {
        let rendered = arguments.on_cluster(&name, chart, given, scope)?;
        return arguments.show(&rendered, &name, scope);
    }
    let options = ReleaseOptions {
        name: name.clone(),
        namespace: scope.namespace(),
        revision: 1,
        is_upgrade: arguments.is_upgrade,
        is_install: !arguments.is_upgrade,
        skip_schema: rendering.skip_schema_validation,
        subchart_notes: false,
    };
    let host = Local { enable_dns: rendering.enable_dns };
    // Templates may call each other deeply.
    let rendered = charts::template::on_stack(|| charts::render(&mut chart, &given, &options, &capabilities, &host))?;
    memory::leave((chart, given));
    match rendered {
        Ok(mut rendered) => {
            if let Some(post) = rendering.post_renderer() {
                (rendered.manifests, rendered.hooks) = source::post_render(&rendered, &post)?;
            }
            rendered.warnings.iter().for_each(|warning| super::aside(format_args!("{warning}")));
            let shown = arguments.show(&rendered, &name, scope);
            memory::leave(rendered);
            shown
        }
        Err(Error::Manifest { problem, rendered }) if scope.globals.debug => {
            scope.print(&format!("{}\n", rendered.trim()));
            Err(Problem(problem))
        }
        // What failed after the values were found good: Helm has a release by then, which it would print.
        Err(error @ (Error::Manifest { .. } | Error::Template(_) | Error::Incompatible(_))) if !scope.globals.debug => {
            Err(Problem(format!("{error}{MORE}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// How to see more of what failed.
const MORE: &str = "\n\nUse --debug flag to render out invalid YAML";

/// Templates that see no cluster.
struct Local {
    enable_dns: bool,
}

impl charts::Host for Local {
    fn is_offline(&self) -> bool {
        !self.enable_dns
    }

    fn warn(&self, warning: &Warning) {
        super::aside(format_args!("{warning}"));
    }

    fn resolve(&self, name: &str) -> String {
        if self.enable_dns { charts::release::source::address(name) } else { String::new() }
    }
}

/// Whether a release may have the name.
fn check_name(name: &str) -> Outcome {
    let told = |error| Problem(format!("release name check failed: release name {name:?}: {error}"));
    crate::charts::release::check_name(name).map_err(told)
}

impl Arguments {
    /// Renders with what the cluster is and has, and asks whether it would take the outcome.
    fn on_cluster(&self, name: &str, chart: Chart, given: Map, scope: &Scope) -> Result<Rendered, Problem> {
        let making = &self.installing.making;
        let mut source = making.rendering.filled(chart, given);
        let session = Session::open(scope, false)?;
        let request = Request {
            name: name.into(),
            namespace: session.actions.cluster.namespace().into(),
            revision: 1,
            is_upgrade: self.is_upgrade,
            cluster: Some(session.actions.cluster.clone()),
        };
        let rendered = session.run(source.fill(request)).map_err(|Problem(text)| Problem(text + MORE))?;
        if !self.is_upgrade {
            let text = rendered.manifest_text();
            session.run(session.actions.check_plan(name, &text, making.take_ownership))?;
        }
        Ok(rendered)
    }

    /// The hooks that are part of the output.
    fn hooks<'a>(&self, rendered: &'a Rendered) -> Vec<&'a Hook> {
        if self.installing.making.writing.no_hooks {
            return Vec::new();
        }
        let is_test = |hook: &Hook| hook.events.iter().any(|event| event == "test");
        rendered.hooks.iter().filter(|hook| !(self.skip_tests && is_test(hook))).collect()
    }

    fn show(&self, rendered: &Rendered, name: &str, scope: &Scope) -> Outcome {
        if let Some(folder) = self.output_dir.as_deref().filter(|folder| !folder.is_empty()) {
            let folder = if self.release_name { format!("{folder}/{name}") } else { folder.to_string() };
            return self.write_files(rendered, &folder, scope);
        }
        let mut text = String::new();
        if self.include_crds {
            for crd in &rendered.crds {
                push_document(&mut text, &crd.path, &String::from_utf8_lossy(&crd.data));
            }
        }
        text.push_str(&rendered.manifest_text());
        let mut text = format!("{}\n", text.trim());
        for hook in self.hooks(rendered) {
            push_document(&mut text, &hook.path, &hook.manifest);
        }
        if self.show_only.is_empty() {
            scope.print(&text);
            return Ok(());
        }
        scope.print(&self.selected(&text)?);
        Ok(())
    }

    /// The documents of the templates that `--show-only` names.
    fn selected(&self, text: &str) -> Result<String, Problem> {
        let documents: Vec<(&str, &str)> =
            manifests::split(text).into_iter().filter_map(|text| Some((source(text)?, text))).collect();
        let mut out = String::new();
        for wanted in &self.show_only {
            let mut missing = true;
            for (source, document) in &documents {
                // A malformed pattern matches nothing.
                if pattern::matches(wanted, source).unwrap_or(false) {
                    out.push_str(&format!("---\n{document}\n"));
                    missing = false;
                }
            }
            if missing {
                return Err(Problem(format!("could not find template {wanted} in chart")));
            }
        }
        Ok(out)
    }

    fn write_files(&self, rendered: &Rendered, folder: &str, scope: &Scope) -> Outcome {
        let mut written = HashSet::new();
        // Custom resources go below the folder itself, as in Helm.
        let plain = self.output_dir.as_deref().unwrap_or(folder);
        if self.include_crds {
            for crd in &rendered.crds {
                write_file(plain, &crd.path, &String::from_utf8_lossy(&crd.data), &mut written, scope)?;
            }
        }
        for manifest in &rendered.manifests {
            write_file(folder, &manifest.source, &manifest.text, &mut written, scope)?;
        }
        for hook in self.hooks(rendered) {
            write_file(folder, &hook.path, &hook.manifest, &mut written, scope)?;
        }
        scope.print("\n");
        Ok(())
    }
}

/// The path in the chart that a document's `# Source:` line names.
fn source(document: &str) -> Option<&str> {
    let line = document.lines().find_map(|line| line.split_once("# Source: "))?.1;
    line.split_once('/').map(|(_, path)| path)
}

fn write_file(folder: &str, name: &str, text: &str, written: &mut HashSet<String>, scope: &Scope) -> Outcome {
    let path = format!("{folder}/{name}");
    let parent = Path::new(&path).parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|error| Error::io("mkdir", parent, &error))?;
    let again = !written.insert(name.to_string());
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .append(again)
        .truncate(!again)
        .open(&path)
        .map_err(|error| Error::io("open", Path::new(&path), &error))?;
    let mut document = String::new();
    push_document(&mut document, name, text);
    file.write_all(document.as_bytes()).map_err(|error| Error::io("write", Path::new(&path), &error))?;
    scope.print(&format!("wrote {path}\n"));
    Ok(())
}
