//! Reading gob: values are found by the definitions in their stream and by field names, never by numbers.

use std::collections::BTreeMap;

use super::builtin;
use crate::FormatError;

/// Deepest nesting of values that is followed.
const MAX_DEPTH: u32 = 16;
/// Most type definitions in one stream; CLIP's have five and seventeen.
const MAX_TYPES: usize = 256;
/// First id that a stream may define.
const FIRST_USER_ID: i64 = 64;

/// A position in gob bytes.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| {
            FormatError::corrupt(format!(
                "gob: {length} bytes wanted, {} left",
                self.rest.len()
            ))
        })?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, FormatError> {
        Ok(self.take(1)?.first().copied().unwrap_or(0))
    }

    pub(crate) fn uint(&mut self) -> Result<u64, FormatError> {
        let first = self.byte()?;
        if first < 128 {
            return Ok(u64::from(first));
        }
        let length = usize::from(first.wrapping_neg());
        if length > 8 {
            return Err(FormatError::corrupt(format!(
                "gob: a number of {length} bytes"
            )));
        }
        Ok(self
            .take(length)?
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub(crate) fn int(&mut self) -> Result<i64, FormatError> {
        let bits = self.uint()?;
        let value = (bits >> 1).cast_signed();
        Ok(if bits & 1 == 1 { !value } else { value })
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let length = self.uint()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// A count of items, each at least a byte long.
    fn count(&mut self) -> Result<u64, FormatError> {
        let count = self.uint()?;
        if count > self.rest.len() as u64 {
            return Err(FormatError::corrupt(format!(
                "gob: {count} items in {} bytes",
                self.rest.len()
            )));
        }
        Ok(count)
    }
}

/// A defined type.
#[derive(Debug, Clone)]
enum Wire<'a> {
    /// An array or a slice: their values look alike.
    Slice(i64),
    Struct(Vec<(&'a [u8], i64)>),
    Map {
        key: i64,
        value: i64,
    },
    Opaque,
}

/// The definitions of a stream.
#[derive(Debug, Default)]
pub(crate) struct Types<'a> {
    known: BTreeMap<i64, Wire<'a>>,
}

/// Reads a stream up to its first value: the definitions, the value's type and its bytes.
/// What follows the value is left in `stream`.
pub(crate) fn first_value<'a>(
    stream: &mut Reader<'a>,
) -> Result<(Types<'a>, i64, Reader<'a>), FormatError> {
    let mut types = Types::default();
    loop {
        let mut message = Reader::new(stream.bytes()?);
        let id = message.int()?;
        if id >= 0 {
            if !matches!(types.known.get(&id), Some(Wire::Struct(_))) && message.byte()? != 0 {
                return Err(FormatError::corrupt(
                    "gob: no zero before a value that is no struct",
                ));
            }
            return Ok((types, id, message));
        }
        types.define(id.saturating_neg(), &mut message)?;
    }
}

impl<'a> Types<'a> {
    fn define(&mut self, id: i64, reader: &mut Reader<'a>) -> Result<(), FormatError> {
        if id < FIRST_USER_ID || self.known.len() >= MAX_TYPES || self.known.contains_key(&id) {
            return Err(FormatError::corrupt(format!(
                "gob: the type {id} is defined twice or too many are"
            )));
        }
        let mut wire = None;
        let numbers = |reader: &mut Reader<'a>, found: &mut [i64; 2]| {
            fields(reader, |number, reader| {
                match (number, found.as_mut_slice()) {
                    (0, _) => common(reader),
                    (1, [first, _]) => reader.int().map(|value| *first = value),
                    (2, [_, second]) => reader.int().map(|value| *second = value),
                    _ => Err(unknown_field("a type", number)),
                }
            })
        };
        fields(reader, |number, reader| {
            let mut found = [0; 2];
            wire = Some(match number {
                0 | 1 => {
                    numbers(reader, &mut found)?;
                    Wire::Slice(found[0])
                }
                2 => Wire::Struct(struct_fields(reader)?),
                3 => {
                    numbers(reader, &mut found)?;
                    Wire::Map {
                        key: found[0],
                        value: found[1],
                    }
                }
                4..=6 => {
                    numbers(reader, &mut found)?;
                    Wire::Opaque
                }
                _ => return Err(unknown_field("a definition", number)),
            });
            Ok(())
        })?;
        let wire = wire.ok_or_else(|| FormatError::corrupt("gob: an empty type definition"))?;
        self.known.insert(id, wire);
        Ok(())
    }

    /// Calls `field(name, type, reader)` for each field that is there; it must read the value or [`Types::skip`] it.
    pub(crate) fn each_field(
        &self,
        id: i64,
        reader: &mut Reader<'a>,
        mut field: impl FnMut(&'a [u8], i64, &mut Reader<'a>) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let Some(Wire::Struct(names)) = self.known.get(&id) else {
            return Err(wrong_type(id, "a struct"));
        };
        fields(reader, |number, reader| {
            let (name, id) = usize::try_from(number)
                .ok()
                .and_then(|number| names.get(number))
                .ok_or_else(|| unknown_field("a value", number))?;
            field(name, *id, reader)
        })
    }

    /// Calls `item(type, reader)` for each element of a slice.
    pub(crate) fn each_item(
        &self,
        id: i64,
        reader: &mut Reader<'a>,
        mut item: impl FnMut(i64, &mut Reader<'a>) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let element = match self.known.get(&id) {
            Some(Wire::Slice(element)) => *element,
            _ => return Err(wrong_type(id, "a slice")),
        };
        for _ in 0..reader.count()? {
            item(element, reader)?;
        }
        Ok(())
    }

    /// Calls `item(key, type, reader)` for each entry of a map with string keys.
    pub(crate) fn each_entry(
        &self,
        id: i64,
        reader: &mut Reader<'a>,
        mut item: impl FnMut(String, i64, &mut Reader<'a>) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let Some(Wire::Map { key, value }) = self.known.get(&id) else {
            return Err(wrong_type(id, "a map"));
        };
        for _ in 0..reader.count()? {
            let key = self.text(*key, reader)?;
            item(key, *value, reader)?;
        }
        Ok(())
    }

    pub(crate) fn uint(&self, id: i64, reader: &mut Reader<'a>) -> Result<u64, FormatError> {
        match id {
            builtin::UINT => reader.uint(),
            other => Err(wrong_type(other, "an unsigned number")),
        }
    }

    pub(crate) fn int(&self, id: i64, reader: &mut Reader<'a>) -> Result<i64, FormatError> {
        match id {
            builtin::INT => reader.int(),
            other => Err(wrong_type(other, "a number")),
        }
    }

    /// A string or bytes.
    pub(crate) fn bytes(&self, id: i64, reader: &mut Reader<'a>) -> Result<&'a [u8], FormatError> {
        match (id, self.known.get(&id)) {
            (builtin::STRING | builtin::BYTES, _) | (_, Some(Wire::Opaque)) => reader.bytes(),
            _ => Err(wrong_type(id, "a string")),
        }
    }

    /// A string that must be UTF-8.
    pub(crate) fn text(&self, id: i64, reader: &mut Reader<'a>) -> Result<String, FormatError> {
        let bytes = self.bytes(id, reader)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| {
            FormatError::corrupt(format!(
                "gob: the text \"{}\" is not UTF-8",
                bytes.escape_ascii()
            ))
        })
    }

    /// A list of strings.
    pub(crate) fn texts(
        &self,
        id: i64,
        reader: &mut Reader<'a>,
    ) -> Result<Vec<String>, FormatError> {
        let mut texts = Vec::new();
        self.each_item(id, reader, |id, reader| {
            texts.push(self.text(id, reader)?);
            Ok(())
        })?;
        Ok(texts)
    }

    /// Reads over a value of any type.
    pub(crate) fn skip(&self, id: i64, reader: &mut Reader<'a>) -> Result<(), FormatError> {
        self.skip_at(id, reader, 0)
    }

    fn skip_at(&self, id: i64, reader: &mut Reader<'a>, depth: u32) -> Result<(), FormatError> {
        if depth > MAX_DEPTH {
            return Err(FormatError::corrupt("gob: values nested too deep"));
        }
        match (id, self.known.get(&id)) {
            (builtin::BOOL | builtin::INT | builtin::UINT | builtin::FLOAT, _) => {
                reader.uint().map(drop)
            }
            (builtin::BYTES | builtin::STRING, _) | (_, Some(Wire::Opaque)) => {
                reader.bytes().map(drop)
            }
            (_, Some(Wire::Struct(_))) => self.each_field(id, reader, |_, id, reader| {
                self.skip_at(id, reader, depth + 1)
            }),
            (_, Some(Wire::Slice(_))) => {
                self.each_item(id, reader, |id, reader| self.skip_at(id, reader, depth + 1))
            }
            (_, Some(Wire::Map { key, value })) => {
                for _ in 0..reader.count()? {
                    self.skip_at(*key, reader, depth + 1)?;
                    self.skip_at(*value, reader, depth + 1)?;
                }
                Ok(())
            }
            (other, None) => Err(FormatError::corrupt(format!(
                "gob: the type {other} is not defined"
            ))),
        }
    }
}

/// Walks the fields of a struct value by number.
fn fields<'a>(
    reader: &mut Reader<'a>,
    mut field: impl FnMut(u64, &mut Reader<'a>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let mut next = 0u64;
    loop {
        let delta = reader.uint()?;
        if delta == 0 {
            return Ok(());
        }
        next = next
            .checked_add(delta)
            .ok_or_else(|| FormatError::corrupt("gob: a field number without bounds"))?;
        field(next - 1, reader)?;
    }
}

/// `CommonType`: name and id, which the definition's own id makes superfluous.
fn common(reader: &mut Reader<'_>) -> Result<(), FormatError> {
    fields(reader, |number, reader| match number {
        0 => reader.bytes().map(drop),
        1 => reader.int().map(drop),
        _ => Err(unknown_field("a type's name", number)),
    })
}

fn struct_fields<'a>(reader: &mut Reader<'a>) -> Result<Vec<(&'a [u8], i64)>, FormatError> {
    let mut found = Vec::new();
    fields(reader, |number, reader| match number {
        0 => common(reader),
        1 => {
            for _ in 0..reader.count()? {
                let (mut name, mut id) = (b"".as_slice(), 0);
                fields(reader, |number, reader| {
                    match number {
                        0 => name = reader.bytes()?,
                        1 => id = reader.int()?,
                        _ => return Err(unknown_field("a field's definition", number)),
                    }
                    Ok(())
                })?;
                found.push((name, id));
            }
            Ok(())
        }
        _ => Err(unknown_field("a struct's definition", number)),
    })?;
    Ok(found)
}

fn unknown_field(place: &str, number: u64) -> FormatError {
    FormatError::corrupt(format!("gob: {place} has no field {number}"))
}

fn wrong_type(id: i64, wanted: &str) -> FormatError {
    FormatError::corrupt(format!("gob: the type {id} where {wanted} should be"))
}

#[cfg(test)]
mod tests {
    use super::super::encode::{self, Fields, Shape, TypeDef};
    use super::*;

    const RECORD: i64 = 70;
    const LIST: i64 = 71;
    const TABLE: i64 = 72;
    const TYPES: &[TypeDef] = &[
        TypeDef {
            id: RECORD,
            name: "Record",
            shape: Shape::Struct(&[
                ("Newer", LIST),
                ("Name", builtin::STRING),
                ("Table", TABLE),
                ("Count", builtin::INT),
            ]),
        },
        TypeDef {
            id: LIST,
            name: "",
            shape: Shape::Slice(RECORD),
        },
        TypeDef {
            id: TABLE,
            name: "",
            shape: Shape::Map {
                key: builtin::STRING,
                value: LIST,
            },
        },
    ];

    /// A record nested `depth` deep in fields that a reader may not know.
    fn record(out: &mut Vec<u8>, depth: u32) {
        let mut fields = Fields::new(out);
        if depth > 0 {
            let out = fields.field(0);
            encode::uint(out, 1);
            record(out, depth - 1);
        }
        fields.bytes(1, b"name");
        fields.map(2, [("key", ())].into_iter(), |out, ()| encode::uint(out, 0));
        fields.int(3, -5);
        fields.end();
    }

    fn stream(depth: u32) -> Vec<u8> {
        let mut out = Vec::new();
        encode::definitions(&mut out, TYPES);
        encode::message(&mut out, |out| {
            encode::int(out, RECORD);
            record(out, depth);
        });
        out
    }

    fn read(bytes: &[u8]) -> Result<(String, i64), FormatError> {
        let (types, id, mut value) = first_value(&mut Reader::new(bytes))?;
        let mut found = (String::new(), 0);
        types.each_field(id, &mut value, |name, id, reader| {
            match name {
                b"Name" => found.0 = types.text(id, reader)?,
                b"Count" => found.1 = types.int(id, reader)?,
                _ => types.skip(id, reader)?,
            }
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn fields_of_a_newer_writer_are_read_over() {
        assert_eq!(read(&stream(3)).unwrap(), ("name".to_owned(), -5));
    }

    #[test]
    fn values_nested_without_end_are_refused() {
        let error = read(&stream(100)).unwrap_err();
        assert!(error.to_string().contains("too deep"), "{error}");
    }

    #[test]
    fn a_type_defined_twice_is_refused() {
        let bytes = [stream(0), stream(0)].concat();
        assert!(read(&bytes).is_ok());
        let mut twice = Vec::new();
        encode::definitions(&mut twice, TYPES);
        twice.extend(stream(0));
        assert!(read(&twice).is_err());
    }
}
