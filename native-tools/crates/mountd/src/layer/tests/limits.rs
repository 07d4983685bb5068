//! What fetching may take: requests in flight, memory, bytes a second.

use std::thread;
use std::time::Duration;

use super::CHUNK;
use super::harness::{Harness, read};
use crate::limit::Gate;
use crate::testing::{Stored, assert_same, layer, sample};

const READERS: usize = 12;

/// Many readers of distant chunks at once; gives the most requests that were in flight.
fn most_in_flight(set: impl FnOnce(&mut Harness)) -> usize {
    let plain = sample(READERS * 3 * CHUNK as usize, 60);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.fetch.max_requests = READERS;
    harness.fetch.ahead_percent = 0;
    set(&mut harness);
    harness.server.delay(Duration::from_millis(60));
    let (layer, _) = harness.open(&table);
    thread::scope(|scope| {
        for index in 0..READERS {
            let (layer, plain) = (&layer, &plain);
            scope.spawn(move || {
                let start = index * 3 * CHUNK as usize;
                assert_same(
                    read(layer, start, 10).unwrap(),
                    &plain[start..start + 10],
                    "",
                );
            });
        }
    });
    assert_eq!(harness.server.log().len(), READERS);
    harness.server.most_waiting()
}

#[test]
fn requests_in_flight_keep_to_the_limit_of_the_node_and_of_the_mount() {
    assert!(
        most_in_flight(|_| ()) > 3,
        "without limits they go together"
    );
    assert!(most_in_flight(|harness| harness.fetch.max_requests = 3) <= 3);
    assert!(most_in_flight(|harness| harness.gate = Gate::of_mount(2, 0)) <= 2);
}

#[test]
fn requests_wait_for_memory_and_one_always_goes_on() {
    let chunk = u64::from(CHUNK);
    let two = most_in_flight(|harness| harness.fetch.memory_bytes = chunk * 4);
    assert!(
        two <= 3,
        "a frame is stored in less than its plain bytes: {two}"
    );
    assert_eq!(most_in_flight(|harness| harness.fetch.memory_bytes = 0), 1);
}

#[test]
fn requests_of_a_mount_wait_for_its_own_memory() {
    let chunk = u64::from(CHUNK);
    let two = most_in_flight(|harness| harness.gate = Gate::of_mount(0, chunk * 4));
    assert!((1..=3).contains(&two), "{two}");
    assert_eq!(
        most_in_flight(|harness| harness.gate = Gate::of_mount(0, 1)),
        1
    );
}

#[test]
fn all_that_is_fetched_passes_both_bandwidth_limits() {
    let plain = sample(200_000, 61);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.fetch.bytes_per_second = 1 << 30;
    let (layer, stats) = harness.open(&table);
    assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain);
    let fetched = stats.fetched_bytes.get();
    assert_eq!(fetched, blob.len() as u64);
    assert_eq!(harness.bandwidth.passed(), fetched);
    assert_eq!(layer.fetcher.bandwidth().passed(), fetched);
}
