//! The end of a mount, and of the daemon with it.

use std::fs::{self, File};
use std::io::Read;
use std::process::Command;

use super::SMALL;
use super::support::daemon::Mounted;
use super::support::testing::assert_same;

#[test]
fn a_plain_umount_ends_the_daemon() {
    let mounted = Mounted::of(SMALL, "");
    mounted.read("f0-0").unwrap();
    mounted.umount();
    assert!(mounted.ends());
    assert_eq!(fs::read_dir(&mounted.node.state).unwrap().count(), 0);
}

#[test]
fn a_mount_in_use_is_busy_and_stays() {
    let mounted = Mounted::of(SMALL, "");
    let file = File::open(mounted.mountpoint.join("f0-0")).unwrap();
    assert_eq!(mounted.ask("unmount")["code"], "MOUNT_BUSY");
    assert_same(
        mounted.read("f0-1").unwrap(),
        &mounted.image.files["f0-1"],
        "",
    );
    drop(file);
    assert_eq!(mounted.ask("unmount")["ok"], true);
    assert!(mounted.ends());
}

#[test]
fn what_was_mounted_on_top_is_not_taken_away() {
    let mounted = Mounted::of(SMALL, "");
    let on_top = |command: &str, arguments: &[&str]| {
        assert!(
            Command::new(command)
                .args(arguments)
                .arg(&mounted.mountpoint)
                .status()
                .unwrap()
                .success()
        );
    };
    on_top("mount", &["-t", "tmpfs", "top"]);
    assert_eq!(mounted.ask("unmount")["code"], "MOUNT_BUSY");
    on_top("umount", &[]);
    assert_eq!(mounted.ask("unmount")["ok"], true);
    assert!(mounted.ends());
}

#[test]
fn a_signal_takes_the_mount_away_and_its_users_read_on() {
    let mounted = Mounted::of(SMALL, "");
    let mut file = File::open(mounted.mountpoint.join("f0-2")).unwrap();
    mounted.signal("TERM");
    mounted.wait_unmounted();
    let mut bytes = vec![];
    file.read_to_end(&mut bytes).unwrap();
    assert_same(
        &bytes,
        &mounted.image.files["f0-2"],
        "nothing of it was read before",
    );
    drop(file);
    assert!(mounted.ends());
}

#[test]
fn a_second_signal_ends_the_daemon_whoever_uses_the_mount() {
    let mounted = Mounted::of(SMALL, "");
    let mut file = File::open(mounted.mountpoint.join("f0-2")).unwrap();
    mounted.signal("TERM");
    mounted.wait_unmounted();
    mounted.signal("TERM");
    assert!(mounted.ends());
    let mut bytes = vec![];
    let error = file.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "an error, never zeros");
}
