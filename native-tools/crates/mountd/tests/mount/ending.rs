//! The end of a mount, and of the daemon with it.

use std::fs::{self, File};
use std::io::Read;
use std::process::Command;

use super::SMALL;
use super::support::TestImage;
use super::support::daemon::serve;
use super::support::testing::assert_same;

#[test]
fn a_plain_umount_ends_the_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    daemon.read("f0-0").unwrap();
    daemon.umount();
    assert!(daemon.ends());
    assert_eq!(fs::read_dir(&daemon.node.state).unwrap().count(), 0);
}

#[test]
fn a_mount_in_use_is_busy_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    let file = File::open(daemon.mountpoint.join("f0-0")).unwrap();
    assert_eq!(daemon.ask("unmount")["code"], "MOUNT_BUSY");
    assert_same(daemon.read("f0-1").unwrap(), &image.files["f0-1"], "");
    drop(file);
    assert_eq!(daemon.ask("unmount")["ok"], true);
    assert!(daemon.ends());
}

#[test]
fn what_was_mounted_on_top_is_not_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    let on_top = |command: &str, arguments: &[&str]| {
        assert!(
            Command::new(command)
                .args(arguments)
                .arg(&daemon.mountpoint)
                .status()
                .unwrap()
                .success()
        );
    };
    on_top("mount", &["-t", "tmpfs", "top"]);
    assert_eq!(daemon.ask("unmount")["code"], "MOUNT_BUSY");
    on_top("umount", &[]);
    assert_eq!(daemon.ask("unmount")["ok"], true);
    assert!(daemon.ends());
}

#[test]
fn a_signal_takes_the_mount_away_and_its_users_read_on() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    let mut file = File::open(daemon.mountpoint.join("f0-2")).unwrap();
    daemon.signal("TERM");
    daemon.wait_unmounted();
    let mut bytes = vec![];
    file.read_to_end(&mut bytes).unwrap();
    assert_same(
        &bytes,
        &image.files["f0-2"],
        "nothing of it was read before",
    );
    drop(file);
    assert!(daemon.ends());
}

#[test]
fn a_second_signal_ends_the_daemon_whoever_uses_the_mount() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    let mut file = File::open(daemon.mountpoint.join("f0-2")).unwrap();
    daemon.signal("TERM");
    daemon.wait_unmounted();
    daemon.signal("TERM");
    assert!(daemon.ends());
    let mut bytes = vec![];
    let error = file.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "an error, never zeros");
}
