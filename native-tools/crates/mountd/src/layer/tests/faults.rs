//! A registry that misbehaves: right bytes or an error, never anything else.

use std::time::Duration;

use archive_format::digest::oci;
use proptest::prelude::*;

use super::harness::{Harness, read};
use super::{CHUNK, EVERY_KIND};
use crate::source::FetchKind;
use crate::testing::server::Fault;
use crate::testing::{Stored, assert_same, layer, sample};

#[test]
fn faults_on_the_way_are_survived() {
    let plain = sample(400_000, 7);
    for stored in EVERY_KIND {
        let faults: Vec<Vec<Fault>> = vec![
            vec![Fault::Cut(0), Fault::Cut(1000)],
            vec![Fault::Stall(500)],
            vec![Fault::Flip(2000)],
            vec![Fault::Html],
            vec![Fault::OtherRange],
            vec![
                Fault::Status(500, vec![]),
                Fault::Status(503, vec!["retry-after: 0".to_owned()]),
            ],
            vec![Fault::Status(429, vec!["retry-after: 0".to_owned()])],
            vec![Fault::Status(429, vec![])],
            vec![Fault::Status(403, vec![])],
            vec![Fault::Status(401, vec![]), Fault::Status(500, vec![])],
            vec![Fault::Short(1), Fault::Short(3000)],
            vec![Fault::Silent],
            vec![Fault::OtherBlob],
        ];
        for fault in faults {
            let (table, blob) = layer(&plain, stored, CHUNK);
            let harness = Harness::with(&table, &blob).impatient();
            harness.server.fail_next(fault.clone());
            let (layer, _) = harness.open(&table);
            assert_eq!(
                read(&layer, 0, plain.len()).unwrap(),
                plain,
                "{stored:?} {fault:?}"
            );
        }
    }
}

#[test]
fn a_body_that_breaks_is_resumed_where_it_broke() {
    let plain = sample(400_000, 8);
    let (table, blob) = layer(&plain, Stored::Plain, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    // Requests are counted: long enough for a loaded machine.
    harness.read_timeout = Duration::from_secs(2);
    harness
        .server
        .fail_next([Fault::Cut(100_000), Fault::Stall(50_000)]);
    let (layer, stats) = harness.open(&table);
    assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain);
    let starts: Vec<_> = harness
        .server
        .log()
        .iter()
        .filter_map(|seen| seen.range)
        .map(|range| range.0)
        .collect();
    assert_eq!(starts, [0, 100_000, 150_000]);
    assert_eq!(stats.fetched_bytes.get(), blob.len() as u64);
}

#[test]
fn a_server_without_ranges_serves_the_start_and_is_refused_elsewhere() {
    let plain = sample(200_000, 9);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    harness.server.fail_always(Some(Fault::WholeBlob));
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 1000).unwrap(), &plain[..1000], "");
    let error = read(&layer, 150_000, 10).unwrap_err();
    assert_eq!(error.kind, FetchKind::Protocol, "{error}");
}

#[test]
fn bytes_that_stay_wrong_are_an_error_and_only_where_they_are_wrong() {
    let plain = sample(400_000, 10);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let broken = 3usize;
    let at: u64 = table.spans[..broken]
        .iter()
        .map(|span| span.stored)
        .sum::<u64>()
        + 100;
    harness.server.fail_always(Some(Fault::Flip(at)));
    let (layer, stats) = harness.open(&table);
    let chunk = CHUNK as usize;
    for index in 0..table.chunks.len() {
        let start = index * chunk;
        let length = chunk.min(plain.len() - start);
        match read(&layer, start, length) {
            Ok(bytes) => {
                assert_ne!(index, broken);
                assert_same(&bytes, &plain[start..start + length], format!("{index}"));
            }
            Err(error) => {
                assert_eq!(index, broken, "{error}");
                assert_eq!(error.kind, FetchKind::Damaged);
            }
        }
    }
    assert_eq!(stats.failures()[0].code, "BLOB_MISMATCH");
    harness.server.fail_always(None);
    assert_eq!(
        read(&layer, 0, plain.len()).unwrap(),
        plain,
        "the next read tries again"
    );
}

#[test]
fn a_blob_that_is_gone_names_where_it_was_and_what_to_do() {
    let (table, _) = layer(&sample(50_000, 11), Stored::ZstdFrames, CHUNK);
    let harness = Harness::new();
    let (layer, _) = harness.open(&table);
    let error = read(&layer, 0, 10).unwrap_err();
    assert_eq!(tool_protocol::Coded::code(&error), "LAYER_NOT_FOUND");
    let place = harness.server.url.trim_start_matches("http://");
    assert!(
        error.message.contains(&format!("{place}/team/app")),
        "{error}"
    );
    assert!(
        error.message.contains(&oci(&table.digest)) && error.message.contains("--storage-ref"),
        "{error}"
    );
    assert_eq!(harness.server.log().len(), 1, "asking again would not help");
}

#[test]
fn refusals_end_with_their_code() {
    let (table, blob) = layer(&sample(50_000, 12), Stored::ZstdFrames, CHUNK);
    let codes = [
        (Fault::Status(401, vec![]), "REGISTRY_UNAUTHENTICATED"),
        (Fault::Status(403, vec![]), "REGISTRY_DENIED"),
        (
            Fault::Status(429, vec!["retry-after: 3600".to_owned()]),
            "REGISTRY_THROTTLED",
        ),
        (
            Fault::Status(503, vec![format!("retry-after: {}", u64::MAX)]),
            "REGISTRY_UNAVAILABLE",
        ),
        (Fault::Status(500, vec![]), "REGISTRY_UNAVAILABLE"),
        (Fault::Status(416, vec![]), "REGISTRY_PROTOCOL"),
        (Fault::Html, "REGISTRY_PROTOCOL"),
        (Fault::Stall(0), "REGISTRY_STALLED"),
    ];
    for (fault, code) in codes {
        let harness = Harness::with(&table, &blob).impatient();
        harness.server.fail_always(Some(fault.clone()));
        let (layer, _) = harness.open(&table);
        let error = read(&layer, 0, 10).unwrap_err();
        assert_eq!(
            tool_protocol::Coded::code(&error),
            code,
            "{fault:?}: {error}"
        );
    }
}

#[test]
fn a_pause_until_a_moment_is_measured_by_the_servers_clock() {
    let plain = sample(50_000, 34);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    for (date, until) in [
        // a clock long gone by, and one far ahead
        (
            "Tue, 02 Jan 2001 00:00:00 GMT",
            "Tue, 02 Jan 2001 00:00:01 GMT",
        ),
        (
            "Fri, 02 Jan 2099 00:00:00 GMT",
            "Fri, 02 Jan 2099 00:00:00 GMT",
        ),
    ] {
        let harness = Harness::with(&table, &blob);
        let headers = vec![format!("date: {date}"), format!("retry-after: {until}")];
        harness.server.fail_next([Fault::Status(503, headers)]);
        let (layer, stats) = harness.open(&table);
        assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], date);
        assert!(stats.retries.get() >= 1);
    }
}

#[test]
fn a_name_that_is_nowhere_is_unavailable_and_comes_back() {
    let plain = sample(50_000, 35);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    let url = std::mem::replace(
        &mut harness.server.url,
        "http://registry.invalid".to_owned(),
    );
    let (layer, _) = harness.open(&table);
    let error = read(&layer, 0, 10).unwrap_err();
    assert!(
        matches!(error.kind, FetchKind::Unavailable | FetchKind::Stalled),
        "{error}"
    );
    harness.server.url = url;
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
}

#[test]
fn another_blob_under_the_name_is_never_served() {
    let (table, blob) = layer(&sample(100_000, 36), Stored::Plain, CHUNK);
    let harness = Harness::with(&table, &blob);
    harness.server.fail_always(Some(Fault::OtherBlob));
    let (layer, stats) = harness.open(&table);
    let error = read(&layer, 0, 10).unwrap_err();
    assert_eq!(error.kind, FetchKind::Damaged);
    assert_eq!(stats.failures()[0].code, "BLOB_MISMATCH");
}

#[test]
fn the_next_read_tries_again_after_every_refusal() {
    let plain = sample(50_000, 37);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    for fault in [
        Fault::Status(401, vec![]),
        Fault::Status(404, vec![]),
        Fault::Status(429, vec!["retry-after: 3600".to_owned()]),
        Fault::Status(500, vec![]),
        Fault::Html,
    ] {
        let harness = Harness::with(&table, &blob);
        harness.server.fail_always(Some(fault.clone()));
        let (layer, _) = harness.open(&table);
        read(&layer, 0, 10).unwrap_err();
        harness.server.fail_always(None);
        assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], fault);
    }
}

#[test]
fn nobody_listening_is_unavailable() {
    let (table, _) = layer(&sample(50_000, 13), Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::new();
    harness.server.url = "http://127.0.0.1:1".to_owned();
    let (layer, _) = harness.open(&table);
    assert_eq!(
        read(&layer, 0, 10).unwrap_err().kind,
        FetchKind::Unavailable
    );
}

#[test]
fn a_body_of_one_byte_now_and_then_is_taken_for_a_stall() {
    let (table, blob) = layer(&sample(50_000, 14), Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob).impatient();
    harness
        .server
        .fail_next([Fault::Drip(Duration::from_millis(100))]);
    let (layer, _) = harness.open(&table);
    assert_eq!(read(&layer, 0, 50_000).unwrap(), sample(50_000, 14));
    assert!(harness.server.log().len() >= 2);
}

#[test]
fn a_server_that_only_drips_is_given_up() {
    let (table, blob) = layer(&sample(50_000, 14), Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.read_timeout = Duration::from_millis(150);
    harness
        .server
        .fail_always(Some(Fault::Drip(Duration::from_millis(20))));
    let (layer, _) = harness.open(&table);
    assert_eq!(
        read(&layer, 0, 50_000).unwrap_err().kind,
        FetchKind::Stalled
    );
    harness.server.fail_always(None);
    assert_eq!(read(&layer, 0, 50_000).unwrap(), sample(50_000, 14));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_reads_over_any_faults_give_the_stored_bytes_or_an_error(
        length in 1usize..200_000,
        kind in 0usize..EVERY_KIND.len(),
        reads in prop::collection::vec((any::<prop::sample::Index>(), 1usize..60_000), 1..12),
        faults in prop::collection::vec(0usize..9, 0..6),
        seed in 1u64..1000,
    ) {
        let plain = sample(length, seed);
        let (table, blob) = layer(&plain, EVERY_KIND[kind], 4096);
        let harness = Harness::with(&table, &blob);
        harness.server.fail_next(faults.iter().map(|fault| match fault {
            0 => Fault::Cut(length / 3),
            1 => Fault::Flip(blob.len() as u64 / 2),
            2 => Fault::Html,
            3 => Fault::Status(503, vec![]),
            4 => Fault::WholeBlob,
            5 => Fault::OtherRange,
            6 => Fault::Short(1000),
            7 => Fault::OtherBlob,
            _ => Fault::Status(404, vec![]),
        }));
        let (layer, _) = harness.open(&table);
        for (start, count) in reads {
            let start = start.index(length);
            let count = count.min(length - start);
            if let Ok(bytes) = read(&layer, start, count) {
                prop_assert!(bytes == plain[start..start + count]);
            }
        }
        harness.server.fail_next([]);
    }
}
