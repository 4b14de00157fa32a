//! What a profile asks to be brought into a running cluster: images, addons, manifests, charts.

use super::commands;
use super::{Context, Exit, Failure};
use crate::addons::{self, CATALOG, catalog, reconcile};
use crate::api::{Object, yaml};
use crate::base::Hint;
use crate::client;
use crate::cluster::{Cluster, trust};
use crate::config::values::looks_like_file;
use crate::config::{Home, Profile};
use crate::drivers;
use crate::images::{Reference, Store, logins};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who applied what came from a cluster file.
const MANAGER: &str = "coracle-apply";

/// Certificates of the user's own authorities (`certs/` of the home), which every pull trusts beside the machine's.
pub fn authorities(home: &Home) -> Result<Vec<String>, Failure> {
    Ok(trust::of_folder(&home.certificates())?)
}

/// What a cluster file cannot know by itself: the names of drivers and addons.
pub fn check_value(key: &str, value: &str) -> Result<(), String> {
    match key {
        "driver" if value != "auto" && value != "none" && drivers::find(value).is_none() => {
            let known: Vec<&str> = drivers::DRIVERS.iter().map(|driver| driver.name()).collect();
            Err(format!("there is no driver `{value}`; there are {}", known.join(", ")))
        }
        "addons" if is_addon(value) => Ok(()),
        "addons" | "disabled-addons" if catalog::find(value).is_none() => Err(no_addon(value).error.to_string()),
        _ => Ok(()),
    }
}

/// An image of the command line: an archive is meant from here, and must be there.
pub fn placed_image(word: &str) -> Result<String, Failure> {
    if !looks_like_file(word) {
        return Ok(word.into());
    }
    let path = std::path::absolute(word)?;
    match path.exists() {
        true => Ok(path.display().to_string()),
        false => {
            let what = format!("images: there is no file {}", path.display());
            Err(Failure { error: what.into(), exit: Exit::Usage })
        }
    }
}

/// Whether there is an addon of that name, to be switched on or always on.
fn is_addon(name: &str) -> bool {
    catalog::find(name).is_some() || commands::addons::is_built_in(name)
}

/// Every name must be that of an addon.
pub fn check_addons(names: &[String]) -> Result<(), Failure> {
    match names.iter().find(|name| !is_addon(name)) {
        None => Ok(()),
        Some(name) => Err(no_addon(name)),
    }
}

/// The error for an addon that is not in the catalog.
pub fn no_addon(name: &str) -> Failure {
    let known: Vec<&str> = CATALOG.iter().map(|addon| addon.name).collect();
    let what = format!("there is no addon `{name}`; there are {}", known.join(", "));
    Failure { error: Box::new(Hint::new(what, "coracle addons list")), exit: Exit::Usage }
}

/// Brings everything in that the profile asks for. What is there already is left.
pub async fn bring(cluster: &Cluster, say: &(dyn Fn(&str) + Sync), context: &Context) -> Result<(), Failure> {
    let profile = &cluster.profile;
    if !profile.images.is_empty() {
        let store = Store::open(cluster.paths().images())?;
        for image in &profile.images {
            bring_image(&store, image, &authorities(&context.home)?, say).await?;
        }
    }
    if !profile.kubernetes {
        let waiting = profile.addons.len() + profile.manifests.len() + profile.charts.len();
        if waiting > 0 {
            say("addons, manifests and charts wait until there is Kubernetes");
        }
        return Ok(());
    }
    let client = commands::client(cluster).await?;
    if !profile.addons.is_empty() {
        say("enabling addons");
        addons::apply_wanted(&client, profile).await?;
    }
    for manifest in &profile.manifests {
        say(&format!("applying {manifest}"));
        client::apply::all(&client, &objects(Path::new(manifest))?, MANAGER).await?;
    }
    for chart in &profile.charts {
        say(&format!("installing the chart {}", chart.name));
        install(cluster, chart, context)?;
    }
    Ok(())
}

/// An archive that is there, or a name to pull.
async fn bring_image(
    store: &Store,
    image: &str,
    authorities: &[String],
    say: &(dyn Fn(&str) + Sync),
) -> Result<(), Failure> {
    if looks_like_file(image) {
        say(&format!("loading {image}"));
        store.load_path(Path::new(image))?;
        return Ok(());
    }
    if store.resolve(image)?.is_some() {
        return Ok(());
    }
    say(&format!("pulling {image}"));
    let reference: Reference = image.parse()?;
    store.pull(&reference, &logins::of_user(reference.registry()), authorities).await?;
    Ok(())
}

/// The objects of a manifest file, or of all in a folder, in the order of their names.
fn objects(path: &Path) -> Result<Vec<Object>, Failure> {
    let mut files = vec![path.to_path_buf()];
    if path.is_dir() {
        let is_manifest =
            |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        files = std::fs::read_dir(path)?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_manifest).collect();
        files.sort();
    }
    let mut found = Vec::new();
    for file in files {
        let named = |why: String| format!("{}: {why}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|error| named(error.to_string()))?;
        for value in yaml::documents(&text).map_err(|error| named(error.to_string()))? {
            if !value.is_null() {
                found.push(Object::from_value(value).ok_or_else(|| named("a document is no object".into()))?);
            }
        }
    }
    Ok(found)
}

/// Installs or upgrades a release, by this executable's own command.
fn install(cluster: &Cluster, chart: &crate::config::values::Chart, context: &Context) -> Result<(), Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "-p",
        &cluster.profile.name,
        "--skip-audit",
        "chart",
        "upgrade",
        "--install",
        &chart.name,
        &chart.chart,
    ]);
    command.args(["--kube-context", &cluster.profile.name]);
    if !chart.namespace.is_empty() {
        command.args(["--namespace", &chart.namespace, "--create-namespace"]);
    }
    if !chart.version.is_empty() {
        command.args(["--version", &chart.version]);
    }
    command.args(chart.values.iter().flat_map(|file| ["--values", file]));
    command.args(chart.set.iter().flat_map(|pair| ["--set", pair]));
    let output = command.env("CORACLE_HOME", context.home.root()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("the chart `{}` was not installed: {}", chart.name, said.trim().trim_start_matches("error: ")).into())
}

/// Deletes the objects of addons that were on before and are not any more.
pub async fn drop_addons(cluster: &Cluster, before: &Profile) -> Result<(), Failure> {
    let is_off =
        |addon: &&addons::Addon| addons::is_wanted(before, addon) && !addons::is_wanted(&cluster.profile, addon);
    for addon in CATALOG.iter().filter(is_off) {
        reconcile::remove(&commands::client(cluster).await?, addon, before).await?;
    }
    Ok(())
}

/// Loads every image of the cache (`coracle cache add`) that the cluster has not.
pub fn load_cached(cluster: &Cluster, context: &Context) -> Result<(), Failure> {
    let folder = context.home.image_cache();
    if !folder.exists() {
        return Ok(());
    }
    let cache = Store::open(&folder)?;
    let store = Store::open(cluster.paths().images())?;
    for image in cache.list()? {
        for name in &image.repo_tags {
            hand_over(&cache, &store, name).map_err(|error| of_cache(error, name))?;
        }
    }
    Ok(())
}

/// Copies an image from one store to another, unless it is there.
pub fn hand_over(from: &Store, to: &Store, name: &str) -> Result<(), Failure> {
    let wanted = from.resolve(name)?.map(|image| image.id);
    if wanted.is_some() && to.resolve(name)?.map(|image| image.id) == wanted {
        return Ok(());
    }
    let mut archive = tempfile::tempfile()?;
    from.save(&[name.to_string()], &mut archive)?;
    std::io::Seek::rewind(&mut archive)?;
    to.load(Box::new(archive) as Box<dyn std::io::Read>)?;
    Ok(())
}

fn of_cache(failure: Failure, name: &str) -> Failure {
    let hint = format!("coracle cache delete {name}");
    Failure { error: Box::new(Hint::new(failure.error, hint)), exit: failure.exit }
}
