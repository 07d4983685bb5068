//! One cache, several logins, mounts and daemons.
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
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::SystemTime;

use archive_format::digest::oci;
use mountd::proto;
use serde_json::{Value, json};
use support::TestImage;
use support::daemon::{Node, drop_page_cache, folder, signal, text, wait_until};
use support::testing::{Stored, assert_same, layer, sample};

const SMALL: &[(Stored, &[usize])] = &[(Stored::ZstdFrames, &[300_000, 300_000, 300_000])];
/// bob:hunter2
const BOB: &str = "Basic Ym9iOmh1bnRlcjI=";

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
fn a_login_that_may_not_read_a_cached_layer_gets_an_error_and_no_byte() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    image.server.want_basic(BOB);
    let node = Node::start(directory.path(), &[]);
    let request = image.request(&directory.path().join("cache"));
    let [one, two, three] = ["mnt1", "mnt2", "mnt3"].map(|name| folder(directory.path(), name));
    node.mount("bob", &with_login(&request, "bob"), &one)
        .unwrap();
    read_all(&image, &one);
    for other in [with_login(&request, "eve"), request.clone()] {
        let refused = node.mount("eve", &other, &two).unwrap_err();
        assert_eq!(refused["code"], "REGISTRY_UNAUTHENTICATED", "{refused}");
        assert!(!refused.to_string().contains("hunter2"));
    }
    assert_eq!(node.list().len(), 1);
    // Also when nobody has it mounted any more, and with another daemon.
    node.unmount(&one).unwrap();
    let later = Node::start(directory.path(), &[]);
    let refused = later.mount("eve", &with_login(&request, "eve"), &two);
    assert_eq!(refused.unwrap_err()["code"], "REGISTRY_UNAUTHENTICATED");
    // The login whose right is known is not asked about again: its registry may be away.
    image.server.remove(&oci(&image.tables[0].digest));
    image.server.clear_log();
    later
        .mount("bob", &with_login(&request, "bob"), &three)
        .unwrap();
    read_all(&image, &three);
    assert!(image.server.log().is_empty());
}

#[test]
fn a_login_without_a_right_that_came_first_shares_nothing_that_comes_later() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    image.server.want_basic(BOB);
    let node = Node::start(directory.path(), &[]);
    let request = image.request(&directory.path().join("cache"));
    let [one, two] = ["mnt1", "mnt2"].map(|name| folder(directory.path(), name));
    // Nothing is cached yet, so nothing is asked.
    node.mount("eve", &with_login(&request, "eve"), &one)
        .unwrap();
    node.mount("bob", &with_login(&request, "bob"), &two)
        .unwrap();
    read_all(&image, &two);
    for name in image.files.keys() {
        assert!(fs::read(one.join(name)).is_err(), "{name}");
    }
    // The next daemon knows it too.
    let before = node.daemon_pid();
    signal("KILL", &[before]);
    wait_until("the next daemon is there", || node.daemon_pid() != before);
    drop_page_cache();
    read_all(&image, &two);
    for name in image.files.keys() {
        assert!(fs::read(one.join(name)).is_err(), "{name}");
    }
}

#[test]
fn a_forged_archive_spoils_nothing_and_shows_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    image.server.want_basic(BOB);
    let cache = directory.path().join("cache");
    let [good, bad] = ["good", "bad"].map(|name| folder(directory.path(), name));
    // The forger's own registry, with a blob of the forger's making.
    let evil = sample(image.streams[0].len(), 99);
    let (own_table, own_blob) = layer(&evil, Stored::ZstdFrames, support::CHUNK_BYTES);
    let own = support::testing::server::Server::start();
    own.add(&oci(&own_table.digest), own_blob);
    // Another chunk table for the layer's diffID.
    let mut poisoned = own_table.clone();
    poisoned.diff_id = image.tables[0].diff_id;
    // The layer's chunk table and diffID over the forger's blob, which the forger's login may read.
    let mut borrowed = poisoned.clone();
    borrowed.chunks.clone_from(&image.tables[0].chunks);
    for (forged, comes_first) in [(poisoned, true), (borrowed, false)] {
        let node = Node::start(directory.path(), &[]);
        let archive = directory.path().join("forged.clip");
        image.forge(&archive, std::slice::from_ref(&forged));
        let mut request = image.request(&cache);
        request["archive"] = text(&archive).into();
        request["registry"]["baseUrl"] = own.url.clone().into();
        let honest = with_login(&image.request(&cache), "bob");
        let read_bad = || {
            let names = image.files.iter();
            names
                .map(|(name, bytes)| (fs::read(bad.join(name)), bytes))
                .collect::<Vec<_>>()
        };
        if comes_first {
            node.mount("forger", &request, &bad).unwrap();
            for (found, bytes) in read_bad() {
                assert_ne!(found.unwrap(), **bytes, "the forger sees the forger's data");
            }
            node.mount("honest", &honest, &good).unwrap();
            read_all(&image, &good);
        } else {
            node.mount("honest", &honest, &good).unwrap();
            read_all(&image, &good);
            node.mount("forger", &request, &bad).unwrap();
            for (found, _) in read_bad() {
                assert!(found.is_err(), "the blob does not hold these chunks");
            }
        }
        drop_page_cache();
        read_all(&image, &good);
        assert_eq!(node.stat(&good).unwrap()["cacheDamaged"], 0);
        node.unmount(&bad).unwrap();
        node.unmount(&good).unwrap();
    }
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
fn a_cache_is_kept_below_its_size_while_mounts_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let cache = directory.path().join("cache");
    let metrics = directory.path().join("metrics");
    let node = Node::start(
        directory.path(),
        &["--cache-size", "200000", "--metrics", &text(&metrics)],
    );
    let mountpoint = folder(directory.path(), "mnt");
    node.mount("m1", &image.request(&cache), &mountpoint)
        .unwrap();
    for _ in 0..2 {
        read_all(&image, &mountpoint);
        drop_page_cache();
    }
    assert!(image.cache_data(&cache, 0).exists(), "in use");
    node.unmount(&mountpoint).unwrap();
    wait_until("it is evicted", || !image.cache_data(&cache, 0).exists());
    wait_until("that is counted", || {
        samples(&metrics)["clipyard_mountd_cache_evicted_layers_total"] == 1.0
    });
    node.mount("m2", &image.request(&cache), &mountpoint)
        .unwrap();
    read_all(&image, &mountpoint);
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

/// The samples of a metrics page by name and labels. Fails on a line that is not of the text format.
fn samples(socket: &Path) -> BTreeMap<String, f64> {
    let answer = ask(socket, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("version=0.0.4"));
    let mut typed = BTreeMap::new();
    let mut found = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(typed.insert(name.to_owned(), kind.to_owned()).is_none());
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let family = name.split('{').next().unwrap();
            let parts = ["", "_bucket", "_sum", "_count"];
            assert!(
                parts.iter().any(|part| family
                    .strip_suffix(part)
                    .is_some_and(|f| typed.contains_key(f))),
                "{line}"
            );
            found.insert(name.to_owned(), value.parse().unwrap());
        }
    }
    found
}

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_say_what_the_daemon_did_and_never_go_down() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let socket = directory.path().join("metrics");
    let node = Node::start(directory.path(), &["--metrics", &text(&socket)]);
    let mountpoint = folder(directory.path(), "mnt");
    let request = with_login(&image.request(&directory.path().join("cache")), "bob");
    node.mount("m1", &request, &mountpoint).unwrap();
    read_all(&image, &mountpoint);
    let stat = node.stat(&mountpoint).unwrap();
    let mounted = samples(&socket);
    let name = |rest: &str| format!("clipyard_mountd_{rest}");
    let engines = mounted[&name("mounts_erofs")] + mounted[&name("mounts_fuse")];
    assert_eq!(engines, 1.0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ran = now.unwrap().as_secs_f64() - mounted["process_start_time_seconds"];
    assert!(
        (0.0..600.0).contains(&ran),
        "counters begin with the process: {ran}"
    );
    assert_eq!(
        Some(mounted[&name("fetched_bytes_total")]),
        stat["fetchedBytes"].as_f64()
    );
    let proven = mounted[&name("chunks_proven_total{tier=\"registry\"}")];
    assert_eq!(Some(proven), stat["chunksVerified"].as_f64());
    assert!(mounted[&name("wait_seconds_count")] >= 1.0);
    assert!(mounted[&name("cache_bytes")] >= 900_000.0);
    image.server.remove(&oci(&image.tables[0].digest));
    node.unmount(&mountpoint).unwrap();
    let after = samples(&socket);
    assert_eq!(
        after[&name("mounts_erofs")] + after[&name("mounts_fuse")],
        0.0
    );
    for (name, value) in &mounted {
        if name.contains("_total") || name.contains("_bucket") {
            assert!(after[name] >= *value, "{name} went down");
        }
    }
    let page = ask(&socket, "GET /metrics HTTP/1.0\r\n\r\n");
    for secret in ["hunter2", "bob", "team/app", "127.0.0.1"] {
        assert!(!page.contains(secret), "{secret}");
    }
    for (asked, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("\r\n\r\n", "405"),
    ] {
        assert!(ask(&socket, asked).starts_with(&format!("HTTP/1.1 {status}")));
    }
}
