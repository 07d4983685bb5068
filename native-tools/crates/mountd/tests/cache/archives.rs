//! The archives beside the layers.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use mountd::proto;
use serde_json::Value;

use super::support::TestImage;
use super::support::daemon::{Node, folder, signal, text, wait_until};
use super::{SMALL, evict_all, read_all};

/// An image whose archive lies in the cache, as a command leaves it there, last used an hour ago.
fn with_cached_archive(directory: &Path, image: &TestImage) -> (std::path::PathBuf, Value) {
    let cache = directory.join("cache");
    fs::create_dir_all(cache.join("archives")).unwrap();
    let archive = cache.join("archives/image.clip");
    fs::copy(&image.archive, &archive).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    let file = File::open(&archive).unwrap();
    file.set_modified(std::time::SystemTime::now() - hour)
        .unwrap();
    let mut request = image.request(&cache);
    request["archive"] = text(&archive).into();
    (archive, request)
}

#[test]
fn an_archive_is_evicted_when_no_mount_has_it_also_over_a_change_of_daemons() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    for engine in ["erofs", "fuse"] {
        let (archive, mut request) = with_cached_archive(directory.path(), &image);
        request["engine"] = engine.into();
        let cache = directory.path().join("cache");
        let node = Node::start(directory.path(), &[]);
        let mountpoint = folder(directory.path(), &format!("mnt-{engine}"));
        node.mount("m1", &request, &mountpoint).unwrap();
        assert_eq!(evict_all(&node, &cache).archives, 0);
        let before = node.daemon_pid();
        signal("KILL", &[before]);
        wait_until("the next daemon is there", || node.daemon_pid() != before);
        assert_eq!(evict_all(&node, &cache).archives, 0);
        assert!(archive.exists());
        read_all(&image, &mountpoint);
        node.unmount(&mountpoint).unwrap();
        wait_until("nobody has it", || evict_all(&node, &cache).archives == 1);
        assert!(!archive.exists());
    }
}

#[test]
fn a_bounded_cache_counts_its_archives() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let (archive, _) = with_cached_archive(directory.path(), &image);
    let node = Node::start(directory.path(), &["--cache-size", "4096"]);
    let mountpoint = folder(directory.path(), "mnt");
    node.mount(
        "m1",
        &image.request(&directory.path().join("cache")),
        &mountpoint,
    )
    .unwrap();
    wait_until("it is evicted", || !archive.exists());
    read_all(&image, &mountpoint);
}

#[test]
fn a_check_removes_a_damaged_archive() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let (archive, _) = with_cached_archive(directory.path(), &image);
    let node = Node::start(directory.path(), &[]);
    let verify = || {
        let request = proto::VerifyCacheRequest {
            cache_dir: text(&directory.path().join("cache")),
        };
        let found = node.call(|calls| Box::pin(calls.verify_cache(request)));
        let found = found.unwrap();
        (found.archives, found.damaged_archives)
    };
    assert_eq!(verify(), (1, 0));
    let length = fs::metadata(&archive).unwrap().len();
    let file = File::options().write(true).open(&archive).unwrap();
    file.write_all_at(&[0xa5; 64], length - 4096).unwrap();
    assert_eq!(verify(), (1, 1));
    assert_eq!(verify(), (0, 0));
}
