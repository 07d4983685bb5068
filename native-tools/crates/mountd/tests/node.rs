//! One daemon for all images of a node.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use archive_format::digest::oci;
use mountd::proto;
use support::TestImage;
use support::daemon::{
    Node, drop_page_cache, folder, is_mounted, message, signal, text, umount, wait_until,
};
use support::testing::{Stored, assert_same};

const SMALL: &[(Stored, &[usize])] = &[(Stored::ZstdFrames, &[300_000, 300_000, 300_000])];

#[test]
fn a_layer_is_one_file_for_all_images_that_have_it() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let node = Node::start(directory.path(), &[]);
    let request = image.request(&directory.path().join("cache"));
    let [one, two] = ["mnt1", "mnt2"].map(|name| folder(directory.path(), name));
    node.mount("m1", &request, &one).unwrap();
    node.mount("m2", &request, &two).unwrap();
    for (name, bytes) in &image.files {
        assert_same(fs::read(one.join(name)).unwrap(), bytes, name.to_string());
    }
    let fetched = image.server.log().len();
    for (name, bytes) in &image.files {
        assert_same(fs::read(two.join(name)).unwrap(), bytes, name.to_string());
    }
    assert_eq!(image.server.log().len(), fetched);
    let stat = node.stat(&two).unwrap();
    assert_eq!(stat["layers"][0]["mounts"], 2, "{stat}");
    assert_eq!(
        stat["kernelRequests"], 0,
        "the kernel has the pages from the other mount: {stat}"
    );
    assert_eq!(stat["fetchedBytes"], 0, "{stat}");
    // The layer outlives the mount that brought it.
    node.unmount(&one).unwrap();
    drop_page_cache();
    for (name, bytes) in &image.files {
        assert_same(fs::read(two.join(name)).unwrap(), bytes, name.to_string());
    }
    assert_eq!(node.stat(&two).unwrap()["layers"][0]["mounts"], 1);
}

#[test]
fn a_layer_is_fetched_with_the_login_of_the_mount_that_asks() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let other = TestImage::make(directory.path(), SMALL);
    assert_eq!(
        image.tables, other.tables,
        "the same image in two registries"
    );
    let node = Node::start(directory.path(), &[]);
    let cache = directory.path().join("cache");
    let [one, two] = ["mnt1", "mnt2"].map(|name| folder(directory.path(), name));
    node.mount("m1", &image.request(&cache), &one).unwrap();
    node.mount("m2", &other.request(&cache), &two).unwrap();
    fs::read(two.join("f0-0")).unwrap();
    // Each login has shown that it may read the layer, before the two shared it; data was asked for where it was wanted.
    let asks_for_data = |seen: &support::testing::server::Seen| seen.line.starts_with("GET");
    assert!(!image.server.log().iter().any(asks_for_data));
    assert!(other.server.log().iter().any(asks_for_data));
    assert!(node.stat(&two).unwrap()["fetchedBytes"].as_u64().unwrap() > 0);
    fs::read(one.join("f0-2")).unwrap();
    assert!(image.server.log().iter().any(asks_for_data));
    // Where one registry has lost the blob, the other one is asked.
    other.server.remove(&oci(&other.tables[0].digest));
    drop_page_cache();
    assert_same(
        fs::read(two.join("f0-1")).unwrap(),
        &image.files["f0-1"],
        "",
    );
}

#[test]
fn a_mount_reads_from_its_mirror_within_its_limit_and_the_registry_has_the_last_word() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let mirror = TestImage::make(directory.path(), SMALL);
    let node = Node::start(directory.path(), &[]);
    let mut request = image.request(&directory.path().join("cache"));
    request["mirrors"] = serde_json::json!(["http://127.0.0.1:1", mirror.server.url]);
    request["mountRequests"] = serde_json::json!(1);
    mirror.server.delay(std::time::Duration::from_millis(20));
    let mountpoint = folder(directory.path(), "mnt");
    node.mount("m1", &request, &mountpoint).unwrap();
    std::thread::scope(|scope| {
        for name in ["f0-0", "f0-1", "f0-2"] {
            let path = mountpoint.join(name);
            let wanted = &image.files[name];
            scope.spawn(move || assert_same(fs::read(path).unwrap(), wanted, name));
        }
    });
    assert!(image.server.log().is_empty() && !mirror.server.log().is_empty());
    assert_eq!(mirror.server.most_waiting(), 1);
}

#[test]
fn a_mount_keeps_to_its_own_memory_and_bandwidth_and_holds_no_other_up() {
    let directory = tempfile::tempdir().unwrap();
    let [narrow, slow, other] = ["narrow", "slow", "other"].map(|name| {
        let at = folder(directory.path(), name);
        TestImage::make(&at, SMALL)
    });
    let node = Node::start(directory.path(), &[]);
    let mount = |image: &TestImage, id: &str, limit: &str| {
        let mut request = image.request(&directory.path().join(id));
        request[limit] = 1.into();
        let at = folder(directory.path(), &format!("mnt-{id}"));
        node.mount(id, &request, &at).unwrap();
        at
    };
    narrow.server.delay(std::time::Duration::from_millis(20));
    let read_at_once = |image: &TestImage, at: &Path| {
        thread::scope(|scope| {
            for (name, wanted) in &image.files {
                let path = at.join(name);
                scope.spawn(move || assert_same(fs::read(path).unwrap(), wanted, name));
            }
        });
    };
    // Less than any request needs: one goes on all the same, and no other beside it.
    read_at_once(&narrow, &mount(&narrow, "narrow", "mountMemory"));
    assert_eq!(narrow.server.most_waiting(), 1);
    // A byte a second: what is read waits for hours.
    let at = mount(&slow, "slow", "mountBandwidth");
    thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(at.join("f0-0")));
        wait_until("it is asked for", || !slow.server.log().is_empty());
        let other_at = mount(&other, "other", "none");
        read_at_once(&other, &other_at);
        assert!(!reader.is_finished());
        let blob = slow.tables[0].blob_bytes;
        let fetched = node.stat(&at).unwrap()["fetchedBytes"].as_u64().unwrap();
        assert!(fetched < blob, "{fetched} of {blob}");
        node.kill();
        assert!(reader.join().unwrap().is_err(), "an error, never zeros");
    });
}

#[test]
fn a_mount_that_is_asked_for_again_is_the_one_that_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let node = Node::start(directory.path(), &[]);
    let request = image.request(&directory.path().join("cache"));
    let mountpoint = folder(directory.path(), "mnt");
    let first = node.mount("m1", &request, &mountpoint).unwrap().mount;
    assert_eq!(
        node.mount("m1", &request, &mountpoint).unwrap().mount,
        first
    );
    assert_eq!(
        node.mount("m2", &request, &mountpoint).unwrap_err()["code"],
        "MOUNT_POINT_IN_USE"
    );
    for id in ["", "../x", "Upper", "m2/"] {
        let at = folder(directory.path(), "other");
        assert_eq!(
            node.mount(id, &request, &at).unwrap_err()["code"],
            "INTERNAL",
            "{id:?}"
        );
    }
    assert_eq!(node.list().len(), 1);
}

#[test]
fn what_others_unmount_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let node = Node::start(directory.path(), &[]);
    let request = image.request(&directory.path().join("cache"));
    let [one, two] = ["mnt1", "mnt2"].map(|name| folder(directory.path(), name));
    node.mount("m1", &request, &one).unwrap();
    node.mount("m2", &request, &two).unwrap();
    umount(&one);
    wait_until("the list has one mount", || node.list().len() == 1);
    // It leaves the tree first; the kernel closes its files a moment later.
    wait_until("it is forgotten", || {
        let answer = node.unmount(&one);
        answer.is_err_and(|error| error["code"] == "MOUNT_NOT_FOUND")
    });
    // Out of the tree and still in use: not listed, and served on.
    let mut file = File::open(two.join("f0-1")).unwrap();
    assert!(
        Command::new("umount")
            .arg("-l")
            .arg(&two)
            .status()
            .unwrap()
            .success()
    );
    wait_until("the list is empty", || node.list().is_empty());
    let mut bytes = vec![];
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    assert_same(&bytes, &image.files["f0-1"], "");
    drop(file);
    wait_until("its folder is gone", || {
        fs::read_dir(&node.state).unwrap().count() == 0
    });
}

#[test]
fn many_mounts_at_once_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let node = Node::start(directory.path(), &["--idle-exit"]);
    let request = image.request(&directory.path().join("cache"));
    let keeper = folder(directory.path(), "keeper");
    node.mount("keeper", &request, &keeper).unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let (node, request, image, directory) = (&node, &request, &image, &directory);
            scope.spawn(move || {
                let mountpoint = folder(directory.path(), &format!("mnt{worker}"));
                for round in 0..5 {
                    node.mount(&format!("w{worker}r{round}"), request, &mountpoint)
                        .unwrap();
                    assert_same(
                        fs::read(mountpoint.join("f0-1")).unwrap(),
                        &image.files["f0-1"],
                        "",
                    );
                    wait_until("unmounted", || node.unmount(&mountpoint).is_ok());
                    assert!(!is_mounted(&mountpoint));
                }
            });
        }
    });
    assert_eq!(node.list().len(), 1);
    node.unmount(&keeper).unwrap();
    assert!(node.ends());
}

#[test]
fn a_node_that_drains_takes_no_mount_and_ends_with_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let node = Node::start(directory.path(), &[]);
    let request = image.request(&directory.path().join("cache"));
    let [one, two] = ["mnt1", "mnt2"].map(|name| folder(directory.path(), name));
    node.mount("m1", &request, &one).unwrap();
    let left = node
        .call(|calls| Box::pin(calls.drain(proto::DrainRequest {})))
        .unwrap();
    assert_eq!(left.mounts, 1);
    assert_eq!(
        node.mount("m2", &request, &two).unwrap_err()["code"],
        "MOUNT_DRAINING"
    );
    assert_same(
        fs::read(one.join("f0-0")).unwrap(),
        &image.files["f0-0"],
        "",
    );
    node.unmount(&one).unwrap();
    assert!(node.ends() && !node.socket.exists());
}

#[test]
fn a_prefetched_mount_reads_without_its_registry_and_its_layers_can_be_evicted_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let node = Node::start(directory.path(), &[]);
    let cache = directory.path().join("cache");
    let mountpoint = folder(directory.path(), "mnt");
    node.mount("m1", &image.request(&cache), &mountpoint)
        .unwrap();
    let request = proto::PrefetchRequest {
        mountpoint: text(&mountpoint),
    };
    let started = node
        .call(|calls| Box::pin(calls.prefetch(request)))
        .unwrap();
    assert_eq!(started.plain_bytes, image.streams[0].len() as u64);
    wait_until("everything is there", || {
        node.stat(&mountpoint).unwrap()["layers"][0]["mode"] == "complete"
    });
    image.server.remove(&oci(&image.tables[0].digest));
    for (name, bytes) in &image.files {
        assert_same(
            fs::read(mountpoint.join(name)).unwrap(),
            bytes,
            name.to_string(),
        );
    }
    let evict = || {
        let request = proto::EvictRequest {
            cache_dir: text(&cache),
            keep_bytes: 0,
            dry_run: false,
        };
        node.call(|calls| Box::pin(calls.evict(request))).unwrap()
    };
    assert_eq!(evict().layers, 0, "a layer in use stays");
    node.unmount(&mountpoint).unwrap();
    // Who fetched ahead may hold it for a moment more.
    wait_until("it can go", || evict().freed_bytes > 0);
    assert!(!image.cache_data(&cache, 0).exists());
}

#[test]
fn a_second_holder_of_a_socket_leaves_the_first_alone() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[]);
    let second = Command::new(env!("CARGO_BIN_EXE_clipyard-mountd"))
        .args([
            "hold",
            "--socket",
            &text(&node.socket),
            "--state",
            &text(&node.state),
        ])
        .output()
        .unwrap();
    assert!(second.status.success());
    assert!(node.list().is_empty());
    signal("TERM", &[node.holder_pid()]);
    assert!(node.ends());
}

#[test]
fn an_image_is_mounted_while_another_one_waits_for_its_layers() {
    let directory = tempfile::tempdir().unwrap();
    let [slow, quick] = ["slow", "quick"].map(|name| folder(directory.path(), name));
    let slow = TestImage::make(&slow, SMALL);
    let quick = TestImage::make(&quick, &[SMALL[0], (Stored::ZstdFrames, &[70_000])]);
    assert_eq!(slow.tables[0], quick.tables[0], "they share a layer");
    let node = Node::start(directory.path(), &[]);
    let cache = directory.path().join("cache");
    let (pipe, mut waits) = layer_that_opens_late(&slow, directory.path(), &cache);
    let [one, two] = ["mnt1", "mnt2"].map(|name| folder(directory.path(), name));
    thread::scope(|scope| {
        let first = scope.spawn(|| node.mount("m1", &waits, &one));
        wait_until("the first one is being made", || has_layers(&cache));
        node.mount("m2", &quick.request(&cache), &two).unwrap();
        for (name, bytes) in &quick.files {
            assert_same(fs::read(two.join(name)).unwrap(), bytes, name.to_string());
        }
        drop(fs::OpenOptions::new().write(true).open(&pipe).unwrap());
        assert_eq!(first.join().unwrap().unwrap_err()["code"], "BLOB_MISMATCH");
    });
    waits["localLayers"] = serde_json::Value::Null;
    node.mount("m1", &waits, &one).unwrap();
    assert_eq!(node.stat(&two).unwrap()["layers"][0]["mounts"], 2);
}

/// A request whose mount waits until somebody writes into the pipe.
fn layer_that_opens_late(
    image: &TestImage,
    directory: &Path,
    cache: &Path,
) -> (PathBuf, serde_json::Value) {
    let pipe = directory.join("layer that opens late");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut request = image.request(cache);
    request["localLayers"] = serde_json::json!({ oci(&image.tables[0].diff_id): pipe });
    (pipe, request)
}

/// A mount whose turn has come opens layers.
fn has_layers(cache: &Path) -> bool {
    fs::read_dir(cache.join("layers")).is_ok_and(|mut all| all.next().is_some())
}

#[test]
fn a_caller_that_leaves_before_the_mount_is_there_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let node = Node::start(directory.path(), &[]);
    let cache = directory.path().join("cache");
    let request = image.request(&cache);
    let (pipe, slow) = layer_that_opens_late(&image, directory.path(), &cache);
    let [one, two] = ["mnt1", "mnt2"].map(|name| folder(directory.path(), name));
    thread::scope(|scope| {
        let first = scope.spawn(|| node.mount("m1", &slow, &one));
        wait_until("the first one is being made", || has_layers(&cache));
        // An image is mounted once at a time: the second one waits, and its caller does not.
        let message = message("m2", &request, &two);
        let error = node.call(|calls| {
            Box::pin(async move {
                let call = calls.mount(message);
                let patience = std::time::Duration::from_millis(300);
                let left = || Err(tonic::Status::cancelled("left"));
                tokio::time::timeout(patience, call)
                    .await
                    .unwrap_or_else(|_| left())
            })
        });
        assert_eq!(error.unwrap_err()["code"], "Cancelled");
        drop(fs::OpenOptions::new().write(true).open(&pipe).unwrap());
        assert_eq!(first.join().unwrap().unwrap_err()["code"], "BLOB_MISMATCH");
    });
    wait_until("it is given up", || {
        fs::read_dir(&node.state).map_or(0, Iterator::count) == 0
    });
    assert!(node.list().is_empty() && !is_mounted(&two));
}
