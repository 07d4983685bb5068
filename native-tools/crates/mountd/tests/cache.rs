//! One cache, several logins, mounts and daemons.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

#[path = "cache/archives.rs"]
mod archives;
#[path = "cache/metrics.rs"]
mod metrics;
#[path = "cache/rights.rs"]
mod rights;
mod support;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::samples;
use mountd::proto;
use serde_json::{Value, json};
use support::TestImage;
use support::daemon::{Node, drop_page_cache, folder, text, wait_until};
use support::testing::{Stored, assert_same};

const SMALL: &[(Stored, &[usize])] = &[(Stored::ZstdFrames, &[300_000, 300_000, 300_000])];

fn with_login(request: &Value, user: &str) -> Value {
    let mut request = request.clone();
    request["credentials"] = json!({ "username": user, "password": "hunter2" });
    request
}

fn read_all(image: &TestImage, at: &Path) {
    for (name, bytes) in &image.files {
        assert_same(fs::read(at.join(name)).unwrap(), bytes, name.clone());
    }
}

#[test]
fn two_daemons_and_evictions_at_one_cache_give_no_wrong_byte_and_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let images = [300_000, 290_000, 280_000].map(|length| {
        let at = folder(directory.path(), &format!("image{length}"));
        TestImage::make(&at, &[(Stored::ZstdFrames, &[length, length])])
    });
    // Less than two of the three images: something always has to go.
    let nodes = [(); 2].map(|()| Node::start(directory.path(), &["--cache-size", "1000000"]));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut workers = vec![];
        for (number, node) in nodes.iter().enumerate() {
            for (worker, engine) in ["erofs", "fuse"].into_iter().enumerate() {
                let (images, cache, directory) = (&images, &cache, directory.path());
                workers.push(scope.spawn(move || {
                    for round in 0..6 {
                        let image = &images[(round + number + worker) % images.len()];
                        let id = format!("n{number}w{worker}r{round}");
                        let mut request = image.request(cache);
                        request["engine"] = engine.into();
                        let at = folder(directory, &id);
                        node.mount(&id, &request, &at).unwrap();
                        read_all(image, &at);
                        drop_page_cache();
                        read_all(image, &at);
                        node.unmount(&at).unwrap();
                    }
                }));
            }
        }
        let evictor = scope.spawn(|| {
            let mut evicted = 0;
            while !done.load(Ordering::Relaxed) {
                for node in &nodes {
                    evicted += evict_all(node, &cache).layers;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            evicted
        });
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(evictor.join().unwrap() > 0, "something was evicted");
        assert!(results.iter().all(Result::is_ok));
    });
}

#[test]
fn two_daemons_share_one_cache() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let request = image.request(&directory.path().join("cache"));
    let [one, two] = ["mnt1", "mnt2"].map(|name| folder(directory.path(), name));
    let nodes = [&one, &two].map(|at| {
        let node = Node::start(directory.path(), &[]);
        node.mount("m1", &request, at).unwrap();
        node
    });
    fs::read(one.join("f0-0")).unwrap();
    fs::read(two.join("f0-1")).unwrap();
    read_all(&image, &one);
    read_all(&image, &two);
    let asked: u64 = nodes
        .iter()
        .zip([&one, &two])
        .map(|(node, at)| node.stat(at).unwrap()["cacheHits"].as_u64().unwrap())
        .sum();
    assert!(asked > 0, "what one fetched the other one has");
    let evict = proto::EvictRequest {
        cache_dir: text(&directory.path().join("cache")),
        keep_bytes: 0,
        dry_run: false,
    };
    nodes[0].unmount(&one).unwrap();
    let evicted = nodes[0].call(|calls| Box::pin(calls.evict(evict)));
    assert_eq!(evicted.unwrap().layers, 0, "the other one uses it");
    drop_page_cache();
    read_all(&image, &two);
}

#[test]
fn a_cache_is_kept_within_its_bounds_while_mounts_come_and_go() {
    // Each of them is over from the first chunk on; all are looked after once a second.
    let bounds = [("--cache-size", "200000"), ("--min-free", "100%")];
    std::thread::scope(|scope| {
        for (option, value) in bounds {
            scope.spawn(move || is_kept_within(option, value));
        }
    });
}

fn is_kept_within(option: &str, value: &str) {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let cache = directory.path().join("cache");
    let metrics = directory.path().join("metrics");
    let node = Node::start(
        directory.path(),
        &[option, value, "--metrics", &text(&metrics)],
    );
    let mountpoint = folder(directory.path(), "mnt");
    node.mount("m1", &image.request(&cache), &mountpoint)
        .unwrap();
    for _ in 0..2 {
        read_all(&image, &mountpoint);
        drop_page_cache();
    }
    let data = image.cache_data(&cache, 0);
    // Where it was looked after before the first chunk came, it has kept nothing, and there is nothing to evict.
    let has_kept = fs::metadata(&data).expect("in use").blocks() > 0;
    node.unmount(&mountpoint).unwrap();
    if has_kept {
        wait_until(option, || !data.exists());
        wait_until("that is counted", || {
            samples(&metrics)["clipyard_mountd_cache_evicted_layers_total"] == 1.0
        });
    }
    node.mount("m2", &image.request(&cache), &mountpoint)
        .unwrap();
    read_all(&image, &mountpoint);
}

fn evict_all(node: &Node, cache: &Path) -> proto::EvictResponse {
    let request = proto::EvictRequest {
        cache_dir: text(cache),
        keep_bytes: 0,
        dry_run: false,
    };
    node.call(|calls| Box::pin(calls.evict(request))).unwrap()
}

#[test]
fn layers_that_a_mount_pinned_stay_until_they_are_unpinned() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let cache = directory.path().join("cache");
    let node = Node::start(directory.path(), &[]);
    let mountpoint = folder(directory.path(), "mnt");
    let mut request = image.request(&cache);
    request["pin"] = true.into();
    // One that does not come up pins nothing.
    let busy = folder(directory.path(), "busy");
    fs::write(busy.join("file"), b"x").unwrap();
    node.mount("m0", &request, &busy).unwrap_err();
    let pin = image.cache_data(&cache, 0).with_file_name("pin");
    assert!(!pin.exists());
    node.mount("m1", &request, &mountpoint).unwrap();
    read_all(&image, &mountpoint);
    node.unmount(&mountpoint).unwrap();
    assert_eq!(evict_all(&node, &cache).layers, 0);
    image.server.clear_log();
    node.mount("m2", &request, &mountpoint).unwrap();
    read_all(&image, &mountpoint);
    assert!(image.server.log().is_empty());
    node.unmount(&mountpoint).unwrap();
    fs::remove_file(&pin).unwrap();
    wait_until("it goes", || evict_all(&node, &cache).layers == 1);
}

#[test]
fn a_check_through_the_daemon_heals_what_is_mounted() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let cache = directory.path().join("cache");
    let node = Node::start(directory.path(), &[]);
    let mountpoint = folder(directory.path(), "mnt");
    node.mount("m1", &image.request(&cache), &mountpoint)
        .unwrap();
    read_all(&image, &mountpoint);
    let data = File::options()
        .write(true)
        .open(image.cache_data(&cache, 0))
        .unwrap();
    for at in [1_000, 400_000] {
        data.write_all_at(&[image.streams[0][at] ^ 1], at as u64)
            .unwrap();
    }
    let verify = || {
        let request = proto::VerifyCacheRequest {
            cache_dir: text(&cache),
        };
        node.call(|calls| Box::pin(calls.verify_cache(request)))
            .unwrap()
    };
    let found = verify();
    let chunks = image.tables[0].chunks.len() as u64;
    assert_eq!((found.chunks, found.damaged), (chunks, 2));
    assert_eq!(verify().damaged, 0);
    drop_page_cache();
    read_all(&image, &mountpoint);
    node.unmount(&mountpoint).unwrap();
    data.write_all_at(&[image.streams[0][5] ^ 1], 5).unwrap();
    assert_eq!(verify().damaged, 1, "also of what nobody has mounted");
    node.mount("m2", &image.request(&cache), &mountpoint)
        .unwrap();
    read_all(&image, &mountpoint);
}
