//! Documents that a schema refers to by address.
//!
//! Source of rules and wording: Helm `pkg/chart/common/util/jsonschema.go`.

use crate::charts::functions::json;
use crate::charts::io_text;
use crate::charts::repository::http;
use crate::charts::values::Value;
use std::io::Read;
use std::time::Duration;

/// Where a chart's own schema is said to be.
pub const OWN: &str = "file:///values.schema.json";
/// How long a document of another server may take.
const LIMIT: Duration = Duration::from_secs(15);
/// The most bytes of one, and how many there may be: each may name more.
const LARGEST: u64 = 4 << 20;
const MOST: usize = 64;

/// Reads a document; `read` others were before it.
pub fn read(url: &str, read: usize) -> Result<Value, String> {
    if read >= MOST {
        return Err(format!("a schema may refer to {MOST} others at most"));
    }
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    match scheme {
        "http" | "https" => {
            let (code, reason, body) =
                http::get_now(url, LIMIT, LARGEST).map_err(|why| format!("HTTP request failed for {url}: {why}"))?;
            if code != 200 {
                return Err(format!("HTTP request to {url} returned status {code} ({reason})"));
            }
            parse(&body)
        }
        "urn" => {
            tracing::warn!(urn = url, "unresolved URN reference ignored; using permissive schema");
            Ok(Value::Bool(true))
        }
        "file" => file(rest.strip_prefix("//").unwrap_or(rest)),
        _ => Err(format!("no URLLoader registered for {url:?}")),
    }
}

fn file(address: &str) -> Result<Value, String> {
    let path = crate::charts::functions::path_unescaped(address)?;
    let path = path.find('/').map_or("", |slash| &path[slash..]);
    let failed = |what: &str, error: std::io::Error| format!("{what} {path}: {}", io_text(&error));
    let metadata = std::fs::metadata(path).map_err(|error| failed("open", error))?;
    if metadata.is_dir() {
        return Err(format!("read {path}: is a directory"));
    }
    // A pipe or a device may never end.
    if !metadata.is_file() {
        return Err(format!("read {path}: not a regular file"));
    }
    let mut text = Vec::new();
    let opened = std::fs::File::open(path).map_err(|error| failed("open", error))?;
    opened.take(LARGEST + 1).read_to_end(&mut text).map_err(|error| failed("read", error))?;
    if text.len() as u64 > LARGEST {
        return Err(format!("read {path}: larger than {LARGEST} bytes"));
    }
    parse(&text)
}

/// A document's JSON, with the errors of Go's decoder.
pub fn parse(text: &[u8]) -> Result<Value, String> {
    // What is text as a whole needs not be looked at piece by piece.
    let parsed = std::str::from_utf8(text).map_or_else(|_| serde_json::from_slice(text), serde_json::from_str);
    parsed.map_err(|error| match json::decode(text) {
        Ok(_) => error.to_string(),
        Err(_) if text.trim_ascii().is_empty() => "EOF".into(),
        Err(why) if why == "unexpected end of JSON input" => "unexpected EOF".into(),
        Err(why) if why.ends_with("after top-level value") => "invalid character after top-level value".into(),
        Err(why) => why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_refers_to_so_many_others_and_no_more() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "true").unwrap();
        let url = format!("file://{}", file.path().display());
        assert_eq!(read(&url, 63), Ok(Value::Bool(true)));
        assert_eq!(read(&url, 64).unwrap_err(), "a schema may refer to 64 others at most");
    }
}
