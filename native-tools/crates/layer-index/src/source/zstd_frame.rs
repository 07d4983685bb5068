//! The header of a zstd frame (RFC 8878, "Frame_Header"), gathered from the bytes that a decoder takes.

/// Longest header: magic, descriptor, window, dictionary, content size.
const MAX_HEADER_BYTES: usize = 4 + 1 + 1 + 4 + 8;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const SINGLE_SEGMENT: u8 = 0x20;

/// The first bytes of a frame, as far as they have come. Of a skippable frame they say nothing.
#[derive(Debug, Default)]
pub(super) struct FrameStart {
    bytes: [u8; MAX_HEADER_BYTES],
    filled: usize,
}

impl FrameStart {
    /// Takes the next bytes of the frame; those behind the header do not matter.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let length = room.len().min(bytes.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..length), bytes.get(..length)) {
            room.copy_from_slice(bytes);
            self.filled += length;
        }
    }

    /// The window that decoding takes; of a single segment that is its whole content.
    pub(super) fn window_bytes(&self) -> Option<u64> {
        let descriptor = self.descriptor()?;
        if descriptor & SINGLE_SEGMENT != 0 {
            return self.content_bytes();
        }
        let window = self.field(5, 1)?;
        let base = 1u64 << (10 + (window >> 3));
        Some(base + (base / 8) * (window & 7))
    }

    /// How much content the frame says it has, where it says so.
    pub(super) fn content_bytes(&self) -> Option<u64> {
        let descriptor = self.descriptor()?;
        let is_single = descriptor & SINGLE_SEGMENT != 0;
        let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
        let start = 5 + usize::from(!is_single) + dictionary;
        match descriptor >> 6 {
            0 if is_single => self.field(start, 1),
            0 => None,
            1 => Some(self.field(start, 2)? + 256),
            2 => self.field(start, 4),
            _ => self.field(start, 8),
        }
    }

    fn descriptor(&self) -> Option<u8> {
        let is_frame = self.filled > MAGIC.len() && self.bytes.starts_with(&MAGIC);
        self.bytes.get(MAGIC.len()).copied().filter(|_| is_frame)
    }

    /// A little-endian number, once all of it has come.
    fn field(&self, start: usize, length: usize) -> Option<u64> {
        let end = start + length;
        let bytes = self.bytes.get(start..end).filter(|_| end <= self.filled)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    }
}
