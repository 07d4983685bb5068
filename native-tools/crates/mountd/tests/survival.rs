//! Mounts outlive the processes that serve them: no error, no remount, no wrong byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mountd::grpc::client::Client;
use mountd::hold::sweep;
use mountd::proto;
use support::TestImage;
use support::daemon::{
    Node, copy_program, drop_page_cache, folder, is_mounted, signal, text, umount, wait_until,
};
use support::testing::server::Fault;
use support::testing::{Stored, assert_same};

const LAYERS: &[(Stored, &[usize])] = &[
    (Stored::ZstdFrames, &[3_000_000, 70_000]),
    (Stored::GzipMembers(40_000), &[2_000_000]),
];

/// The promises hold whoever shows the tree.
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        mod erofs { $(#[test] fn $test() { super::$test("erofs"); })+ }
        mod fuse { $(#[test] fn $test() { super::$test("fuse"); })+ }
    };
}

on_both_engines!(
    a_daemon_that_is_killed_every_second_costs_its_readers_nothing_but_time,
    a_read_that_waits_for_the_network_is_answered_by_the_next_daemon,
    a_daemon_is_replaced_by_another_program_under_load,
    a_holder_that_is_killed_is_replaced_and_then_the_daemon_may_die_too,
    a_listing_that_was_begun_goes_on_with_the_next_daemon,
    without_its_registry_a_mount_reads_what_it_has_and_waits_for_the_rest_until_the_deadline,
);

fn request(image: &TestImage, directory: &Path, engine: &str) -> serde_json::Value {
    let mut request = image.request(&directory.join("cache"));
    request["engine"] = engine.into();
    request
}

/// What readers saw.
#[derive(Debug, Default)]
struct Load {
    reads: u64,
    bytes: u64,
    /// What each failed read said, and each one that gave a wrong byte.
    errors: Vec<String>,
    wrong: Vec<String>,
    longest: Duration,
}

impl Load {
    fn and(mut self, other: Self) -> Self {
        self.errors.extend(other.errors);
        self.wrong.extend(other.wrong);
        Self {
            reads: self.reads + other.reads,
            bytes: self.bytes + other.bytes,
            longest: self.longest.max(other.longest),
            ..self
        }
    }

    fn assert_good(&self) {
        assert!(self.reads > 0, "nothing was read");
        assert!(self.errors.is_empty(), "{:#?}", self.errors);
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
    }
}

/// Reads at places all over the image until told to stop, each byte compared.
fn read_until(stop: &AtomicBool, mountpoint: &Path, image: &TestImage, seed: u64) -> Load {
    let mut load = Load::default();
    while !stop.load(Ordering::Relaxed) {
        let step = seed.wrapping_mul(7_919).wrapping_add(load.reads);
        let (name, bytes) = image
            .files
            .iter()
            .nth(usize::try_from(step).unwrap() % image.files.len())
            .unwrap();
        let length = 30_000.min(bytes.len());
        let at =
            usize::try_from(step.wrapping_mul(104_729_001) % (bytes.len() - length + 1) as u64)
                .unwrap();
        let started = Instant::now();
        let mut buffer = vec![0; length];
        // Opened anew: what the kernel keeps of an open file does not matter.
        let read = File::open(mountpoint.join(name))
            .and_then(|file| file.read_exact_at(&mut buffer, at as u64));
        load.longest = load.longest.max(started.elapsed());
        match read {
            Ok(()) if buffer == bytes[at..at + length] => (),
            Ok(()) => load.wrong.push(format!("{name} at {at}")),
            Err(error) => load.errors.push(format!("{name} at {at}: {error}")),
        }
        load.reads += 1;
        load.bytes += length as u64;
    }
    load
}

/// Readers at work on a mount while `during` runs.
fn under_load(mountpoint: &Path, image: &TestImage, during: impl FnOnce()) -> Load {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = &stop;
        let readers: Vec<_> = (0..3)
            .map(|seed| scope.spawn(move || read_until(stop, mountpoint, image, seed)))
            .collect();
        // The kernel forgets what it has, so that the daemon is asked all the time.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                drop_page_cache();
                thread::sleep(Duration::from_millis(30));
            }
        });
        // Also when it panics: readers that nobody stops would keep the test from ending.
        let stopping = Stopping(stop);
        during();
        drop(stopping);
        let loads = readers.into_iter().map(|reader| reader.join().unwrap());
        loads.fold(Load::default(), Load::and)
    })
}

struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn seconds() -> u64 {
    // scripts/soak.sh runs the same for longer.
    std::env::var("CLIPYARD_SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(4)
}

fn a_daemon_that_is_killed_every_second_costs_its_readers_nothing_but_time(engine: &str) {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &[]);
    let mountpoint = folder(directory.path(), "mnt");
    node.mount(
        "m1",
        &request(&image, directory.path(), engine),
        &mountpoint,
    )
    .unwrap();
    let before = node.list();
    let mut kills = 0;
    let load = under_load(&mountpoint, &image, || {
        let end = Instant::now() + Duration::from_secs(seconds());
        while Instant::now() < end {
            let daemon = node.daemon_pid();
            thread::sleep(Duration::from_millis(900));
            signal("KILL", &[daemon]);
            kills += 1;
            wait_until("another daemon runs", || node.daemon_pid() != daemon);
        }
    });
    let line = serde_json::json!({
        "soak": "survival",
        "engine": engine,
        "seconds": seconds(),
        "kills": kills,
        "reads": load.reads,
        "bytes": load.bytes,
        "errors": load.errors.len(),
        "wrongReads": load.wrong.len(),
        "longestWaitMs": u64::try_from(load.longest.as_millis()).unwrap(),
    });
    println!("{line}");
    load.assert_good();
    let after = node.list();
    assert_eq!(
        (&after[0].id, &after[0].device),
        (&before[0].id, &before[0].device),
        "the same mount"
    );
    assert_ne!(after[0].pid, before[0].pid);
    assert_eq!(
        node.stat(&mountpoint).unwrap()["failures"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    // The next process also knows when a mount ends.
    node.unmount(&mountpoint).unwrap();
    assert!(node.list().is_empty() && !is_mounted(&mountpoint));
    assert_eq!(fs::read_dir(&node.state).unwrap().count(), 0);
}

fn a_read_that_waits_for_the_network_is_answered_by_the_next_daemon(engine: &str) {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &[]);
    let mountpoint = folder(directory.path(), "mnt");
    node.mount(
        "m1",
        &request(&image, directory.path(), engine),
        &mountpoint,
    )
    .unwrap();
    image.server.fail_always(Some(Fault::Status(503, vec![])));
    thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(mountpoint.join("f0-0")));
        wait_until("the read is under way", || !image.server.log().is_empty());
        signal("KILL", &[node.daemon_pid()]);
        image.server.fail_always(None);
        assert_same(reader.join().unwrap().unwrap(), &image.files["f0-0"], "");
    });
}

fn a_daemon_is_replaced_by_another_program_under_load(engine: &str) {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &[]);
    let mountpoint = folder(directory.path(), "mnt");
    node.mount(
        "m1",
        &request(&image, directory.path(), engine),
        &mountpoint,
    )
    .unwrap();
    let program = directory.path().join("clipyard-mountd-next");
    copy_program(&program);
    let broken = directory.path().join("clipyard-mountd-broken");
    assert!(
        Command::new("cp")
            .arg("/bin/false")
            .arg(&broken)
            .status()
            .unwrap()
            .success()
    );
    let replace = |program: &Path| {
        let request = proto::ReplaceRequest {
            program: text(program),
        };
        let before = node.daemon_pid();
        Client::connect(&node.socket)
            .unwrap()
            .call(|calls| Box::pin(calls.replace(request)))
            .map(|_| {
                wait_until("another daemon runs", || node.daemon_pid() != before);
            })
    };
    let runs = |program: &Path| {
        wait_until("the program runs", || {
            fs::read_link(format!("/proc/{}/exe", node.daemon_pid()))
                .is_ok_and(|exe| exe == program)
        });
    };
    let load = under_load(&mountpoint, &image, || {
        assert!(replace(&directory.path().join("missing")).is_err());
        replace(&program).unwrap();
        runs(&program);
        // A program that does not come up is given up for the one that did.
        replace(&broken).unwrap();
        runs(&program);
        // An upgrade in place: the holder starts what lies there.
        signal("HUP", &[node.holder_pid()]);
    });
    load.assert_good();
    assert_eq!(node.list().len(), 1);
    node.unmount(&mountpoint).unwrap();
}

fn a_listing_that_was_begun_goes_on_with_the_next_daemon(engine: &str) {
    let directory = tempfile::tempdir().unwrap();
    // More names than the kernel or the C library ask for at once.
    let image = TestImage::make(directory.path(), &[(Stored::ZstdFrames, &[1; 3000][..])]);
    let node = Node::start(directory.path(), &[]);
    let mountpoint = folder(directory.path(), "mnt");
    let request = request(&image, directory.path(), engine);
    node.mount("m1", &request, &mountpoint).unwrap();
    let mut listing = fs::read_dir(&mountpoint).unwrap();
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names = vec![name(listing.next().unwrap())];
    let daemon = node.daemon_pid();
    signal("KILL", &[daemon]);
    names.extend(listing.map(name));
    assert!(names.iter().eq(image.files.keys()), "{}", names.len());
    wait_until("another daemon runs", || node.daemon_pid() != daemon);
    node.unmount(&mountpoint).unwrap();
}

fn without_its_registry_a_mount_reads_what_it_has_and_waits_for_the_rest_until_the_deadline(
    engine: &str,
) {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(
        directory.path(),
        &[(Stored::ZstdFrames, &[300_000, 900_000, 300_000])],
    );
    let mountpoint = folder(directory.path(), "mnt");
    let mut request = request(&image, directory.path(), engine);
    request["readTimeoutMs"] = 300.into();
    let assert_reads = |name: &str| {
        let found = fs::read(mountpoint.join(name)).unwrap();
        assert_same(found, &image.files[name], name.to_owned());
    };
    let earlier = Node::start(directory.path(), &[]);
    earlier.mount("m1", &request, &mountpoint).unwrap();
    assert_reads("f0-0");
    earlier.unmount(&mountpoint).unwrap();
    // The kernel has nothing yet of what another node shows.
    image.server.fail_always(Some(Fault::Status(503, vec![])));
    let node = Node::start(directory.path(), &["--deadline-ms", "700"]);
    node.mount("m1", &request, &mountpoint).unwrap();
    assert_reads("f0-0");
    let error = fs::read(mountpoint.join("f0-2")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    let stat = node.stat(&mountpoint).unwrap();
    assert_eq!(
        stat["failures"][0]["code"], "REGISTRY_UNAVAILABLE",
        "{stat}"
    );
    assert!(
        stat["retries"].as_u64().unwrap() >= 2,
        "it waited and tried again: {stat}"
    );
    image.server.fail_always(None);
    // A loaded machine may stall once more.
    wait_until("it reads again", || {
        fs::read(mountpoint.join("f0-2")).is_ok()
    });
    assert_reads("f0-2");
    node.unmount(&mountpoint).unwrap();
}

fn a_holder_that_is_killed_is_replaced_and_then_the_daemon_may_die_too(engine: &str) {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let node = Node::start(directory.path(), &["--idle-exit"]);
    let mountpoint = folder(directory.path(), "mnt");
    node.mount(
        "m1",
        &request(&image, directory.path(), engine),
        &mountpoint,
    )
    .unwrap();
    let load = under_load(&mountpoint, &image, || {
        signal("KILL", &[node.holder_pid()]);
        let is_adopting = |(_, command): &(u32, String)| command == "adopt";
        wait_until("a new holder runs", || {
            node.processes().iter().any(is_adopting)
        });
        wait_until("it has everything", || {
            node.log().contains("a new one has everything")
        });
        let daemon = node.daemon_pid();
        signal("KILL", &[daemon]);
        wait_until("another daemon runs", || node.daemon_pid() != daemon);
    });
    load.assert_good();
    node.unmount(&mountpoint).unwrap();
    wait_until("nothing is left", || {
        node.processes().is_empty() && !node.socket.exists()
    });
}

#[test]
fn what_a_dead_holder_left_is_swept_and_what_a_living_one_has_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[]);
    let lock = node.socket.with_extension("lock");
    assert!(!sweep(&node.socket).unwrap() && node.socket.exists() && lock.exists());
    node.kill();
    assert!(node.socket.exists() && lock.exists());
    // A process that is killed loses its command line before its files.
    wait_until("its lock is free", || sweep(&node.socket).unwrap());
    assert!(!node.socket.exists() && !lock.exists());
    assert!(!sweep(&node.socket).unwrap(), "nothing is there");
}

#[test]
fn a_holder_that_starts_while_its_path_is_swept_is_the_only_one_there() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..8 {
        let stop = AtomicBool::new(false);
        let sweep_all = || {
            while !stop.load(Ordering::Relaxed) {
                for entry in fs::read_dir(directory.path()).unwrap().flatten() {
                    if entry.path().extension().is_some_and(|end| end == "lock") {
                        sweep(&entry.path().with_extension("")).unwrap();
                    }
                }
            }
        };
        thread::scope(|scope| {
            let stopping = Stopping(&stop);
            scope.spawn(sweep_all);
            let node = Node::start(directory.path(), &[]);
            assert!(node.list().is_empty());
            let second = Command::new(env!("CARGO_BIN_EXE_clipyard-mountd"))
                .args(["hold", "--socket", &text(&node.socket), "--state"])
                .arg(&node.state)
                .output();
            let said = String::from_utf8(second.unwrap().stderr).unwrap();
            assert!(said.contains("another holder serves the socket"), "{said}");
            drop(stopping);
        });
    }
}

#[test]
fn with_holder_and_daemon_dead_readers_get_errors_and_never_zeros() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(
        directory.path(),
        &[(Stored::ZstdFrames, &[300_000, 300_000, 300_000])],
    );
    let node = Node::start(directory.path(), &[]);
    let mountpoint = folder(directory.path(), "mnt");
    node.mount(
        "m1",
        &image.request(&directory.path().join("cache")),
        &mountpoint,
    )
    .unwrap();
    let first = fs::read(mountpoint.join("f0-0")).unwrap();
    node.kill();
    // What the kernel has stays readable; a test beside this one may have made it drop its pages.
    match fs::read(mountpoint.join("f0-0")) {
        Ok(again) => assert_same(again, &first, "what the kernel has"),
        Err(error) => assert_eq!(error.raw_os_error(), Some(5)),
    }
    assert_eq!(fs::read_dir(&mountpoint).unwrap().count(), 3);
    assert_eq!(
        fs::read(mountpoint.join("f0-2"))
            .unwrap_err()
            .raw_os_error(),
        Some(5)
    );
    umount(&mountpoint);
}
