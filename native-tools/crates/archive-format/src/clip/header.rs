//! The first 54 bytes.

use crate::FormatError;
use crate::wire::Cursor;

/// Length of the header.
pub const HEADER_BYTES: usize = 54;
/// First bytes of every CLIP archive.
pub const MAGIC: [u8; 9] = *b"\x89CLIP\r\n\x1a\n";
/// The storage type that promises a footer; as a C string it reads `oci`.
pub const OUR_STORAGE_TYPE: [u8; 12] = *b"oci\0clipyard";

/// The only version of the container.
const VERSION: u8 = 1;

/// Where the parts of a CLIP archive are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Offset of the node list.
    pub index_offset: u64,
    /// Its length.
    pub index_bytes: u64,
    /// Offset of the storage info.
    pub storage_offset: u64,
    /// Its length; 0 when there is none (V1 local).
    pub storage_bytes: u64,
    /// `oci`, `s3` or nothing, padded with NUL; CLIP readers do not look at it.
    pub storage_type: [u8; 12],
}

impl Header {
    /// Writes the 54 bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend(MAGIC);
        out.push(VERSION);
        for number in [
            self.index_bytes,
            self.index_offset,
            self.storage_bytes,
            self.storage_offset,
        ] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.storage_type);
        out
    }

    /// Reads the header of a file of `file_bytes` bytes from its first bytes.
    ///
    /// # Errors
    /// ARCHIVE_NOT_CLIP, or ARCHIVE_TRUNCATED when the file ends before the header or before a part that it names.
    pub fn decode(bytes: &[u8], file_bytes: u64) -> Result<Self, FormatError> {
        let magic = bytes.get(..MAGIC.len()).unwrap_or(bytes);
        if !MAGIC.starts_with(magic) {
            return Err(FormatError::NotClip(
                "its first bytes are others".to_owned(),
            ));
        }
        let Some(bytes) = bytes.get(MAGIC.len()..HEADER_BYTES) else {
            return Err(FormatError::Truncated(format!(
                "{} bytes, the header alone has {HEADER_BYTES}",
                bytes.len()
            )));
        };
        let mut cursor = Cursor::new(bytes, "header");
        let version = cursor.u8()?;
        if version != VERSION {
            return Err(FormatError::NotClip(format!("container version {version}")));
        }
        let header = Self {
            index_bytes: cursor.u64()?,
            index_offset: cursor.u64()?,
            storage_bytes: cursor.u64()?,
            storage_offset: cursor.u64()?,
            storage_type: cursor.array()?,
        };
        for (what, offset, length) in [
            ("node list", header.index_offset, header.index_bytes),
            ("storage info", header.storage_offset, header.storage_bytes),
        ] {
            if offset
                .checked_add(length)
                .is_none_or(|end| end > file_bytes)
            {
                return Err(FormatError::Truncated(format!(
                    "the {what} is {length} bytes at {offset}, the file has {file_bytes}"
                )));
            }
        }
        Ok(header)
    }

    /// Whether the header promises our footer.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.storage_type == OUR_STORAGE_TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            index_offset: 54,
            index_bytes: 591,
            storage_offset: 645,
            storage_bytes: 2047,
            storage_type: *b"oci\0\0\0\0\0\0\0\0\0",
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let bytes = header().encode();
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(Header::decode(&bytes, 2692).unwrap(), header());
    }

    #[test]
    fn a_cut_header_is_truncated_and_other_files_are_no_archive() {
        let bytes = header().encode();
        for length in 0..HEADER_BYTES {
            let cut = Header::decode(&bytes[..length], length as u64);
            assert!(matches!(cut, Err(FormatError::Truncated(_))), "{length}");
        }
        assert!(matches!(
            Header::decode(&bytes, 2691),
            Err(FormatError::Truncated(_))
        ));
        assert!(matches!(
            Header::decode(b"\x89PNG", 4),
            Err(FormatError::NotClip(_))
        ));
        let mut other = bytes;
        other[9] = 2;
        assert!(matches!(
            Header::decode(&other, 2692),
            Err(FormatError::NotClip(_))
        ));
    }
}
