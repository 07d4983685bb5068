//! Layers read through seek points.

use proptest::prelude::*;

use super::CHUNK;
use super::harness::{Harness, read};
use crate::stats::Mode;
use crate::testing::points::windows_of;
use crate::testing::server::Fault;
use crate::testing::{Stored, assert_same, layer, sample};

fn points(plain: &[u8], spacing: usize) -> (archive_format::tables::LayerTable, Vec<u8>, Harness) {
    let (table, blob) = layer(plain, Stored::GzipPoints(spacing), CHUNK);
    let harness = Harness::with(&table, &blob);
    harness.write_windows(&windows_of(&table, plain));
    (table, blob, harness)
}

#[test]
fn a_read_far_in_a_member_fetches_one_span() {
    let plain = sample(12 << 20, 40);
    let (table, blob, harness) = points(&plain, 200_000);
    let (layer, stats) = harness.open(&table);
    assert_eq!(layer.stat().mode, Mode::Lazy);
    let start = table.spans[..20]
        .iter()
        .map(|span| usize::try_from(span.plain).unwrap())
        .sum::<usize>();
    // the second chunk that begins in the span, so that it lies whole in it
    let at = (start / CHUNK as usize + 2) * CHUNK as usize;
    assert_same(read(&layer, at, 100).unwrap(), &plain[at..at + 100], "");
    assert_eq!(stats.requests.get(), 1);
    assert!(stats.fetched_bytes.get() <= table.spans[20].stored + 1);
    assert!(stats.fetched_bytes.get() < blob.len() as u64 / 20);
    // what the span holds besides is kept
    let next = at + CHUNK as usize;
    assert_same(
        read(&layer, next, 100).unwrap(),
        &plain[next..next + 100],
        "",
    );
    assert_eq!(stats.requests.get(), 1);
}

#[test]
fn a_chunk_in_two_spans_comes_from_both() {
    let plain = sample(2 << 20, 41);
    let (table, _, harness) = points(&plain, 200_000);
    let mut end = 0;
    for span in &table.spans[..table.spans.len() - 1] {
        end += usize::try_from(span.plain).unwrap();
        let (layer, stats) =
            harness.open_over(&table, &harness.directory.path().join(end.to_string()));
        assert_same(
            read(&layer, end - 10, 20).unwrap(),
            &plain[end - 10..end + 10],
            end,
        );
        assert!(stats.requests.get() <= 2);
    }
}

#[test]
fn a_window_that_is_damaged_or_missing_costs_bytes_and_never_the_truth() {
    let plain = sample(2 << 20, 42);
    let (table, blob, harness) = points(&plain, 100_000);
    let good = windows_of(&table, &plain);
    let at = 1_900_000;
    for (round, damage) in ["flip", "cut", "zero"].into_iter().enumerate() {
        let mut windows = good.clone();
        match damage {
            "flip" => windows.iter_mut().step_by(5000).for_each(|byte| *byte ^= 4),
            "cut" => windows.truncate(windows.len() / 2),
            _ => windows.fill(0),
        }
        harness.write_windows(&windows);
        let cache = harness.directory.path().join(format!("cache{round}"));
        let (layer, stats) = harness.open_over(&table, &cache);
        assert_same(
            read(&layer, at, 5000).unwrap(),
            &plain[at..at + 5000],
            damage,
        );
        assert!(
            stats.fetched_bytes.get() > blob.len() as u64 / 4,
            "{damage}"
        );
        assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain, "{damage}");
    }
}

#[test]
fn a_damaged_span_is_an_error_and_its_neighbours_read_on() {
    let plain = sample(2 << 20, 43);
    let (table, blob, harness) = points(&plain, 200_000);
    harness
        .server
        .fail_always(Some(Fault::Flip(blob.len() as u64 / 2)));
    let (layer, _) = harness.open(&table);
    let mut failed = 0;
    for at in (0..plain.len() - 100).step_by(50_000) {
        match read(&layer, at, 100) {
            Ok(bytes) => assert_same(bytes, &plain[at..at + 100], at),
            Err(_) => failed += 1,
        }
    }
    assert!((1..=12).contains(&failed), "{failed} failed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_range_reads_as_the_plain_stream(
        seed in 1u64..1000,
        spacing in 33_000usize..200_000,
        ranges in prop::collection::vec((any::<prop::sample::Index>(), 1usize..80_000), 1..8),
    ) {
        let plain = sample(700_000, seed);
        let (table, _, harness) = points(&plain, spacing);
        let (layer, _) = harness.open(&table);
        for (start, length) in ranges {
            let start = start.index(plain.len());
            let end = plain.len().min(start + length);
            assert_same(read(&layer, start, end - start).unwrap(), &plain[start..end], start);
        }
    }
}
