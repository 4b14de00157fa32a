//! `/logs/…`: files and folders below the node's `/var/log`, and nothing else.

use super::answer::{self, Answer};
use crate::node::context::Node;
use axum::body::Body;
use http::{StatusCode, header};
use std::io;
use std::path::{Component, Path, PathBuf};
use tokio_util::io::ReaderStream;

/// Answers with a file's text or a folder's names.
pub async fn answer(node: &Node, segments: &[&str]) -> Answer {
    let logs = node.paths.pod_logs();
    let root = logs.parent().unwrap_or(&logs);
    match open(root, segments).await {
        Ok(answer) => answer,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            answer::text(StatusCode::NOT_FOUND, "404 page not found\n")
        }
        Err(error) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn open(root: &Path, segments: &[&str]) -> io::Result<Answer> {
    let path = below(root, segments).ok_or(io::ErrorKind::NotFound)?;
    let (root, path) = (tokio::fs::canonicalize(root).await?, tokio::fs::canonicalize(path).await?);
    // A symbolic link may not lead out.
    if !path.starts_with(&root) {
        return Err(io::ErrorKind::NotFound.into());
    }
    if tokio::fs::metadata(&path).await?.is_dir() {
        return folder(&path, segments.last().is_none_or(|last| last.is_empty())).await;
    }
    let file = tokio::fs::File::open(&path).await?;
    Ok(answer::of_type(StatusCode::OK, "text/plain; charset=utf-8", Body::from_stream(ReaderStream::new(file))))
}

/// The names in a folder, as a page of links; without a slash at the end of the request links would lead elsewhere.
async fn folder(path: &Path, has_slash: bool) -> io::Result<Answer> {
    if !has_slash {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut moved = answer::text(StatusCode::MOVED_PERMANENTLY, "");
        if let Ok(value) = format!("{name}/").parse() {
            moved.headers_mut().insert(header::LOCATION, value);
        }
        return Ok(moved);
    }
    let mut entries = tokio::fs::read_dir(path).await?;
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let slash = if entry.file_type().await?.is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    let links: String = names.iter().map(|name| format!("<a href=\"{0}\">{0}</a>\n", escape(name))).collect();
    let page = format!("<!doctype html>\n<pre>\n{links}</pre>\n");
    Ok(answer::of_type(StatusCode::OK, "text/html; charset=utf-8", page.into()))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
}

/// The path that segments of a URL lead to; nothing if one of them is no plain name.
fn below(root: &Path, segments: &[&str]) -> Option<PathBuf> {
    let mut path = root.to_path_buf();
    for segment in segments.iter().filter(|segment| !segment.is_empty()) {
        let name = decode(segment)?;
        let mut parts = Path::new(&name).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(part)), None) if part == name.as_str() => path.push(part),
            _ => return None,
        }
    }
    Some(path)
}

/// A segment without its percent signs.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_read_folders_listed_and_nothing_outside_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("log");
        std::fs::create_dir_all(root.join("pods")).unwrap();
        std::fs::write(root.join("pods/a b.log"), "text").unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), root.join("link")).unwrap();
        let read = async |segments: &[&str]| {
            let answer = open(&root, segments).await.ok()?;
            let bytes = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
            Some(String::from_utf8(bytes.to_vec()).unwrap())
        };
        assert_eq!(read(&["pods", "a%20b.log"]).await.unwrap(), "text");
        assert!(read(&["pods", ""]).await.unwrap().contains("<a href=\"a b.log\">"));
        for outside in [&["..", "secret"][..], &["%2e%2e", "secret"], &["..%2fsecret"], &["link"], &["%2fetc%2fpasswd"]]
        {
            assert_eq!(read(outside).await, None, "{outside:?}");
        }
    }
}
