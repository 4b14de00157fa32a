//! Packed charts: a gzipped tar whose entries lie in one folder.
//!
//! Nothing is written to disk here. Sizes are limited, so that an archive that unpacks to more than it should is refused
//! before it fills the memory, and names that leave the folder are refused as Helm does.

use super::{Error, File};
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::path::Path;

/// The most bytes that a chart may unpack to.
pub const LARGEST_CHART: u64 = 100 * 1024 * 1024;
/// The most bytes of one file of a chart.
pub const LARGEST_FILE: u64 = 5 * 1024 * 1024;
/// The most entries of an archive; each costs memory even if it is empty.
const MOST_ENTRIES: usize = 100_000;
/// How a gzip stream starts.
const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Checks that a file is a gzip stream, with Helm's words for what it may be otherwise.
pub fn ensure_archive(path: &Path, start: &[u8]) -> Result<(), Error> {
    let name = path.display().to_string();
    if start.starts_with(GZIP) {
        return Ok(());
    }
    if name.ends_with(".yml") || name.ends_with(".yaml") {
        return Err(Error::Chart(format!("file '{name}' seems to be a YAML file, but expected a gzipped archive")));
    }
    // Helm looks at 512 bytes, and those behind the file's end are zeros, which no text has.
    let kind = if start.len() < 512 { content_type(&[start, &[0]].concat()) } else { content_type(start) };
    Err(Error::Chart(format!("file '{name}' does not appear to be a gzipped archive; got '{kind}'")))
}

/// A guess at what the bytes are, in the names of Go's `http.DetectContentType`.
fn content_type(start: &[u8]) -> &'static str {
    let start = &start[..start.len().min(512)];
    let trimmed = start.trim_ascii_start();
    let is_text = !start.iter().any(|byte| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f));
    match start {
        [b'P', b'K', 3, 4, ..] => "application/zip",
        [b'%', b'P', b'D', b'F', b'-', ..] => "application/pdf",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        _ if trimmed.len() >= 5 && trimmed[..5].eq_ignore_ascii_case(b"<html") => "text/html; charset=utf-8",
        _ if trimmed.len() >= 9 && trimmed[..9].eq_ignore_ascii_case(b"<!doctype") => "text/html; charset=utf-8",
        _ if trimmed.starts_with(b"<?xml") => "text/xml; charset=utf-8",
        _ if is_text => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The files of an archive, their names relative to the chart's folder.
pub fn read(archive: impl Read) -> Result<Vec<File>, Error> {
    read_within(archive, &mut { LARGEST_CHART })
}

/// The same of one of several archives that may have so many bytes together, of which those of this one are taken.
pub fn read_within(archive: impl Read, left: &mut u64) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    // The limit is on what comes out of the decompressor, headers and padding included.
    let unpacked = MultiGzDecoder::new(archive).take(2 * LARGEST_CHART);
    let mut tar = tar::Archive::new(unpacked);
    for entry in tar.entries().map_err(Error::archive)? {
        let mut entry = entry.map_err(Error::archive)?;
        let kind = entry.header().entry_type();
        let full = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if kind.is_dir() || full.ends_with('/') || kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        if files.len() >= MOST_ENTRIES {
            return Err(Error::Chart(format!("chart archive has more than {MOST_ENTRIES} files")));
        }
        let name = inner_name(&full)?;
        let size = entry.size();
        if size > *left {
            return Err(too_large());
        }
        if size > LARGEST_FILE {
            let problem =
                format!("decompressed chart file {full:?} is larger than the maximum file size {LARGEST_FILE}");
            return Err(Error::Chart(problem));
        }
        let modified = entry.header().mtime().unwrap_or_default();
        let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        entry.read_to_end(&mut data).map_err(Error::archive)?;
        *left = left.saturating_sub(data.len() as u64);
        if (data.len() as u64) < size || *left == 0 {
            return Err(too_large());
        }
        files.push(File::new(name, without_mark(&data), modified));
    }
    if files.is_empty() {
        return Err(Error::Chart("no files in chart archive".into()));
    }
    Ok(files)
}

/// The data without a byte order mark.
pub fn without_mark(data: &[u8]) -> &[u8] {
    data.strip_prefix(MARK).unwrap_or(data)
}

fn too_large() -> Error {
    Error::Chart(format!("decompressed chart is larger than the maximum file size {LARGEST_CHART}"))
}

/// The name without the folder that all entries are in; refuses what leaves it.
fn inner_name(full: &str) -> Result<String, Error> {
    let refuse = |problem: &str| Err(Error::Chart(problem.to_string()));
    // Archives made on Windows separate by backslashes.
    let delimiter = if full.contains('\\') { '\\' } else { '/' };
    let (folder, inner) = full.split_once(delimiter).unwrap_or((full, ""));
    let inner = inner.replace(delimiter, "/");
    if inner.starts_with('/') {
        return refuse("chart illegally contains absolute paths");
    }
    let name = clean(&inner);
    if name == "." {
        let problem = format!("chart illegally contains content outside the base directory: {full:?}");
        return Err(Error::Chart(problem));
    }
    if name.starts_with("..") {
        return refuse("chart illegally references parent directory");
    }
    let bytes = name.as_bytes();
    if bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && &bytes[1..3] == b":/" {
        return refuse("chart contains illegally named files");
    }
    if folder == "Chart.yaml" {
        return refuse("chart yaml not in base directory");
    }
    Ok(name)
}

/// Go's `path.Clean`: no `.`, no `//`, and `..` only in front of a relative path.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".into(),
        (false, path) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, data) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            // `set_path` refuses what is to be refused here.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, *data).unwrap();
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar.into_inner().unwrap()).unwrap();
        gzip.finish().unwrap()
    }

    fn problem(entries: &[(&str, &[u8])]) -> String {
        read(&packed(entries)[..]).unwrap_err().to_string()
    }

    #[test]
    fn names_that_leave_the_chart_are_refused() {
        assert_eq!(problem(&[("a/../../x", b"1")]), "chart illegally references parent directory");
        assert_eq!(problem(&[("a//etc/passwd", b"1")]), "chart illegally contains absolute paths");
        assert_eq!(problem(&[("a/C:/x", b"1")]), "chart contains illegally named files");
        assert_eq!(
            problem(&[("Chart.yaml", b"1")]),
            "chart illegally contains content outside the base directory: \"Chart.yaml\""
        );
        assert_eq!(problem(&[]), "no files in chart archive");
    }

    #[test]
    fn an_archive_that_unpacks_to_too_much_is_refused() {
        let large = vec![0; usize::try_from(LARGEST_FILE).unwrap() + 1];
        assert!(problem(&[("a/x", &large)]).contains("larger than the maximum file size 5242880"));
    }

    #[test]
    fn names_are_relative_to_the_folder_on_every_system() {
        let files =
            read(&packed(&[("a\\templates\\x.yaml", "\u{feff}x".as_bytes()), ("a/./Chart.yaml", b"y")])[..]).unwrap();
        let names: Vec<_> = files.iter().map(|file| (file.name.as_str(), &file.data[..])).collect();
        assert_eq!(names, [("templates/x.yaml", &b"x"[..]), ("Chart.yaml", b"y")]);
    }

    #[test]
    fn what_is_no_archive_is_told_by_its_kind() {
        let told = |name: &str, start: &[u8]| ensure_archive(Path::new(name), start).unwrap_err().to_string();
        assert_eq!(
            told("a.tgz", b"hello"),
            "file 'a.tgz' does not appear to be a gzipped archive; got 'application/octet-stream'"
        );
        let long = told("a.tgz", &b"hello ".repeat(100));
        assert_eq!(long, "file 'a.tgz' does not appear to be a gzipped archive; got 'text/plain; charset=utf-8'");
        assert_eq!(told("a.yaml", b"a: 1"), "file 'a.yaml' seems to be a YAML file, but expected a gzipped archive");
        assert!(ensure_archive(Path::new("a"), GZIP).is_ok());
    }
}
