//! Second requests where an answer is late.

use std::time::Duration;

use super::CHUNK;
use super::harness::{Harness, read};
use crate::testing::server::Fault;
use crate::testing::{Stored, assert_same, layer, sample};

/// Reads of chunks that no read-ahead brings, so that each is a request. Two percent of so many are one: a second request is
/// allowed from then on and none before, however late an answer of a loaded machine is.
const KNOWN: usize = 50;

#[test]
fn an_answer_that_does_not_come_is_asked_for_once_more() {
    let plain = sample(1_800_000, 50);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    for hedge_percent in [0, 2] {
        let mut harness = Harness::with(&table, &blob);
        harness.read_timeout = Duration::from_secs(2);
        harness.hedge_percent = hedge_percent;
        harness.fetch.ahead_percent = 0;
        if hedge_percent > 0 {
            // Only a second request can answer before the server closes the first one.
            harness.read_timeout = Duration::from_secs(30);
        }
        let (layer, stats) = harness.open(&table);
        let at = |index: usize| index * 2 * CHUNK as usize;
        for index in 0..KNOWN {
            read(&layer, at(index), 10).unwrap();
        }
        assert_eq!(harness.server.log().len(), KNOWN);
        harness.server.fail_next([Fault::Silent]);
        let start = at(KNOWN);
        assert_same(
            read(&layer, start, 10).unwrap(),
            &plain[start..start + 10],
            "",
        );
        assert_eq!(harness.server.log().len(), KNOWN + 2);
        let retries = u64::from(hedge_percent == 0);
        assert_eq!(stats.retries.get(), retries, "{hedge_percent}");
    }
}

#[test]
fn both_requests_failing_is_a_failure_that_is_tried_again() {
    let plain = sample(1_800_000, 51);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob).impatient();
    harness.hedge_percent = 2;
    harness.fetch.ahead_percent = 0;
    let (layer, stats) = harness.open(&table);
    let at = |index: usize| index * 2 * CHUNK as usize;
    for index in 0..KNOWN {
        read(&layer, at(index), 10).unwrap();
    }
    harness
        .server
        .fail_next([Fault::Silent, Fault::Status(500, vec![])]);
    let start = at(KNOWN);
    assert_same(
        read(&layer, start, 10).unwrap(),
        &plain[start..start + 10],
        "",
    );
    assert!(stats.retries.get() >= 1);
}
