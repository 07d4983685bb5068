//! Sees who reads a layer front to back, and says what to fetch before it is asked for.

use std::ops::Range;

/// Readers told apart in one layer; the least recently seen is forgotten.
const MAX_STREAMS: usize = 16;

/// What to fetch ahead: the chunks, and the one that says "go on" when it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) chunks: Range<u32>,
    pub(super) marker: u32,
}

/// The sequential readers of one layer.
#[derive(Debug)]
pub(super) struct ReadAhead {
    streams: Vec<Stream>,
    /// Longest window in chunks.
    most: u32,
    count: u32,
    tick: u64,
}

#[derive(Debug)]
struct Stream {
    /// First chunk that was not asked for yet.
    next: u32,
    window: u32,
    marker: Option<u32>,
    seen: u64,
}

impl ReadAhead {
    /// For a layer of `count` chunks and windows of at most `most` chunks.
    pub(super) fn new(count: u32, most: u32) -> Self {
        Self {
            streams: Vec::new(),
            most: most.max(1),
            count,
            tick: 0,
        }
    }

    /// A reader had to wait for `chunks`. A reader that comes where another stopped is taken for the same one: its
    /// window starts with one chunk and doubles each time.
    pub(super) fn missed(&mut self, chunks: &Range<u32>) -> Option<Ahead> {
        self.tick += 1;
        let tick = self.tick;
        let known = self
            .streams
            .iter_mut()
            .find(|stream| stream.next == chunks.start);
        if let Some(stream) = known {
            stream.next = chunks.end;
            return stream.advance(self.most, self.count, tick);
        }
        if self.streams.len() >= MAX_STREAMS {
            let oldest = self
                .streams
                .iter()
                .enumerate()
                .min_by_key(|(_, stream)| stream.seen);
            if let Some((index, _)) = oldest {
                self.streams.swap_remove(index);
            }
        }
        self.streams.push(Stream {
            next: chunks.end,
            window: 0,
            marker: None,
            seen: tick,
        });
        None
    }

    /// A reader came to a marker.
    pub(super) fn reached(&mut self, marker: u32) -> Option<Ahead> {
        self.tick += 1;
        let tick = self.tick;
        let stream = self
            .streams
            .iter_mut()
            .find(|stream| stream.marker == Some(marker))?;
        stream.advance(self.most, self.count, tick)
    }
}

impl Stream {
    fn advance(&mut self, most: u32, count: u32, tick: u64) -> Option<Ahead> {
        self.seen = tick;
        self.window = self.window.saturating_mul(2).clamp(1, most);
        let chunks = self.next..self.next.saturating_add(self.window).min(count);
        if chunks.is_empty() {
            self.marker = None;
            return None;
        }
        self.marker = Some(chunks.start);
        self.next = chunks.end;
        Some(Ahead {
            marker: chunks.start,
            chunks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_from_front_to_back_gets_growing_windows() {
        let mut ahead = ReadAhead::new(100, 8);
        assert_eq!(ahead.missed(&(0..1)), None);
        let mut got = vec![];
        let mut next = ahead.missed(&(1..2));
        while let Some(window) = next {
            got.push(window.chunks.len());
            next = ahead.reached(window.marker);
            assert!(got.len() < 20);
        }
        assert_eq!(got, [1, 2, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 3]);
    }

    #[test]
    fn scattered_reads_fetch_nothing_ahead() {
        let mut ahead = ReadAhead::new(1000, 16);
        for chunk in (0..1000).step_by(7) {
            assert_eq!(ahead.missed(&(chunk..chunk + 1)), None, "{chunk}");
        }
    }

    #[test]
    fn two_readers_are_told_apart() {
        let mut ahead = ReadAhead::new(1000, 16);
        assert_eq!(ahead.missed(&(0..1)), None);
        assert_eq!(ahead.missed(&(500..501)), None);
        assert_eq!(ahead.missed(&(1..2)).unwrap().chunks, 2..3);
        assert_eq!(ahead.missed(&(501..502)).unwrap().chunks, 502..503);
    }
}
