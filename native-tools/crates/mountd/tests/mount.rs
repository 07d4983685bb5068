//! The kernel mounts what the daemon serves. These tests need root, FUSE and EROFS, and fail where those are missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::fs;
use std::io::Read;

use support::TestImage;
use support::daemon::{drop_page_cache, is_mounted, serve};
use support::testing::Stored;
use support::testing::server::Fault;

const MIXED: &[(Stored, &[usize])] = &[
    (Stored::ZstdFrames, &[1, 511, 512, 513, 70_000, 300_000]),
    (Stored::Plain, &[200_000, 7]),
    (Stored::GzipMembers(50_000), &[150_000, 33]),
    (Stored::GzipWhole, &[90_000]),
];

#[test]
fn every_file_reads_through_the_kernel_as_it_was_stored() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), MIXED);
    let cache = directory.path().join("cache");
    let mut daemon = serve(image.request(&cache), directory.path()).unwrap();
    daemon.close_stdin();
    assert!(
        image.server.log().is_empty(),
        "mounting asks nothing of the registry"
    );
    for (name, bytes) in &image.files {
        assert_eq!(&daemon.read(name).unwrap(), bytes, "{name}");
    }
    for seen in image.server.log() {
        assert!(
            seen.line.starts_with("GET /v2/team/app/blobs/sha256:") && seen.range.is_some(),
            "{seen:?}"
        );
    }
    let stat = daemon.ask("stat");
    assert_eq!(stat["failures"].as_array().unwrap().len(), 0, "{stat}");
    assert_eq!(stat["requests"], image.server.log().len());
    assert_eq!(daemon.ask("unmount")["ok"], true);
    assert!(daemon.ends() && !daemon.is_mounted());
    let left: serde_json::Value =
        serde_json::from_slice(&fs::read(daemon.run_dir.join("stats.json")).unwrap()).unwrap();
    assert!(left["chunksVerified"].as_u64().unwrap() > 0);
    assert!(!daemon.run_dir.join("control.sock").exists());
    assert_eq!(fs::read_dir(cache.join("images")).unwrap().count(), 0);
}
