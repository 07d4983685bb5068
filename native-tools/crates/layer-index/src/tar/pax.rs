//! PAX extended headers: `length key=value\n` records.

use std::collections::BTreeMap;

use archive_format::model::Timestamp;

use super::header::Fault;

/// The records of one header by key; a later record wins.
pub(crate) type PaxRecords = BTreeMap<Vec<u8>, Vec<u8>>;

/// The key under which the pairs of sparse format 0.0 are kept, as format 0.1 writes them.
pub(crate) const SPARSE_MAP: &[u8] = b"GNU.sparse.map";

pub(crate) fn parse_pax(mut body: &[u8]) -> Result<PaxRecords, Fault> {
    let mut records = PaxRecords::new();
    let mut pairs: Vec<&[u8]> = Vec::new();
    while !body.is_empty() {
        let (key, value, rest) = record(body).ok_or("a PAX record is malformed")?;
        body = rest;
        let turn = pairs.len() % 2;
        match key {
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let expected: &[u8] = if turn == 0 {
                    b"GNU.sparse.offset"
                } else {
                    b"GNU.sparse.numbytes"
                };
                if key != expected || value.contains(&b',') {
                    return Err("the sparse map's PAX records are out of order");
                }
                pairs.push(value);
            }
            b"path" | b"linkpath" | b"uname" | b"gname" if value.contains(&0) => {
                return Err("a PAX name holds a NUL");
            }
            _ => {
                records.insert(key.to_vec(), value.to_vec());
            }
        }
    }
    if !pairs.is_empty() {
        records.insert(SPARSE_MAP.to_vec(), pairs.join(&b','));
    }
    Ok(records)
}

fn record(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = body.iter().position(|byte| *byte == b' ')?;
    let (length, rest) = body.split_at_checked(space)?;
    let length = usize::try_from(decimal(length)?).ok()?;
    if length < 5 {
        return None;
    }
    let rest = rest.get(1..)?;
    let (record, rest) = rest.split_at_checked(length.checked_sub(space + 1)?)?;
    let record = record.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = record.split_at_checked(equals)?;
    let value = value.get(1..)?;
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, rest))
}

/// A decimal number with an optional sign.
pub(crate) fn decimal(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Seconds with an optional fraction, maybe negative; digits beyond nanoseconds are cut off.
pub(crate) fn time(value: &[u8]) -> Option<Timestamp> {
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let whole = parts.next()?;
    let seconds = decimal(whole)?;
    let fraction = parts.next().unwrap_or(&[]);
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = fraction
        .iter()
        .chain(std::iter::repeat(&b'0'))
        .take(9)
        .fold(0u32, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    if whole.starts_with(b"-") && nanos > 0 {
        return Some(Timestamp {
            seconds: seconds.checked_sub(1)?,
            nanos: 1_000_000_000 - nanos,
        });
    }
    Some(Timestamp { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_length() {
        let records = parse_pax(b"12 path=a\nb\n20 SCHILY.xattr.u=\0\n").expect("valid");
        assert_eq!(
            records.get(&b"path"[..]).map(Vec::as_slice),
            Some(&b"a\nb"[..])
        );
        assert_eq!(
            records.get(&b"SCHILY.xattr.u"[..]).map(Vec::as_slice),
            Some(&b"\0"[..])
        );
    }

    #[test]
    fn malformed_records_are_faults() {
        for body in [
            &b"x"[..],
            b"4 a\n",
            b"99 path=a\n",
            b"10 path=a b",
            b"7 =abc\n",
            b"-9 path=a\n",
            b"11 path=a\0\n",
            b"27 GNU.sparse.numbytes=512\n",
        ] {
            let outcome = parse_pax(body);
            assert!(
                outcome.is_err(),
                "{:?} gave {outcome:?}",
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn times_have_nanoseconds_and_signs() {
        for (text, seconds, nanos) in [
            ("1700000000", 1_700_000_000, 0),
            ("1700000000.5", 1_700_000_000, 500_000_000),
            ("1.1234567899", 1, 123_456_789),
            ("-1", -1, 0),
            ("-0.25", -1, 750_000_000),
            ("-1.5", -2, 500_000_000),
            ("7.", 7, 0),
        ] {
            assert_eq!(
                time(text.as_bytes()),
                Some(Timestamp { seconds, nanos }),
                "{text}"
            );
        }
        for bad in ["", ".5", "1.x", "1e3", "99999999999999999999"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }
}
