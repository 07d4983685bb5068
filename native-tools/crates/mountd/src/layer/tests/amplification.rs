//! How many bytes are received for all that is read, by kind of blob and order of files.

use super::harness::{Harness, read};
use crate::testing::points::windows_of;
use crate::testing::{Stored, assert_same, layer, sample};

/// As the indexer cuts foreign layers.
const CHUNK: u32 = 256 << 10;

/// Longest read of the kernel.
const READ: usize = 128 << 10;

const PLAIN: usize = 10 << 20;

/// Ours, foreign gzip with windows, members that match no chunk.
const KINDS: [Stored; 4] = [
    Stored::ZstdFrames,
    Stored::GzipPoints(1 << 20),
    Stored::GzipMembers(1 << 20),
    Stored::GzipMembers(300_000),
];

/// Where a file lies in the layer.
type Place = std::ops::Range<usize>;

/// Files of 512 bytes to 512 KiB, one behind the other.
fn files() -> Vec<Place> {
    let mut state = 77u64;
    let mut files = vec![];
    let mut at = 0;
    while at < PLAIN {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let size =
            (512usize << ((state >> 33) % 11)) + usize::try_from((state >> 40) % 1024).unwrap();
        let end = PLAIN.min(at + size);
        files.push(at..end);
        at = end;
    }
    files
}

fn shuffled(mut files: Vec<Place>) -> Vec<Place> {
    files.sort_by_key(|file| (file.start as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    files
}

/// What came, and how much of it was new.
#[derive(Debug)]
struct Received {
    bytes: u64,
    distinct: u64,
    requests: u64,
    blob: u64,
}

impl Received {
    /// A span that begins inside a byte has that byte again.
    fn shared_bytes(&self) -> u64 {
        self.requests
    }
}

fn received(stored: Stored, plain: &[u8], files: &[Place]) -> Received {
    let (table, blob) = layer(plain, stored, CHUNK);
    let harness = Harness::with(&table, &blob);
    harness.write_windows(&windows_of(&table, plain));
    let (layer, _) = harness.open(&table);
    for file in files {
        for at in file.clone().step_by(READ) {
            let length = READ.min(file.end - at);
            let bytes = read(&layer, at, length).unwrap();
            assert_same(bytes, &plain[at..at + length], at);
        }
    }
    let log = harness.server.log();
    let mut ranges: Vec<_> = log.iter().filter_map(|seen| seen.range).collect();
    ranges.sort_unstable();
    let mut distinct = 0;
    let mut end = 0;
    for (first, last) in &ranges {
        distinct += (last + 1).saturating_sub(end.max(*first));
        end = end.max(last + 1);
    }
    Received {
        bytes: ranges.iter().map(|(first, last)| last - first + 1).sum(),
        distinct,
        requests: ranges.len() as u64,
        blob: blob.len() as u64,
    }
}

#[test]
fn everything_read_in_any_order_is_received_once() {
    let plain = sample(PLAIN, 90);
    for stored in KINDS {
        for files in [files(), shuffled(files())] {
            let got = received(stored, &plain, &files);
            assert!(
                got.bytes <= got.blob + got.shared_bytes(),
                "{stored:?}: {got:?}"
            );
        }
    }
}

#[test]
fn one_file_is_received_with_the_spans_it_lies_in_and_none_twice() {
    let plain = sample(PLAIN, 91);
    let file = 7_000_000..8_000_000;
    for stored in KINDS {
        let got = received(stored, &plain, std::slice::from_ref(&file));
        assert!(
            got.bytes <= got.distinct + got.shared_bytes(),
            "{stored:?}: {got:?}"
        );
        // the file, a span at each end, what is read ahead
        assert!(got.bytes <= 4 << 20, "{stored:?}: {got:?}");
    }
}

#[test]
fn a_scattered_read_receives_no_more_than_the_spans_of_its_chunk() {
    let plain = sample(PLAIN, 92);
    for stored in KINDS {
        let (table, _) = layer(&plain, stored, CHUNK);
        let geometry = crate::layer::Geometry::of(&table);
        let plan = geometry.plan(geometry.chunks(6_000_000..6_000_010));
        let file = 6_000_000..6_000_010;
        let got = received(stored, &plain, std::slice::from_ref(&file));
        let wanted = plan.stored.end - plan.stored.start;
        assert_eq!((got.requests, got.bytes), (1, wanted), "{stored:?}");
    }
}
