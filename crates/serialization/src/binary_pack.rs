//! BinaryPack, the format of PeerJS's binary messages, as `peerjs-js-binarypack` 2.1.0 writes it.
//!
//! It looks like MessagePack, with other tags for texts and bytes.

use bytes::{Buf, Bytes, TryGetError};

use crate::value::Value;

/// The levels of a message: one that is no list or object has one.
pub const MAX_DEPTH: usize = 128;

/// The elements that all lists and objects of a received message have together. A member counts twice.
pub const MAX_ELEMENTS: usize = 1 << 20;

/// The reason why a value cannot be packed, or bytes cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BinaryPackError {
    /// The value has more levels than [`MAX_DEPTH`].
    #[error("the message nests lists and objects in more than {MAX_DEPTH} levels: flatten it")]
    TooDeep,
    /// A length needs more than the 32 bits of the format.
    #[error("the message has a text, bytes, a list or an object of 2^32 or more: split it")]
    TooLong,
    /// The bytes have more than [`MAX_ELEMENTS`].
    #[error("the message has more than {MAX_ELEMENTS} elements of lists and objects: send numbers as bytes")]
    TooMany,
    /// The bytes end before the value does.
    #[error("the packed message is cut off")]
    CutOff,
    /// PeerJS writes no such bytes.
    #[error("the message is not BinaryPack ({0}): does the other end use the same serialization?")]
    Wrong(&'static str),
}

impl From<TryGetError> for BinaryPackError {
    fn from(_: TryGetError) -> Self {
        Self::CutOff
    }
}

/// Packs a value into the bytes that PeerJS writes for it.
///
/// For some numbers PeerJS throws or writes another number, and this writes what its readers understand:
/// infinities, integers from 2^63 and below -2^31, and doubles next to a power of two whose logarithm PeerJS
/// rounds.
pub fn pack(value: &Value) -> Result<Vec<u8>, BinaryPackError> {
    let mut writer = Writer(Vec::new());
    writer.value(value, MAX_DEPTH)?;
    Ok(writer.0)
}

/// Reads a packed value, which takes at most 64 times the memory of its bytes, and 64 MiB besides them. Bytes
/// inside are slices of them.
pub fn unpack(packed: Bytes) -> Result<Value, BinaryPackError> {
    let mut reader = Reader { unclaimed: packed.len(), allowed: MAX_ELEMENTS, rest: packed };
    let value = reader.value(MAX_DEPTH)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(BinaryPackError::Wrong("bytes follow the value")) }
}

struct Writer(Vec<u8>);

impl Writer {
    /// Appends a value that has at most `depth` levels.
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), BinaryPackError> {
        let depth = depth.checked_sub(1).ok_or(BinaryPackError::TooDeep)?;
        match value {
            Value::Undefined | Value::Null => self.0.push(0xc0),
            Value::Bool(value) => self.0.push(0xc2 + u8::from(*value)),
            Value::Number(number) => self.number(*number),
            Value::Text(text) => self.bytes(text.as_bytes(), 0xb0, 0xd8)?,
            Value::Bytes(bytes) => self.bytes(bytes, 0xa0, 0xda)?,
            Value::Array(items) => {
                self.length(items.len(), 0x90, 0xdc)?;
                for item in items {
                    self.value(item, depth)?;
                }
            }
            Value::Object(members) => {
                self.length(members.len(), 0x80, 0xde)?;
                for (name, member) in members {
                    self.bytes(name.as_bytes(), 0xb0, 0xd8)?;
                    self.value(member, depth)?;
                }
            }
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8], short: u8, long: u8) -> Result<(), BinaryPackError> {
        self.length(bytes.len(), short, long)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a length: within the tag `short`, or in 2 bytes after `long`, or in 4 after the next tag.
    fn length(&mut self, length: usize, short: u8, long: u8) -> Result<(), BinaryPackError> {
        match length {
            0..0x10 => self.0.push(short + length as u8),
            0x10..=0xffff => self.tagged(long, length as i128, 2),
            0x1_0000..=0xffff_ffff => self.tagged(long + 1, length as i128, 4),
            _ => return Err(BinaryPackError::TooLong),
        }
        Ok(())
    }

    fn number(&mut self, number: f64) {
        let integer = if number as i128 as f64 == number { number as i128 } else { i128::MAX };
        match integer {
            -0x20..=0x7f => self.0.push(integer as u8),
            0x80..=0xff => self.tagged(0xcc, integer, 1),
            -0x80..-0x20 => self.tagged(0xd0, integer, 1),
            0x100..=0xffff => self.tagged(0xcd, integer, 2),
            -0x8000..-0x80 => self.tagged(0xd1, integer, 2),
            0x1_0000..=0xffff_ffff => self.tagged(0xce, integer, 4),
            -0x8000_0000..-0x8000 => self.tagged(0xd2, integer, 4),
            0x1_0000_0000..=0x7fff_ffff_ffff_ffff => self.tagged(0xd3, integer, 8),
            0x8000_0000_0000_0000..=0xffff_ffff_ffff_ffff => self.tagged(0xcf, integer, 8),
            // PeerJS writes zeros for NaN, and reads them as 2^-1023.
            _ if number.is_nan() => self.tagged(0xcb, 0, 8),
            _ => self.tagged(0xcb, number.to_bits().into(), 8),
        }
    }

    /// Appends a tag, and the last `size` bytes of a number.
    fn tagged(&mut self, tag: u8, number: i128, size: usize) {
        self.0.push(tag);
        self.0.extend(number.to_be_bytes().iter().skip(size_of::<i128>() - size));
    }
}

type Read<T> = Result<T, BinaryPackError>;

struct Reader {
    rest: Bytes,
    /// The bytes that no list or object has claimed for its elements. Each element takes one or more, so the
    /// elements of all together are no more than the bytes of the message.
    unclaimed: usize,
    /// The elements that the message may still have: each takes up to 64 bytes of memory.
    allowed: usize,
}

impl Reader {
    /// Reads a value that has at most `depth` levels.
    fn value(&mut self, depth: usize) -> Read<Value> {
        let depth = depth.checked_sub(1).ok_or(BinaryPackError::TooDeep)?;
        let tag = self.rest.try_get_u8()?;
        let length = match tag {
            0x80..=0xbf => usize::from(tag & 0x0f),
            0xd8 | 0xda | 0xdc | 0xde => self.rest.try_get_u16()?.into(),
            0xd9 | 0xdb | 0xdd | 0xdf => self.rest.try_get_u32()? as usize,
            _ => 0,
        };
        Ok(match tag {
            0x00..=0x7f => Value::Number(tag.into()),
            0x80..=0x8f | 0xde | 0xdf => Value::Object(self.list(length, 2, |it| it.member(depth))?),
            0x90..=0x9f | 0xdc | 0xdd => Value::Array(self.list(length, 1, |it| it.value(depth))?),
            0xa0..=0xaf | 0xda | 0xdb => Value::Bytes(self.bytes(length)?),
            0xb0..=0xbf | 0xd8 | 0xd9 => Value::Text(self.text(length)?),
            0xc0 => Value::Null,
            0xc1 => Value::Undefined,
            0xc2 | 0xc3 => Value::Bool(tag == 0xc3),
            0xca => Value::Number(self.rest.try_get_f32()?.into()),
            0xcb => Value::Number(match self.rest.try_get_f64()? {
                // PeerJS writes 0 as an integer, and NaN like this.
                0.0 => f64::NAN,
                number => number,
            }),
            0xcc => Value::Number(self.rest.try_get_u8()?.into()),
            0xcd => Value::Number(self.rest.try_get_u16()?.into()),
            0xce => Value::Number(self.rest.try_get_u32()?.into()),
            0xcf => Value::Number(self.rest.try_get_u64()? as f64),
            0xd0 => Value::Number(self.rest.try_get_i8()?.into()),
            0xd1 => Value::Number(self.rest.try_get_i16()?.into()),
            0xd2 => Value::Number(self.rest.try_get_i32()?.into()),
            0xd3 => Value::Number(self.rest.try_get_i64()? as f64),
            0xc4..=0xc9 | 0xd4..=0xd7 => return Err(BinaryPackError::Wrong("an unknown type")),
            0xe0..=0xff => Value::Number((tag as i8).into()),
        })
    }

    /// Reads elements of at least `size` bytes each.
    fn list<T>(&mut self, length: usize, size: usize, read: impl Fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let claimed = length.saturating_mul(size);
        self.unclaimed = self.unclaimed.checked_sub(claimed).ok_or(BinaryPackError::CutOff)?;
        self.allowed = self.allowed.checked_sub(claimed).ok_or(BinaryPackError::TooMany)?;
        let mut elements = Vec::with_capacity(length);
        for _ in 0..length {
            elements.push(read(self)?);
        }
        Ok(elements)
    }

    fn member(&mut self, depth: usize) -> Read<(String, Value)> {
        let Value::Text(name) = self.value(depth)? else {
            return Err(BinaryPackError::Wrong("a name that is not a text"));
        };
        Ok((name, self.value(depth)?))
    }

    fn text(&mut self, length: usize) -> Read<String> {
        String::from_utf8(self.bytes(length)?.into())
            .map_err(|_| BinaryPackError::Wrong("a text that is not UTF-8"))
    }

    fn bytes(&mut self, length: usize) -> Read<Bytes> {
        if length > self.rest.len() { Err(BinaryPackError::CutOff) } else { Ok(self.rest.split_to(length)) }
    }
}
