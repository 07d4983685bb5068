//! What is wanted ahead, and what is not any more.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::CHUNK;
use super::harness::{Harness, read};
use crate::layer::{PROFILE_REQUEST_BYTES, REQUEST_BYTES};
use crate::testing::{Stored, layer, sample};

const CHUNKS: u32 = 12;

/// Every other one, so that each is a request of its own.
fn apart() -> Vec<u32> {
    (0..CHUNKS).step_by(2).collect()
}

#[test]
fn what_stands_in_the_queue_is_not_asked_for_and_is_read_all_the_same() {
    let plain = sample((CHUNKS * CHUNK) as usize, 31);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.fetch.max_requests = 2; // one of them for what is wanted ahead
    harness.server.delay(Duration::from_millis(50));
    let (layer, _) = harness.open(&table);
    let coming = layer.fetch_ahead(&apart());
    while harness.server.log().is_empty() {
        thread::yield_now();
    }
    // It waits for what stands last in the queue: that is brought, for it is read.
    let last = CHUNKS - 2;
    let reader = {
        let layer = Arc::clone(&layer);
        thread::spawn(move || read(&layer, (last * CHUNK) as usize, 10))
    };
    thread::sleep(Duration::from_millis(10));
    coming.withdraw();
    let start = (last * CHUNK) as usize;
    assert_eq!(reader.join().unwrap().unwrap(), plain[start..start + 10]);
    coming.wait();
    let asked = harness.server.log().len();
    assert!(asked < apart().len(), "{asked} were asked for");
    harness.server.delay(Duration::ZERO);
    assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain);
}

#[test]
fn who_has_chunks_brought_does_not_hold_their_bytes() {
    let plain = sample((CHUNKS * CHUNK) as usize, 32);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let (layer, _) = harness.open(&table);
    let coming = layer.fetch_ahead(&apart());
    assert_eq!(coming.len(), apart().len());
    coming.clone().wait();
    while coming.left() > 0 {
        thread::yield_now(); // its thread lets go of a chunk when everybody was told
    }
}

#[test]
fn a_profile_asks_for_less_at_a_time_than_readers_do() {
    let large = 64 << 10;
    let plain = sample(3 << 20, 33);
    let (table, blob) = layer(&plain, Stored::Plain, large);
    assert!((plain.len() as u64) < REQUEST_BYTES);
    let harness = Harness::with(&table, &blob);
    let (layer, stats) = harness.open(&table);
    let chunks: Vec<u32> = (0..u32::try_from(plain.len()).unwrap() / large).collect();
    layer.fetch_ahead(&chunks).wait();
    let least = plain.len() as u64 / PROFILE_REQUEST_BYTES;
    assert_eq!(stats.requests.get(), least);
    assert_eq!(stats.fetched_bytes.get(), plain.len() as u64);
    let harness = Harness::with(&table, &blob);
    let (layer, stats) = harness.open(&table);
    assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain);
    assert_eq!(stats.requests.get(), 1);
}
