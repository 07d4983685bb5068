//! Mirrors before the registry: right bytes whatever they do, and no login for them.

use std::time::Duration;

use archive_format::digest::oci;
use archive_format::tables::LayerTable;

use super::CHUNK;
use super::harness::{Harness, read};
use crate::secret::Secret;
use crate::source::registry::Credentials;
use crate::testing::server::{Fault, Server};
use crate::testing::{Stored, assert_same, layer, sample};

fn mirror_with(harness: &mut Harness, table: &LayerTable, blob: &[u8]) -> Server {
    let mirror = Server::start();
    mirror.add(&oci(&table.digest), blob.to_vec());
    harness.mirrors.push(mirror.url.clone());
    mirror
}

#[test]
fn mirrors_are_asked_in_order_and_the_registry_last() {
    let plain = sample(300_000, 40);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    let first = mirror_with(&mut harness, &table, &blob);
    let second = mirror_with(&mut harness, &table, &blob);
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "first");
    assert!(second.log().is_empty() && harness.server.log().is_empty());
    let registry = harness.server.url.trim_start_matches("http://");
    let asked = first.log()[0].line.clone();
    assert!(asked.contains(&format!("?ns={registry}")), "{asked}");

    first.fail_always(Some(Fault::Status(500, vec![])));
    assert_same(
        read(&layer, 100_000, 10).unwrap(),
        &plain[100_000..100_010],
        "second",
    );
    assert_eq!((second.log().len(), harness.server.log().len()), (1, 0));
    second.fail_always(Some(Fault::Status(503, vec![])));
    assert_same(
        read(&layer, 200_000, 10).unwrap(),
        &plain[200_000..200_010],
        "registry",
    );
    assert_eq!(harness.server.log().len(), 1);
}

#[test]
fn a_mirror_that_stops_is_gone_on_from_where_it_stopped() {
    let plain = sample(400_000, 41);
    let (table, blob) = layer(&plain, Stored::Plain, CHUNK);
    let mut harness = Harness::with(&table, &blob).impatient();
    let mirror = mirror_with(&mut harness, &table, &blob);
    for fault in [Fault::Cut(100_000), Fault::Stall(100_000)] {
        mirror.fail_next([fault]);
        let cache = tempfile::tempdir().unwrap();
        harness.server.clear_log();
        let (layer, stats) = harness.open_over(&table, cache.path());
        assert_same(read(&layer, 0, plain.len()).unwrap(), &plain, "");
        assert_eq!(harness.server.log()[0].range.unwrap().0, 100_000);
        assert_eq!(stats.fetched_bytes.get(), blob.len() as u64);
    }
}

#[test]
fn a_mirror_that_lies_costs_time_and_nothing_else() {
    let plain = sample(300_000, 42);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    for fault in [
        Fault::OtherBlob,
        Fault::Flip(100),
        Fault::Html,
        Fault::WholeBlob,
        Fault::OtherRange,
        Fault::Status(404, vec![]),
        Fault::Status(401, vec![]),
        Fault::Silent,
        Fault::Drip(Duration::from_millis(20)),
    ] {
        let mut harness = Harness::with(&table, &blob).impatient();
        let mirror = mirror_with(&mut harness, &table, &blob);
        mirror.fail_always(Some(fault.clone()));
        let (layer, _) = harness.open(&table);
        for start in [0, 150_000, 290_000] {
            assert_same(
                read(&layer, start, 10).unwrap(),
                &plain[start..start + 10],
                format!("{fault:?}"),
            );
        }
        assert!(!mirror.log().is_empty(), "{fault:?}");
    }
}

#[test]
fn a_login_is_sent_to_no_mirror() {
    let plain = sample(100_000, 43);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.credentials = Some(Credentials::Password {
        username: "bob".to_owned(),
        password: Secret::new("hunter2".to_owned()),
    });
    harness.server.want_token(Some("Basic Ym9iOmh1bnRlcjI="));
    let mirror = mirror_with(&mut harness, &table, &blob);
    mirror.want_token(Some("Basic Ym9iOmh1bnRlcjI="));
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
    let seen = mirror.log();
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen.authorization.is_none()));
    assert_eq!(
        (mirror.tokens_given(), harness.server.tokens_given()),
        (0, 1)
    );
}

#[test]
fn what_the_registry_says_last_is_what_the_reader_hears() {
    let (table, blob) = layer(&sample(50_000, 44), Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    let mirror = mirror_with(&mut harness, &table, &blob);
    mirror.remove(&oci(&table.digest));
    harness.server.remove(&oci(&table.digest));
    let (layer, _) = harness.open(&table);
    let error = read(&layer, 0, 10).unwrap_err();
    let registry = harness.server.url.trim_start_matches("http://");
    assert!(error.message.contains(registry), "{error}");
}
