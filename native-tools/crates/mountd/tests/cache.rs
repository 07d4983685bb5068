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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use archive_format::digest::oci;
use archive_format::tables::LayerTable;
use mountd::proto;
use serde_json::{Value, json};
use support::TestImage;
use support::daemon::{Node, drop_page_cache, folder, signal, text, wait_until};
use support::testing::server::Server;
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

/// What a forger writes: another chunk table for a layer's diffID, and the layer's own chunk table over a blob of the
/// forger's, in a registry that lets the forger in.
struct Forger {
    poisoned: LayerTable,
    borrowed: LayerTable,
    registry: Server,
}

impl Forger {
    fn of(image: &TestImage) -> Self {
        let registry = Server::start();
        let evil = sample(image.streams[0].len(), 99);
        let (table, blob) = layer(&evil, Stored::ZstdFrames, support::CHUNK_BYTES);
        registry.add(&oci(&table.digest), blob);
        let mut poisoned = table;
        poisoned.diff_id = image.tables[0].diff_id;
        let mut borrowed = poisoned.clone();
        borrowed.chunks.clone_from(&image.tables[0].chunks);
        Self {
            poisoned,
            borrowed,
            registry,
        }
    }

    fn request(&self, image: &TestImage, directory: &Path, forged: &LayerTable) -> Value {
        let archive = directory.join("forged.clip");
        image.forge(&archive, std::slice::from_ref(forged));
        let mut request = image.request(&directory.join("cache"));
        request["archive"] = text(&archive).into();
        request["registry"]["baseUrl"] = self.registry.url.clone().into();
        request
    }
}

fn forged_archive(engine: &str) {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    image.server.want_basic(BOB);
    let [good, bad] = ["good", "bad"].map(|name| folder(directory.path(), name));
    let forger = Forger::of(&image);
    let node = Node::start(directory.path(), &[]);
    let with_engine = |mut request: Value| {
        request["engine"] = engine.into();
        request
    };
    let honest = image.request(&directory.path().join("cache"));
    let honest = with_engine(with_login(&honest, "bob"));
    // The forger first: whoever comes then is not poisoned.
    let request = forger.request(&image, directory.path(), &forger.poisoned);
    node.mount("forger", &with_engine(request), &bad).unwrap();
    for (name, bytes) in &image.files {
        let found = fs::read(bad.join(name)).unwrap();
        assert_ne!(found, *bytes, "the forger sees the forger's data");
    }
    node.mount("honest", &honest, &good).unwrap();
    read_all(&image, &good);
    node.unmount(&bad).unwrap();
    // And then: what is cached by now is not the forger's to read.
    let request = forger.request(&image, directory.path(), &forger.borrowed);
    node.mount("forger", &with_engine(request), &bad).unwrap();
    for name in image.files.keys() {
        let found = fs::read(bad.join(name));
        assert!(found.is_err(), "the blob does not hold these chunks");
    }
    drop_page_cache();
    read_all(&image, &good);
    assert_eq!(node.stat(&good).unwrap()["cacheDamaged"], 0);
}

#[test]
fn a_forged_archive_spoils_nothing_and_shows_nothing_with_engine_erofs() {
    forged_archive("erofs");
}

#[test]
fn a_forged_archive_spoils_nothing_and_shows_nothing_with_engine_fuse() {
    forged_archive("fuse");
}

#[test]
fn a_layer_that_is_handed_over_goes_to_no_login_that_may_not_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    image.server.want_basic(BOB);
    let node = Node::start(directory.path(), &[]);
    let mut honest = with_login(&image.request(&directory.path().join("cache")), "bob");
    honest["engine"] = "erofs".into();
    let is_handed_over = |at: &Path| {
        let stat = node.stat(at).unwrap();
        let reason = stat["layers"][0]["reason"].as_str().unwrap_or_default();
        reason.starts_with("handed over")
    };
    let [first, bad] = ["first", "bad"].map(|name| folder(directory.path(), name));
    node.mount("first", &honest, &first).unwrap();
    read_all(&image, &first);
    let mut tries = 0;
    let mut good = first.clone();
    wait_until("it is handed over", || {
        tries += 1;
        good = folder(directory.path(), &format!("good{tries}"));
        node.mount(&format!("good{tries}"), &honest, &good).unwrap();
        is_handed_over(&good)
    });
    let mut eve = with_login(&honest, "eve");
    for engine in ["erofs", "fuse"] {
        eve["engine"] = engine.into();
        let refused = node.mount("eve", &eve, &bad).unwrap_err();
        assert_eq!(refused["code"], "REGISTRY_UNAUTHENTICATED", "{refused}");
    }
    let forger = Forger::of(&image);
    for (id, forged) in [("one", &forger.poisoned), ("two", &forger.borrowed)] {
        let mut request = forger.request(&image, directory.path(), forged);
        request["engine"] = "erofs".into();
        node.mount(id, &request, &bad).unwrap();
        assert!(!is_handed_over(&bad));
        for (name, bytes) in &image.files {
            let found = fs::read(bad.join(name));
            assert!(found.is_err() || found.unwrap() != *bytes, "{name}");
        }
        node.unmount(&bad).unwrap();
    }
    drop_page_cache();
    read_all(&image, &good);
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

fn evict_all(node: &Node, cache: &Path) -> proto::EvictResponse {
    let request = proto::EvictRequest {
        cache_dir: text(cache),
        keep_bytes: 0,
        dry_run: false,
    };
    node.call(|calls| Box::pin(calls.evict(request))).unwrap()
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
    let answered = mounted[&name("answers_total{source=\"registry\",class=\"2xx\"}")];
    assert!(answered >= 1.0);
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
