//! Who may read what others cached.

use std::fs;
use std::path::Path;

use archive_format::digest::oci;
use archive_format::tables::LayerTable;
use serde_json::Value;

use super::support::daemon::{Node, drop_page_cache, folder, signal, text, wait_until};
use super::support::testing::server::Server;
use super::support::testing::{Stored, layer, sample};
use super::support::{self, TestImage};
use super::{SMALL, read_all, with_login};

/// bob:hunter2
const BOB: &str = "Basic Ym9iOmh1bnRlcjI=";

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
