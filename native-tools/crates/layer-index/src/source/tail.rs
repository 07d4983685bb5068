//! The end of a blob, kept while the blob goes by: a stream cannot be read again.

/// Enough for a seek table of 65 000 frames.
const KEPT_BYTES: usize = 512 << 10;

/// The last bytes of a blob.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// At least the last [`KEPT_BYTES`] of the blob, all of a smaller one.
    kept: Vec<u8>,
    /// Size of the blob so far.
    bytes: u64,
}

impl Tail {
    pub(super) fn saw(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        if self.kept.len() + piece.len() > 2 * KEPT_BYTES {
            self.kept
                .drain(..self.kept.len().saturating_sub(KEPT_BYTES));
        }
        self.kept.extend_from_slice(piece);
    }

    /// Size of the blob.
    pub(super) fn blob_bytes(&self) -> u64 {
        self.bytes
    }

    /// The last `N` bytes.
    pub(super) fn last<const N: usize>(&self) -> Option<[u8; N]> {
        self.kept.last_chunk::<N>().copied()
    }

    /// The bytes at an offset of the blob; none where they are not kept any more, or not there.
    pub(super) fn at(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let gone = self.bytes - self.kept.len() as u64;
        let start = usize::try_from(offset.checked_sub(gone)?).ok()?;
        self.kept.get(start..start.checked_add(length)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_stay_whatever_the_pieces() {
        let blob: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
        for piece in [1usize << 10, 65_537, 700_000, 3_000_000] {
            let mut tail = Tail::default();
            blob.chunks(piece).for_each(|bytes| tail.saw(bytes));
            assert_eq!(tail.blob_bytes(), blob.len() as u64);
            let start = blob.len() - KEPT_BYTES;
            assert_eq!(
                tail.at(start as u64, KEPT_BYTES),
                Some(&blob[start..]),
                "{piece}"
            );
            assert_eq!(tail.at(blob.len() as u64 - 4, 5), None);
            assert_eq!(
                tail.last::<4>().as_ref().map(|last| &last[..]),
                blob.last_chunk::<4>().map(|last| &last[..])
            );
        }
    }

    #[test]
    fn a_small_blob_is_kept_whole() {
        let mut tail = Tail::default();
        tail.saw(b"abc");
        assert_eq!(tail.at(0, 3), Some(&b"abc"[..]));
        assert_eq!(tail.last::<4>(), None);
        assert_eq!(tail.at(u64::MAX, 1), None);
    }
}
