//! House rules that the compiler does not check: the order of rooms, headers, sizes, doors of crates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines of a file without its tests; tables are exempt by name.
const FILE_LINES: usize = 700;
/// Files that are tables.
const TABLES: &[&str] = &[];
/// Crates that only the named rooms (or files) may mention.
const DOORS: &[(&str, &[&str])] = &[
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("bollard", &["drivers"]),
    ("cel", &["control::server"]),
    ("self_update", &["cli"]),
    ("nlink", &["net", "drivers"]),
    ("oci_client", &["images"]),
    ("rcgen", &["pki", "charts"]),
    ("jsonwebtoken", &["pki"]),
    ("serde_saphyr", &["api"]),
    ("toml", &["config", "charts"]),
    ("hickory_server", &["net", "ingress"]),
    ("hickory_resolver", &["net"]),
    ("axum", &["control::server", "node", "net"]),
];

struct Source {
    path: PathBuf,
    room: String,
    text: String,
}

/// Every Rust file below `src` with the room it is in.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let room = room_of(path.strip_prefix(&root).unwrap());
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(Source { path, room, text });
            }
        }
    }
    found
}

/// `control/store/log.rs` is in `control::store`, `api/object.rs` in `api`, `main.rs` in none.
fn room_of(path: &Path) -> String {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    match parts.as_slice() {
        ["control", inner, _, ..] => format!("control::{inner}"),
        [room, _, ..] => room.to_string(),
        _ => String::new(),
    }
}

/// The room table of `src/lib.rs`.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let block = text.split("```text rooms").nth(1).unwrap().split("```").next().unwrap();
    let rows = block.lines().filter_map(|line| line.trim_start_matches("//!").split_once("->"));
    rows.map(|(room, known)| (room.trim().to_string(), known.split_whitespace().map(String::from).collect())).collect()
}

/// The code of a file, without its tests and comments.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap();
    body.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Rooms named by `crate::…` paths in a piece of code, braces of one level opened.
fn rooms_named(code: &str) -> Vec<String> {
    let mut named = Vec::new();
    for after in code.split("crate::").skip(1) {
        let heads: Vec<&str> = match after.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap().split(',').map(str::trim).collect(),
            None => vec![after],
        };
        for head in heads {
            let mut words =
                head.split("::").map(|word| word.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap());
            let first = words.next().unwrap_or_default().to_string();
            named.push(if first == "control" {
                format!("control::{}", words.next().unwrap_or_default())
            } else {
                first
            });
        }
    }
    named
}

#[test]
fn rooms_name_only_rooms_of_their_line() {
    let table = table();
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.room.is_empty() && source.room != "control") {
        let Some(known) = table.get(&source.room) else {
            if source.path.file_name().unwrap() != "mod.rs" || source.room != "control" {
                wrong.push(format!("{}: room `{}` is not in the table", source.path.display(), source.room));
            }
            continue;
        };
        for room in rooms_named(&code(&source.text)) {
            let is_room = table.contains_key(&room) || room.starts_with("control");
            let allowed =
                known.contains(&room) || known.contains(room.split("::").next().unwrap()) || room == source.room;
            if is_room && !allowed {
                wrong.push(format!("{}: `{}` may not name `{room}`", source.path.display(), source.room));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_owns() {
    let without: Vec<PathBuf> =
        sources().into_iter().filter(|source| !source.text.starts_with("//!")).map(|source| source.path).collect();
    assert!(without.is_empty(), "no //! header: {without:?}");
}

#[test]
fn files_stay_small() {
    let mut long = Vec::new();
    // A file of tests has no lines without them.
    for source in sources().into_iter().filter(|source| !source.path.ends_with("tests.rs")) {
        let name = source.path.display().to_string();
        let lines = source.text.split("#[cfg(test)]\nmod ").next().unwrap().lines().count();
        if lines > FILE_LINES && !TABLES.iter().any(|table| name.ends_with(table)) {
            long.push(format!("{name}: {lines} lines"));
        }
    }
    assert!(long.is_empty(), "over {FILE_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn crates_that_matter_have_one_door() {
    let mut wrong = Vec::new();
    for source in sources() {
        let code = code(&source.text);
        for (name, rooms) in DOORS {
            let mentions = code.contains(&format!("{name}::")) || code.contains(&format!("use {name};"));
            let allowed = rooms.contains(&source.room.as_str()) || source.room.is_empty();
            if mentions && !allowed {
                wrong.push(format!("{}: `{name}` is for {rooms:?}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_work_is_left_as_a_note() {
    let marks = ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("];
    let left: Vec<String> = sources()
        .iter()
        .flat_map(|source| {
            marks
                .iter()
                .filter(|mark| source.text.contains(**mark))
                .map(|mark| format!("{}: {mark}", source.path.display()))
        })
        .collect();
    assert!(left.is_empty(), "\n{}", left.join("\n"));
}
