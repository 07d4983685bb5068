//! Reading a layer of any kind: right bytes, few requests.

use std::thread;
use std::time::Duration;

use super::harness::{Harness, read};
use super::{CHUNK, EVERY_KIND};
use crate::testing::{Stored, assert_same, layer, sample};

#[test]
fn every_kind_of_blob_reads_as_its_plain_stream() {
    let plain = sample(300_000, 1);
    for stored in EVERY_KIND {
        let (table, blob) = layer(&plain, stored, CHUNK);
        let harness = Harness::with(&table, &blob);
        let (layer, stats) = harness.open(&table);
        assert_same(
            read(&layer, 123_456, 50_000).unwrap(),
            &plain[123_456..173_456],
            format!("{stored:?}"),
        );
        assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain, "{stored:?}");
        assert!(layer.is_ready(0, plain.len()) || stats.chunks_verified.get() > 0);
        assert_eq!(
            stats.fetched_bytes.get(),
            layer.stat().fetched_bytes,
            "{stored:?}"
        );
    }
}

#[test]
fn what_lies_behind_the_end_is_zeros() {
    let plain = sample(20_000, 2);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let (layer, _) = harness.open(&table);
    let tail = read(&layer, 19_990, 100).unwrap();
    assert_same(&tail[..10], &plain[19_990..], "");
    assert!(tail[10..].iter().all(|byte| *byte == 0));
    assert_eq!(read(&layer, 30_000, 5).unwrap(), [0; 5]);
}

#[test]
fn a_read_in_the_middle_fetches_that_part_alone() {
    let plain = sample(1_000_000, 4);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let (layer, stats) = harness.open(&table);
    assert_same(
        read(&layer, 500_000, 10).unwrap(),
        &plain[500_000..500_010],
        "",
    );
    assert_eq!(stats.requests.get(), 1);
    assert!(stats.fetched_bytes.get() < 2 * u64::from(CHUNK));
}

#[test]
fn one_request_after_the_other_takes_one_connection() {
    let plain = sample(1_000_000, 5);
    for stored in [
        Stored::Plain,
        Stored::ZstdFrames,
        Stored::GzipMembers(70_000),
    ] {
        let (table, blob) = layer(&plain, stored, CHUNK);
        let harness = Harness::with(&table, &blob);
        let (layer, stats) = harness.open(&table);
        // Squares, in which no steps are equal: nothing is fetched ahead.
        for at in (0..7).map(|root| root * root * 20_000) {
            assert_same(read(&layer, at, 10).unwrap(), &plain[at..at + 10], at);
        }
        assert!(stats.requests.get() >= 6, "{stored:?}");
        assert_eq!(harness.server.connections(), 1, "{stored:?}");
    }
}

/// What the kernel reads ahead of a sequential reader.
const READ: usize = 128 << 10;

#[test]
fn reading_front_to_back_takes_few_requests_and_each_byte_once() {
    let plain = sample(8_000_000, 5);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let (layer, stats) = harness.open(&table);
    for at in (0..plain.len()).step_by(READ) {
        let length = READ.min(plain.len() - at);
        assert_same(
            read(&layer, at, length).unwrap(),
            &plain[at..at + length],
            "",
        );
    }
    assert!(
        stats.requests.get() <= 30,
        "{} requests",
        stats.requests.get()
    );
    assert_eq!(stats.fetched_bytes.get(), blob.len() as u64);
}

#[test]
fn many_readers_of_one_chunk_cause_one_request() {
    let plain = sample(100_000, 6);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    harness.server.delay(Duration::from_millis(50));
    let (layer, stats) = harness.open(&table);
    thread::scope(|scope| {
        for index in 0..16 {
            let (layer, plain) = (&layer, &plain);
            scope.spawn(move || {
                assert_same(
                    read(layer, 50_000 + index, 10).unwrap(),
                    &plain[50_000 + index..50_010 + index],
                    "",
                )
            });
        }
    });
    assert_eq!(stats.requests.get(), 1);
    assert_eq!(harness.server.log().len(), 1);
}
