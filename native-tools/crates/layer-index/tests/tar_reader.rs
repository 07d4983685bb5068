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

mod support;

use archive_format::model::{DeviceNumber, Timestamp};
use layer_index::entry::{EntryData, EntryKind, Sparse, Stretch};
use layer_index::tar::TarWalker;
use layer_index::{IndexError, Limits};
use support::{Flavour, Spec, block, checksum, padded, pax_record, read, read_in_steps, tar};
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

fn sparse_of(bytes: &[u8]) -> (Vec<u8>, u64, u64, Sparse) {
    let entries = read(bytes).unwrap();
    let data = data_of(&entries[0].kind);
    (
        entries[0].path.clone(),
        data.size,
        data.offset,
        data.sparse.clone().expect("a sparse file"),
    )
}

const STRETCHES: [Stretch; 2] = [
    Stretch {
        offset: 4096,
        length: 512,
    },
    Stretch {
        offset: 8192,
        length: 1000,
    },
];
const SPARSE_SIZE: u64 = 9192;

fn sparse_data() -> Vec<u8> {
    [vec![b'a'; 512], vec![b'b'; 1000]].concat()
}

#[test]
fn sparse_files_of_all_pax_versions_are_read() {
    let base = || Spec::file("GNUSparseFile.0/name", sparse_data());
    let in_records = base()
        .pax("GNU.sparse.size", "9192")
        .pax("GNU.sparse.numblocks", "3")
        .pax("GNU.sparse.offset", "4096")
        .pax("GNU.sparse.numbytes", "512")
        .pax("GNU.sparse.offset", "8192")
        .pax("GNU.sparse.numbytes", "1000")
        .pax("GNU.sparse.offset", "9192")
        .pax("GNU.sparse.numbytes", "0");
    let in_one_record = base()
        .pax("GNU.sparse.size", "9192")
        .pax("GNU.sparse.name", "name")
        .pax("GNU.sparse.numblocks", "2")
        .pax("GNU.sparse.map", "4096,512,8192,1000");
    let map = padded(b"2\n4096\n512\n8192\n1000\n");
    let before_data = base()
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0")
        .pax("GNU.sparse.realsize", "9192")
        .pax("GNU.sparse.name", "name")
        .with(|spec| spec.data = [map, sparse_data()].concat());
    for (spec, name, offset) in [
        (in_records, "GNUSparseFile.0/name", 1536),
        (in_one_record, "name", 1536),
        (before_data, "name", 2048),
    ] {
        let (path, size, at, sparse) = sparse_of(&tar(&[spec]));
        assert_eq!(
            (path.as_slice(), size, at),
            (name.as_bytes(), SPARSE_SIZE, offset),
            "{name}"
        );
        assert_eq!(
            (sparse.stretches.as_slice(), sparse.relocated),
            (&STRETCHES[..], None),
            "{name}"
        );
    }
}

fn gnu_sparse(pairs: &[(u64, u64)], size: u64, data: &[u8]) -> Vec<u8> {
    let entry =
        |(offset, length): &(u64, u64)| format!("{offset:011o}\0{length:011o}\0").into_bytes();
    let mut header = block(
        Flavour::Gnu,
        b'S',
        b"name",
        b"",
        data.len() as i64,
        &Spec::new(b'S', "").with(|spec| spec.mtime = 0),
    );
    let (first, rest) = pairs.split_at(pairs.len().min(4));
    let map: Vec<u8> = first.iter().flat_map(entry).collect();
    header[386..386 + map.len()].copy_from_slice(&map);
    header[482] = u8::from(!rest.is_empty());
    header[483..494].copy_from_slice(format!("{size:011o}").as_bytes());
    checksum(&mut header);
    let mut out = header.to_vec();
    let mut extensions = rest.chunks(21).peekable();
    while let Some(extension) = extensions.next() {
        let mut block = padded(&extension.iter().flat_map(entry).collect::<Vec<u8>>());
        block[504] = u8::from(extensions.peek().is_some());
        out.extend(block);
    }
    out.extend(padded(data));
    out.extend([0; 1024]);
    out
}

#[test]
fn old_gnu_sparse_files_have_maps_of_any_length() {
    let (path, size, offset, sparse) = sparse_of(&gnu_sparse(
        &[(4096, 512), (8192, 1000)],
        SPARSE_SIZE,
        &sparse_data(),
    ));
    assert_eq!(
        (path.as_slice(), size, offset),
        (&b"name"[..], SPARSE_SIZE, 512)
    );
    assert_eq!(sparse.stretches, STRETCHES);

    let pairs: Vec<(u64, u64)> = (0..60).map(|at| (at * 1024, 512)).collect();
    let (_, _, offset, sparse) = sparse_of(&gnu_sparse(&pairs, 60 * 1024, &vec![1; 60 * 512]));
    assert_eq!((offset, sparse.stretches.len()), (512 * 4, 60));
}

#[test]
fn sparse_data_off_block_boundaries_is_kept_in_the_index() {
    let data = [vec![b'a'; 100], vec![b'b'; 512]].concat();
    let (_, _, _, sparse) = sparse_of(&gnu_sparse(&[(7, 100), (4096, 512)], 8192, &data));
    assert_eq!(sparse.relocated, Some(data));
}

#[test]
fn a_sparse_file_without_holes_is_an_ordinary_file() {
    let entries = read(&gnu_sparse(&[(0, 512), (512, 488)], 1000, &[7; 1000])).unwrap();
    let data = data_of(&entries[0].kind);
    assert_eq!((data.size, data.offset, &data.sparse), (1000, 512, &None));
}

#[test]
fn sparse_maps_that_lie_are_corrupt() {
    for (bytes, why) in [
        (
            gnu_sparse(&[(0, 512)], 4096, &[0; 1024]),
            "more data than the map says",
        ),
        (
            gnu_sparse(&[(0, 1024)], 4096, &[0; 512]),
            "less data than the map says",
        ),
        (
            gnu_sparse(&[(4096, 512)], 4096, &[0; 512]),
            "data behind the file",
        ),
        (
            gnu_sparse(&[(1024, 512), (0, 512)], 4096, &[0; 1024]),
            "out of order",
        ),
    ] {
        assert_eq!(code_of(&bytes), "LAYER_CORRUPT", "{why}");
    }
}

#[test]
fn a_stream_cut_anywhere_is_truncated_or_ends_between_entries() {
    let specs = [
        Spec::directory("d"),
        Spec::file("d/f", vec![b'x'; 700]).pax("mtime", "1.5"),
        Spec::file(vec![b'n'; 150], "yy").with(|spec| spec.flavour = Flavour::Gnu),
    ];
    let whole = tar(&specs);
    let mut ends: Vec<usize> = Vec::new();
    let mut end = 0;
    for spec in &specs {
        let padding = spec.data.len().next_multiple_of(512) - spec.data.len();
        end += spec.bytes().len();
        ends.extend(end - padding..=end); // the padding of the last entry may be missing
    }
    ends.extend([0, end + 512, end + 1024]);
    for length in 0..whole.len() {
        match read(&whole[..length]) {
            Ok(_) => assert!(ends.contains(&length), "accepted after {length} bytes"),
            Err(error) => {
                assert_eq!(
                    error.code(),
                    "LAYER_TRUNCATED",
                    "after {length} bytes: {error}"
                );
                assert!(!ends.contains(&length), "refused after {length} bytes");
            }
        }
    }
}

#[test]
fn what_follows_the_end_of_the_archive_is_ignored() {
    let bytes = [tar(&[Spec::file("a", "x")]), vec![0xaa; 5000]].concat();
    assert_eq!(read(&bytes).unwrap().len(), 1);
}

#[test]
fn damage_is_told_by_its_code() {
    let flip = |mut bytes: Vec<u8>, at: usize| {
        bytes[at] ^= 1;
        bytes
    };
    let file = tar(&[Spec::file("a", "x")]);
    for (bytes, code, why) in [
        (
            flip(file.clone(), 3),
            "LAYER_CORRUPT",
            "a flipped bit in a header",
        ),
        (vec![0x5a; 4096], "LAYER_CORRUPT", "garbage"),
        (
            [vec![0; 512], file.clone()].concat(),
            "LAYER_CORRUPT",
            "one block of zeros in front",
        ),
        (
            tar(&[Spec::new(b'V', "label")]),
            "LAYER_CORRUPT",
            "a volume label",
        ),
        (
            tar(&[Spec::file("a", "").with(|spec| spec.size = Some(-1))]),
            "LAYER_CORRUPT",
            "a negative size",
        ),
        (
            tar(&[Spec::file("a", "").pax("size", "x")]),
            "LAYER_CORRUPT",
            "a size that is no number",
        ),
        (
            tar(&[Spec::file("a", "").pax("uid", "4294967296")]),
            "LAYER_CORRUPT",
            "an owner of 33 bits",
        ),
        (
            tar(&[Spec::new(b'3', "a").with(|spec| spec.device = (4096, 0))]),
            "LAYER_CORRUPT",
            "a major of 13 bits",
        ),
        (
            tar(&[Spec::symlink("a", "")]),
            "LAYER_PATH_INVALID",
            "an empty link target",
        ),
        (
            tar(&[Spec::file(vec![b'a'; 256], "")]),
            "LAYER_PATH_INVALID",
            "a name of 256 bytes",
        ),
        (
            tar(&[Spec::file("a", "")
                .pax("GNU.sparse.major", "1")
                .pax("GNU.sparse.minor", "0")
                .pax("GNU.sparse.name", "b\0c")]),
            "LAYER_CORRUPT",
            "a sparse map in no data",
        ),
    ] {
        assert_eq!(
            read(&bytes).map_or_else(|error| error.code(), |_| "accepted"),
            code,
            "{why}"
        );
    }
}

#[test]
fn every_limit_is_an_error_of_its_own() {
    let small = Limits {
        max_entries: 2,
        max_path_bytes: 300,
        max_name_bytes: 30,
        max_depth: 120,
        max_header_bytes: 1024,
        max_sparse_extents: 3,
        max_file_bytes: 10_000,
        max_xattr_bytes: 10,
        max_xattrs_bytes: 20,
        max_relocated_bytes: 150,
        ..Limits::default()
    };
    let holes: Vec<(u64, u64)> = (0..4).map(|at| (at * 1024, 512)).collect();
    let odd = gnu_sparse(&[(1, 100), (4096, 100)], 8192, &[1; 200]);
    let text_map = Spec::file("s", [padded(b"99999999999\n1\n"), vec![0; 512]].concat())
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0");
    for (bytes, why) in [
        (
            tar(&[
                Spec::file("a", ""),
                Spec::file("b", ""),
                Spec::file("c", ""),
            ]),
            "entries",
        ),
        (tar(&[Spec::file(b"ab/".repeat(110), "")]), "path"),
        (tar(&[Spec::symlink("l", vec![b'x'; 301])]), "link target"),
        (tar(&[Spec::file(vec![b'n'; 31], "")]), "name"),
        (tar(&[Spec::file(b"a/".repeat(121), "")]), "depth"),
        (
            tar(&[Spec::file("a", "").pax("comment", vec![b'x'; 2000])]),
            "header",
        ),
        (gnu_sparse(&holes, 4096, &[0; 2048]), "old sparse map"),
        (tar(&[text_map]), "sparse map before the data"),
        (
            tar(&[Spec::file("a", "").with(|spec| spec.size = Some(20_000))]),
            "file size",
        ),
        (
            tar(&[Spec::file("a", "").pax("SCHILY.xattr.user.a", "12345678901")]),
            "one attribute",
        ),
        (
            tar(&[Spec::file("a", "")
                .pax("SCHILY.xattr.user.a", "1234567")
                .pax("SCHILY.xattr.user.b", "1234567")]),
            "all attributes",
        ),
        (odd, "relocated data"),
    ] {
        let error = read_in_steps(&bytes, 4096, small.clone()).expect_err(why);
        assert!(matches!(error, IndexError::Limit { .. }), "{why}: {error}");
        assert_eq!(error.code(), "LIMIT_EXCEEDED");
        assert!(
            error.to_string().contains("raise it with --limit"),
            "{why}: {error}"
        );
        assert!(
            read(&bytes).is_ok() || why == "sparse map before the data" || why == "file size",
            "{why}: the default limits are wider"
        );
    }
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
