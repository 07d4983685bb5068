//! What the tar reader reads and what it refuses.
#![allow(
    missing_docs,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test program"
)]

#[path = "tar_reader/holes.rs"]
mod holes;
#[path = "tar_reader/refusals.rs"]
mod refusals;
mod support;

use archive_format::model::{DeviceNumber, Timestamp};
use layer_index::Limits;
use layer_index::entry::{EntryData, EntryKind};
use layer_index::tar::TarWalker;
use support::{Flavour, Spec, block, checksum, pax_record, read, tar};
use tool_protocol::Coded;

fn data_of(kind: &EntryKind) -> &EntryData {
    match kind {
        EntryKind::Regular(data) => data,
        other => panic!("no regular file: {other:?}"),
    }
}

fn code_of(bytes: &[u8]) -> &'static str {
    read(bytes).expect_err("an error").code()
}

#[test]
fn every_kind_of_entry_is_read_in_every_flavour() {
    for flavour in [Flavour::Pax, Flavour::Gnu] {
        let as_written = |spec: Spec| spec.with(|spec| spec.flavour = flavour);
        let entries = read(&tar(&[
            as_written(Spec::directory("./dir/")),
            as_written(Spec::file("dir/file", "hello").with(|spec| {
                spec.mode = 0o104_755;
                spec.uid = 1000;
                spec.gid = 3_000_000;
            })),
            as_written(Spec::symlink("dir/link", "../a b")),
            as_written(Spec::hard_link("dir/hard", "/dir/./file").with(|spec| spec.size = Some(5))),
            as_written(Spec::new(b'3', "dev/null").with(|spec| spec.device = (1, 3))),
            as_written(Spec::new(b'4', "dev/disk").with(|spec| spec.device = (4095, 1_048_575))),
            as_written(Spec::new(b'6', "run/fifo")),
            as_written(Spec::file("empty", "")),
        ]))
        .unwrap();
        let kinds: Vec<_> = entries
            .iter()
            .map(|entry| (entry.path.as_slice(), &entry.kind))
            .collect();
        let file = EntryData {
            size: 5,
            offset: 1024,
            sparse: None,
            inline: Some(b"hello".to_vec()),
        };
        let empty = EntryData {
            offset: data_of(kinds[7].1).offset,
            ..EntryData::default()
        };
        let device = |major, minor| DeviceNumber { major, minor };
        assert_eq!(
            kinds,
            [
                (&b"dir"[..], &EntryKind::Directory),
                (b"dir/file", &EntryKind::Regular(file)),
                (
                    b"dir/link",
                    &EntryKind::Symlink {
                        target: b"../a b".to_vec()
                    }
                ),
                (
                    b"dir/hard",
                    &EntryKind::HardLink {
                        target: b"dir/file".to_vec()
                    }
                ),
                (b"dev/null", &EntryKind::CharDevice(device(1, 3))),
                (
                    b"dev/disk",
                    &EntryKind::BlockDevice(device(4095, 1_048_575))
                ),
                (b"run/fifo", &EntryKind::Fifo),
                (b"empty", &EntryKind::Regular(empty)),
            ],
            "{flavour:?}"
        );
        assert_eq!(
            (entries[1].permissions, entries[1].uid, entries[1].gid),
            (0o4755, 1000, 3_000_000)
        );
    }
}

#[test]
fn old_headers_without_magic_are_read() {
    let old = |spec: Spec| spec.with(|spec| spec.flavour = Flavour::V7);
    let entries = read(&tar(&[
        old(Spec::new(0, "dir/")),
        old(Spec::new(0, "dir/file").with(|spec| spec.data = b"x".to_vec())),
    ]))
    .unwrap();
    assert_eq!(entries[0].kind, EntryKind::Directory);
    assert_eq!(data_of(&entries[1].kind).size, 1);
}

#[test]
fn names_of_any_length_and_any_bytes_are_kept() {
    let long = [b"d/".repeat(60), vec![b'\xff'; 250]].concat();
    for flavour in [Flavour::Pax, Flavour::Gnu] {
        let entries = read(&tar(&[
            Spec::file(&long, "x").with(|spec| spec.flavour = flavour),
            Spec::symlink("l", [b'\xfe'; 300]).with(|spec| spec.flavour = flavour),
            Spec::file("\x01\n\t\"", "x").with(|spec| spec.flavour = flavour),
        ]))
        .unwrap();
        assert_eq!(entries[0].path, long, "{flavour:?}");
        assert_eq!(
            entries[1].kind,
            EntryKind::Symlink {
                target: vec![b'\xfe'; 300]
            }
        );
        assert_eq!(entries[2].path, b"\x01\n\t\"");
    }
}

#[test]
fn the_ustar_prefix_is_put_before_the_name() {
    let mut header = block(Flavour::Pax, b'0', b"name", b"", 0, &Spec::new(b'0', ""));
    header[345..350].copy_from_slice(b"a/b/c");
    checksum(&mut header);
    let entries = read(&header).unwrap();
    assert_eq!(entries[0].path, b"a/b/c/name");
}

#[test]
fn pax_records_override_the_header() {
    let entries = read(&tar(&[Spec::file("short", "data")
        .pax("path", "long")
        .pax("uid", "4000000000")
        .pax("gid", "7")
        .pax("mtime", "-1.5")
        .pax("uname", "nobody")
        .pax("SCHILY.xattr.user.k", "v\0\n=")
        .pax("SCHILY.xattr.security.capability", "\x01\0\0\x02")
        .pax("SCHILY.xattr.user.empty", "")]))
    .unwrap();
    let entry = &entries[0];
    assert_eq!(
        (entry.path.as_slice(), entry.uid, entry.gid),
        (&b"long"[..], 4_000_000_000, 7)
    );
    assert_eq!(
        entry.mtime,
        Timestamp {
            seconds: -2,
            nanos: 500_000_000
        }
    );
    let xattrs: Vec<_> = entry
        .xattrs
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
        .collect();
    assert_eq!(
        xattrs,
        [
            (&b"security.capability"[..], &b"\x01\0\0\x02"[..]),
            (b"user.k", b"v\0\n="),
        ]
    );
}

#[test]
fn negative_and_large_header_numbers_are_base_256() {
    let entries = read(&tar(&[Spec::file("a", "").with(|spec| {
        spec.mtime = -5;
        spec.uid = 3_000_000_000;
    })]))
    .unwrap();
    assert_eq!(
        (entries[0].mtime.seconds, entries[0].uid),
        (-5, 3_000_000_000)
    );
}

#[test]
fn signed_checksums_are_accepted() {
    let mut header = block(
        Flavour::Pax,
        b'0',
        b"\xff\xff\xff",
        b"",
        0,
        &Spec::new(b'0', ""),
    );
    header[148..156].fill(b' ');
    let sum: i32 = header
        .iter()
        .map(|byte| i32::from(byte.cast_signed()))
        .sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    assert_eq!(read(&header).unwrap()[0].path, b"\xff\xff\xff");
}

#[test]
fn global_headers_are_counted_and_change_nothing() {
    let global =
        Spec::new(b'g', "pax_global_header").with(|spec| spec.data = pax_record(b"path", b"other"));
    let bytes = tar(&[global, Spec::file("mine", "x")]);
    let mut walker = TarWalker::new(Limits::default(), u64::MAX);
    let mut names = Vec::new();
    walker
        .feed(&bytes, &mut |entry| {
            names.push(entry.path);
            Ok(())
        })
        .unwrap();
    assert_eq!(names, [b"mine"]);
    assert_eq!(walker.warnings().ignored_global_headers, 1);
}

#[test]
fn attributes_that_steer_overlays_or_belong_to_the_host_are_counted_and_dropped() {
    let spec = |typeflag| {
        Spec::new(typeflag, "x")
            .pax("SCHILY.xattr.trusted.overlay.opaque", "y")
            .pax("SCHILY.xattr.user.overlay.redirect", "/etc")
            .pax("SCHILY.xattr.security.selinux", "label")
            .pax("SCHILY.xattr.foo.bar", "1")
            .pax("SCHILY.xattr.user.k", "v")
            .with(|spec| spec.link = b"t".to_vec())
    };
    let bytes = tar(&[spec(b'0'), spec(b'2')]);
    let mut walker = TarWalker::new(Limits::default(), u64::MAX);
    let mut kept = Vec::new();
    walker
        .feed(&bytes, &mut |entry| {
            kept.push(entry.xattrs.into_keys().collect::<Vec<_>>());
            Ok(())
        })
        .unwrap();
    let warnings = walker.warnings();
    assert_eq!(kept, [vec![b"user.k".to_vec()], vec![]]);
    assert_eq!(
        (
            warnings.dropped_overlay_xattrs,
            warnings.dropped_host_xattrs,
            warnings.dropped_unsupported_xattrs
        ),
        (4, 2, 3)
    );
}

#[test]
fn a_large_file_cuts_the_stream_where_its_data_begins() {
    let bytes = tar(&[
        Spec::file("small", vec![1; 4095]),
        Spec::file("large", vec![2; 4096]).pax("mtime", "1.5"),
        Spec::hard_link("link", "large").with(|spec| spec.size = Some(9000)),
    ]);
    for step in [1, 100, 512, 100_000] {
        let mut walker = TarWalker::new(Limits::default(), 4096);
        let mut cuts = Vec::new();
        let mut at = 0;
        for mut piece in bytes.chunks(step) {
            while !piece.is_empty() {
                let fed = walker.feed(piece, &mut |_| Ok(())).unwrap();
                at += fed.taken;
                piece = &piece[fed.taken..];
                if fed.cut {
                    cuts.push(at);
                }
            }
        }
        // header and data of the small file, three blocks of headers of the large one
        assert_eq!(cuts, [512 + 4096 + 1536], "pieces of {step}");
    }
}
