//! How many copies of a file the kernel keeps. It may keep fewer at any moment, so these are upper bounds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::TestImage;
use support::daemon::{Node, drop_page_cache, folder, wait_until};
use support::testing::{Stored, assert_same};

const BYTES: usize = 8_000_000;
const LAYER: &[(Stored, &[usize])] = &[(Stored::ZstdFrames, &[BYTES])];

/// Bytes of a file in the page cache.
fn resident(path: &Path) -> usize {
    let output = Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output", "RES"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().parse().unwrap_or(0)
}

/// The layer's file on the node's FUSE connection, through a descriptor of the daemon.
fn layer_file(node: &Node, image: &TestImage) -> PathBuf {
    let diff_id = archive_format::digest::hex(&image.tables[0].diff_id);
    let log = node.log();
    let name = log
        .split(['"', ' ', '=', '\n'])
        .find(|word| word.starts_with(&format!("layer-{diff_id}")))
        .expect("the log names the layer")
        .to_owned();
    fs::read_dir(format!("/proc/{}/fd", node.daemon_pid()))
        .unwrap()
        .map(|entry| entry.unwrap().path().join(&name))
        .find(|path| path.exists())
        .expect("the daemon has the FUSE mount")
}

/// Copies of the file on the way through the daemon, and where the layer is handed over.
fn copies(options: &[&str], asked: &str) -> [f64; 2] {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYER);
    let node = Node::start(directory.path(), options);
    let cache = directory.path().join("cache");
    let mut request = image.request(&cache);
    request["engine"] = "erofs".into();
    request["pageCache"] = asked.into();
    let served = folder(directory.path(), "served");
    node.mount("m1", &request, &served).unwrap();
    let read = |mountpoint: &Path| {
        let file = mountpoint.join("f0-0");
        assert_same(fs::read(&file).unwrap(), &image.files["f0-0"], "");
        file
    };
    read(&served);
    let data = image.cache_data(&cache, 0);
    wait_until("the layer is sealed", || {
        fs::metadata(&data).unwrap().permissions().mode() & 0o222 == 0
    });
    let handed_over = folder(directory.path(), "handed-over");
    let mut tries = 0;
    wait_until("it is handed over", || {
        tries += 1;
        node.mount(&format!("h{tries}"), &request, &handed_over)
            .unwrap();
        let stat = node.stat(&handed_over).unwrap();
        let reason = stat["layers"][0]["reason"].as_str().unwrap_or_default();
        reason.starts_with("handed over") || node.unmount(&handed_over).is_err()
    });
    let layer = layer_file(&node, &image);
    [served, handed_over].map(|mountpoint| {
        let mut bytes = [0; 3];
        // Tests beside this one drop all pages at any moment: a copy that is there whole counts.
        wait_until("the kernel keeps the file", || {
            drop_page_cache();
            let file = read(&mountpoint);
            bytes = [&file, &layer, &data].map(|path| resident(path));
            bytes[0] >= BYTES
        });
        println!("{options:?}, asked for {asked:?}, {mountpoint:?}: file, layer file, cache file {bytes:?}");
        bytes.iter().sum::<usize>() as f64 / BYTES as f64
    })
}

#[test]
fn the_kernel_keeps_at_most_two_copies() {
    for copies in copies(&[], "") {
        assert!(copies < 2.2, "{copies}");
    }
}

#[test]
fn the_kernel_keeps_one_copy_where_that_is_asked_for() {
    for copies in copies(&["--page-cache", "single"], "") {
        assert!(copies < 1.2, "{copies}");
    }
    for copies in copies(&[], "single") {
        assert!(copies < 1.2, "of one mount: {copies}");
    }
}
