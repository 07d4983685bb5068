//! One 512-byte header block: checksum, flavour, fields. Field rules follow Go's `archive/tar`.

use super::BLOCK_LENGTH;

/// A header block.
pub(crate) type Block = [u8; BLOCK_LENGTH];

/// Which family of tar wrote the block, by its magic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// What the fixed fields say.
#[derive(Debug, Clone)]
pub(crate) struct RawHeader {
    pub(crate) typeflag: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) size: i64,
    pub(crate) mode: i64,
    pub(crate) uid: i64,
    pub(crate) gid: i64,
    pub(crate) mtime: i64,
    pub(crate) device_major: i64,
    pub(crate) device_minor: i64,
}

/// Why a block is no header.
pub(crate) type Fault = &'static str;

pub(crate) fn field(block: &[u8], offset: usize, length: usize) -> &[u8] {
    block
        .get(offset..offset.saturating_add(length))
        .unwrap_or(&[])
}

/// A NUL-terminated text, or the whole field.
pub(crate) fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(&[])
}

pub(crate) fn parse_header(block: &Block) -> Result<RawHeader, Fault> {
    let flavour = flavour(block)?;
    let mut header = RawHeader {
        typeflag: block[156],
        name: text(field(block, 0, 100)).to_vec(),
        link: text(field(block, 157, 100)).to_vec(),
        size: number(field(block, 124, 12))?,
        mode: number(field(block, 100, 8))?,
        uid: number(field(block, 108, 8))?,
        gid: number(field(block, 116, 8))?,
        mtime: number(field(block, 136, 12))?,
        device_major: 0,
        device_minor: 0,
    };
    if flavour == Flavour::V7 {
        return Ok(header);
    }
    header.device_major = number(field(block, 329, 8))?;
    header.device_minor = number(field(block, 337, 8))?;
    let prefix = match flavour {
        Flavour::V7 => &[],
        Flavour::Ustar => text(field(block, 345, 155)),
        Flavour::Star => {
            number(field(block, 476, 12))?;
            number(field(block, 488, 12))?;
            text(field(block, 345, 131))
        }
        Flavour::Gnu => gnu_prefix(block),
    };
    if !prefix.is_empty() {
        header.name = [prefix, b"/", &header.name].concat();
    }
    Ok(header)
}

/// GNU headers have times where ustar has the prefix. Go before 1.8 wrote a prefix there all the same; it shows by
/// times that are no numbers.
fn gnu_prefix(block: &Block) -> &[u8] {
    let times = [field(block, 345, 12), field(block, 357, 12)];
    let broken = times
        .iter()
        .any(|time| time.first() != Some(&0) && number(time).is_err());
    let prefix = text(field(block, 345, 155));
    if broken && prefix.is_ascii() {
        prefix
    } else {
        &[]
    }
}

pub(crate) fn flavour(block: &Block) -> Result<Flavour, Fault> {
    let stored = octal(field(block, 148, 8)).map_err(|_| "its checksum field is no number")?;
    let (mut unsigned, mut signed) = (0i64, 0i64);
    for (at, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&at) {
            b' '
        } else {
            *byte
        };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    if stored != unsigned && stored != signed {
        return Err("its checksum is wrong");
    }
    Ok(match (field(block, 257, 6), field(block, 263, 2)) {
        (b"ustar\0", _) if field(block, 508, 4) == b"tar\0" => Flavour::Star,
        (b"ustar\0", _) => Flavour::Ustar,
        (b"ustar ", b" \0") => Flavour::Gnu,
        _ => Flavour::V7,
    })
}

/// An octal number, or a base-256 one when the first bit is set.
pub(crate) fn number(bytes: &[u8]) -> Result<i64, Fault> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => base256(bytes),
        _ => octal(bytes),
    }
}

fn base256(bytes: &[u8]) -> Result<i64, Fault> {
    let negative = bytes.first().is_some_and(|first| first & 0x40 != 0);
    let flip = if negative { 0xff } else { 0 };
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate() {
        let mut byte = byte ^ flip;
        if at == 0 {
            byte &= 0x7f;
        }
        if value >> 56 != 0 {
            return Err("a number does not fit into 64 bits");
        }
        value = value << 8 | u64::from(byte);
    }
    let value = i64::try_from(value).map_err(|_| "a number does not fit into 64 bits")?;
    Ok(if negative { !value } else { value })
}

fn octal(bytes: &[u8]) -> Result<i64, Fault> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(start) = bytes.iter().position(|byte| !is_padding(byte)) else {
        return Ok(0);
    };
    let end = bytes
        .iter()
        .rposition(|byte| !is_padding(byte))
        .map_or(start, |last| last + 1);
    let digits = text(bytes.get(start..end).unwrap_or(&[]));
    digits.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value
            .checked_mul(8)
            .and_then(|value| value.checked_add(i64::from(digit - b'0')))
            .ok_or("a number does not fit into 64 bits"),
        _ => Err("a number has other characters than octal digits"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_numbers_may_be_padded_with_spaces_and_nuls() {
        for (bytes, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"644\0 755", 0o644),
            (b"77777777777\0", 0o77_777_777_777),
        ] {
            assert_eq!(number(bytes), Ok(value), "{bytes:?}");
        }
    }

    #[test]
    fn base_256_numbers_hold_large_and_negative_values() {
        let mut field = [0u8; 12];
        field[0] = 0x80;
        field[11] = 5;
        assert_eq!(number(&field), Ok(5));
        assert_eq!(number(&[0xff; 12]), Ok(-1));
        assert_eq!(
            number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]),
            Ok(-2)
        );
        let mut large = [0u8; 12];
        large[0] = 0x80;
        large[3] = 1;
        assert!(number(&large).is_err());
    }

    #[test]
    fn other_characters_are_no_number() {
        for bytes in [
            &b"0000648\0"[..],
            b"-000644\0",
            b"12 34\0\0\0",
            b"abcdefg\0",
        ] {
            assert!(number(bytes).is_err(), "{bytes:?}");
        }
    }
}
