//! The durable file: records one after the other, each `length, checksum, payload`. A record is one sync: all that it holds is
//! there after a power cut, or nothing of it.
//!
//! The file is kept some way ahead of its end in zeros, so that a sync has data to write and no new length of the file.
//! A record that is not whole, and behind which there is no whole one, was never acknowledged, and is dropped; one that others
//! follow is damage, and the file is refused. When the file has grown to a multiple of what lives in it, it is written anew
//! and renamed over the old one.

use super::table::Table;
use super::{Entry, Error, Key, Pairs, Selection, Tables};
use bytes::Bytes;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NAME: &str = "objects.log";
/// Length and checksum, four bytes each, little endian.
const HEADER: usize = 8;
/// The least of a payload: the store's revision.
const LEAST: usize = 8;
/// Zeros that the file is ahead of its end when it is made longer.
static AHEAD: [u8; 256 << 10] = [0; 256 << 10];
/// A file smaller than this is not worth writing anew.
const SMALL: u64 = 16 << 20;

/// One change of a record.
pub struct Change<'a> {
    pub entry: &'a Entry,
    pub is_delete: bool,
}

/// The open file.
pub struct File {
    path: PathBuf,
    file: fs::File,
    /// Bytes that are whole and synced; what is behind them is nobody's.
    length: u64,
    /// Up to here the file's blocks are there and hold zeros.
    reserved: u64,
    /// What lives in it, in bytes.
    pub(super) living: u64,
    /// How long the last sync took.
    pub(super) last_sync: Duration,
}

impl File {
    /// Opens or makes the file in `folder` and reads everything in it.
    pub fn open(folder: &Path) -> Result<(Self, Tables), Error> {
        let path = folder.join(NAME);
        let unreadable = |error| Error::Unreadable(path.clone(), error);
        // Every Secret is in here.
        fs::create_dir_all(folder).map_err(unreadable)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(unreadable)?;
        let file = fs::File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(unreadable)?;
        // A second server on the same file would ruin both.
        file.try_lock().map_err(|error| unreadable(error.into()))?;
        let content = fs::read(&path).map_err(unreadable)?;
        let (tables, length) = replay(&path, content.into())?;
        file.set_len(length).map_err(unreadable)?;
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(unreadable)?;
        let last_sync = Duration::ZERO;
        Ok((Self { path, file, length, reserved: length, living: tables.size(), last_sync }, tables))
    }

    /// Appends a record and syncs. On an error the file is as before, unless even that fails.
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let end = self.length + record.len() as u64;
        let result = self.file.write_all_at(record, self.length).and_then(|()| {
            self.reserve(end);
            let started = Instant::now();
            let synced = self.file.sync_data();
            self.last_sync = started.elapsed();
            synced
        });
        match result {
            Ok(()) => self.length = end,
            Err(_) => {
                self.file.set_len(self.length)?;
                self.reserved = self.length;
            }
        }
        result
    }

    /// Makes the file longer than its end where it is not so yet. On a disk that is full the file stays as long as it is.
    fn reserve(&mut self, end: u64) {
        if end > self.reserved && self.file.write_all_at(&AHEAD, end).is_ok() {
            self.reserved = end + AHEAD.len() as u64;
        }
    }

    /// Whether most of the file is history.
    pub fn is_bloated(&self) -> bool {
        self.length > SMALL && self.length > self.living * 2
    }

    /// Writes the file anew from what lives.
    pub fn rewrite(&mut self, tables: &Tables) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let file = fs::File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        let mut out = io::BufWriter::with_capacity(1 << 20, &file);
        let mut record = Vec::new();
        let mut length = 0;
        encode(&mut record, tables.revision, &[]);
        for entry in tables.by_resource.values().flat_map(Table::all) {
            encode(&mut record, entry.revision, &[Change { entry, is_delete: false }]);
            length += record.len() as u64;
            out.write_all(&record)?;
            record.clear();
        }
        length += record.len() as u64;
        out.write_all(&record)?;
        out.flush()?;
        drop(out);
        file.sync_all()?;
        file.try_lock()?;
        fs::rename(&fresh, &self.path)?;
        fs::File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        (self.file, self.length, self.reserved, self.living) = (file, length, length, tables.size());
        Ok(())
    }
}

/// Appends one record: the store's revision after it, and its changes.
pub fn encode(out: &mut Vec<u8>, revision: u64, changes: &[Change]) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    out.extend_from_slice(&revision.to_le_bytes());
    for change in changes {
        let entry = change.entry;
        out.push(u8::from(change.is_delete));
        out.extend_from_slice(&entry.revision.to_le_bytes());
        for text in [&*entry.key.resource, &entry.key.namespace, &entry.key.name] {
            put(out, text.as_bytes());
        }
        if !change.is_delete {
            put_pairs(out, &entry.selection.labels);
            put_pairs(out, &entry.selection.fields);
            put(out, &entry.bytes);
        }
    }
    let payload = &out[start + HEADER..];
    let (length, sum) = (payload.len() as u32, crc32fast::hash(payload));
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + HEADER].copy_from_slice(&sum.to_le_bytes());
}

/// How long a record of this object alone is: what it takes in a file that was written anew.
pub fn size(entry: &Entry) -> u64 {
    let text = |text: &str| 4 + text.len();
    let pairs = |pairs: &Pairs| 4 + pairs.iter().map(|(key, value)| text(key) + text(value)).sum::<usize>();
    let key = text(&entry.key.resource) + text(&entry.key.namespace) + text(&entry.key.name);
    let selection = pairs(&entry.selection.labels) + pairs(&entry.selection.fields);
    (HEADER + LEAST + 1 + 8 + key + selection + 4 + entry.bytes.len()) as u64
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_pairs(out: &mut Vec<u8>, pairs: &Pairs) {
    out.extend_from_slice(&(pairs.len() as u32).to_le_bytes());
    for (key, value) in pairs {
        put(out, key.as_bytes());
        put(out, value.as_bytes());
    }
}

/// Reads every record; returns what lives and how many bytes are whole.
fn replay(path: &Path, content: Bytes) -> Result<(Tables, u64), Error> {
    let mut tables = Tables::default();
    let mut offset = 0;
    while let Some(payload) = whole(&content, offset) {
        let length = HEADER + payload.len();
        let damaged = || Error::Damaged { path: path.into(), offset: offset as u64 };
        Reader(payload).record(&mut tables).ok_or_else(damaged)?;
        offset += length;
    }
    if is_followed(&content, offset) {
        return Err(Error::Damaged { path: path.into(), offset: offset as u64 });
    }
    let revision = tables.revision;
    tables.by_resource.values_mut().for_each(|table| table.loaded(revision));
    Ok((tables, offset as u64))
}

/// The payload of the record at `offset`, if one is there and whole.
fn whole(content: &Bytes, offset: usize) -> Option<Bytes> {
    let rest = content.get(offset..)?;
    let [a, b, c, d, sum @ ..] = *rest.first_chunk::<HEADER>()?;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let payload = rest.get(HEADER..HEADER + length).filter(|payload| payload.len() >= LEAST)?;
    let is_whole = crc32fast::hash(payload) == u32::from_le_bytes(sum);
    is_whole.then(|| content.slice(offset + HEADER..offset + HEADER + length))
}

/// Whether a whole record lies anywhere behind `offset`.
fn is_followed(content: &Bytes, offset: usize) -> bool {
    let end = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    (offset + 1..end).any(|at| whole(content, at).is_some())
}

/// Reads fields off the front of a payload.
struct Reader(Bytes);

impl Reader {
    fn record(mut self, tables: &mut Tables) -> Option<()> {
        tables.revision = tables.revision.max(self.number()?);
        while !self.0.is_empty() {
            let is_delete = self.take(1)?[0] == 1;
            let revision = self.number()?;
            let (resource, namespace, name) = (self.text()?, self.text()?, self.text()?);
            let resource: Arc<str> =
                tables.by_resource.get_key_value(&*resource).map_or_else(|| resource.into(), |(key, _)| key.clone());
            let table = tables.by_resource.entry(resource.clone()).or_insert_with(|| Table::new(0));
            if is_delete {
                table.unload(&namespace, &name);
                continue;
            }
            let selection = Selection { labels: self.pairs()?, fields: self.pairs()? };
            // A copy of its own, so that one living object does not keep the whole file in memory.
            let bytes = Bytes::copy_from_slice(&self.bytes()?);
            table.load(Arc::new(Entry { key: Key { resource, namespace, name }, revision, bytes, selection }));
        }
        Some(())
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        (self.0.len() >= length).then(|| self.0.split_to(length))
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.as_ref().try_into().ok()?))
    }

    fn length(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.take(4)?.as_ref().try_into().ok()?) as usize)
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn pairs(&mut self) -> Option<Pairs> {
        let count = self.length()?;
        (0..count).map(|_| Some((self.text()?.into(), self.text()?.into()))).collect()
    }
}
