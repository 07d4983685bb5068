//! What is warm is asked for again by nobody: requests counted by kind, on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::Path;

use mountd::proto;
use support::TestImage;
use support::daemon::{Node, folder, text, wait_until};
use support::testing::{Stored, assert_same};

const LAYERS: &[(Stored, &[usize])] = &[
    (Stored::ZstdFrames, &[300_000, 70_000]),
    (Stored::GzipMembers(40_000), &[400_000, 10]),
];

fn requests(node: &Node, mountpoint: &Path) -> BTreeMap<String, u64> {
    let request = proto::StatRequest {
        mountpoint: text(mountpoint),
    };
    node.call(|calls| Box::pin(calls.stat(request)))
        .unwrap()
        .requests_by_kind
}

fn walk(mountpoint: &Path) {
    let mut names = 0;
    for entry in fs::read_dir(mountpoint).unwrap() {
        assert!(entry.unwrap().metadata().unwrap().is_file());
        names += 1;
    }
    assert_eq!(names, 4);
    assert!(!mountpoint.join("missing").exists());
}

fn read(mountpoint: &Path, image: &TestImage) {
    for (name, bytes) in &image.files {
        assert_same(fs::read(mountpoint.join(name)).unwrap(), bytes, name);
    }
}

fn a_repeated_walk_or_read_sends_no_request(engine: &str) {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &[]);
    let mountpoint = folder(directory.path(), "mnt");
    let mut request = image.request(&directory.path().join("cache"));
    request["engine"] = engine.into();
    node.mount("m1", &request, &mountpoint).unwrap();
    walk(&mountpoint);
    read(&mountpoint, &image);
    let first = requests(&node, &mountpoint);
    assert!(first["read"] > 0 && first["lookup"] > 0, "{first:?}");
    // The kernel may take its pages back at any moment, and tests beside this one make it do so: once in a row is enough.
    let mut last = BTreeMap::new();
    wait_until("a repeated walk and read send nothing", || {
        let before = requests(&node, &mountpoint);
        walk(&mountpoint);
        read(&mountpoint, &image);
        last = requests(&node, &mountpoint);
        println!("{before:?} then {last:?}");
        before == last
    });
}

/// Python looks whether each module that it opens is a terminal.
#[test]
fn only_a_question_for_a_terminal_is_sent_of_a_file_that_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &[]);
    let mountpoint = folder(directory.path(), "mnt");
    let mut request = image.request(&directory.path().join("cache"));
    request["engine"] = "fuse".into();
    node.mount("m1", &request, &mountpoint).unwrap();
    let look = || {
        let file = File::open(mountpoint.join("f0-1")).unwrap();
        assert!(!file.is_terminal());
        assert_same(
            fs::read(mountpoint.join("f0-1")).unwrap(),
            &image.files["f0-1"],
            "f0-1",
        );
    };
    look();
    wait_until("nothing but an ioctl is sent", || {
        let mut wanted = requests(&node, &mountpoint);
        look();
        *wanted.get_mut("ioctl").unwrap() += 1;
        wanted == requests(&node, &mountpoint)
    });
}

#[test]
fn a_repeated_walk_or_read_sends_no_request_with_engine_erofs() {
    a_repeated_walk_or_read_sends_no_request("erofs");
}

#[test]
fn a_repeated_walk_or_read_sends_no_request_with_engine_fuse() {
    a_repeated_walk_or_read_sends_no_request("fuse");
}
