//! `coracle image`: the node's image store, used in place; a running cluster sees the change at once.

use super::super::table::framed;
use super::super::{Context, Exit, Failure, content};
use crate::base::Hint;
use crate::config::values::looks_like_file;
use crate::images::{Error, Image, Reference, Store, logins};
use serde_json::json;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

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
        /// The archives; `-` is stdin; what is no file is an image of the Docker engine
        #[arg(required = true)]
        archives: Vec<PathBuf>,
        /// They are images of the Docker engine
        #[arg(long)]
        daemon: bool,
        /// They are images of registries
        #[arg(long)]
        remote: bool,
        /// Given for minikube's sake
        #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
        overwrite: Option<bool>,
        /// The same as --remote
        #[arg(long, hide = true)]
        pull: bool,
    },
    /// Build an image with the Docker engine of this machine, or take an OCI layout, and load it
    Build {
        /// The folder, or an OCI layout
        folder: PathBuf,
        /// Name of the image
        #[arg(short, long)]
        tag: Option<String>,
        /// The Dockerfile
        #[arg(short, long)]
        file: Option<PathBuf>,
        /// Flags for the engine's builder: build-arg=NAME=value
        #[arg(long)]
        build_opt: Vec<String>,
        /// Variables of the builder
        #[arg(long)]
        build_env: Vec<String>,
        /// Given for minikube's sake: a cluster has one node
        #[arg(long, hide = true)]
        all: bool,
        /// Given for minikube's sake, as above
        #[arg(short, long, hide = true)]
        node: Option<String>,
        /// Push it as well
        #[arg(long)]
        push: bool,
    },
    /// Push an image with the Docker engine of this machine
    Push {
        #[arg(required = true)]
        images: Vec<String>,
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
        #[arg(required_unless_present = "daemon")]
        archive: Option<PathBuf>,
        /// Give it to the Docker engine instead
        #[arg(long)]
        daemon: bool,
        /// Given for minikube's sake
        #[arg(long, hide = true)]
        remote: bool,
    },
}

/// Works on the folder that the node's own store is in.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let reason = arguments.command.reason();
    work(arguments, context).await.map_err(|failure| match failure.exit {
        Exit::Failure => Failure { exit: Exit::Named(Exit::Guest.code(), reason), ..failure },
        _ => failure,
    })
}

impl Command {
    /// Minikube's word for a failure of it.
    fn reason(&self) -> &'static str {
        match self {
            Command::Load { .. } => "GUEST_IMAGE_LOAD",
            Command::Build { .. } => "GUEST_IMAGE_BUILD",
            Command::Push { .. } => "GUEST_IMAGE_PUSH",
            Command::Ls { .. } => "GUEST_IMAGE_LIST",
            Command::Rm { .. } => "GUEST_IMAGE_REMOVE",
            Command::Pull { .. } => "GUEST_IMAGE_PULL",
            Command::Tag { .. } => "GUEST_IMAGE_TAG",
            Command::Save { .. } => "GUEST_IMAGE_SAVE",
        }
    }
}

async fn work(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    let store = Store::open(cluster.paths().images()).map_err(failure)?;
    match arguments.command {
        Command::Load { archives, remote, pull, .. } if remote || pull => {
            let names: Vec<String> = archives.iter().map(|name| name.display().to_string()).collect();
            self::pull(&store, &names, context).await?;
        }
        Command::Load { archives, daemon, .. } => load(&store, &archives, daemon, context)?,
        Command::Build { folder, tag, file, build_opt, build_env, push: is_pushed, .. } => {
            build(&store, &folder, tag.clone(), file, &build_opt, &build_env, context)?;
            if let Some(tag) = tag.filter(|_| is_pushed) {
                push(&store, &[tag], context)?;
            }
        }
        Command::Push { images } => push(&store, &images, context)?,
        Command::Ls { format } => context.printer.raw(&list(&store.list().map_err(failure)?, &format)?),
        Command::Rm { images } => images.iter().try_for_each(|image| store.remove(image)).map_err(failure)?,
        Command::Pull { images } => pull(&store, &images, context).await?,
        Command::Tag { source, target } => store.tag(&source, &target).map_err(failure)?,
        Command::Save { image, daemon: true, .. } => give_to_engine(&store, &image)?,
        Command::Save { image, archive, .. } => save(&store, image, &archive.unwrap_or_else(|| "-".into()))?,
    }
    Ok(Exit::Success)
}

fn load(store: &Store, archives: &[PathBuf], is_daemon: bool, context: &Context) -> Result<(), Failure> {
    for archive in archives {
        let steps = context.printer.steps();
        steps.step(&format!("loading {}", archive.display()));
        let is_stdin = archive.as_os_str() == "-";
        if !is_daemon && !is_stdin && looks_like_file(&archive.to_string_lossy()) && !archive.exists() {
            let what = format!("there is no file {}", archive.display());
            return Err(Hint::new(what, "docker save IMAGE | coracle image load -").into());
        }
        let is_engines = is_daemon || (!is_stdin && !archive.exists() && program("docker").is_some());
        let loaded = match (is_engines, is_stdin) {
            (true, _) => take_from_engine(store, &archive.display().to_string())?,
            (_, true) => store.load(Box::new(std::io::stdin().lock()) as Box<dyn Read>).map_err(failure)?,
            _ => open(archive).and_then(|()| store.load_path(archive)).map_err(failure)?,
        };
        drop(steps);
        tell(loaded, context);
    }
    Ok(())
}

fn tell(loaded: Vec<Image>, context: &Context) {
    for image in loaded {
        // An archive may hold an image without a name.
        let names = if image.repo_tags.is_empty() { vec![image.id] } else { image.repo_tags };
        names.iter().for_each(|name| context.printer.say(format!("loaded {name}")));
    }
}

/// The engine's command line; an engine is not a part of this executable.
fn engine() -> Result<Process, Failure> {
    match program("docker") {
        Some(path) => Ok(Process::new(path)),
        None => {
            let error = Hint::new("there is no `docker` on this machine", "docker save IMAGE | coracle image load -");
            Err(Failure { error: Box::new(error), exit: Exit::Code(65) })
        }
    }
}

/// Where a program of this machine is.
pub fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Takes an image from the engine of this machine, if there is one that has it.
pub fn of_engine(store: &Store, image: &str) -> Result<bool, Failure> {
    let Some(docker) = program("docker") else { return Ok(false) };
    let mut asked = Process::new(docker);
    asked.args(["image", "inspect", image]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !asked.status()?.success() {
        return Ok(false);
    }
    take_from_engine(store, image).map(|_| true)
}

/// Streams an image out of the engine.
fn take_from_engine(store: &Store, image: &str) -> Result<Vec<Image>, Failure> {
    let mut child = engine()?.args(["save", image]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let Some(mut stream) = child.stdout.take() else { return Err("the engine has no output".into()) };
    let loaded = store.load(Box::new(&mut stream) as Box<dyn Read>);
    if loaded.is_ok() {
        // What pads the archive's end is taken as well: an engine that cannot write it fails.
        std::io::copy(&mut stream, &mut std::io::sink())?;
    }
    drop(stream);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
    match loaded {
        // An engine that says nothing only met the end of who read.
        Err(error) if output.status.success() || said.is_empty() => Err(failure(error)),
        Ok(images) if output.status.success() => Ok(images),
        _ => Err(format!("the engine does not give `{image}`: {said}").into()),
    }
}

/// Streams an image into the engine.
fn give_to_engine(store: &Store, image: &str) -> Result<(), Failure> {
    let mut child = engine()?.arg("load").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let saved = child.stdin.take().map(|stream| store.save(&[image.to_string()], stream)).transpose();
    let status = child.wait()?;
    saved.map_err(failure)?;
    if status.success() { Ok(()) } else { Err(format!("the engine does not take `{image}`").into()) }
}

/// An OCI layout is loaded as it is; everything else is for the engine's builder.
fn build(
    store: &Store,
    folder: &Path,
    tag: Option<String>,
    file: Option<PathBuf>,
    options: &[String],
    variables: &[String],
    context: &Context,
) -> Result<(), Failure> {
    if folder.join("oci-layout").exists() {
        let loaded = store.load_path(folder).map_err(failure)?;
        if let (Some(tag), Some(image)) = (tag, loaded.first()) {
            store.tag(&image.id, &tag).map_err(failure)?;
        }
        tell(loaded, context);
        return Ok(());
    }
    let name = tag.unwrap_or_else(|| format!("coracle.local/build:{}", std::process::id()));
    let mut command = engine()?;
    command.args(["build", "--tag", &name]).args(options.iter().map(|option| format!("--{option}")));
    for variable in variables {
        if let Some((name, value)) = variable.split_once('=') {
            command.env(name, value);
        }
    }
    if let Some(file) = file {
        // As the engine has it: from the folder, unless it is there from here.
        let below = folder.join(&file);
        command.arg("--file").arg(if below.exists() { below } else { file });
    }
    if !command.arg(folder).stdout(std::io::stderr()).status()?.success() {
        return Err("the engine did not build the image".into());
    }
    tell(take_from_engine(store, &name)?, context);
    Ok(())
}

fn push(store: &Store, images: &[String], context: &Context) -> Result<(), Failure> {
    for image in images {
        give_to_engine(store, image)?;
        if !engine()?.args(["push", image]).stdout(std::io::stderr()).status()?.success() {
            return Err(format!("the engine did not push `{image}`").into());
        }
        context.printer.say(format!("pushed {image}"));
    }
    Ok(())
}

async fn pull(store: &Store, images: &[String], context: &Context) -> Result<(), Failure> {
    for image in images {
        let steps = context.printer.steps();
        steps.step(&format!("pulling {image}"));
        let reference: Reference = image.parse().map_err(failure)?;
        store
            .pull(&reference, &logins::of_user(reference.registry()), &content::authorities(&context.home)?)
            .await
            .map_err(failure)?;
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
    let parts = |name: &str| match name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((name, tag)) => (name.to_string(), tag.to_string()),
        None => (name.to_string(), String::new()),
    };
    let row = |(name, image): &(&str, &Image)| {
        let (name, tag) = parts(name);
        vec![name, tag, digits(image)[..13].to_string(), human(image.size)]
    };
    let rows: Vec<Vec<String>> = names.iter().map(row).collect();
    framed(&["IMAGE", "TAG", "IMAGE ID", "SIZE"], &rows)
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
