//! `coracle update`: puts a release in the place of this executable, by the crate `self_update`, with the checks of
//! `install.sh`: the signature of the checksums, the checksum of the archive, and that what was in it is what it says.
//!
//! The signature is of the list of checksums, as `install.sh` can verify with tools that machines have; that is why it is
//! verified here and not by `self_update`, whose own signatures are inside archives.

use super::super::release::{self, From};
use super::super::{Context, Exit, Failure};
use crate::base::Hint;
use self_update::{Checksum, Release, ReleaseAsset, ReleaseSource, backends::custom};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Replace this executable by the latest release, or by another one
#[derive(clap::Args)]
pub struct Arguments {
    /// This release in place of the latest
    #[arg(long, value_name = "V")]
    version: Option<String>,
    /// Install an older release than this one, too
    #[arg(long)]
    allow_downgrade: bool,
    #[command(flatten)]
    from: From,
}

/// Shells and where beside a `bin` their completions are, as `install.sh` puts them.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "bash-completion/completions/coracle"),
    ("zsh", "zsh/site-functions/_coracle"),
    ("fish", "fish/vendor_completions.d/coracle.fish"),
];

/// Fetches, verifies, replaces, tries; puts the old one back if the new one does not run.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let place = arguments.from.place(context)?;
    let version = match &arguments.version {
        Some(version) => release::parse(version).map_err(release::failure)?,
        None => place.latest().await.map_err(release::failure)?,
    };
    match release::against_own(&version) {
        Ordering::Equal => {
            context.printer.say(format!("coracle v{version} is here already; nothing was changed"));
            return Ok(Exit::Success);
        }
        Ordering::Less if !arguments.allow_downgrade => {
            let what = format!("v{version} is older than this executable, v{}: nothing was installed", release::OWN);
            let hint = format!("coracle update --version v{version} --allow-downgrade");
            return Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::Usage });
        }
        Ordering::Less | Ordering::Greater => {}
    }
    let own = std::env::current_exe()?;
    check_writable(&own)?;
    let steps = context.printer.steps();
    steps.step(&format!("fetching coracle v{version}"));
    let sums = place.checksums(&version).await.map_err(release::failure)?;
    let archive = release::archive();
    let checksum = Checksum::from_sums_file(&sums, &archive).map_err(|_| {
        let what = format!("release v{version} has nothing for this machine ({archive})");
        Hint::new(what, "install.sh --from-source")
    })?;
    let wanted = Wanted { url: place.file(&version, &archive), version, archive, checksum };
    let installed = own.clone();
    let version = tokio::task::spawn_blocking(move || wanted.install(&installed)).await??;
    refresh_shared(&own, context);
    drop(steps);
    context.printer.say(format!("coracle v{} was replaced by v{version}", release::OWN));
    context.printer.say("clusters that run go on with the old one: coracle stop; coracle start");
    Ok(Exit::Success)
}

/// Said before anything is fetched.
fn check_writable(own: &Path) -> Result<(), Failure> {
    let folder = own.parent().unwrap_or(Path::new("/"));
    if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok() {
        return Ok(());
    }
    let what = format!("cannot write to {}, where coracle is", folder.display());
    Err(Hint::new(what, "sudo coracle update").into())
}

/// A release that was chosen and whose checksum is known.
struct Wanted {
    version: String,
    archive: String,
    url: String,
    checksum: Checksum,
}

/// The one release that is to be installed, as `self_update` wants to be told.
struct One(Release);

impl ReleaseSource for One {
    fn get_releases(&self) -> self_update::Result<Vec<Release>> {
        Ok(vec![self.0.clone()])
    }
}

impl Wanted {
    /// Downloads, verifies and installs it at `path`; the version that is there then. What was there stays beside it
    /// until the new one has answered.
    fn install(&self, path: &Path) -> Result<String, Hint> {
        let previous = path.with_file_name(".coracle.previous");
        keep(path, &previous).map_err(|error| {
            Hint::new(format!("cannot keep the old executable beside the new one: {error}"), "sudo coracle update")
        })?;
        let replaced = self.replace(path);
        let ended = match replaced {
            Ok(()) => self.try_installed(path, &previous),
            Err(error) => Err(self.explain(error)),
        };
        // It may have been moved back, and then it is not there.
        std::fs::remove_file(&previous).ok();
        ended.map(|()| self.version.clone())
    }

    fn replace(&self, path: &Path) -> self_update::Result<()> {
        let asset = ReleaseAsset::new(self.archive.clone(), self.url.clone());
        let release = Release::builder().version(&self.version).asset(asset).build()?;
        let (version, archive) = (self.version.clone(), self.archive.clone());
        let mut update = custom::Update::configure();
        update
            .source(One(release))
            .bin_name("coracle")
            .bin_path_in_archive("coracle")
            .bin_install_path(path)
            .target(std::env::consts::ARCH)
            .current_version(release::OWN)
            .release_tag(&self.version)
            .asset_matcher(move |assets| assets.iter().find(|asset| asset.name() == archive).cloned())
            .verify_checksum(self.checksum.clone())
            .verify_binary(move |path| answer(path, &version).map_err(self_update::Error::verification_rejected))
            .no_confirm(true)
            .show_output(false);
        update.build()?.update()?;
        Ok(())
    }

    /// What is installed must answer; else what was there comes back.
    fn try_installed(&self, path: &Path, previous: &Path) -> Result<(), Hint> {
        let Err(why) = answer(path, &self.version) else { return Ok(()) };
        let hint = "coracle update-check, and tell those who publish it";
        match std::fs::rename(previous, path) {
            Ok(()) => Err(Hint::new(format!("{why}; the old one was put back"), hint)),
            Err(error) => {
                let what = format!("{why}, and the old one could not be put back: {error}");
                Err(Hint::new(what, "install.sh"))
            }
        }
    }

    /// What went wrong in words of this tool.
    fn explain(&self, error: self_update::Error) -> Hint {
        use self_update::Error as E;
        let name = &self.archive;
        match &error {
            E::ChecksumMismatch { .. } => Hint::new(
                format!("the checksum of {name} is WRONG: nothing was installed"),
                "the download broke off, or somebody changed it: coracle update again, through another network",
            ),
            E::VerificationRejected { reason, .. } => Hint::new(
                format!("{}: nothing was installed", reason.as_deref().unwrap_or("the new executable does not run")),
                "coracle update-check, and tell those who publish it",
            ),
            E::InstallPathNotWritable { .. } => Hint::new(crate::base::causes::chain(&error), "sudo coracle update"),
            E::NotFound { .. } | E::HttpStatus { .. } | E::Transport(_) => Hint::new(
                format!("cannot fetch {}: {}: nothing was installed", self.url, crate::base::causes::chain(&error)),
                "coracle update again; look at the network and its proxy",
            ),
            _ => Hint::new(
                format!("cannot install {name}: {}: nothing was installed", crate::base::causes::chain(&error)),
                "coracle update again",
            ),
        }
    }
}

/// A second name for a file, so that the file stays when the first name is given to another.
fn keep(path: &Path, previous: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(previous) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A file system without hard links gets a copy.
    std::fs::hard_link(path, previous).or_else(|_| std::fs::copy(path, previous).map(drop))
}

/// Whether an executable runs and is the version that it should be: a signed list of checksums does not say its version.
fn answer(path: &Path, version: &str) -> Result<(), String> {
    let output = Command::new(path).args(["version", "--short"]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("the new executable does not run here ({error})"))?;
    if !output.status.success() {
        return Err(format!("the new executable does not run here ({})", output.status));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim().trim_start_matches('v') == version {
        true => Ok(()),
        false => Err(format!("the new executable says that it is `{}`, not v{version}", said.trim())),
    }
}

/// Manual pages and completions that `install.sh` put beside the executable become the new one's. The update holds without
/// them, so what fails here is a warning.
fn refresh_shared(own: &Path, context: &Context) {
    let share = own.parent().filter(|folder| folder.ends_with("bin")).and_then(Path::parent).map(|at| at.join("share"));
    let Some(share) = share else { return };
    let pages = share.join("man/man1");
    let mut failed: Vec<PathBuf> = Vec::new();
    if pages.join("coracle.1").exists() && said(own, &["man", "--dir", &pages.to_string_lossy()]).is_none() {
        failed.push(pages);
    }
    for (shell, file) in COMPLETIONS {
        let file = share.join(file);
        let is_refreshed = || {
            let script = said(own, &["completion", shell])?;
            crate::base::atomic::write(&file, &script, 0o644).ok()
        };
        if file.exists() && is_refreshed().is_none() {
            failed.push(file);
        }
    }
    for path in failed {
        context.printer.warn(format!("{} is still the old version's", path.display()));
    }
}

/// What a run of the new executable prints, if it succeeds.
fn said(own: &Path, words: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new(own).args(words).stdin(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout)
}
