//! Where chunks and spans of a layer lie: pure arithmetic over the layer table.

use std::ops::Range;

use archive_format::tables::{Codec, LayerTable};

/// A span that is stored or decoded longer than this is decoded as a stream, once and for all readers: no reader waits
/// for the whole of it before its first chunk is there, and it never lies in memory whole.
const STREAMED_BYTES: u64 = 8 << 20;

/// Starts of chunks and spans; each list ends with the end of the last one.
#[derive(Debug)]
pub struct Geometry {
    chunk_plain: Vec<u64>,
    span_plain: Vec<u64>,
    span_stored: Vec<u64>,
    /// By span: bits of the byte before it that belong to it; nothing where all spans are whole members or frames.
    bits: Vec<u8>,
}

/// What must be read and decoded to have some chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The spans.
    pub spans: Range<usize>,
    /// Their bytes in the blob, with the byte before when the first one begins inside it.
    pub stored: Range<u64>,
    /// Their bytes in the plain stream.
    pub plain: Range<u64>,
}

impl Geometry {
    /// Of a table that was checked (`LayerTable::check`).
    #[must_use]
    pub fn of(table: &LayerTable) -> Self {
        let chunk_plain = starts(0, table.chunks.iter().map(|chunk| u64::from(chunk.plain)));
        let first = table.first_span;
        let (span_plain, span_stored) = match table.codec {
            // Plain bytes can be cut anywhere: a chunk is its own span.
            Codec::Plain => (
                chunk_plain.clone(),
                starts(
                    first,
                    table.chunks.iter().map(|chunk| u64::from(chunk.plain)),
                ),
            ),
            Codec::Gzip | Codec::Zstd => (
                starts(0, table.spans.iter().map(|span| span.plain)),
                starts(first, table.spans.iter().map(|span| span.stored)),
            ),
        };
        Self {
            chunk_plain,
            span_plain,
            span_stored,
            bits: table
                .seek
                .as_ref()
                .map_or_else(Vec::new, |seek| seek.bits.clone()),
        }
    }

    /// Number of chunks.
    #[must_use]
    pub fn chunk_count(&self) -> u32 {
        u32::try_from(self.chunk_plain.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Length of the plain stream.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        self.chunk_plain.last().copied().unwrap_or_default()
    }

    /// The bytes of a chunk in the plain stream.
    #[must_use]
    pub fn chunk(&self, chunk: u32) -> Range<u64> {
        let at = |index: usize| {
            self.chunk_plain
                .get(index)
                .copied()
                .unwrap_or(self.plain_bytes())
        };
        at(chunk as usize)..at(chunk as usize + 1)
    }

    /// The chunks that hold any byte of a stretch of the plain stream.
    #[must_use]
    pub fn chunks(&self, plain: Range<u64>) -> Range<u32> {
        let range = overlapping(&self.chunk_plain, &plain);
        let index = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        index(range.start)..index(range.end)
    }

    /// The chunks that lie wholly in a stretch of the plain stream.
    #[must_use]
    pub fn whole_chunks(&self, plain: Range<u64>) -> Range<u32> {
        let touched = self.chunks(plain.clone());
        let is_cut = |chunk: u32| {
            let range = self.chunk(chunk);
            range.start < plain.start || range.end > plain.end
        };
        let start = touched.start + u32::from(!touched.is_empty() && is_cut(touched.start));
        let end = touched.end - u32::from(start < touched.end && is_cut(touched.end - 1));
        start..end
    }

    /// What must be read to have `chunks`.
    #[must_use]
    pub fn plan(&self, chunks: Range<u32>) -> Plan {
        self.plan_of_bytes(
            self.chunk(chunks.start).start..self.chunk(chunks.end.saturating_sub(1)).end,
        )
    }

    /// What must be read to have a stretch of the plain stream.
    #[must_use]
    pub fn plan_of_bytes(&self, plain: Range<u64>) -> Plan {
        self.plan_of(overlapping(&self.span_plain, &plain))
    }

    /// What must be read to have all of `spans`.
    #[must_use]
    pub fn plan_of(&self, spans: Range<usize>) -> Plan {
        let at = |list: &[u64], index: usize| list.get(index).copied().unwrap_or_default();
        let early = u64::from(self.bits(spans.start) > 0);
        let start = at(&self.span_stored, spans.start).saturating_sub(early);
        Plan {
            stored: start..at(&self.span_stored, spans.end),
            plain: at(&self.span_plain, spans.start)..at(&self.span_plain, spans.end),
            spans,
        }
    }

    /// About how many bytes of the blob a chunk takes.
    #[must_use]
    pub fn stored_bytes(&self, chunk: u32) -> u64 {
        let range = self.chunk(chunk);
        let plan = self.plan(chunk..chunk.saturating_add(1));
        let stored = u128::from(plan.stored.end.saturating_sub(plan.stored.start));
        let plain = u128::from(plan.plain.end.saturating_sub(plan.plain.start)).max(1);
        let share = stored * u128::from(range.end.saturating_sub(range.start)) / plain;
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// Bits of the byte before a span that belong to it.
    #[must_use]
    pub fn bits(&self, span: usize) -> u8 {
        self.bits.get(span).copied().unwrap_or_default()
    }

    /// Whether each chunk is a span of its own, as in layers that we packed: none needs bytes that another one needs.
    #[must_use]
    pub fn is_cut_alike(&self) -> bool {
        self.span_plain == self.chunk_plain
    }

    /// Whether spans are entered in the middle of a member.
    #[must_use]
    pub fn has_points(&self) -> bool {
        !self.bits.is_empty()
    }

    /// Stored and plain length of a span.
    #[must_use]
    pub fn span(&self, span: usize) -> (u64, u64) {
        let length = |list: &[u64]| match (list.get(span), list.get(span + 1)) {
            (Some(start), Some(end)) => end - start,
            _ => 0,
        };
        (length(&self.span_stored), length(&self.span_plain))
    }

    /// Whether a span is decoded as a stream.
    #[must_use]
    pub fn is_streamed(&self, span: usize) -> bool {
        let (stored, plain) = self.span(span);
        stored > STREAMED_BYTES || plain > STREAMED_BYTES
    }

    /// The longest streamed span, if there is one: why the layer is not read lazily.
    #[must_use]
    pub fn largest_streamed(&self) -> Option<(u64, u64)> {
        (0..self.span_plain.len().saturating_sub(1))
            .filter(|span| self.is_streamed(*span))
            .map(|span| self.span(span))
            .max()
    }
}

fn starts(first: u64, lengths: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut at = first;
    let mut out = vec![at];
    for length in lengths {
        at = at.saturating_add(length);
        out.push(at);
    }
    out
}

/// Indexes of the pieces (given by their starts and one end) that overlap a stretch that is not empty.
fn overlapping(starts: &[u64], stretch: &Range<u64>) -> Range<usize> {
    let ends = starts.get(1..).unwrap_or_default();
    let first = ends.partition_point(|end| *end <= stretch.start);
    let end = starts
        .partition_point(|start| *start < stretch.end)
        .min(ends.len());
    first..end.max(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::table_of;

    #[test]
    fn spans_that_do_not_match_chunks_are_read_whole() {
        // chunks of 4, 4, 2; spans of 3, 0, 5, 2 plain bytes
        let table = table_of(&[4, 4, 2], &[(10, 3), (1, 0), (12, 5), (6, 2)], 7);
        let geometry = Geometry::of(&table);
        let plan = geometry.plan(1..2);
        assert_eq!(
            plan,
            Plan {
                spans: 2..3,
                stored: 18..30,
                plain: 3..8
            }
        );
        assert_eq!(geometry.plan(0..1).spans, 0..3);
        assert_eq!(geometry.plan(2..3).stored, 30..36);
        assert_eq!(geometry.chunks(3..5), 0..2);
        assert_eq!(geometry.chunks(8..10), 2..3);
    }

    proptest! {
        #[test]
        fn a_plan_covers_its_chunks_and_no_span_more(
            chunks in prop::collection::vec(1u32..50, 1..20),
            cuts in prop::collection::vec(0u64..1000, 0..10),
            pick in any::<prop::sample::Index>(),
            length in 1usize..5,
        ) {
            let total: u64 = chunks.iter().map(|chunk| u64::from(*chunk)).sum();
            let mut ends: Vec<u64> = cuts.iter().map(|cut| cut % total).chain([total]).collect();
            ends.sort_unstable();
            let mut before = 0;
            let spans: Vec<(u64, u64)> = ends
                .iter()
                .map(|end| {
                    let plain = end - before;
                    before = *end;
                    (plain + 1, plain)
                })
                .collect();
            let geometry = Geometry::of(&table_of(&chunks, &spans, 3));
            let first = pick.index(chunks.len());
            let last = (first + length).min(chunks.len());
            let range = u32::try_from(first).unwrap()..u32::try_from(last).unwrap();
            let wanted = geometry.chunk(range.start).start..geometry.chunk(range.end - 1).end;
            let plan = geometry.plan(range.clone());
            prop_assert!(plan.plain.start <= wanted.start && plan.plain.end >= wanted.end);
            let (_, first_plain) = geometry.span(plan.spans.start);
            let (_, last_plain) = geometry.span(plan.spans.end - 1);
            prop_assert!(plan.plain.start + first_plain > wanted.start);
            prop_assert!(plan.plain.end - last_plain < wanted.end);
            prop_assert_eq!(geometry.chunks(wanted), range);
        }
    }
}
