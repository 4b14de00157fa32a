//! The OpenAPI v3 text of every built-in type, as the build script wrote it (`src/api/build.rs`): two lines per type.

use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Range;
use std::sync::LazyLock;

static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/documents.bin"));

/// What stands in front of a type's name where a schema refers to it.
pub const REFERENCE: &str = "#/components/schemas/";

/// A number that is another one whenever any text is.
pub fn mark() -> u32 {
    static MARK: LazyLock<u32> = LazyLock::new(|| crc32fast::hash(COMPRESSED));
    *MARK
}

/// The inflated text.
pub struct Documents {
    text: String,
    /// Name and schema of each type, in the order of names.
    lines: Vec<(Range<usize>, Range<usize>)>,
}

impl Documents {
    /// Inflates all of it.
    pub fn load() -> Self {
        let mut text = String::new();
        let read = flate2::read::ZlibDecoder::new(COMPRESSED).read_to_string(&mut text);
        read.expect("the build script compressed text, and the executable has it whole");
        let mut lines = Vec::new();
        let mut start = 0;
        let mut name = 0..0;
        for (index, line) in text.split('\n').enumerate() {
            let range = start..start + line.len();
            start = range.end + 1;
            if index % 2 == 0 {
                name = range;
            } else {
                lines.push((name.clone(), range));
            }
        }
        Self { text, lines }
    }

    /// The schema of a type.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.lines.binary_search_by(|(own, _)| self.text[own.clone()].cmp(name)).ok()?;
        Some(&self.text[self.lines[found].1.clone()])
    }

    /// These types and all that they are made of.
    pub fn closure<'a>(&'a self, roots: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let mut all = BTreeSet::new();
        let mut open: Vec<&str> = roots.into_iter().collect();
        while let Some(name) = open.pop() {
            let Some(schema) = self.get(name) else { continue };
            if all.insert(name) {
                open.extend(references(schema).filter(|name| !all.contains(name)));
            }
        }
        all
    }
}

/// The names of types that a schema's text refers to.
pub fn references(schema: &str) -> impl Iterator<Item = &str> {
    schema.split(REFERENCE).skip(1).filter_map(|rest| rest.split('"').next())
}
