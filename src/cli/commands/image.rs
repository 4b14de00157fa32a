//! `coracle image`: the node's image store, used in place; a running cluster sees the change at once.

use super::super::{Context, Exit, Failure};
use crate::base::Hint;
use crate::images::{Error, Image, Reference, Store, logins};
use serde_json::json;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Manage the images of the node
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Load archives: docker save, OCI archive or OCI layout
    Load {
        /// The archives; `-` is stdin
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// List images
    #[command(visible_alias = "list")]
    Ls {
        /// Form of the answer
        #[arg(long, default_value = "short", value_parser = ["short", "table", "json", "yaml"])]
        format: String,
    },
    /// Remove images
    #[command(visible_alias = "remove", visible_alias = "unload")]
    Rm {
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// Pull images from their registries, with the logins of the Docker client
    Pull {
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// Give an image another name
    Tag { source: String, target: String },
    /// Write images to an archive that `docker load` reads
    Save {
        /// The image
        image: String,
        /// The archive; `-` is stdout
        archive: PathBuf,
    },
}

/// Works on the folder that the node's own store is in.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    let store = Store::open(cluster.paths().images()).map_err(failure)?;
    match arguments.command {
        Command::Load { archives } => load(&store, &archives, context)?,
        Command::Ls { format } => context.printer.raw(&list(&store.list().map_err(failure)?, &format)?),
        Command::Rm { images } => images.iter().try_for_each(|image| store.remove(image)).map_err(failure)?,
        Command::Pull { images } => pull(&store, &images, context).await?,
        Command::Tag { source, target } => store.tag(&source, &target).map_err(failure)?,
        Command::Save { image, archive } => save(&store, image, &archive)?,
    }
    Ok(Exit::Success)
}

fn load(store: &Store, archives: &[PathBuf], context: &Context) -> Result<(), Failure> {
    for archive in archives {
        let steps = context.printer.steps();
        steps.step(&format!("loading {}", archive.display()));
        let loaded = match archive.as_os_str() == "-" {
            true => store.load(Box::new(std::io::stdin().lock()) as Box<dyn Read>),
            false => open(archive).and_then(|()| store.load_path(archive)),
        };
        drop(steps);
        for image in loaded.map_err(failure)? {
            // An archive may hold an image without a name.
            let names = if image.repo_tags.is_empty() { vec![image.id] } else { image.repo_tags };
            names.iter().for_each(|name| context.printer.say(format!("loaded {name}")));
        }
    }
    Ok(())
}

async fn pull(store: &Store, images: &[String], context: &Context) -> Result<(), Failure> {
    for image in images {
        let steps = context.printer.steps();
        steps.step(&format!("pulling {image}"));
        let reference: Reference = image.parse().map_err(failure)?;
        store.pull(&reference, &logins::of_user(reference.registry())).await.map_err(failure)?;
        drop(steps);
        context.printer.say(format!("pulled {reference}"));
    }
    Ok(())
}

/// A path that is no file or folder is more often an image's name than a typing mistake.
fn open(archive: &Path) -> Result<(), Error> {
    let found = std::fs::metadata(archive).map(drop);
    found.map_err(|source| Error::Read { after: archive.display().to_string(), source })
}

fn save(store: &Store, image: String, archive: &Path) -> Result<(), Failure> {
    if archive.as_os_str() == "-" {
        return store.save(&[image], std::io::stdout().lock()).map_err(failure);
    }
    let folder = archive.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A half-written archive never has the name that was asked for.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut buffered = std::io::BufWriter::new(&mut file);
    store.save(&[image], &mut buffered).map_err(failure)?;
    buffered.flush()?;
    drop(buffered);
    file.persist(archive)?;
    Ok(())
}

fn list(images: &[Image], format: &str) -> Result<String, Failure> {
    let mut names: Vec<(&str, &Image)> =
        images.iter().flat_map(|image| image.repo_tags.iter().map(move |tag| (tag.as_str(), image))).collect();
    names.sort_by_key(|(name, _)| *name);
    let records = || {
        let record = |image: &Image| {
            json!({
                "id": digits(image), "repoDigests": image.repo_digests, "repoTags": image.repo_tags,
                "size": image.size.to_string(),
            })
        };
        images.iter().map(record).collect::<Vec<_>>()
    };
    Ok(match format {
        "json" => serde_json::to_string(&records())? + "\n",
        "yaml" => crate::api::yaml::to_text(&records().into())?,
        "table" => table(&names),
        _ => names.iter().map(|(name, _)| format!("{name}\n")).collect(),
    })
}

fn table(names: &[(&str, &Image)]) -> String {
    let width = names.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("IMAGE".len());
    let row = |name: &str, id: &str, size: &str| format!("{name:<width$}   {id:<13}   {size}\n");
    let rows = names.iter().map(|(name, image)| row(name, &digits(image)[..13], &human(image.size)));
    row("IMAGE", "IMAGE ID", "SIZE") + &rows.collect::<String>()
}

fn digits(image: &Image) -> &str {
    image.id.trim_start_matches("sha256:")
}

/// Bytes with three digits, as `docker images` has it.
fn human(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let power = (bytes.max(1).ilog10() / 3).min(units.len() as u32 - 1);
    let value = bytes as f64 / 1000f64.powi(power as i32);
    let places = if power == 0 || value >= 100.0 { 0 } else { 1 };
    format!("{value:.places$}{}", units[power as usize])
}

/// An error of the store with the one thing to do about it.
fn failure(error: Error) -> Failure {
    let (hint, exit) = match &error {
        Error::NotFound(_) => ("coracle image ls", Exit::Failure),
        Error::InUse(_) => ("kubectl get pods -A -o wide", Exit::Failure),
        Error::Read { .. } => ("docker save IMAGE | coracle image load -", Exit::Failure),
        Error::Pull { .. } => ("docker save IMAGE | coracle image load -", Exit::Failure),
        Error::Reference { .. } => ("coracle image --help", Exit::Usage),
        _ => ("", Exit::Failure),
    };
    Failure { error: Box::new(Hint::new(error, hint)), exit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_that_fits() {
        let cases = [(0, "0B"), (999, "999B"), (1_500, "1.5kB"), (249_000_000, "249MB"), (7_250_000_000, "7.2GB")];
        cases.iter().for_each(|(bytes, text)| assert_eq!(human(*bytes), *text));
    }
}
