//! Little-endian reading with bounds, and padding.

use crate::FormatError;
use crate::digest::Digest;

/// Reads little-endian fields front to back; running out is a coded error that names the part.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
    part: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Self {
            bytes,
            position: 0,
            part,
        }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..length).ok_or_else(|| {
            FormatError::corrupt(format!(
                "{}: {length} bytes wanted at {}, {} left",
                self.part,
                self.position,
                rest.len()
            ))
        })?;
        self.position += length;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn digest(&mut self) -> Result<Digest, FormatError> {
        self.array()
    }

    /// A length that must fit into what is left: stops huge allocations before they are made.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Result<usize, FormatError> {
        let count = self.u32()? as usize;
        if count.saturating_mul(bytes_each) > self.remaining() {
            return Err(FormatError::corrupt(format!(
                "{}: {count} items of {bytes_each} bytes do not fit into {} bytes",
                self.part,
                self.remaining()
            )));
        }
        Ok(count)
    }

    pub(crate) fn zeros(&mut self, length: usize) -> Result<(), FormatError> {
        let at = self.position;
        if self.take(length)?.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(FormatError::corrupt(format!(
                "{}: padding at {at} is not zero",
                self.part
            )))
        }
    }

    /// Skips zero padding to the next multiple of `alignment` of the position.
    pub(crate) fn align(&mut self, alignment: usize) -> Result<(), FormatError> {
        self.zeros(self.position.next_multiple_of(alignment) - self.position)
    }

    pub(crate) fn end(&self) -> Result<(), FormatError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(FormatError::corrupt(format!(
                "{}: {left} bytes too many",
                self.part
            ))),
        }
    }
}

/// Appends zeros up to a multiple of `alignment`.
pub(crate) fn pad(out: &mut Vec<u8>, alignment: usize) {
    out.resize(out.len().next_multiple_of(alignment), 0);
}

/// A length for a 32-bit field.
pub(crate) fn u32_len(length: usize, what: &str) -> Result<u32, FormatError> {
    u32::try_from(length)
        .map_err(|_| FormatError::limit(format!("{what}: {length} does not fit into 32 bits")))
}
