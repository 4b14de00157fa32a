//! Charts packed into archives and written out as folders.
//!
//! Source of the form: Helm `pkg/chart/v2/util/save.go`: a gzipped tar, `Chart.yaml` first, subcharts as folders.

use super::chart::{Chart, File, archive};
use super::{Error, decode};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use std::path::{Path, PathBuf};

/// What Helm writes into the header of its archives.
const EXTRA: &[u8] = b"rr\x28\x00aHR0cHM6Ly95b3V0dS5iZS96OVV6MWljandyTQo=";

/// Packs a chart into `NAME-VERSION.tgz` in a folder, which is made; the path of the archive.
pub fn save(chart: &Chart, folder: &Path) -> Result<PathBuf, Error> {
    let mut checked = chart.metadata.clone();
    checked.validate().map_err(|problem| Error::Chart(format!("chart validation: {problem}")))?;
    std::fs::create_dir_all(folder).map_err(|error| Error::io("mkdir", folder, &error))?;
    let path = folder.join(format!("{}-{}.tgz", chart.name(), chart.metadata.version));
    super::write_file(&path, &pack(chart)?)?;
    Ok(path)
}

/// A packed chart.
pub fn pack(chart: &Chart) -> Result<Vec<u8>, Error> {
    let gzip = GzBuilder::new().extra(EXTRA).comment("Helm").write(Vec::new(), Compression::default());
    let mut tar = tar::Builder::new(gzip);
    add(&mut tar, chart, chart.name())?;
    let failed = |error: std::io::Error| Error::Chart(super::io_text(&error));
    tar.into_inner().and_then(GzEncoder::finish).map_err(failed)
}

fn add(tar: &mut tar::Builder<GzEncoder<Vec<u8>>>, chart: &Chart, base: &str) -> Result<(), Error> {
    for file in files(chart)? {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.data.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mtime(if file.modified == 0 { now() } else { file.modified });
        let name = format!("{base}/{}", file.name);
        tar.append_data(&mut header, name, &file.data[..]).map_err(|error| Error::Chart(super::io_text(&error)))?;
    }
    chart.dependencies.iter().try_for_each(|subchart| add(tar, subchart, &format!("{base}/charts/{}", subchart.name())))
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_secs())
}

/// The files of a chart without its subcharts, `Chart.yaml` as it is now.
fn files(chart: &Chart) -> Result<Vec<File>, Error> {
    let mut metadata = chart.metadata.clone();
    let is_v1 = metadata.api_version == "v1";
    if is_v1 {
        // They are in requirements.yaml, which is one of the files.
        metadata.dependencies.clear();
    }
    let yaml = |value: serde_json::Result<serde_json::Value>| {
        value.map(|value| decode::to_yaml(&value)).map_err(|error| Error::Chart(error.to_string()))
    };
    let modified = |name: &str| chart.raw_file(name).map_or(0, |file| file.modified);
    let text = yaml(serde_json::to_value(&metadata))?;
    let mut files = vec![File::new("Chart.yaml", text.as_bytes(), modified("Chart.yaml"))];
    if let Some(lock) = chart.lock.as_ref().filter(|_| !is_v1) {
        files.push(File::new("Chart.lock", yaml(serde_json::to_value(lock))?.as_bytes(), modified("Chart.lock")));
    }
    files.extend(chart.raw_file("values.yaml").cloned());
    if let Some(schema) = &chart.schema {
        if serde_json::from_slice::<serde::de::IgnoredAny>(schema.text()).is_err() {
            return Err(Error::Chart("invalid JSON in values.schema.json".into()));
        }
        files.push(File::new("values.schema.json", schema.text(), modified("values.schema.json")));
    }
    files.extend(chart.templates.iter().cloned());
    files.extend(chart.files.iter().cloned());
    Ok(files)
}

/// Writes files below a folder. Names that leave it are refused.
pub fn write_files(folder: &Path, files: &[File]) -> Result<(), Error> {
    for file in files {
        let name = archive::clean(&file.name);
        if name.starts_with("..") || name.starts_with('/') {
            return Err(Error::Chart("chart illegally references parent directory".into()));
        }
        let path = folder.join(&name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|error| Error::io("mkdir", parent, &error))?;
        std::fs::write(&path, &file.data).map_err(|error| Error::io("write", &path, &error))?;
    }
    Ok(())
}

/// Unpacks an archive into a folder named after the chart; the folder. Nothing is written where a link points to, which may be
/// outside; if there is one, nothing is written at all.
pub fn expand(data: &[u8], into: &Path) -> Result<PathBuf, Error> {
    let files = archive::read(data)?;
    let chart = super::chart::load_files(files.clone())?;
    let folder = into.join(chart.name());
    for file in &files {
        let below = format!("{}/{}", chart.name(), archive::clean(&file.name));
        if let Some(link) = first_link(into, Path::new(&below)) {
            return Err(Error::Chart(format!("{} is a link, through which nothing is written", link.display())));
        }
    }
    write_files(&folder, &files)?;
    Ok(folder)
}

/// The first link on the way from a folder to what is below it.
fn first_link(folder: &Path, below: &Path) -> Option<PathBuf> {
    let mut ways: Vec<PathBuf> =
        below.ancestors().filter(|way| !way.as_os_str().is_empty()).map(|way| folder.join(way)).collect();
    ways.reverse();
    ways.into_iter().find(|way| way.is_symlink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_chart_is_read_back_as_it_was() {
        let files = vec![
            File::new(
                "Chart.yaml",
                b"apiVersion: v2\nname: a\nversion: 1.2.3\ndependencies:\n- {name: b, version: '1'}\n",
                7,
            ),
            File::new("values.yaml", b"# kept\nx: 1\n", 8),
            File::new("templates/x.yaml", b"kind: X\n", 9),
            File::new("README.md", b"hello", 9),
            File::new("charts/b/Chart.yaml", b"apiVersion: v2\nname: b\nversion: 1.0.0\n", 9),
        ];
        let chart = super::super::chart::load_files(files).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = save(&chart, folder.path()).unwrap();
        assert!(path.ends_with("a-1.2.3.tgz"));
        let back = Chart::load(&path).unwrap();
        assert_eq!(back.metadata, chart.metadata);
        assert_eq!(back.raw_file("values.yaml").unwrap().text(), "# kept\nx: 1\n");
        assert_eq!((back.templates, back.files), (chart.templates.clone(), chart.files.clone()));
        assert_eq!(back.dependencies[0].name(), "b");
        let unpacked = expand(&pack(&chart).unwrap(), &folder.path().join("out")).unwrap();
        assert_eq!(Chart::load(&unpacked).unwrap().metadata, chart.metadata);
    }
    #[test]
    fn nothing_is_unpacked_through_a_link() {
        let files = [
            File::new("Chart.yaml", b"apiVersion: v2\nname: a\nversion: 1.2.3\n", 7),
            File::new("templates/x.yaml", b"kind: X\n", 9),
        ];
        let packed = pack(&super::super::chart::load_files(files.to_vec()).unwrap()).unwrap();
        for link in ["a", "a/templates", "a/templates/x.yaml"] {
            let folder = tempfile::tempdir().unwrap();
            let (into, outside) = (folder.path().join("into"), folder.path().join("outside"));
            std::fs::create_dir_all(into.join(link).parent().unwrap()).unwrap();
            std::fs::create_dir(&outside).unwrap();
            std::os::unix::fs::symlink(&outside, into.join(link)).unwrap();
            let refused = expand(&packed, &into).unwrap_err().to_string();
            assert!(refused.contains("is a link"), "{refused}");
            assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{link}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("here")).unwrap();
        expand(&packed, &folder.path().join("here")).unwrap();
    }
}
