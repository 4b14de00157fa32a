//! The structure of built-in types as the build script wrote it (`src/api/build.rs`), read type by type on first use.
//!
//! ```text
//! count u16 │ offset u32 per type, in the order of names │ per type: name, node
//! name = length u8, text      node = letter, and after
//!   'r' type u16    '[' kind (a, s, or m with count u8 and names), node    '{' atomic u8, node
//!   'o' atomic u8, count u8, per field: name, flags u8, [merge key], [default], [allowed], [atomic], node
//! ```
//!
//! Nothing here can fail at run time: the bytes are part of the executable, and a test reads every one of them.

use super::{Builtin, Field, List, ListKind, Map, Name, PatchRule, Schema, Shape, Struct};
use std::sync::{LazyLock, OnceLock};

static BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/schemas.bin"));

/// A type: the reference to it, and its own schema once somebody asked.
struct Cell {
    reference: Schema,
    schema: OnceLock<Schema>,
}

static CELLS: LazyLock<Box<[Cell]>> = LazyLock::new(|| {
    let cell = |index| Cell { reference: Shape::Builtin(Builtin(index)).into(), schema: OnceLock::new() };
    (0..count()).map(cell).collect()
});

/// How many types there are.
pub fn count() -> u16 {
    Reader(&BYTES[..2]).short()
}

fn reader(index: u16) -> Reader {
    let at = 2 + 4 * usize::from(index);
    let offset = u32::from_le_bytes([BYTES[at], BYTES[at + 1], BYTES[at + 2], BYTES[at + 3]]);
    Reader(&BYTES[offset as usize..])
}

/// The name of a type.
pub fn name(index: u16) -> &'static str {
    reader(index).text()
}

/// The type of a name.
pub fn find(wanted: &str) -> Option<u16> {
    let (mut low, mut high) = (0, count());
    while low < high {
        let middle = low + (high - low) / 2;
        match name(middle).cmp(wanted) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return Some(middle),
        }
    }
    None
}

/// A type's schema.
pub fn schema(index: u16) -> &'static Schema {
    CELLS[usize::from(index)].schema.get_or_init(|| {
        let mut reader = reader(index);
        reader.text();
        reader.node()
    })
}

/// A schema that refers to a type.
pub fn reference(index: u16) -> &'static Schema {
    &CELLS[usize::from(index)].reference
}

/// What is left to read.
struct Reader(&'static [u8]);

impl Reader {
    fn byte(&mut self) -> u8 {
        let (first, rest) = (self.0[0], &self.0[1..]);
        self.0 = rest;
        first
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn text(&mut self) -> &'static str {
        let length = usize::from(self.byte());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        std::str::from_utf8(text).expect("the build script wrote text")
    }

    fn name(&mut self) -> Name {
        Name::Borrowed(self.text())
    }

    fn node(&mut self) -> Schema {
        let shape = match self.byte() {
            b's' => Shape::Text,
            b'y' => Shape::Bytes,
            b't' => Shape::Time,
            b'u' => Shape::MicroTime,
            b'i' => Shape::Int32,
            b'l' => Shape::Int64,
            b'd' => Shape::Float,
            b'b' => Shape::Boolean,
            b'x' => Shape::IntOrText,
            b'q' => Shape::Quantity,
            b'r' => Shape::Builtin(Builtin(self.short())),
            b'[' => Shape::List(Box::new(self.list())),
            b'{' => Shape::Map(Box::new(Map { atomic: self.byte() == 1, values: self.node() })),
            b'o' => Shape::Struct(Box::new(self.fields())),
            _ => Shape::Any,
        };
        shape.into()
    }

    fn list(&mut self) -> List {
        let kind = match self.byte() {
            b's' => ListKind::Set,
            b'm' => {
                let count = self.byte();
                ListKind::Map((0..count).map(|_| self.name()).collect())
            }
            _ => ListKind::Atomic,
        };
        List { kind, items: self.node() }
    }

    fn fields(&mut self) -> Struct {
        let atomic = self.byte() == 1;
        let count = self.byte();
        let fields = (0..count).map(|_| self.field()).collect();
        Struct { fields, atomic, ..Struct::default() }
    }

    fn field(&mut self) -> Field {
        let name = self.name();
        let flags = self.byte();
        let has = |bit: u8| flags & (1 << bit) != 0;
        let key = has(4).then(|| self.name());
        let patch = PatchRule { merge: has(1), replace: has(2), retain_keys: has(3), key };
        let default = has(5).then(|| serde_json::from_str(self.text()).expect("the build script wrote JSON"));
        let allowed = has(6).then(|| {
            let count = self.byte();
            (0..count).map(|_| self.text().into()).collect()
        });
        let atomic = has(7).then(|| self.byte() == 1);
        let schema = Schema { default, allowed, ..self.node() };
        Field { name, schema, required: has(0), patch, atomic }
    }
}
