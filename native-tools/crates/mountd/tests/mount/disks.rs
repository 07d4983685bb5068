//! Disks under the cache that are full or cannot be written.

use std::fs::{self, File};
use std::process::Command;

use super::SMALL;
use super::support::TestImage;
use super::support::daemon::{drop_page_cache, is_mounted, serve};
use super::support::testing::assert_same;
use super::support::testing::server::Fault;

/// An ext4 of a few megabytes in a file.
struct SmallDisk {
    path: std::path::PathBuf,
}

impl SmallDisk {
    fn mount(directory: &std::path::Path) -> Self {
        let file = directory.join("disk.img");
        File::create(&file).unwrap().set_len(8 << 20).unwrap();
        let path = directory.join("disk");
        fs::create_dir(&path).unwrap();
        let run = |command: &mut Command| assert!(command.status().unwrap().success());
        run(Command::new("mkfs.ext4").arg("-q").arg(&file));
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&file)
            .arg(&path));
        Self { path }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

#[test]
fn a_full_disk_under_the_cache_costs_the_copies_and_not_the_data() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let disk = SmallDisk::mount(directory.path());
    let daemon = serve(image.request(&disk.path), directory.path()).unwrap();
    fs::write(disk.path.join("filler"), vec![1; 32 << 20]).unwrap_err();
    for _ in 0..2 {
        for (name, bytes) in &image.files {
            assert_same(daemon.read(name).unwrap(), bytes, name.to_string());
        }
        drop_page_cache();
    }
    assert!(daemon.ask("stat")["notKept"].as_u64().unwrap() > 0);
    // With space again what is read is kept again, and needs the registry no more.
    fs::remove_file(disk.path.join("filler")).unwrap();
    drop_page_cache();
    for name in image.files.keys() {
        daemon.read(name).unwrap();
    }
    image.server.fail_always(Some(Fault::Status(500, vec![])));
    drop_page_cache();
    for (name, bytes) in &image.files {
        assert_same(daemon.read(name).unwrap(), bytes, name.to_string());
    }
    drop(daemon);
    fs::write(disk.path.join("filler"), vec![1; 32 << 20]).unwrap_err();
    // What its metadata image took is free again.
    let mut left = fs::OpenOptions::new()
        .append(true)
        .open(disk.path.join("filler"))
        .unwrap();
    while std::io::Write::write_all(&mut left, &[1; 512]).is_ok() {}
    let error = serve(image.request(&disk.path), directory.path())
        .err()
        .unwrap();
    assert_eq!(error["code"], "DISK_FULL", "{error}");
}

#[test]
fn a_cache_that_becomes_read_only_under_a_mount_costs_the_copies_and_not_the_data() {
    for engine in ["erofs", "fuse"] {
        let directory = tempfile::tempdir().unwrap();
        let image = TestImage::make(directory.path(), SMALL);
        let disk = SmallDisk::mount(directory.path());
        let mut request = image.request(&disk.path);
        request["engine"] = engine.into();
        let daemon = serve(request, directory.path()).unwrap();
        let first = image.files.keys().next().unwrap();
        daemon.read(first).unwrap();
        // What ext4 does when its disk fails; an ordinary remount is refused while the daemon has files open for writing.
        let aborted = Command::new("mount")
            .args(["-o", "remount,abort"])
            .arg(&disk.path)
            .status();
        assert!(aborted.unwrap().success());
        fs::write(disk.path.join("more"), "").unwrap_err();
        drop_page_cache();
        for (name, bytes) in &image.files {
            assert_same(daemon.read(name).unwrap(), bytes, name.to_string());
        }
        let stat = daemon.ask("stat");
        assert!(stat["notKept"].as_u64().unwrap() > 0, "{engine}: {stat}");
        assert_eq!(stat["failures"], serde_json::json!([]), "{engine}");
        assert_eq!(daemon.ask("unmount"), serde_json::json!({ "ok": true }));
    }
}

#[test]
fn a_cache_that_is_read_only_is_refused_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let disk = SmallDisk::mount(directory.path());
    let remount = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(&disk.path)
        .status();
    assert!(remount.unwrap().success());
    let error = serve(image.request(&disk.path), directory.path())
        .err()
        .unwrap();
    assert_eq!(error["code"], "FILESYSTEM_READ_ONLY", "{error}");
    assert!(error.to_string().contains("disk"), "it says which: {error}");
    assert!(
        error.to_string().contains("--cache"),
        "and what to do: {error}"
    );
    assert!(image.server.log().is_empty());
    assert!(!is_mounted(&directory.path().join("mnt")));
}
