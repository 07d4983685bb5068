//! What is fetched ahead where every request waits long for its answer.

use std::time::Duration;

use super::harness::{Harness, read};
use crate::testing::{Stored, assert_same, layer, sample};

const CHUNK: u32 = 256 << 10;

/// One chunk is read after the other, in an order that is none.
const CHUNKS: usize = 40;

/// How many requests small reads all over ten mebibytes take.
fn requests(answer_after: Duration, ahead_waits: u32) -> usize {
    let plain = sample(CHUNKS * CHUNK as usize, 61);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.fetch.ahead_waits = ahead_waits;
    harness.server.delay(answer_after);
    let (layer, _) = harness.open(&table);
    for step in 0..CHUNKS {
        // The powers of 6 modulo 41 are all numbers below it.
        let chunk = (0..step).fold(1, |power, _| power * 6 % 41) - 1;
        let at = chunk * CHUNK as usize + 1000;
        assert_same(read(&layer, at, 10).unwrap(), &plain[at..at + 10], at);
    }
    harness.server.log().len()
}

#[test]
fn small_reads_near_each_other_share_requests_that_wait_long() {
    let alone = requests(Duration::ZERO, 0);
    assert!(alone >= 30, "{alone} requests");
    let far = requests(Duration::from_millis(100), 12);
    assert!(far <= 16, "{far} requests");
}
