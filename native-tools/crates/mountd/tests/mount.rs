//! The kernel mounts what the daemon serves. These tests need root, FUSE and EROFS, and fail where those are missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

#[path = "mount/disks.rs"]
mod disks;
#[path = "mount/ending.rs"]
mod ending;
#[path = "mount/refusals.rs"]
mod refusals;
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
use support::daemon::{
    Mounted, drop_page_cache, folder, is_mounted, serve, wait_until, wait_until_quiet,
};
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
fn the_kernel_reads_64_kib_ahead_in_an_image() {
    // A mount of another process at the same moment leaves both as they are.
    wait_until("a mount has it", || {
        let directory = tempfile::tempdir().unwrap();
        let image = TestImage::make(directory.path(), SMALL);
        let request = image.request(&directory.path().join("cache"));
        let _daemon = serve(request, directory.path()).unwrap();
        let devices = fs::read_dir("/sys/class/bdi").unwrap().flatten();
        devices
            .filter(|device| device.file_name().to_string_lossy().starts_with("erofs-"))
            .filter_map(|device| fs::read_to_string(device.path().join("read_ahead_kb")).ok())
            .any(|set| set.trim() == "64")
    });
}

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
    let mounted = Mounted::of(SMALL, "");
    wait_until_quiet(&mounted, || {
        mounted.assert_reads_all();
        let names = fs::read_dir(&mounted.mountpoint).unwrap().count();
        assert_eq!(names, mounted.image.files.len());
    });
}

#[test]
fn many_readers_at_random_places_see_right_bytes_while_the_network_is_bad() {
    let mounted = Mounted::of(
        &[
            (Stored::ZstdFrames, &[3_000_000]),
            (Stored::GzipMembers(40_000), &[2_000_000]),
        ],
        "",
    );
    mounted
        .image
        .server
        .fail_next((0..30).map(|index| match index % 3 {
            0 => Fault::Cut(20_000),
            1 => Fault::Status(503, vec![]),
            _ => Fault::Flip(500_000),
        }));
    thread::scope(|scope| {
        for reader in 0..6u64 {
            let mounted = &mounted;
            scope.spawn(move || {
                for step in 0..60 {
                    let (name, bytes) = mounted
                        .image
                        .files
                        .iter()
                        .nth(usize::try_from((reader + step) % 2).unwrap())
                        .unwrap();
                    let file = File::open(mounted.mountpoint.join(name)).unwrap();
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
    let mounted = Mounted::of(SMALL, "");
    mounted
        .image
        .server
        .fail_always(Some(Fault::Flip(mounted.image.tables[0].blob_bytes / 2)));
    let (mut good, mut bad) = (0, 0);
    for (name, bytes) in &mounted.image.files {
        let mut file = File::open(mounted.mountpoint.join(name)).unwrap();
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
    let stat = mounted.ask("stat");
    assert_eq!(stat["failures"][0]["code"], "BLOB_MISMATCH", "{stat}");
    mounted.image.server.fail_always(None);
    for (name, bytes) in &mounted.image.files {
        assert_same(
            mounted.read(name).unwrap(),
            bytes,
            format!("{name} once the blob is right again"),
        );
    }
}

#[test]
fn what_does_not_come_is_no_program_and_no_memory_either() {
    let directory = tempfile::tempdir().unwrap();
    let program = fs::read("/bin/true").unwrap();
    let image = TestImage::make_with(directory.path(), SMALL, &[("true", program)]);
    for engine in ["erofs", "fuse"] {
        let at = folder(directory.path(), engine);
        let mut request = image.request(&at.join("cache"));
        request["engine"] = engine.into();
        let daemon = serve(request, &at).unwrap();
        // Runs the program, and reads a file through a mapping.
        let use_both = || {
            let ran = Command::new(daemon.mountpoint.join("true")).status();
            let mapped = Command::new("python3")
                .args(["-c", "import mmap,sys\nwith open(sys.argv[1],'rb') as f: sys.stdout.buffer.write(mmap.mmap(f.fileno(),0,access=mmap.ACCESS_READ)[:])"])
                .arg(daemon.mountpoint.join("f0-1"))
                .output()
                .unwrap();
            (ran.is_ok_and(|status| status.success()), mapped)
        };
        image.server.fail_always(Some(Fault::Status(404, vec![])));
        let (ran, mapped) = use_both();
        assert!(!ran, "{engine}");
        let bus_error = 7;
        let signal = std::os::unix::process::ExitStatusExt::signal(&mapped.status);
        assert_eq!(signal, Some(bus_error), "{engine}: {mapped:?}");
        image.server.fail_always(None);
        let (ran, mapped) = use_both();
        assert!(ran, "{engine}");
        assert_same(mapped.stdout, &image.files["f0-1"], engine);
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
fn pages_the_kernel_dropped_come_from_the_cache_again() {
    let mounted = Mounted::of(SMALL, "");
    for _ in 0..2 {
        mounted.assert_reads_all();
        drop_page_cache();
        mounted
            .image
            .server
            .fail_always(Some(Fault::Status(500, vec![])));
    }
}
