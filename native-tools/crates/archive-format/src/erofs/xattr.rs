//! Extended attributes as EROFS stores them behind an inode.

use std::collections::BTreeMap;

use super::layout::{MAX_XATTR_BYTES, XATTR_HEADER_BYTES};
use crate::FormatError;
use crate::wire::{Cursor, pad};

/// Name prefixes that the format abbreviates; index 0 takes a whole name.
pub(crate) const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// The bytes behind the inode: header and entries; empty when there are no xattrs.
pub(crate) fn encode(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Vec<u8>, FormatError> {
    if xattrs.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = vec![0; XATTR_HEADER_BYTES];
    for (name, value) in xattrs {
        let (index, rest) = abbreviate(name);
        let too_long = |what: &str, length: usize, most: usize| {
            FormatError::limit(format!(
                "xattr {}: {what} of {length} bytes, at most {most}",
                name.escape_ascii()
            ))
        };
        let name_length = u8::try_from(rest.len())
            .map_err(|_| too_long("a name", rest.len(), usize::from(u8::MAX)))?;
        let value_length = u16::try_from(value.len())
            .map_err(|_| too_long("a value", value.len(), usize::from(u16::MAX)))?;
        out.push(name_length);
        out.push(index);
        out.extend(value_length.to_le_bytes());
        out.extend(rest);
        out.extend(value);
        pad(&mut out, 4);
        if out.len() > MAX_XATTR_BYTES {
            return Err(too_long("all attributes", out.len(), MAX_XATTR_BYTES));
        }
    }
    Ok(out)
}

fn abbreviate(name: &[u8]) -> (u8, &[u8]) {
    PREFIXES
        .iter()
        .filter(|(index, prefix)| !matches!(index, 2 | 3) || name.len() == prefix.len())
        .find_map(|(index, prefix)| name.strip_prefix(*prefix).map(|rest| (*index, rest)))
        .unwrap_or((0, name))
}

/// Reads the bytes behind an inode.
pub(crate) fn decode(bytes: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, FormatError> {
    let mut cursor = Cursor::new(bytes, "erofs xattrs");
    cursor.zeros(XATTR_HEADER_BYTES)?;
    let mut xattrs = BTreeMap::new();
    while cursor.remaining() > 0 {
        let name_length = usize::from(cursor.u8()?);
        let index = cursor.u8()?;
        let value_length = usize::from(cursor.u16()?);
        let prefix = match PREFIXES.iter().find(|(known, _)| *known == index) {
            Some((_, prefix)) => *prefix,
            None if index == 0 => b"".as_slice(),
            None => {
                return Err(FormatError::corrupt(format!(
                    "erofs xattrs: name index {index}"
                )));
            }
        };
        let name = [prefix, cursor.take(name_length)?].concat();
        let value = cursor.take(value_length)?.to_vec();
        cursor.align(4)?;
        if let Some(_twice) = xattrs.insert(name, value) {
            return Err(FormatError::corrupt("erofs xattrs: a name twice"));
        }
    }
    Ok(xattrs)
}
