//! Writing gob.

/// A type definition of a stream's prologue.
#[derive(Debug)]
pub(crate) struct TypeDef {
    pub(crate) id: i64,
    /// Go's name; empty for a type that was met through a pointer.
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
}

/// What a defined type is made of; ids name other definitions or built-in types.
#[derive(Debug)]
pub(crate) enum Shape {
    Slice(i64),
    Struct(&'static [(&'static str, i64)]),
    Map {
        key: i64,
        value: i64,
    },
    /// A type that marshals itself, such as `time.Time`.
    Opaque,
}

pub(crate) fn uint(out: &mut Vec<u8>, value: u64) {
    if value < 128 {
        out.extend(value.to_le_bytes().iter().take(1));
        return;
    }
    let bytes = value.to_be_bytes();
    let zeros = (value.leading_zeros() / 8) as usize;
    let count = bytes.len() - zeros;
    out.extend((count as u64).wrapping_neg().to_le_bytes().iter().take(1));
    out.extend(bytes.iter().skip(zeros));
}

pub(crate) fn int(out: &mut Vec<u8>, value: i64) {
    let bits = value.cast_unsigned();
    uint(out, if value < 0 { !bits << 1 | 1 } else { bits << 1 });
}

pub(crate) fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    uint(out, value.len() as u64);
    out.extend(value);
}

/// Appends a message: its length, then what `fill` writes.
pub(crate) fn message(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut payload = Vec::new();
    fill(&mut payload);
    bytes(out, &payload);
}

/// The fields of a struct value, in field order. A zero value is left out, as Go does.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    out: &'a mut Vec<u8>,
    next: u64,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, next: 0 }
    }

    /// Starts field `number`; the caller writes its value.
    pub(crate) fn field(&mut self, number: u64) -> &mut Vec<u8> {
        uint(self.out, number + 1 - self.next);
        self.next = number + 1;
        self.out
    }

    pub(crate) fn uint(&mut self, number: u64, value: u64) {
        if value != 0 {
            uint(self.field(number), value);
        }
    }

    pub(crate) fn int(&mut self, number: u64, value: i64) {
        if value != 0 {
            int(self.field(number), value);
        }
    }

    pub(crate) fn bytes(&mut self, number: u64, value: &[u8]) {
        if !value.is_empty() {
            bytes(self.field(number), value);
        }
    }

    pub(crate) fn strings(&mut self, number: u64, values: &[String]) {
        if !values.is_empty() {
            let out = self.field(number);
            uint(out, values.len() as u64);
            for value in values {
                bytes(out, value.as_bytes());
            }
        }
    }

    /// A map in the order given, which must be that of its keys for the output to be a function of the content.
    pub(crate) fn map<K: AsRef<[u8]>, V>(
        &mut self,
        number: u64,
        entries: impl ExactSizeIterator<Item = (K, V)>,
        mut value: impl FnMut(&mut Vec<u8>, V),
    ) {
        let out = self.field(number);
        uint(out, entries.len() as u64);
        for (key, item) in entries {
            bytes(out, key.as_ref());
            value(out, item);
        }
    }

    pub(crate) fn end(self) {
        uint(self.out, 0);
    }
}

/// Appends the messages that define `types`.
pub(crate) fn definitions(out: &mut Vec<u8>, types: &[TypeDef]) {
    for definition in types {
        message(out, |payload| {
            int(payload, -definition.id);
            wire_type(payload, definition);
        });
    }
}

fn wire_type(out: &mut Vec<u8>, definition: &TypeDef) {
    let mut outer = Fields::new(out);
    let number = match definition.shape {
        Shape::Slice(_) => 1,
        Shape::Struct(_) => 2,
        Shape::Map { .. } => 3,
        Shape::Opaque => 4,
    };
    let mut inner = Fields::new(outer.field(number));
    let mut common = Fields::new(inner.field(0));
    common.bytes(0, definition.name.as_bytes());
    common.int(1, definition.id);
    common.end();
    match definition.shape {
        Shape::Slice(element) => inner.int(1, element),
        Shape::Map { key, value } => {
            inner.int(1, key);
            inner.int(2, value);
        }
        Shape::Struct([]) | Shape::Opaque => {}
        Shape::Struct(fields) => {
            let out = inner.field(1);
            uint(out, fields.len() as u64);
            for (name, id) in fields {
                let mut field = Fields::new(out);
                field.bytes(0, name.as_bytes());
                field.int(1, *id);
                field.end();
            }
        }
    }
    inner.end();
    outer.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn numbers_have_the_bytes_that_go_writes() {
        for (value, want) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0xff, 0x80]),
            (16877, vec![0xfe, 0x41, 0xed]),
            (1_700_000_000, vec![0xfc, 0x65, 0x53, 0xf1, 0x00]),
            (
                (-62_135_596_800_i64).cast_unsigned(),
                vec![0xf8, 0xff, 0xff, 0xff, 0xf1, 0x88, 0x6e, 0x09, 0x00],
            ),
        ] {
            assert_eq!(written(|out| uint(out, value)), want, "{value}");
        }
        assert_eq!(written(|out| int(out, -68)), [0xff, 0x87]);
        assert_eq!(written(|out| int(out, 512)), [0xfe, 0x04, 0x00]);
    }
}
