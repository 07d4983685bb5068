//! Blobs that are read as a whole.

use std::sync::Arc;
use std::thread;

use super::harness::{Harness, read};
use super::{CHUNK, EVERY_KIND};
use crate::layer::verify_blob;
use crate::source::FetchKind;
use crate::stats::{Mode, Stats};
use crate::testing::server::Fault;
use crate::testing::{Stored, assert_same, layer, sample};

#[test]
fn a_large_member_is_streamed_once_for_all_readers() {
    let plain = sample(20 << 20, 27);
    for stored in [Stored::GzipWhole, Stored::ZstdWhole] {
        let (table, blob) = layer(&plain, stored, 256 << 10);
        let harness = Harness::with(&table, &blob);
        harness.server.fail_next([Fault::Cut(3_000_000)]);
        let (layer, stats) = harness.open(&table);
        assert_eq!(layer.stat().mode, Mode::Whole, "{stored:?}");
        assert!(layer.stat().reason.unwrap().contains("bytes"));
        thread::scope(|scope| {
            for start in [15_000_000, 100, 8_000_000, 20_000_000] {
                let (layer, plain) = (&layer, &plain);
                scope.spawn(move || {
                    assert_same(
                        read(layer, start, 5000).unwrap(),
                        &plain[start..start + 5000],
                        "",
                    )
                });
            }
        });
        assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain);
        assert_eq!(stats.fetched_bytes.get(), blob.len() as u64, "{stored:?}");
        assert_eq!(
            harness.server.log().len(),
            2,
            "one request and its resumption"
        );
        assert_eq!(layer.stat().mode, Mode::Complete);
    }
}

#[test]
fn a_large_member_that_is_damaged_fails_behind_the_damage_alone() {
    let plain = sample(12 << 20, 28);
    let (table, blob) = layer(&plain, Stored::GzipWhole, 256 << 10);
    let harness = Harness::with(&table, &blob);
    harness
        .server
        .fail_always(Some(Fault::Flip(blob.len() as u64 / 2)));
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 1 << 20).unwrap(), &plain[..1 << 20], "");
    assert_eq!(
        read(&layer, 11 << 20, 10).unwrap_err().kind,
        FetchKind::Damaged
    );
    harness.server.fail_always(None);
    assert_same(
        read(&layer, 11 << 20, 1 << 20).unwrap(),
        &plain[11 << 20..],
        "",
    );
}

#[test]
fn verifying_a_blob_finds_whatever_is_wrong_with_it() {
    let plain = sample(150_000, 29);
    for stored in EVERY_KIND {
        let (table, blob) = layer(&plain, stored, CHUNK);
        let harness = Harness::with(&table, &blob);
        let source = Arc::new(harness.source(&Arc::new(Stats::default())));
        let mut seen = 0;
        assert_eq!(
            verify_blob(&table, source.clone(), &mut |bytes| seen += bytes).unwrap(),
            150_000,
            "{stored:?}"
        );
        assert_eq!(seen, blob.len() as u64);
        harness
            .server
            .fail_next([Fault::Flip(blob.len() as u64 / 2)]);
        assert_eq!(
            verify_blob(&table, source.clone(), &mut |_| ())
                .unwrap_err()
                .kind,
            FetchKind::Damaged,
            "{stored:?}"
        );
        let mut other = table.clone();
        other.diff_id = [9; 32];
        let error = verify_blob(&other, source.clone(), &mut |_| ()).unwrap_err();
        assert_eq!(tool_protocol::Coded::code(&error), "DIFF_ID_MISMATCH");
    }
}
