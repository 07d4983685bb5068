//! Says what to fetch before it is asked for, from the reads alone: no clock, no network.

use std::ops::Range;

use super::stride::Strides;

/// Readers told apart in one layer; the least recently seen is forgotten.
const MAX_STREAMS: usize = 16;

/// A read this long is the kernel's own read-ahead at its limit (128 KiB), which it cuts at the end of a file: the file
/// goes on behind it. Shorter reads of a program's start end where their file ends (ADR 0015). Where the kernel is told to
/// read less ahead, as engine erofs does, long runs alone count: then fewer bytes are fetched for as few waits (ADR 0020).
const FULL_READ: u64 = 96 << 10;

/// A reader that came this far without a gap goes on, however short its reads are.
const LONG_RUN: u64 = 512 << 10;

/// The first window: one frame of the layers that we pack.
const FIRST_WINDOW: u64 = 256 << 10;

/// The longest.
const LONGEST_WINDOW: u64 = 4 << 20;

/// The readers of one layer, by the bytes of its plain stream.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    streams: Vec<Stream>,
    strides: Strides,
    tick: u64,
}

#[derive(Debug)]
struct Stream {
    /// Where its last read ended.
    end: u64,
    /// Bytes read without a gap.
    run: u64,
    seen: u64,
}

impl ReadAhead {
    /// Takes note of a read; gives the stretches that are worth fetching ahead of the reads to come. A window is half as
    /// long as what was read without a gap.
    pub(super) fn read(&mut self, read: Range<u64>) -> Vec<Range<u64>> {
        let length = read.end.saturating_sub(read.start);
        let (run, follows) = self.stream(&read, length);
        if length >= FULL_READ || run >= LONG_RUN {
            self.strides.note(&read);
            let window = (run / 2).clamp(FIRST_WINDOW, LONGEST_WINDOW);
            let end = read.end.saturating_add(window);
            return std::iter::once(read.end..end).collect();
        }
        if follows {
            return vec![];
        }
        self.strides.read(&read)
    }

    /// Bytes that were read without a gap up to the end of this read, and whether it continued a known reader.
    fn stream(&mut self, read: &Range<u64>, length: u64) -> (u64, bool) {
        self.tick += 1;
        let known = self.streams.iter_mut().find(|s| s.end == read.start);
        if let Some(stream) = known {
            stream.run = stream.run.saturating_add(length);
            stream.end = read.end;
            stream.seen = self.tick;
            return (stream.run, true);
        }
        if self.streams.len() >= MAX_STREAMS {
            let streams = self.streams.iter().enumerate();
            if let Some((oldest, _)) = streams.min_by_key(|(_, stream)| stream.seen) {
                self.streams.swap_remove(oldest);
            }
        }
        self.streams.push(Stream {
            end: read.end,
            run: length,
            seen: self.tick,
        });
        (length, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;

    fn lengths(ahead: &mut ReadAhead, read: Range<u64>) -> Vec<u64> {
        let windows = ahead.read(read.clone());
        for window in &windows {
            assert_eq!(window.start, read.end);
        }
        windows.iter().map(|w| w.end - w.start).collect()
    }

    #[test]
    fn a_reader_from_front_to_back_gets_growing_windows() {
        let mut ahead = ReadAhead::default();
        let mut got = vec![];
        for at in 0..100 {
            got.extend(lengths(&mut ahead, at * 128 * KIB..(at + 1) * 128 * KIB));
        }
        assert_eq!(got[..6], [256, 256, 256, 256, 320, 384].map(|n| n * KIB));
        assert!(got.is_sorted());
        assert_eq!(got.last(), Some(&LONGEST_WINDOW));
    }

    #[test]
    fn short_reads_count_when_they_follow_each_other_for_long() {
        let mut ahead = ReadAhead::default();
        let windows: Vec<_> = (0..200)
            .map(|at| ahead.read(at * 4 * KIB..(at + 1) * 4 * KIB).len())
            .collect();
        assert_eq!(windows.iter().position(|count| *count > 0), Some(127));
    }

    #[test]
    fn scattered_reads_fetch_nothing_ahead() {
        let mut ahead = ReadAhead::default();
        let mut at = 1u64;
        for _ in 0..2000 {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let start = (at >> 34) * 4 * KIB;
            assert!(ahead.read(start..start + 4 * KIB).is_empty());
        }
    }

    #[test]
    fn readers_are_told_apart() {
        let mut ahead = ReadAhead::default();
        for at in 0..8 {
            for reader in 0..4 {
                let start = ((reader * reader) << 30) + at * 64 * KIB;
                let windows = ahead.read(start..start + 64 * KIB);
                assert_eq!(windows.len(), usize::from(at == 7), "{reader} {at}");
            }
        }
    }

    #[test]
    fn nothing_overflows_at_the_end_of_all_numbers() {
        let mut ahead = ReadAhead::default();
        for _ in 0..10 {
            let _ = ahead.read(u64::MAX - 200 * KIB..u64::MAX);
            let _ = ahead.read(0..10);
        }
    }
}
