//! Traces of what mounts touch, and mounts that are fetched in their order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mountd::proto;
use serde_json::Value;
use support::TestImage;
use support::daemon::{Node, folder, message, signal, text, wait_until};
use support::testing::server::Fault;
use support::testing::{Stored, assert_same};

const LAYERS: &[(Stored, &[usize])] = &[
    (Stored::ZstdFrames, &[300_000, 200_000, 300_000]),
    (Stored::ZstdFrames, &[100_000, 400_000]),
];

fn lines(trace: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(trace).unwrap().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The digests of all touches, in order.
fn profile_of(trace: &[u8]) -> Vec<u8> {
    let rows = lines(trace);
    let touches = rows[1..rows.len() - 1].iter();
    touches
        .flat_map(|row| URL_SAFE_NO_PAD.decode(row[8].as_str().unwrap()).unwrap())
        .collect()
}

fn trace_of(node: &Node, mountpoint: &Path) -> Vec<u8> {
    let request = proto::TraceRequest {
        mountpoint: text(mountpoint),
    };
    let answer = node.call(|calls| Box::pin(calls.trace(request)));
    answer.unwrap().trace
}

fn stat(node: &Node, mountpoint: &Path) -> proto::StatResponse {
    let request = proto::StatRequest {
        mountpoint: text(mountpoint),
    };
    node.call(|calls| Box::pin(calls.stat(request))).unwrap()
}

fn mount(node: &Node, request: proto::MountRequest) {
    node.call(|calls| Box::pin(calls.mount(request))).unwrap();
}

fn is_complete(node: &Node, mountpoint: &Path) -> bool {
    let layers = stat(node, mountpoint).layers;
    layers.iter().all(|layer| layer.proven == layer.chunks)
}

fn replace_by_kill(node: &Node) {
    let daemon = node.daemon_pid();
    signal("KILL", &[daemon]);
    wait_until("another daemon runs", || node.daemon_pid() != daemon);
}

fn reads_of(stat: &proto::StatResponse, name: &str) -> u64 {
    stat.tiers
        .iter()
        .find(|tier| tier.tier == name)
        .unwrap()
        .reads
}

#[test]
fn a_mount_records_what_it_touches_first_and_writes_it_at_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    for engine in ["erofs", "fuse"] {
        let node = Node::start(&folder(directory.path(), engine), &[]);
        let cache = directory.path().join(format!("cache-{engine}"));
        let at = folder(directory.path(), &format!("mnt-{engine}"));
        let file = directory.path().join(format!("{engine}.trace"));
        let mut request = message("m1", &image.request(&cache), &at);
        request.engine = engine.to_owned();
        request.trace_file = text(&file);
        request.entry = "python3 -m app".to_owned();
        mount(&node, request);
        fs::read(at.join("f1-0")).unwrap();
        fs::read(at.join("f0-2")).unwrap();
        let trace = trace_of(&node, &at);
        let rows = lines(&trace);
        let (header, end) = (&rows[0], rows.last().unwrap());
        assert_eq!(header["format"], "clipyard-trace");
        assert_eq!(header["entry"], "python3 -m app");
        assert_eq!(header["layers"].as_array().unwrap().len(), 2);
        assert_eq!(end["touches"], rows.len() - 2);
        let touches = &rows[1..rows.len() - 1];
        assert_eq!(touches[0][0], 1, "the second layer was touched first");
        assert_eq!(touches[0][7], "missing");
        assert!(touches[0][6].as_u64().unwrap() > 0, "it waited");
        let count =
            |rows: &[Value]| -> u64 { rows.iter().map(|row| row[2].as_u64().unwrap()).sum() };
        assert_eq!(profile_of(&trace).len() as u64, 16 * count(touches));
        for row in touches {
            let (layer, chunk) = (row[0].as_u64().unwrap(), row[1].as_u64().unwrap());
            let table = &image.tables[usize::try_from(layer).unwrap()];
            let digest = table.chunks[usize::try_from(chunk).unwrap()].digest;
            let short = URL_SAFE_NO_PAD.decode(row[8].as_str().unwrap()).unwrap();
            assert_eq!(short[..16], digest[..16]);
        }
        let stat = stat(&node, &at);
        assert!(reads_of(&stat, "missing") > 0 && stat.waited_us > 0);
        let waits: u64 = stat.waits.iter().map(|wait| wait.reads).sum();
        let waited = ["cached", "coming", "missing"].map(|tier| reads_of(&stat, tier));
        assert_eq!(waits, waited.iter().sum::<u64>());
        assert!(!file.exists());
        node.unmount(&at).unwrap();
        let written = lines(&fs::read(&file).unwrap());
        assert_eq!(written[..written.len() - 1], rows[..rows.len() - 1]);
    }
}

#[test]
fn a_profile_fetches_what_is_left_of_it_in_the_next_image() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &[]);
    let at = folder(directory.path(), "mnt");
    mount(
        &node,
        message("m1", &image.request(&directory.path().join("cache")), &at),
    );
    for name in ["f1-1", "f0-0", "f0-2"] {
        fs::read(at.join(name)).unwrap();
    }
    let profile = profile_of(&trace_of(&node, &at));
    node.unmount(&at).unwrap();

    // A rebuild: the second layer has one file more, so its digest is another one and what lies before is the same.
    let rebuilt = folder(directory.path(), "rebuilt");
    let layers: &[(Stored, &[usize])] = &[LAYERS[0], (Stored::ZstdFrames, &[100_000, 400_000, 5])];
    let next = TestImage::make(&rebuilt, layers);
    assert_ne!(next.tables[1].digest, image.tables[1].digest);
    let cold = |name: &str, profile: Vec<u8>| {
        let mut request = message(name, &next.request(&directory.path().join(name)), &at);
        let has_profile = !profile.is_empty();
        request.profile = profile;
        request.engine = "fuse".to_owned();
        mount(&node, request);
        if has_profile {
            wait_until("the profile is replayed", || {
                stat(&node, &at)
                    .replay
                    .is_some_and(|replay| replay.state == "done")
            });
        }
        for name in ["f1-1", "f0-0", "f0-2"] {
            assert_same(
                fs::read(at.join(name)).unwrap(),
                &next.files[name],
                name.to_owned(),
            );
        }
        let stat = stat(&node, &at);
        node.unmount(&at).unwrap();
        stat
    };
    let without = cold("cold1", vec![]);
    assert!(without.replay.is_none());
    let with = cold("cold2", profile);
    let waited = reads_of(&without, "missing") + reads_of(&without, "coming");
    assert!(waited >= 3, "{:?}", without.tiers);
    // Not what was coming: the kernel may ask for two parts of the one missing chunk at once.
    assert!(
        reads_of(&with, "missing") <= 1,
        "only what changed is waited for: {:?}",
        with.tiers
    );
    let replay = with.replay.unwrap();
    assert!(
        replay.mapped < replay.chunks || replay.unforeseen == 0,
        "{replay:?}"
    );
    assert!(replay.mapped * 10 >= replay.chunks * 8, "{replay:?}");
    assert!(replay.used > 0 && replay.fetched > 0, "{replay:?}");
}

#[test]
fn a_damaged_profile_is_refused_and_a_foreign_one_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &[]);
    let at = folder(directory.path(), "mnt");
    let with = |id: &str, profile: Vec<u8>| {
        let mut request = message(id, &image.request(&directory.path().join("cache")), &at);
        request.profile = profile;
        node.call(|calls| Box::pin(calls.mount(request)))
    };
    assert_eq!(with("m1", vec![1; 17]).unwrap_err()["code"], "INTERNAL");
    assert!(node.list().is_empty());
    with("m2", vec![9; 16 * 1000]).unwrap();
    wait_until("it is found to fit nothing", || {
        stat(&node, &at)
            .replay
            .is_some_and(|replay| replay.state == "done")
    });
    assert_eq!(stat(&node, &at).replay.unwrap().mapped, 0);
    assert!(image.server.log().is_empty());
    node.unmount(&at).unwrap();
}

#[test]
fn the_rest_of_an_image_is_brought_at_a_rate_and_not_after_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &[]);
    let at = folder(directory.path(), "mnt");
    let with = |id: &str, rate: u64| {
        let mut request = message(id, &image.request(&directory.path().join(id)), &at);
        request.complete_bytes_per_second = rate;
        mount(&node, request);
    };
    with("fast", 1 << 40);
    wait_until("all layers are complete", || is_complete(&node, &at));
    node.unmount(&at).unwrap();
    // One byte a second: a first step, and then nothing for a long time.
    with("slow", 1);
    wait_until("it has begun", || stat(&node, &at).layers[0].proven > 0);
    assert_eq!(stat(&node, &at).layers[1].proven, 0);
    node.unmount(&at).unwrap();
    assert!(node.list().is_empty());
}

#[test]
fn what_is_left_of_an_image_is_not_brought_after_its_mount_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), &[(Stored::ZstdFrames, &[6_000_000][..])]);
    let node = Node::start(directory.path(), &[]);
    let cache = directory.path().join("cache");
    // It has the layer too, so there is a login to go on with.
    let [other, at] = ["other", "mnt"].map(|name| folder(directory.path(), name));
    mount(&node, message("other", &image.request(&cache), &other));
    // Nothing comes until the mount is gone.
    image.server.fail_always(Some(Fault::Status(503, vec![])));
    let mut request = message("m1", &image.request(&cache), &at);
    request.complete_bytes_per_second = 1 << 40;
    mount(&node, request);
    wait_until("it is asked for", || !image.server.log().is_empty());
    node.unmount(&at).unwrap();
    image.server.fail_always(None);
    wait_until("the first step comes", || {
        stat(&node, &other).layers[0].proven > 0
    });
    let mut asked = 0;
    wait_until("it is quiet", || {
        thread::sleep(Duration::from_millis(200));
        let before = std::mem::replace(&mut asked, image.server.log().len());
        before == asked
    });
    assert!(!is_complete(&node, &other), "all of it came");
    node.unmount(&other).unwrap();
}

#[test]
fn a_profile_of_what_nobody_reads_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let layers: &[(Stored, &[usize])] = &[
        (Stored::ZstdFrames, &[13_000_000]),
        (Stored::ZstdFrames, &[2_600_000]),
    ];
    let image = TestImage::make(directory.path(), layers);
    let node = Node::start(directory.path(), &[]);
    let at = folder(directory.path(), "mnt");
    let request = |id: &str| {
        let mut request = message(id, &image.request(&directory.path().join("cache")), &at);
        // Reads of a layer that is handed over are not seen.
        request.engine = "fuse".to_owned();
        request
    };
    let read = || assert_same(fs::read(at.join("f1-0")).unwrap(), &image.files["f1-0"], "");
    mount(&node, request("first"));
    read();
    node.unmount(&at).unwrap();
    // The profile names the other layer, of which nothing comes until the reader has shown that it wants something else.
    image.server.fail_always(Some(Fault::Status(503, vec![])));
    let mut with = request("second");
    let chunks = &image.tables[0].chunks;
    with.profile = chunks
        .iter()
        .flat_map(|chunk| &chunk.digest[..16])
        .copied()
        .collect();
    mount(&node, with);
    read();
    image.server.fail_always(None);
    let replay = || stat(&node, &at).replay.unwrap();
    wait_until("it is given up", || replay().state == "unused");
    let replay = replay();
    assert!(replay.unforeseen >= 32 && replay.used == 0, "{replay:?}");
    assert!(replay.fetched < chunks.len() as u64, "{replay:?}");
    read();
    node.unmount(&at).unwrap();
}

#[test]
fn a_profile_is_not_fetched_after_its_mount_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), &[(Stored::ZstdFrames, &[2_000_000][..])]);
    // One request for what is wanted ahead, one for what is read.
    let node = Node::start(directory.path(), &["--max-requests", "2"]);
    let cache = directory.path().join("cache");
    let request = |id: &str, at: &Path| message(id, &image.request(&cache), at);
    // It has the layer too, so there is a login to go on with.
    let other = folder(directory.path(), "other");
    mount(&node, request("other", &other));
    image.server.delay(Duration::from_millis(60));
    let at = folder(directory.path(), "mnt");
    let mut with = request("m1", &at);
    let apart = image.tables[0].chunks.iter().step_by(2);
    with.profile = apart
        .flat_map(|chunk| &chunk.digest[..16])
        .copied()
        .collect();
    let wanted = with.profile.len() / 16;
    mount(&node, with);
    wait_until("it is asked for", || !image.server.log().is_empty());
    node.unmount(&at).unwrap();
    let asked = image.server.log().len();
    // Time for several more, were they asked for.
    thread::sleep(Duration::from_millis(400));
    let later = image.server.log().len();
    assert!(asked < wanted - 1, "{asked} of {wanted}: too late to tell");
    assert!(later <= asked + 1, "{asked} requests, then {later}");
    image.server.delay(Duration::ZERO);
    assert_same(
        fs::read(other.join("f0-0")).unwrap(),
        &image.files["f0-0"],
        "f0-0",
    );
    node.unmount(&other).unwrap();
}

#[test]
fn what_is_fetched_ahead_is_gone_on_with_by_the_next_daemon_until_it_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &[]);
    let at = folder(directory.path(), "mnt");
    // Nothing comes until the first daemon is dead.
    image.server.fail_always(Some(Fault::Status(503, vec![])));
    let mut request = message("m1", &image.request(&directory.path().join("cache")), &at);
    request.profile = image.tables[1].chunks[0].digest[..16].to_vec();
    request.complete_bytes_per_second = 1 << 40;
    mount(&node, request);
    wait_until("it is asked for", || !image.server.log().is_empty());
    replace_by_kill(&node);
    image.server.fail_always(None);
    wait_until("the profile is replayed", || {
        stat(&node, &at)
            .replay
            .is_some_and(|replay| replay.state == "done" && replay.mapped == 1)
    });
    wait_until("all layers are complete", || is_complete(&node, &at));
    // Noted a moment after the last byte came.
    wait_until("nothing is left to do", || {
        replace_by_kill(&node);
        stat(&node, &at).replay.is_none()
    });
    image.server.clear_log();
    assert_same(
        fs::read(at.join("f1-1")).unwrap(),
        &image.files["f1-1"],
        "f1-1",
    );
    assert_eq!(image.server.log(), []);
    node.unmount(&at).unwrap();
}

#[test]
fn what_a_caller_wanted_prefetched_is_gone_on_with_by_the_next_daemon_until_it_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &[]);
    let at = folder(directory.path(), "mnt");
    mount(
        &node,
        message("m1", &image.request(&directory.path().join("cache")), &at),
    );
    // Nothing comes until the first daemon is dead.
    image.server.fail_always(Some(Fault::Status(503, vec![])));
    let request = proto::PrefetchRequest {
        mountpoint: text(&at),
    };
    node.call(|calls| Box::pin(calls.prefetch(request)))
        .unwrap();
    wait_until("it is asked for", || !image.server.log().is_empty());
    replace_by_kill(&node);
    image.server.fail_always(None);
    wait_until("all layers are complete", || is_complete(&node, &at));
    node.unmount(&at).unwrap();
}
