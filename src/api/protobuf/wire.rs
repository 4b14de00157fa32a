//! The wire: variable-length numbers, tags, fields behind a length.

use super::Error;

/// How a field's bytes are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
}

/// Writes a number in groups of seven bits.
pub fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How many bytes [`varint`] writes.
pub fn varint_length(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes what a field begins with.
pub fn tag(out: &mut Vec<u8>, number: u32, wire: Wire) {
    varint(out, u64::from(number) << 3 | wire as u64);
}

/// Writes a field of bytes.
pub fn bytes(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    tag(out, number, Wire::Bytes);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Writes a field whose content is written by `inner`. Its length is known only afterwards, so one byte is left for it, and
/// more are made where that is too few.
pub fn nested(
    out: &mut Vec<u8>,
    number: u32,
    inner: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    tag(out, number, Wire::Bytes);
    let at = out.len();
    out.push(0);
    inner(out)?;
    let length = out.len() - at - 1;
    let room = varint_length(length as u64);
    if room > 1 {
        let end = out.len();
        out.resize(end + room - 1, 0);
        out.copy_within(at + 1..end, at + room);
    }
    let mut number = length as u64;
    for byte in &mut out[at..at + room] {
        *byte = number as u8 & 0x7f | 0x80;
        number >>= 7;
    }
    out[at + room - 1] &= 0x7f;
    Ok(())
}

/// Reads fields off the front of bytes.
pub struct Reader<'a>(pub &'a [u8]);

/// The content of a field.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

impl<'a> Reader<'a> {
    /// The next field with its number; nothing at the end.
    pub fn field(&mut self) -> Result<Option<(u32, Field<'a>)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = (tag >> 3) as u32;
        let field = match (tag & 7) as u8 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Error::Truncated)?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Field::Fixed32
            }
            other => return Err(Error::WireType(other)),
        };
        Ok(Some((number, field)))
    }

    /// A number in groups of seven bits.
    pub fn varint(&mut self) -> Result<u64, Error> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Error::Truncated)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Error::Truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Error::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Error::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }
}

impl<'a> Field<'a> {
    /// The content of a field that has a length.
    pub fn bytes(self) -> Result<&'a [u8], Error> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            other => Err(Error::WireType(other.wire())),
        }
    }

    /// The number in a field.
    pub fn number(self) -> Result<u64, Error> {
        match self {
            Field::Varint(number) => Ok(number),
            other => Err(Error::WireType(other.wire())),
        }
    }

    /// The floating-point number in a field.
    pub fn double(self) -> Result<f64, Error> {
        match self {
            Field::Fixed64(bits) => Ok(f64::from_bits(bits)),
            other => Err(Error::WireType(other.wire())),
        }
    }

    fn wire(self) -> u8 {
        match self {
            Field::Varint(_) => 0,
            Field::Fixed64(_) => 1,
            Field::Bytes(_) => 2,
            Field::Fixed32 => 5,
        }
    }
}
