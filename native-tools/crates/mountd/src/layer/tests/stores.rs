//! Layers whose blobs lie in an object store or in a folder instead of a registry.

use std::fs;
use std::path::PathBuf;

use archive_format::digest::{hex, oci};
use archive_format::tables::LayerTable;

use super::harness::{Harness, read};
use super::{CHUNK, EVERY_KIND};
use crate::request::BlobsRequest;
use crate::secret::Secret;
use crate::source::FetchKind;
use crate::source::registry::Keys;
use crate::testing::server::Fault;
use crate::testing::{Stored, assert_same, layer, sample};

fn store(harness: &Harness, keys: Option<Keys>) -> BlobsRequest {
    BlobsRequest::S3 {
        base_url: harness.server.url.clone(),
        path: "bucket/some images".to_owned(),
        region: "eu-central-1".to_owned(),
        keys,
    }
}

fn keys() -> Keys {
    Keys {
        access_key_id: "AKID".to_owned(),
        secret_access_key: Secret::new("very secret".to_owned()),
        session_token: None,
    }
}

fn in_store(table: &LayerTable, blob: &[u8]) -> Harness {
    let mut harness = Harness::with(table, blob);
    harness.blobs = Some(store(&harness, Some(keys())));
    harness
}

/// Puts the blob into a folder; gives where it is.
fn in_folder(table: &LayerTable, blob: &[u8]) -> (Harness, PathBuf) {
    let mut harness = Harness::new();
    let folder = harness.directory.path().join("blobs/sha256");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(hex(&table.digest));
    fs::write(&path, blob).unwrap();
    harness.blobs = Some(BlobsRequest::Directory {
        path: harness.directory.path().to_owned(),
    });
    (harness, path)
}

#[test]
fn every_kind_of_blob_reads_from_a_store_and_from_a_folder() {
    let plain = sample(300_000, 80);
    for stored in EVERY_KIND {
        let (table, blob) = layer(&plain, stored, CHUNK);
        for harness in [in_store(&table, &blob), in_folder(&table, &blob).0] {
            let (layer, stats) = harness.open(&table);
            assert_same(
                read(&layer, 123_456, 50_000).unwrap(),
                &plain[123_456..173_456],
                stored,
            );
            assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain, "{stored:?}");
            assert_eq!(stats.fetched_bytes.get(), layer.stat().fetched_bytes);
            assert!(stats.requests.get() > 0);
        }
    }
}

#[test]
fn a_store_is_asked_by_path_with_a_signature_and_no_secret() {
    let plain = sample(50_000, 81);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = in_store(&table, &blob);
    let (layer, stats) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
    let seen = &harness.server.log()[0];
    let path = format!("/bucket/some%20images/blobs/sha256/{}", hex(&table.digest));
    assert!(seen.line.contains(&path), "{}", seen.line);
    let authorization = seen.authorization.clone().unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"));
    assert!(authorization.contains("/eu-central-1/s3/aws4_request,SignedHeaders=host;range;"));
    let shown = format!("{seen:?} {layer:?} {:?}", harness.blobs);
    assert!(!shown.contains("very secret"));
    assert_eq!(stats.answers.counts(), [[0; 5], [0; 5], [1, 0, 0, 0, 0]]);
}

#[test]
fn a_store_that_all_may_read_is_sent_no_signature() {
    let plain = sample(50_000, 82);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.blobs = Some(store(&harness, None));
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
    assert_eq!(harness.server.log()[0].authorization, None);
}

#[test]
fn faults_of_a_store_are_survived() {
    let plain = sample(200_000, 83);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    for fault in [
        Fault::Cut(1000),
        Fault::Stall(500),
        Fault::Flip(2000),
        Fault::Html,
        Fault::Status(500, vec![]),
        Fault::Status(503, vec!["retry-after: 0".to_owned()]),
        Fault::Status(403, vec![]),
        Fault::Short(100),
        Fault::OtherBlob,
    ] {
        let harness = in_store(&table, &blob).impatient();
        harness.server.fail_next([fault.clone()]);
        let (layer, _) = harness.open(&table);
        assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain, "{fault:?}");
    }
}

#[test]
fn refusals_of_a_store_end_with_their_code_and_what_to_do() {
    let (table, blob) = layer(&sample(50_000, 84), Stored::ZstdFrames, CHUNK);
    for (fault, kind) in [
        (Fault::Status(403, vec![]), FetchKind::Denied),
        (Fault::Status(404, vec![]), FetchKind::NotFound),
    ] {
        let harness = in_store(&table, &blob);
        harness.server.fail_always(Some(fault));
        let (layer, _) = harness.open(&table);
        let error = read(&layer, 0, 10).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains("bucket/some images"), "{error}");
    }
}

#[test]
fn a_clock_that_jumped_is_set_by_the_answer_of_the_store() {
    let (table, blob) = layer(&sample(50_000, 85), Stored::ZstdFrames, CHUNK);
    let harness = in_store(&table, &blob);
    let date = "date: Fri, 02 Jan 2099 00:00:00 GMT".to_owned();
    harness.server.fail_next([Fault::Status(403, vec![date])]);
    let (layer, _) = harness.open(&table);
    read(&layer, 0, 10).unwrap();
    let log = harness.server.log();
    let signed_on = |at: usize| log[at].authorization.clone().unwrap();
    assert!(!signed_on(0).contains("/20990102/"), "{}", signed_on(0));
    assert!(signed_on(1).contains("/20990102/"), "{}", signed_on(1));
}

#[test]
fn a_folder_without_the_blob_or_with_another_one_is_an_error_until_it_is_right() {
    let plain = sample(50_000, 86);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let (harness, path) = in_folder(&table, &blob);
    let (layer, _) = harness.open(&table);
    fs::remove_file(&path).unwrap();
    let error = read(&layer, 0, 10).unwrap_err();
    assert_eq!(error.kind, FetchKind::NotFound);
    assert!(error.message.contains(&oci(&table.digest)) && error.message.contains("--blobs"));
    fs::write(&path, &blob[1..]).unwrap();
    assert_eq!(
        read(&layer, 0, 10).unwrap_err().kind,
        FetchKind::Damaged,
        "another length"
    );
    fs::write(&path, vec![7; blob.len()]).unwrap();
    assert_eq!(read(&layer, 0, 10).unwrap_err().kind, FetchKind::Damaged);
    fs::write(&path, &blob).unwrap();
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
}

#[test]
fn limits_of_a_mount_hold_for_a_folder_too() {
    let plain = sample(200_000, 87);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let (harness, _) = in_folder(&table, &blob);
    let (layer, stats) = harness.open(&table);
    assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain);
    assert_eq!(harness.bandwidth.passed(), blob.len() as u64);
    assert_eq!(stats.fetched_bytes.get(), blob.len() as u64);
}
