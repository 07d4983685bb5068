//! The kernel mounts what the daemon serves. These tests need root, FUSE and EROFS, and fail where those are missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use archive_format::digest::oci;
use archive_format::footer::SectionType;
use archive_format::read::Archive;
use support::TestImage;
use support::daemon::{Node, copy_program, drop_page_cache, folder, is_mounted, serve};
use support::testing::server::Fault;
use support::testing::{Stored, assert_same};

const MIXED: &[(Stored, &[usize])] = &[
    (Stored::ZstdFrames, &[1, 511, 512, 513, 70_000, 300_000]),
    (Stored::Plain, &[200_000, 7]),
    (Stored::GzipMembers(50_000), &[150_000, 33]),
    (Stored::GzipWhole, &[90_000]),
    (Stored::GzipPoints(50_000), &[150_000, 10, 200_000]),
];
const SMALL: &[(Stored, &[usize])] = &[(Stored::ZstdFrames, &[300_000, 300_000, 300_000])];

#[test]
fn every_file_reads_through_the_kernel_as_it_was_stored() {
    let directory = tempfile::tempdir().unwrap();
    let program = fs::read("/bin/true").unwrap();
    let image = TestImage::make_with(directory.path(), MIXED, &[("true", program)]);
    let cache = directory.path().join("cache");
    let daemon = serve(image.request(&cache), directory.path()).unwrap();
    assert!(
        image.server.log().is_empty(),
        "mounting asks nothing of the registry"
    );
    for (name, bytes) in &image.files {
        assert_same(daemon.read(name).unwrap(), bytes, name.to_string());
    }
    assert!(
        Command::new(daemon.mountpoint.join("true"))
            .status()
            .unwrap()
            .success(),
        "a program runs from the mount"
    );
    for seen in image.server.log() {
        assert!(
            seen.line.starts_with("GET /v2/team/app/blobs/sha256:") && seen.range.is_some(),
            "{seen:?}"
        );
    }
    let stat = daemon.ask("stat");
    assert_eq!(stat["failures"].as_array().unwrap().len(), 0, "{stat}");
    assert_eq!(stat["requests"], image.server.log().len());
    let modes: Vec<_> = stat["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["mode"].as_str().unwrap())
        .collect();
    assert_eq!(modes, ["complete"; 5], "{stat}");
    assert_eq!(daemon.ask("unmount")["ok"], true);
    assert!(daemon.ends() && !daemon.is_mounted());
    assert_eq!(fs::read_dir(&daemon.node.state).unwrap().count(), 0);
    assert!(!daemon.node.socket.exists());
    let mut in_cache: Vec<_> = fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    in_cache.sort();
    assert_eq!(in_cache, ["key", "layers"]);
}

#[test]
fn a_small_file_far_in_a_foreign_gzip_layer_costs_one_small_request() {
    let directory = tempfile::tempdir().unwrap();
    let layers: &[(Stored, &[usize])] =
        &[(Stored::GzipPoints(256 << 10), &[12 << 20, 5000, 1 << 20])];
    let image = TestImage::make(directory.path(), layers);
    let cache = directory.path().join("cache");
    let daemon = serve(image.request(&cache), directory.path()).unwrap();
    assert_same(daemon.read("f0-1").unwrap(), &image.files["f0-1"], "");
    let stat = daemon.ask("stat");
    assert_eq!(stat["layers"][0]["mode"], "lazy", "{stat}");
    let fetched = stat["fetchedBytes"].as_u64().unwrap();
    assert!(fetched > 0 && fetched < 1 << 20, "{stat}");
    assert!(stat["requests"].as_u64().unwrap() <= 2, "{stat}");
    assert_same(daemon.read("f0-0").unwrap(), &image.files["f0-0"], "");
    drop(daemon);

    // the same with no window left: more is fetched, and it is right
    let archive = fs::read(&image.archive).unwrap();
    let opened = Archive::open(File::open(&image.archive).unwrap()).unwrap();
    let seek = opened.footer().section(SectionType::Seek).unwrap().clone();
    let mut broken = archive;
    let start = usize::try_from(seek.offset).unwrap();
    broken[start..start + usize::try_from(seek.stored_bytes).unwrap()].fill(0);
    fs::write(&image.archive, broken).unwrap();
    let other = tempfile::tempdir().unwrap();
    let daemon = serve(image.request(&other.path().join("cache")), other.path()).unwrap();
    assert_same(daemon.read("f0-1").unwrap(), &image.files["f0-1"], "");
    let fetched = daemon.ask("stat")["fetchedBytes"].as_u64().unwrap();
    assert!(fetched > 4 << 20, "{fetched}");
}

#[test]
fn a_warm_read_asks_the_daemon_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    let read_all = || {
        for (name, bytes) in &image.files {
            assert_same(daemon.read(name).unwrap(), bytes, name.to_string());
        }
    };
    read_all();
    let before = daemon.ask("stat")["kernelRequests"].clone();
    read_all();
    assert_eq!(
        fs::read_dir(&daemon.mountpoint).unwrap().count(),
        image.files.len()
    );
    assert_eq!(daemon.ask("stat")["kernelRequests"], before);
}

#[test]
fn many_readers_at_random_places_see_right_bytes_while_the_network_is_bad() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(
        directory.path(),
        &[
            (Stored::ZstdFrames, &[3_000_000]),
            (Stored::GzipMembers(40_000), &[2_000_000]),
        ],
    );
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    image.server.fail_next((0..30).map(|index| match index % 3 {
        0 => Fault::Cut(20_000),
        1 => Fault::Status(503, vec![]),
        _ => Fault::Flip(500_000),
    }));
    thread::scope(|scope| {
        for reader in 0..6u64 {
            let (daemon, image) = (&daemon, &image);
            scope.spawn(move || {
                for step in 0..60 {
                    let (name, bytes) = image
                        .files
                        .iter()
                        .nth(usize::try_from((reader + step) % 2).unwrap())
                        .unwrap();
                    let file = File::open(daemon.mountpoint.join(name)).unwrap();
                    let at = (reader * 7_919_123 + step * 104_729) % (bytes.len() as u64 - 5000);
                    let mut buffer = [0; 5000];
                    file.read_exact_at(&mut buffer, at).unwrap();
                    let at = usize::try_from(at).unwrap();
                    assert_same(buffer, &bytes[at..at + 5000], format!("{name} {at}"));
                }
            });
        }
    });
}

#[test]
fn a_corrupt_blob_is_an_error_and_no_wrong_byte() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    image
        .server
        .fail_always(Some(Fault::Flip(image.tables[0].blob_bytes / 2)));
    let (mut good, mut bad) = (0, 0);
    for (name, bytes) in &image.files {
        let mut file = File::open(daemon.mountpoint.join(name)).unwrap();
        for (index, page) in bytes.chunks(4096).enumerate() {
            file.seek(SeekFrom::Start(index as u64 * 4096)).unwrap();
            let mut buffer = vec![0; page.len()];
            match file.read_exact(&mut buffer) {
                Ok(()) => {
                    assert_same(&buffer, page, format!("{name} page {index}"));
                    good += 1;
                }
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(5), "{name} page {index}");
                    bad += 1;
                }
            }
        }
    }
    assert!(good > 0 && bad > 0, "{good} {bad}");
    let stat = daemon.ask("stat");
    assert_eq!(stat["failures"][0]["code"], "BLOB_MISMATCH", "{stat}");
    image.server.fail_always(None);
    for (name, bytes) in &image.files {
        assert_same(
            daemon.read(name).unwrap(),
            bytes,
            format!("{name} once the blob is right again"),
        );
    }
}

#[test]
fn a_blob_that_is_gone_is_an_error_that_stat_explains() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    image.server.remove(&oci(&image.tables[0].digest));
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    assert_eq!(daemon.read("f0-1").unwrap_err().raw_os_error(), Some(5));
    let failure = daemon.ask("stat")["failures"][0].clone();
    assert_eq!(failure["code"], "LAYER_NOT_FOUND");
    assert!(
        failure["message"]
            .as_str()
            .unwrap()
            .contains("--storage-ref"),
        "{failure}"
    );
}

#[test]
fn a_cache_that_was_damaged_between_mounts_is_healed() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), MIXED);
    let cache = directory.path().join("cache");
    for round in 0..2 {
        let daemon = serve(image.request(&cache), directory.path()).unwrap();
        for (name, bytes) in &image.files {
            assert_same(
                daemon.read(name).unwrap(),
                bytes,
                format!("{name}, round {round}"),
            );
        }
        let stat = daemon.ask("stat");
        assert_eq!(
            stat["cacheDamaged"],
            if round == 0 { 0 } else { MIXED.len() },
            "{stat}"
        );
        assert_eq!(daemon.ask("unmount")["ok"], true);
        assert!(daemon.ends());
        for layer in 0..MIXED.len() {
            let data = fs::OpenOptions::new()
                .write(true)
                .open(image.cache_data(&cache, layer))
                .unwrap();
            data.write_all_at(&[0xff; 16], 600).unwrap();
        }
    }
}

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

#[test]
fn unprivileged_processes_read_what_the_modes_allow() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    let output = Command::new("cat")
        .arg(daemon.mountpoint.join("f0-1"))
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert_same(output.stdout, &image.files["f0-1"], "");
    assert_eq!(
        fs::metadata(daemon.mountpoint.join("f0-1")).unwrap().mode() & 0o7777,
        0o755
    );
    let cache = fs::metadata(directory.path().join("cache")).unwrap();
    assert_eq!(cache.mode() & 0o777, 0o700, "cached layers may be private");
}

#[test]
fn local_layers_are_proven_and_read_by_the_kernel_itself() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let tar = directory.path().join("layer.tar");
    fs::write(&tar, &image.streams[0]).unwrap();
    let mut request = image.request(&directory.path().join("cache"));
    let diff_id = oci(&image.tables[0].diff_id);
    request["localLayers"] = serde_json::json!({ diff_id: tar });
    let daemon = serve(request.clone(), directory.path()).unwrap();
    for (name, bytes) in &image.files {
        assert_same(daemon.read(name).unwrap(), bytes, name.to_string());
    }
    assert!(image.server.log().is_empty());
    assert_eq!(daemon.ask("stat")["layers"][0]["mode"], "local");
    assert_eq!(daemon.ask("unmount")["ok"], true);
    assert!(daemon.ends());
    let mut wrong = image.streams[0].clone();
    wrong[100_000] ^= 1;
    fs::write(&tar, &wrong).unwrap();
    let error = serve(request, directory.path()).err().unwrap();
    assert_eq!(error["code"], "BLOB_MISMATCH", "{error}");
    assert!(!is_mounted(&directory.path().join("mnt")));
}

#[test]
fn two_mounts_share_one_cache() {
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let cache = directory.path().join("cache");
    let one = serve(image.request(&cache), directory.path()).unwrap();
    let two = serve(image.request(&cache), other.path()).unwrap();
    for (name, bytes) in &image.files {
        assert_same(one.read(name).unwrap(), bytes, "");
    }
    let asked = image.server.log().len();
    for (name, bytes) in &image.files {
        assert_same(two.read(name).unwrap(), bytes, "");
    }
    assert_eq!(image.server.log().len(), asked);
}

#[test]
fn mount_points_that_do_not_fit_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let request = image.request(&directory.path().join("cache"));
    let at = |path: &std::path::Path| {
        let mut request = request.clone();
        request["mountpoint"] = path.to_str().unwrap().into();
        serve(request, directory.path()).err().unwrap()["code"].clone()
    };
    assert_eq!(at(&directory.path().join("missing")), "MOUNT_POINT_INVALID");
    assert_eq!(at(&image.archive), "MOUNT_POINT_INVALID");
    assert_eq!(at(directory.path()), "MOUNT_POINT_IN_USE");
    let daemon = serve(request.clone(), directory.path()).unwrap();
    assert_eq!(at(&daemon.mountpoint), "MOUNT_POINT_IN_USE");
}

#[test]
fn an_archive_that_is_no_archive_mounts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let request = image.request(&directory.path().join("cache"));
    let good = fs::read(&image.archive).unwrap();
    let mut flipped = good.clone();
    let archive = Archive::open(File::open(&image.archive).unwrap()).unwrap();
    let erofs = archive.footer().section(SectionType::Erofs).unwrap();
    flipped[usize::try_from(erofs.offset + erofs.stored_bytes / 2).unwrap()] ^= 1;
    for (bytes, codes) in [
        (
            b"garbage".to_vec(),
            vec!["ARCHIVE_NOT_CLIP", "ARCHIVE_TRUNCATED"],
        ),
        (
            good[..good.len() - 4096].to_vec(),
            vec!["ARCHIVE_TRUNCATED", "ARCHIVE_CORRUPT"],
        ),
        (flipped, vec!["ARCHIVE_CORRUPT"]),
    ] {
        fs::write(&image.archive, bytes).unwrap();
        let error = serve(request.clone(), directory.path()).err().unwrap();
        assert!(codes.contains(&error["code"].as_str().unwrap()), "{error}");
    }
    fs::remove_file(&image.archive).unwrap();
    assert_eq!(
        serve(request, directory.path()).err().unwrap()["code"],
        "IO_FAILED"
    );
    assert!(!is_mounted(&directory.path().join("mnt")));
}

#[test]
fn a_cache_on_a_filesystem_without_backing_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let refusal_of = |cache: &std::path::Path| {
        let mut request = image.request(cache);
        request["engine"] = "erofs".into();
        serve(request, directory.path()).err().unwrap()
    };
    let error = refusal_of(&memory.path().join("cache"));
    assert_eq!(error["code"], "CACHE_FILESYSTEM_UNSUPPORTED", "{error}");
    assert_eq!(error["details"]["filesystem"], "tmpfs");
    let layers: Vec<_> = ["upper", "work", "lower", "merged"]
        .map(|name| directory.path().join(name))
        .into();
    layers.iter().for_each(|path| fs::create_dir(path).unwrap());
    let options = format!(
        "upperdir={},workdir={},lowerdir={}",
        layers[0].display(),
        layers[1].display(),
        layers[2].display()
    );
    let mount = Command::new("mount")
        .args(["-t", "overlay", "over", "-o", &options])
        .arg(&layers[3])
        .status()
        .unwrap();
    assert!(mount.success());
    let error = refusal_of(&layers[3].join("cache"));
    assert!(
        Command::new("umount")
            .arg(&layers[3])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(error["code"], "CACHE_FILESYSTEM_UNSUPPORTED", "{error}");
    assert_eq!(error["details"]["filesystem"], "overlayfs");
    assert!(!is_mounted(&directory.path().join("mnt")));
}

#[test]
fn without_privilege_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let program = directory.path().join("clipyard-mountd");
    copy_program(&program);
    let mut command = Command::new(program);
    let node = Node::start_with(command.uid(65_534).gid(65_534), directory.path(), &[]);
    let mut request = image.request(&directory.path().join("cache"));
    request["engine"] = "erofs".into();
    let error = node
        .mount("m1", &request, &folder(directory.path(), "mnt"))
        .unwrap_err();
    assert_eq!(error["code"], "PRIVILEGE_REQUIRED", "{error}");
}

#[test]
fn the_daemon_keeps_nothing_of_its_callers_open() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let (mut reader, writer) = std::io::pipe().unwrap();
    // Not close-on-exec, as what a shell or an older program leaves open.
    rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).unwrap();
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    drop(writer);
    let mut bytes = vec![];
    reader.read_to_end(&mut bytes).unwrap();
    assert!(daemon.is_mounted(), "and the pipe has ended");
}

#[test]
fn without_a_fuse_device_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let mut command = Command::new("unshare");
    let hidden = "mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec \"$0\" \"$@\"";
    let program = env!("CARGO_BIN_EXE_clipyard-mountd");
    command.args(["-m", "sh", "-c", hidden, program]);
    let node = Node::start_with(&mut command, directory.path(), &[]);
    let request = image.request(&directory.path().join("cache"));
    let error = node
        .mount("m1", &request, &folder(directory.path(), "mnt"))
        .unwrap_err();
    assert_eq!(error["code"], "FUSE_UNAVAILABLE", "{error}");
    assert_eq!(fs::read_dir(&node.state).unwrap().count(), 0);
}

#[test]
fn pages_the_kernel_dropped_come_from_the_cache_again() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let daemon = serve(
        image.request(&directory.path().join("cache")),
        directory.path(),
    )
    .unwrap();
    for _ in 0..2 {
        for (name, bytes) in &image.files {
            assert_same(daemon.read(name).unwrap(), bytes, name.to_string());
        }
        drop_page_cache();
        image.server.fail_always(Some(Fault::Status(500, vec![])));
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
