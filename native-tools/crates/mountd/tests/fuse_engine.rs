//! Engine fuse, as root and as nobody in particular. These tests need root, FUSE and fusermount3, and fail without.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use archive_format::digest::oci;
use support::TestImage;
use support::daemon::{
    Daemon, Mounted, drop_page_cache, is_mounted, serve, serve_as, wait_until_quiet,
};
use support::testing::server::Fault;
use support::testing::{Stored, assert_same};

const MIXED: &[(Stored, &[usize])] = &[
    (Stored::ZstdFrames, &[1, 511, 512, 513, 70_000, 300_000]),
    (Stored::Plain, &[200_000, 7]),
    (Stored::GzipMembers(50_000), &[150_000, 33]),
    (Stored::GzipWhole, &[90_000]),
];
const SMALL: &[(Stored, &[usize])] = &[(Stored::ZstdFrames, &[300_000, 300_000, 300_000])];
const NOBODY: u32 = 65_534;
/// `ENOTCONN`: the server of a FUSE mount is gone; `ECONNABORTED`: it is just going.
const SERVER_GONE: [i32; 2] = [107, 103];

fn request(image: &TestImage, directory: &Path, engine: &str) -> serde_json::Value {
    let mut request = image.request(&directory.join("cache"));
    request["engine"] = engine.into();
    request
}

fn mounted(image: &TestImage, directory: &Path) -> Daemon {
    serve(request(image, directory, "fuse"), directory).unwrap()
}

fn as_nobody(program: &str, arguments: &[&Path]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).uid(NOBODY).gid(NOBODY);
    command.output().unwrap()
}

#[test]
fn every_file_reads_as_it_was_stored_and_the_engine_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let program = fs::read("/bin/true").unwrap();
    let image = TestImage::make_with(directory.path(), MIXED, &[("true", program)]);
    let daemon = mounted(&image, directory.path());
    assert_eq!(daemon.result.engine, "fuse");
    assert_eq!(daemon.result.engine_reason, "asked for");
    assert!(
        image.server.log().is_empty(),
        "mounting asks nothing of the registry"
    );
    for (name, bytes) in &image.files {
        assert_same(daemon.read(name).unwrap(), bytes, name.to_string());
        let found = fs::metadata(daemon.mountpoint.join(name)).unwrap();
        assert_eq!(
            (found.mode() & 0o7777, found.mtime_nsec()),
            (0o755, 5),
            "{name}"
        );
    }
    let ran = Command::new(daemon.mountpoint.join("true"))
        .status()
        .unwrap();
    assert!(ran.success(), "a program runs from the mount");
    let modes: Vec<_> = daemon.ask("stat")["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["mode"].clone())
        .collect();
    assert_eq!(modes, ["complete"; 4]);
    let written = fs::write(daemon.mountpoint.join("f0-0"), b"x").unwrap_err();
    assert_eq!(written.kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(daemon.ask("unmount")["ok"], true);
    assert!(daemon.ends() && !daemon.is_mounted());
    assert_eq!(fs::read_dir(&daemon.node.state).unwrap().count(), 0);
}

#[test]
fn both_engines_show_one_filesystem_of_one_size() {
    let [erofs, fuse] = ["erofs", "fuse"].map(|engine| {
        let mounted = Mounted::of(MIXED, engine);
        let space = rustix::fs::statvfs(&mounted.mountpoint).unwrap();
        assert_eq!((space.f_bfree, space.f_bavail), (0, 0), "{engine}");
        (space.f_blocks * space.f_frsize, space.f_namemax)
    });
    assert_eq!(erofs, fuse);
}

#[test]
fn auto_takes_erofs_as_root_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let daemon = serve(request(&image, directory.path(), "auto"), directory.path()).unwrap();
    assert_eq!(daemon.result.engine, "erofs");
    let reason = &daemon.result.engine_reason;
    assert!(reason.contains("with EROFS"), "{reason}");
}

#[test]
fn auto_takes_fuse_where_the_kernel_mounts_no_image_from_the_cache() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let memory = directory.path().join("cache");
    fs::create_dir(&memory).unwrap();
    let mount = |arguments: &[&str]| {
        let mut mount = Command::new(arguments[0]);
        assert!(
            mount
                .args(&arguments[1..])
                .arg(&memory)
                .status()
                .unwrap()
                .success()
        );
    };
    mount(&["mount", "-t", "tmpfs", "cache"]);
    let outcome = serve(request(&image, directory.path(), "auto"), directory.path());
    let daemon = outcome.unwrap();
    assert_eq!(daemon.result.engine, "fuse");
    let reason = &daemon.result.engine_reason;
    assert!(reason.contains("tmpfs"), "{reason}");
    assert_same(daemon.read("f0-1").unwrap(), &image.files["f0-1"], "");
    drop(daemon);
    mount(&["umount", "-l"]);
}

#[test]
fn a_repeated_walk_or_read_asks_the_daemon_nothing() {
    let mounted = Mounted::of(MIXED, "fuse");
    let go_through = || {
        assert_eq!(
            fs::read_dir(&mounted.mountpoint).unwrap().count(),
            mounted.image.files.len()
        );
        let listed = Command::new("ls")
            .arg("-lZ")
            .arg(&mounted.mountpoint)
            .output()
            .unwrap();
        assert!(listed.status.success());
        mounted.assert_reads_all();
        let missing = fs::metadata(mounted.mountpoint.join("not there")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    };
    go_through();
    let first = mounted.ask("stat")["kernelRequests"].as_u64().unwrap();
    assert!(first > mounted.image.files.len() as u64, "{first}");
    // The first listing came with attributes, the second may fill the kernel's own copy of it.
    wait_until_quiet(&mounted, go_through);
}

#[test]
fn a_corrupt_blob_is_an_error_and_no_wrong_byte() {
    let mounted = Mounted::of(SMALL, "fuse");
    mounted
        .image
        .server
        .fail_always(Some(Fault::Flip(mounted.image.tables[0].blob_bytes / 2)));
    let failed = mounted
        .image
        .files
        .keys()
        .filter(|name| mounted.read(name).is_err());
    assert!(failed.count() > 0);
    assert_eq!(mounted.ask("stat")["failures"][0]["code"], "BLOB_MISMATCH");
    mounted.image.server.fail_always(None);
    mounted.assert_reads_all();
}

#[test]
fn a_mount_in_use_is_busy_and_a_signal_lets_its_users_read_on() {
    let mounted = Mounted::of(SMALL, "fuse");
    let mut file = File::open(mounted.mountpoint.join("f0-2")).unwrap();
    assert_eq!(mounted.ask("unmount")["code"], "MOUNT_BUSY");
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
fn a_plain_umount_ends_the_daemon() {
    let mounted = Mounted::of(SMALL, "fuse");
    mounted.read("f0-0").unwrap();
    mounted.umount();
    assert!(mounted.ends());
}

#[test]
fn a_killed_daemon_leaves_errors_and_a_mount_that_umount_takes_away() {
    let mounted = Mounted::of(SMALL, "fuse");
    let first = mounted.read("f0-0").unwrap();
    mounted.kill();
    let is_gone = |error: &std::io::Error| {
        let code = error.raw_os_error();
        code.is_some_and(|code| SERVER_GONE.contains(&code))
    };
    // What the kernel has stays readable; it may have dropped it.
    match mounted.read("f0-0") {
        Ok(again) => assert_same(again, &first, "what the kernel has"),
        Err(error) => assert!(is_gone(&error), "{error}"),
    }
    let error = mounted.read("f0-2").unwrap_err();
    assert!(is_gone(&error), "{error}");
    mounted.umount();
    assert!(!mounted.is_mounted());
}

#[test]
fn local_layers_are_proven_and_read_without_the_registry() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let tar = directory.path().join("layer.tar");
    fs::write(&tar, &image.streams[0]).unwrap();
    let mut request = request(&image, directory.path(), "fuse");
    request["localLayers"] = serde_json::json!({ oci(&image.tables[0].diff_id): tar });
    let daemon = serve(request, directory.path()).unwrap();
    for (name, bytes) in &image.files {
        assert_same(daemon.read(name).unwrap(), bytes, name.to_string());
    }
    assert!(image.server.log().is_empty());
}

#[test]
fn a_user_without_privilege_mounts_reads_and_unmounts() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), MIXED);
    let auto = request(&image, directory.path(), "auto");
    let daemon = serve_as(NOBODY, auto, directory.path()).unwrap();
    assert_eq!(daemon.result.engine, "fuse");
    let reason = &daemon.result.engine_reason;
    assert!(reason.contains("CAP_SYS_ADMIN"), "{reason}");
    let read_all = || {
        for (name, bytes) in &image.files {
            let output = as_nobody("cat", &[&daemon.mountpoint.join(name)]);
            assert_same(output.stdout, bytes, name.to_string());
        }
        let output = as_nobody("ls", &[&daemon.mountpoint]);
        let names = String::from_utf8(output.stdout).unwrap();
        assert!(names.lines().eq(image.files.keys()));
    };
    wait_until_quiet(&daemon, read_all);
    assert_eq!(daemon.ask("unmount")["ok"], true);
    assert!(daemon.ends() && !is_mounted(&daemon.mountpoint));
}

#[test]
fn what_a_killed_daemon_of_a_user_left_goes_with_fusermount3() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let fuse = request(&image, directory.path(), "fuse");
    let daemon = serve_as(NOBODY, fuse, directory.path()).unwrap();
    daemon.kill();
    let output = as_nobody("cat", &[&daemon.mountpoint.join("f0-1")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not connected"), "{said}");
    let gone = as_nobody("fusermount3", &[Path::new("-u"), &daemon.mountpoint]);
    assert!(gone.status.success(), "{gone:?}");
    assert!(!daemon.is_mounted());
}

#[test]
fn a_folder_that_the_user_may_not_write_to_is_refused_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let foreign = directory.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    let mut request = request(&image, directory.path(), "fuse");
    request["mountpoint"] = foreign.to_str().unwrap().into();
    let error = serve_as(NOBODY, request, directory.path()).err().unwrap();
    assert_eq!(error["code"], "MOUNT_FAILED", "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("fusermount3"),
        "{error}"
    );
    assert!(!is_mounted(&foreign));
}

#[test]
fn dropped_pages_are_read_again_from_the_cache() {
    let mounted = Mounted::of(SMALL, "fuse");
    for _ in 0..2 {
        mounted.assert_reads_all();
        drop_page_cache();
    }
    let asked = mounted.image.server.log().len();
    assert_eq!(mounted.ask("stat")["requests"], asked);
}
