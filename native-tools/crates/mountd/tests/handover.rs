//! Complete layers are read by the kernel itself: no daemon in the path, and never a byte that was not proven.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use archive_format::digest::oci;
use mountd::proto;
use serde_json::Value;
use support::TestImage;
use support::daemon::{Node, drop_page_cache, folder, signal, text, umount, wait_until};
use support::testing::{Stored, assert_same};

const ONE: &[(Stored, &[usize])] = &[(Stored::ZstdFrames, &[300_000, 300_000])];
const TWO: &[(Stored, &[usize])] = &[
    (Stored::ZstdFrames, &[300_000, 70_000]),
    (Stored::ZstdFrames, &[400_000, 300_000]),
];

/// A test's folder, image and node.
struct Setting {
    // Dropped in this order: a node finds what is to be unmounted by the records in the directory.
    node: Node,
    image: TestImage,
    directory: tempfile::TempDir,
}

impl Setting {
    fn make(layers: &[(Stored, &[usize])], options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = TestImage::make(directory.path(), layers);
        let node = Node::start(directory.path(), options);
        Self {
            directory,
            image,
            node,
        }
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    fn mount(&self, id: &str) -> PathBuf {
        let mountpoint = folder(self.directory.path(), &format!("mnt-{id}"));
        let mut request = self.image.request(&self.cache());
        request["engine"] = "erofs".into();
        self.node.mount(id, &request, &mountpoint).unwrap();
        mountpoint
    }

    /// Reads the files of one layer whole.
    fn read(&self, mountpoint: &Path, layer: usize) {
        let prefix = format!("f{layer}-");
        for (name, bytes) in &self.image.files {
            if name.starts_with(&prefix) {
                assert_same(fs::read(mountpoint.join(name)).unwrap(), bytes, name);
            }
        }
    }

    fn wait_sealed(&self, layer: usize) {
        let data = self.image.cache_data(&self.cache(), layer);
        wait_until("the layer is sealed", || is_sealed(&data));
    }

    /// Mounts until layer 0 is handed over: it is a moment after it was sealed.
    fn mount_handed_over(&self, id: &str) -> PathBuf {
        self.wait_sealed(0);
        let mut mounted = None;
        let mut tries = 0;
        wait_until("it is handed over", || {
            tries += 1;
            let mountpoint = self.mount(&format!("{id}x{tries}"));
            if is_handed_over(&self.node.stat(&mountpoint).unwrap(), 0) {
                mounted = Some(mountpoint);
                return true;
            }
            self.node.unmount(&mountpoint).unwrap();
            false
        });
        mounted.unwrap()
    }
}

fn is_sealed(data: &Path) -> bool {
    fs::metadata(data).is_ok_and(|data| data.permissions().mode() & 0o222 == 0)
}

fn is_handed_over(stat: &Value, layer: usize) -> bool {
    let reason = stat["layers"][layer]["reason"].as_str();
    reason.is_some_and(|reason| reason.starts_with("handed over"))
}

#[test]
fn a_complete_layer_is_read_without_a_daemon() {
    let setting = Setting::make(ONE, &[]);
    let first = setting.mount("m1");
    setting.read(&first, 0);
    assert!(
        !is_handed_over(&setting.node.stat(&first).unwrap(), 0),
        "a mount stays as it was made"
    );
    let second = setting.mount_handed_over("m2");
    drop_page_cache();
    setting.read(&second, 0);
    let stat = setting.node.stat(&second).unwrap();
    assert_eq!(stat["kernelRequests"], 0, "{stat}");
    assert_eq!(stat["layers"][0]["mode"], "complete", "{stat}");
    setting.node.kill();
    drop_page_cache();
    setting.read(&second, 0);
    for mountpoint in [first, second] {
        umount(&mountpoint);
    }
}

#[test]
fn a_layer_that_is_not_complete_stays_with_the_daemon() {
    let setting = Setting::make(TWO, &[]);
    let first = setting.mount("m1");
    // Nothing of the other layer: what is read ahead of a reader could complete it.
    setting.read(&first, 0);
    let second = setting.mount_handed_over("m2");
    let data = setting.image.cache_data(&setting.cache(), 1);
    assert!(!is_sealed(&data));
    assert!(!is_handed_over(&setting.node.stat(&second).unwrap(), 1));
    setting.read(&second, 1);
    drop_page_cache();
    setting.read(&second, 0);
    setting.read(&second, 1);
    assert!(setting.node.stat(&second).unwrap()["kernelRequests"].as_u64() > Some(0));
}

#[test]
fn a_layer_damaged_on_the_disk_is_put_right_before_it_is_handed_over() {
    let mut setting = Setting::make(ONE, &[]);
    let first = setting.mount("m1");
    setting.read(&first, 0);
    setting.wait_sealed(0);
    setting.node.unmount(&first).unwrap();
    setting.node = Node::start(setting.directory.path(), &[]);
    // The seal is older than the damage: what an earlier daemon proved counts for nothing.
    let data = setting.image.cache_data(&setting.cache(), 0);
    let file = OpenOptions::new().write(true).open(&data).unwrap();
    file.write_all_at(&[0x5a; 100], 200_000).unwrap();
    drop(file);
    let proving = setting.mount("m2");
    let handed_over = setting.mount_handed_over("m3");
    setting.read(&handed_over, 0);
    drop_page_cache();
    setting.read(&handed_over, 0);
    let stat = setting.node.stat(&proving).unwrap();
    assert_eq!(stat["cacheDamaged"], 1, "{stat}");
    assert_same(fs::read(data).unwrap(), &setting.image.streams[0], "data");
}

#[test]
fn a_damaged_layer_that_nobody_has_any_more_is_not_handed_over() {
    let mut setting = Setting::make(ONE, &[]);
    let first = setting.mount("m1");
    setting.read(&first, 0);
    setting.wait_sealed(0);
    setting.node.unmount(&first).unwrap();
    setting.node = Node::start(setting.directory.path(), &[]);
    let data = setting.image.cache_data(&setting.cache(), 0);
    let file = OpenOptions::new().write(true).open(&data).unwrap();
    file.write_all_at(&[0x5a; 100], 400_000).unwrap();
    drop(file);
    let digest = oci(&setting.image.tables[0].digest);
    setting.image.server.remove(&digest);
    setting.mount("m2");
    wait_until("it was tried", || {
        setting.node.log().contains("is not handed over")
    });
    let second = setting.mount("m3");
    let stat = setting.node.stat(&second).unwrap();
    assert!(!is_handed_over(&stat, 0), "{stat}");
    assert_same(
        fs::read(second.join("f0-0")).unwrap(),
        &setting.image.files["f0-0"],
        "what is not damaged",
    );
    let error = fs::read(second.join("f0-1")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5));
}

#[test]
fn a_mount_with_layers_of_both_kinds_outlives_its_daemon() {
    let setting = Setting::make(TWO, &[]);
    let first = setting.mount("m1");
    setting.read(&first, 0);
    let second = setting.mount_handed_over("m2");
    setting.node.unmount(&first).unwrap();
    let daemon = setting.node.daemon_pid();
    signal("KILL", &[daemon]);
    wait_until("another daemon runs", || {
        setting.node.daemon_pid() != daemon
    });
    drop_page_cache();
    setting.read(&second, 1);
    setting.read(&second, 0);
    let stat = setting.node.stat(&second).unwrap();
    assert!(is_handed_over(&stat, 0), "{stat}");
    assert!(!is_handed_over(&stat, 1), "{stat}");
    assert_eq!(stat["failures"].as_array().unwrap().len(), 0);
    setting.node.unmount(&second).unwrap();
    assert_eq!(fs::read_dir(&setting.node.state).unwrap().count(), 0);
}

#[test]
fn a_layer_that_this_daemon_proved_is_handed_over_also_when_nobody_has_had_it_since() {
    let setting = Setting::make(ONE, &[]);
    let first = setting.mount("m1");
    setting.read(&first, 0);
    let second = setting.mount_handed_over("m2");
    for mountpoint in [first, second] {
        setting.node.unmount(&mountpoint).unwrap();
    }
    assert!(setting.node.list().is_empty());
    setting.image.server.clear_log();
    let again = setting.mount("m3");
    assert!(is_handed_over(&setting.node.stat(&again).unwrap(), 0));
    drop_page_cache();
    setting.read(&again, 0);
    let stat = setting.node.stat(&again).unwrap();
    assert_eq!(
        (&stat["kernelRequests"], &stat["requests"]),
        (&0.into(), &0.into())
    );
    assert_eq!(setting.image.server.log(), []);
}

#[test]
fn a_proven_layer_that_somebody_changed_since_is_proven_anew() {
    let setting = Setting::make(ONE, &[]);
    let first = setting.mount("m1");
    setting.read(&first, 0);
    let second = setting.mount_handed_over("m2");
    for mountpoint in [first, second] {
        setting.node.unmount(&mountpoint).unwrap();
    }
    let data = setting.image.cache_data(&setting.cache(), 0);
    let file = OpenOptions::new().write(true).open(&data).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(&[0x5a; 100], 200_000).unwrap();
    // As careful as whoever damages it may be.
    file.set_modified(modified).unwrap();
    drop(file);
    let again = setting.mount("m3");
    assert!(!is_handed_over(&setting.node.stat(&again).unwrap(), 0));
    drop_page_cache();
    setting.read(&again, 0);
    let stat = setting.node.stat(&again).unwrap();
    assert_eq!(stat["cacheDamaged"], 1, "{stat}");
    let handed_over = setting.mount_handed_over("m4");
    drop_page_cache();
    setting.read(&handed_over, 0);
}

#[test]
fn a_layer_that_is_evicted_under_a_mount_nobody_serves_is_still_read() {
    let mut setting = Setting::make(ONE, &[]);
    let first = setting.mount("m1");
    setting.read(&first, 0);
    let second = setting.mount_handed_over("m2");
    setting.node.kill();
    let dead = std::mem::replace(
        &mut setting.node,
        Node::start(setting.directory.path(), &[]),
    );
    let request = proto::EvictRequest {
        cache_dir: text(&setting.cache()),
        keep_bytes: 0,
        dry_run: false,
    };
    let evicted = setting.node.call(|calls| Box::pin(calls.evict(request)));
    assert_eq!(evicted.unwrap().layers, 1);
    drop_page_cache();
    setting.read(&second, 0);
    for mountpoint in [first, second] {
        umount(&mountpoint);
    }
    drop(dead);
}

#[test]
fn handing_over_can_be_switched_off() {
    let setting = Setting::make(ONE, &["--no-handover"]);
    let first = setting.mount("m1");
    setting.read(&first, 0);
    // Longer than it takes where it is on.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(!is_sealed(&setting.image.cache_data(&setting.cache(), 0)));
    let second = setting.mount("m2");
    assert!(!is_handed_over(&setting.node.stat(&second).unwrap(), 0));
}
