//! From files to a chart, from folders and archives.
//!
//! A folder is read through `.helmignore`. Links are followed, as Helm does, because charts link to shared files.

use super::archive::{self, LARGEST_CHART, LARGEST_FILE};
use super::ignore::{self, Rules};
use super::{Chart, File, Lock};
use crate::base::hand::{Lent, lend};
use crate::charts::render::Reading;
use crate::charts::schema::Schema;
use crate::charts::values::{Map, Warning, load_values};
use crate::charts::{Error, decode};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, retry_on_intr};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// How many folders deep a chart may be; links that go round end here.
const DEEPEST: usize = 64;
/// How many charts inside charts.
const DEEPEST_CHART: usize = 32;

pub fn load(path: &Path) -> Result<Chart, Error> {
    let found = std::fs::metadata(path).map_err(|error| Error::io("stat", path, &error))?;
    if found.is_dir() {
        return load_folder(path, false).and_then(supported);
    }
    Chart::load_archive(&packed(path)?[..]).and_then(supported)
}

/// As commands do that take charts of any version, with their words.
pub fn open(path: &Path) -> Result<Chart, Error> {
    let found = std::fs::metadata(path).map_err(|error| Error::io("stat", path, &error))?;
    if found.is_dir() {
        let metadata = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).join("Chart.yaml");
        if let Err(error) = std::fs::File::open(&metadata) {
            let why = Error::io("open", &metadata, &error);
            return Err(Error::Chart(format!("unable to detect chart at {}: {why}", metadata.display())));
        }
        return load_folder(path, true).and_then(supported);
    }
    let files = archive::read(&packed(path)?[..]);
    let files = files.map_err(|why| Error::Chart(format!("unable to load chart archive: {why}")))?;
    if !files.iter().any(|file| file.name == "Chart.yaml") {
        return Err(Error::Chart("unable to detect chart version, no Chart.yaml found".into()));
    }
    load_files(files).and_then(supported)
}

/// The bytes of an archive.
fn packed(path: &Path) -> Result<Vec<u8>, Error> {
    let mut file = std::fs::File::open(path).map_err(|error| Error::io("open", path, &error))?;
    let mut data = Vec::new();
    // An archive larger than its content may be is not read to its end.
    let limit = 2 * archive::LARGEST_CHART;
    file.by_ref().take(limit).read_to_end(&mut data).map_err(|error| Error::io("read", path, &error))?;
    archive::ensure_archive(path, &data)?;
    Ok(data)
}

/// Charts of other versions are not what this takes them for.
fn supported(chart: Chart) -> Result<Chart, Error> {
    match chart.metadata.api_version.as_str() {
        "v1" | "v2" | "" => Ok(chart),
        "v3" => Err(Error::Chart("invalid chart apiVersion".into())),
        _ => Err(Error::Chart("unsupported chart version".into())),
    }
}

/// The name of the file with what a chart is.
const METADATA: &str = "Chart.yaml";
/// The name of the file with a chart's values.
const VALUES: &str = "values.yaml";
/// How the names of templates begin.
const TEMPLATES: &str = "templates/";
/// The names of the files that charts of version 1 have.
const REQUIREMENTS: &str = "requirements.yaml";
const REQUIREMENTS_LOCK: &str = "requirements.lock";
/// The same, with what is said where a chart of a later version has one.
const OLD: [(&str, &str); 2] = [
    (
        REQUIREMENTS,
        "Dependencies are handled in Chart.yaml since apiVersion \"v2\". We recommend migrating dependencies to Chart.yaml.",
    ),
    (
        REQUIREMENTS_LOCK,
        "Dependency locking is handled in Chart.lock since apiVersion \"v2\". We recommend migrating to Chart.lock.",
    ),
];
/// Values of fewer bytes are read sooner than somebody else begins with them.
const LONG: u64 = 8 << 10;

/// What somebody else does while a chart's files are looked at.
struct Ahead {
    /// The values, before it is known whether they are the chart's; nothing if they cannot be read.
    values: Lent<Option<Values>>,
    /// Whether templates are next, as the chart is rendered.
    is_rendered: bool,
}

struct Values {
    data: Arc<[u8]>,
    values: Map,
}

/// A chart's folder. Long values are read while the other files are looked for, and then templates if it `is_rendered`.
fn load_folder(folder: &Path, is_rendered: bool) -> Result<Chart, Error> {
    let path = folder.join(VALUES);
    let is_long = std::fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() > LONG);
    let ahead = is_long.then(|| Ahead { values: lend(move || read_ahead(&path)), is_rendered });
    let files = read_folder(folder)?;
    chart(files, ahead, 0, &mut { LARGEST_CHART })
}

/// What cannot be read is told when it is its turn.
fn read_ahead(path: &Path) -> Option<Values> {
    let file = read_file(CWD, path.as_os_str(), path, VALUES.into()).ok()?;
    let values = load_values(&file.data).ok()?;
    Some(Values { data: file.data, values })
}

/// The files of a chart's folder that its `.helmignore` does not leave out, sorted by name in each folder.
pub fn read_folder(folder: &Path) -> Result<Vec<File>, Error> {
    let rules = match std::fs::read(folder.join(ignore::FILE)) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io("open", &folder.join(ignore::FILE), &error)),
    };
    let rules = Rules::parse(&rules).map_err(|problem| Error::Chart(problem.to_string()))?;
    let mut files = Vec::new();
    walk(folder, "", &rules, 0, &mut files)?;
    Ok(files)
}

fn walk(folder: &Path, prefix: &str, rules: &Rules, depth: usize, files: &mut Vec<File>) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(Error::Chart(format!("chart folder {} is nested too deeply", folder.display())));
    }
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("open", folder, &error))?;
    let mut entries =
        entries.collect::<Result<Vec<_>, _>>().map_err(|error| Error::io("readdirent", folder, &error))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let opened = openat(CWD, folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let opened = opened.map_err(|error| Error::io("open", folder, &error.into()))?;
    for entry in entries {
        let (path, own_name) = (entry.path(), entry.file_name());
        let name = format!("{prefix}{}", own_name.to_string_lossy());
        let mut kind = entry.file_type().map_err(|error| Error::io("lstat", &path, &error))?;
        if kind.is_symlink() {
            let target = std::fs::metadata(&path);
            let what = || format!("error evaluating symlink {}: lstat", path.display());
            kind = target.map_err(|error| Error::io(&what(), &missing(&path), &error))?.file_type();
            tell_link(&path);
        }
        if rules.ignore(&name, kind.is_dir()) {
            continue;
        }
        if kind.is_dir() {
            walk(&path, &format!("{name}/"), rules, depth + 1, files)?;
        } else if kind.is_file() {
            files.push(read_file(opened.as_fd(), &own_name, &path, name)?);
        } else {
            let path = path.display();
            return Err(Error::Chart(format!("cannot load irregular file {path} as it has file mode type bits set")));
        }
    }
    Ok(())
}

/// Is told what is odd about a chart's files: links that are followed, files that belong to older charts.
static LISTENER: OnceLock<fn(&Warning)> = OnceLock::new();

/// Has somebody told what is odd about the files of charts that are read from now on.
pub fn tell_oddities(say: fn(&Warning)) {
    // The first one stays.
    LISTENER.set(say).ok();
}

fn tell(what: impl FnOnce() -> Option<Warning>) {
    if let Some(say) = LISTENER.get()
        && let Some(warning) = what()
    {
        say(&warning);
    }
}

fn tell_link(link: &Path) {
    tell(|| {
        let resolved = link.canonicalize().ok()?;
        let link = std::path::absolute(link).unwrap_or_else(|_| link.to_path_buf());
        let text = "found symbolic link in path. Contents of linked file included and used";
        let warning = Warning::info(text.into()).with("path", &link.display().to_string());
        Some(warning.with("resolved", &resolved.display().to_string()))
    });
}

/// Where the way of a link ends: the first part of its target that is not there.
fn missing(link: &Path) -> PathBuf {
    let mut way = link.parent().map(Path::to_path_buf).unwrap_or_default();
    let target = std::fs::read_link(link).unwrap_or_default();
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                way.pop();
            }
            part => way.push(part),
        }
        if way.symlink_metadata().is_err() {
            break;
        }
    }
    way
}

/// A file of a folder; `path` is for what is told.
fn read_file(folder: BorrowedFd<'_>, file: &OsStr, path: &Path, name: String) -> Result<File, Error> {
    let told = |what: &'static str| move |error: Errno| Error::io(what, path, &error.into());
    let open = || openat(folder, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let file = retry_on_intr(open).map_err(told("open"))?;
    let found = fstat(&file).map_err(told("stat"))?;
    let size = u64::try_from(found.st_size).unwrap_or_default();
    if size > LARGEST_FILE {
        let base = name.rsplit('/').next().unwrap_or(&name);
        return Err(Error::Chart(format!("chart file {base:?} is larger than the maximum file size {LARGEST_FILE}")));
    }
    let data = read_whole(file, size).map_err(|error| Error::io("read", path, &error))?;
    let modified = u64::try_from(found.st_mtime).unwrap_or_default();
    let data = match archive::without_mark(&data) {
        marked if marked.len() < data.len() => marked.into(),
        _ => data,
    };
    Ok(File { name, data, modified })
}

/// A file of so many bytes, read by one call to where it stays.
fn read_whole(file: OwnedFd, size: u64) -> std::io::Result<Arc<[u8]>> {
    let mut data = Arc::new_uninit_slice(usize::try_from(size).unwrap_or_default());
    // Nobody else has it yet.
    let space = Arc::get_mut(&mut data).unwrap_or_default();
    let read = retry_on_intr(|| Ok(rustix::io::read(&file, &mut *space)?.0.len()))?;
    if read == data.len() && read > 0 {
        // SAFETY: so many bytes were read into it.
        return Ok(unsafe { data.assume_init() });
    }
    // It is not as long as it was, or not on a disk.
    let mut all = Vec::new();
    let mut file = std::fs::File::from(file);
    file.rewind()?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut all)?;
    Ok(all.into())
}

/// A chart of files whose names are relative to it.
pub fn load_files(files: Vec<File>) -> Result<Chart, Error> {
    chart(files, None, 0, &mut { LARGEST_CHART })
}

/// The files of each chart inside of a chart.
type Inner = BTreeMap<String, Vec<File>>;

/// `left` is how many bytes packed charts inside of it may have, all together.
fn chart(files: Vec<File>, mut ahead: Option<Ahead>, depth: usize, left: &mut u64) -> Result<Chart, Error> {
    if depth > DEEPEST_CHART {
        return Err(Error::Chart("charts are nested too deeply".into()));
    }
    let mut chart = Chart::default();
    // What the version of the chart is decides about the other files.
    if let Some(file) = files.iter().find(|file| file.name == METADATA) {
        fill(&mut chart, file)?;
        if chart.metadata.api_version.is_empty() {
            chart.metadata.api_version = "v1".into();
        }
    }
    if ahead.as_ref().is_some_and(|ahead| ahead.is_rendered) {
        let templates = files.iter().filter(|file| file.name.starts_with(TEMPLATES));
        chart.reading = Some(Reading::begin(chart.name(), templates));
    }
    let mut inner = Inner::new();
    for file in &files {
        place(&mut chart, file, &mut ahead, &mut inner)?;
    }
    if !files.iter().any(|file| file.name == METADATA || OLD.iter().any(|(name, _)| file.name == *name)) {
        return Err(Error::Chart("Chart.yaml file is missing".into()));
    }
    chart.metadata.validate().map_err(Error::Chart)?;
    add_subcharts(&mut chart, inner, depth, left)?;
    chart.raw = files;
    Ok(chart)
}

/// Puts a file to where a chart has it; those of charts inside of it go to `inner`.
fn place(chart: &mut Chart, file: &File, ahead: &mut Option<Ahead>, inner: &mut Inner) -> Result<(), Error> {
    match file.name.as_str() {
        METADATA => {}
        "Chart.lock" => chart.lock = Some(lock(file)?),
        VALUES => chart.values = own_values(file, ahead)?,
        "values.schema.json" => {
            let schema = chart.schema.insert(Schema::new(file.data.clone()));
            // Somebody else is at the values.
            if ahead.is_some() {
                schema.look();
            }
        }
        REQUIREMENTS => fill(chart, file)?,
        REQUIREMENTS_LOCK => chart.lock = Some(lock(file)?),
        name if name.starts_with(TEMPLATES) => chart.templates.push(file.clone()),
        name => match name.strip_prefix("charts/") {
            Some(within) if !name.ends_with(".prov") => {
                let folder = within.split('/').next().unwrap_or(within);
                let file = File { name: within.to_string(), ..file.clone() };
                inner.entry(folder.to_string()).or_default().push(file);
            }
            _ => chart.files.push(file.clone()),
        },
    }
    if let Some((_, advice)) = OLD.iter().find(|(name, _)| file.name == *name) {
        match chart.metadata.api_version.as_str() {
            "v1" => chart.files.push(file.clone()),
            _ => tell(|| Some(Warning::info(format!("Warning: {advice}")))),
        }
    }
    Ok(())
}

fn own_values(file: &File, ahead: &mut Option<Ahead>) -> Result<Map, Error> {
    match ahead.take().and_then(|ahead| ahead.values.get()).flatten().filter(|ahead| ahead.data == file.data) {
        Some(ahead) => Ok(ahead.values),
        None => load_values(&file.data).map_err(|problem| cannot(file, &problem)),
    }
}

fn add_subcharts(chart: &mut Chart, inner: Inner, depth: usize, left: &mut u64) -> Result<(), Error> {
    for (name, files) in inner {
        // Files of an editor or the system beside the charts.
        if name.starts_with(['_', '.']) {
            continue;
        }
        let outer = chart.name();
        let subchart = subchart(outer, &name, files, depth, left)
            .map_err(|error| Error::Chart(format!("error unpacking subchart {name} in {outer}: {error}")))?;
        chart.dependencies.push(subchart);
    }
    Ok(())
}

fn subchart(outer: &str, name: &str, files: Vec<File>, depth: usize, left: &mut u64) -> Result<Chart, Error> {
    if name.ends_with(".tgz") {
        let packed = &files[0];
        if packed.name != name {
            let found = &packed.name;
            return Err(Error::Chart(format!("error unpacking subchart tar in {outer}: expected {name}, got {found}")));
        }
        return chart(archive::read_within(&packed.data[..], left)?, None, depth + 1, left);
    }
    let inside = files.into_iter().filter_map(|file| {
        let name = file.name.split_once('/')?.1.to_string();
        Some(File { name, ..file })
    });
    chart(inside.collect(), None, depth + 1, left)
}

fn fill(chart: &mut Chart, file: &File) -> Result<(), Error> {
    let document = decode::yaml(&file.text()).map_err(|problem| cannot(file, &problem))?;
    chart.metadata.fill(&document).map_err(|problem| match problem.strip_prefix("validation: ") {
        Some(_) => Error::Chart(problem),
        None => cannot(file, &problem),
    })
}

fn lock(file: &File) -> Result<Lock, Error> {
    let document = decode::yaml(&file.text()).map_err(|problem| cannot(file, &problem))?;
    Lock::read(&document).map_err(|problem| cannot(file, &problem))
}

fn cannot(file: &File, problem: &str) -> Error {
    Error::Chart(format!("cannot load {}: {problem}", file.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_nothing_names_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("app");
        std::fs::create_dir(&inner).unwrap();
        std::os::unix::fs::symlink("../gone/further/crd.yaml", inner.join("crd.yaml")).unwrap();
        let gone = folder.path().join("gone");
        assert_eq!(missing(&inner.join("crd.yaml")), gone);
        let told = Chart::load(&inner).unwrap_err().to_string();
        let (link, gone) = (inner.join("crd.yaml"), gone.display().to_string());
        let link = link.display();
        assert_eq!(told, format!("error evaluating symlink {link}: lstat {gone}: no such file or directory"));
    }

    #[test]
    fn long_values_count_only_where_they_are_a_file_of_the_chart() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let long = "# long\n".repeat(2000);
        write("Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\n");
        write(VALUES, &format!("{long}port: 80\n"));
        assert_eq!(Chart::load(folder.path()).unwrap().values["port"], 80.0);
        write(VALUES, &format!("{long}port: [\n"));
        let told = Chart::load(folder.path()).unwrap_err().to_string();
        assert!(told.starts_with("cannot load values.yaml: "), "{told}");
        write(ignore::FILE, "values.*\n");
        assert!(Chart::load(folder.path()).unwrap().values.is_empty());
    }

    /// An archive with one file of so many zeros beside its `Chart.yaml`.
    fn packed(zeros: usize) -> Vec<u8> {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (name, data) in
            [("a/Chart.yaml", &b"apiVersion: v2\nname: a\nversion: 0.1.0\n"[..]), ("a/zeros", &vec![0; zeros])]
        {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, name, data).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn archives_inside_a_chart_may_be_as_large_together_as_one() {
        let inner = packed(4 << 20);
        let outer = |count: usize| {
            let chart = File::new("Chart.yaml", b"apiVersion: v2\nname: o\nversion: 0.1.0\n", 0);
            let inner = (0..count).map(|number| File::new(format!("charts/a{number}.tgz"), &inner, 0));
            load_files(std::iter::once(chart).chain(inner).collect())
        };
        assert_eq!(outer(3).unwrap().dependencies.len(), 3);
        let told = outer(30).unwrap_err().to_string();
        assert!(told.contains("decompressed chart is larger than the maximum"), "{told}");
    }
}
