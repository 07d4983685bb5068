//! The kernel reads what is written. These tests mount: they need root and EROFS, and fail where those are missing.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failing test panics"
)]

#[path = "support/kernel.rs"]
mod kernel;
mod support;

use std::os::unix::fs::{FileExt, MetadataExt};

use archive_format::model::*;
use support::{Builder, directory, node, pattern, small, symlink, with_xattr};

#[test]
fn the_kernel_shows_one_of_everything_as_it_was_written() {
    kernel::check(&small());
}

#[test]
fn names_of_every_length_and_byte_are_found() {
    let mut at = Builder::new(0);
    at.add("long", node(0o755, directory()));
    for length in 1..=255 {
        at.add(
            &format!("long/{}", "x".repeat(length)),
            node(0o600, Kind::Fifo),
        );
    }
    at.add("bytes", node(0o755, directory()));
    for byte in 1..=255u8 {
        if byte != b'/' && byte != b'.' {
            at.add_bytes(
                &[b"bytes/".as_slice(), &[byte]].concat(),
                node(0o600, Kind::Fifo),
            );
            at.add_bytes(
                &[b"bytes/.".as_slice(), &[byte, b'.']].concat(),
                node(0o600, Kind::Fifo),
            );
        }
    }
    at.add("bytes/...", node(0o600, Kind::Fifo));
    kernel::check(&at);
}

#[test]
fn a_directory_of_many_thousand_names_is_complete() {
    let mut at = Builder::new(0);
    at.add("many", node(0o755, directory()));
    for number in 0..100_000 {
        at.add(&format!("many/{number}"), node(0o644, Kind::Fifo));
    }
    let mounted = kernel::mount(&at);
    let folder = mounted.path().join("many");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 100_000);
    for number in (0..100_000).step_by(997) {
        assert!(
            folder.join(number.to_string()).symlink_metadata().is_ok(),
            "{number}"
        );
        assert!(
            folder
                .join(format!("{number}x"))
                .symlink_metadata()
                .is_err(),
            "{number}"
        );
    }
}

#[test]
fn directories_of_every_size_around_a_block_are_complete() {
    let mut at = Builder::new(0);
    for size in 0..90 {
        at.add(&format!("d{size}"), node(0o755, directory()));
        for number in 0..size {
            at.add(&format!("d{size}/{number:02}"), node(0o600, Kind::Socket));
        }
    }
    kernel::check(&at);
}

#[test]
fn symlink_targets_of_every_kind_of_length_are_whole() {
    let mut at = Builder::new(0);
    for length in [
        1, 100, 447, 448, 449, 511, 512, 513, 1000, 1024, 4000, 4094, 4095,
    ] {
        let target: Vec<u8> = pattern(length as u32, length)
            .iter()
            .map(|byte| byte | 1)
            .collect();
        at.add(&format!("l{length}"), node(0o777, symlink(target.clone())));
        let marked = with_xattr(
            node(0o777, symlink(target)),
            b"trusted.mark",
            &pattern(1, 300),
        );
        at.add(&format!("x{length}"), marked);
    }
    kernel::check(&at);
}

#[test]
fn xattrs_of_every_namespace_and_size_are_whole() {
    let mut at = Builder::new(1);
    let acl: Vec<u8> = [
        2u32.to_le_bytes().as_slice(),
        &[1, 0, 6, 0, 255, 255, 255, 255],
        &[2, 0, 4, 0, 232, 3, 0, 0],
        &[4, 0, 4, 0, 255, 255, 255, 255],
        &[16, 0, 4, 0, 255, 255, 255, 255],
        &[32, 0, 0, 0, 255, 255, 255, 255],
    ]
    .concat();
    let folder = with_xattr(node(0o755, directory()), b"system.posix_acl_default", &acl);
    at.add(
        "folder",
        with_xattr(folder, b"system.posix_acl_access", &acl),
    );
    for (name, value) in [
        (b"user.empty".as_slice(), b"".as_slice()),
        (b"security.ima", b"\x01\x02"),
        (b"trusted.t", b"t"),
        (b"system.posix_acl_access", &acl),
    ] {
        let file = at.stored(0, b"data");
        let label = String::from_utf8_lossy(name).into_owned();
        at.add(&format!("f.{label}"), with_xattr(file, name, value));
    }
    for length in [
        1, 3, 4, 5, 400, 431, 432, 433, 500, 512, 4095, 4096, 4097, 60_000, 65_535,
    ] {
        let name = [b"user.".as_slice(), &vec![b'n'; length % 250 + 1]].concat();
        let value = pattern(length as u32, length);
        for (kind, inode) in [
            ("file", at.stored(0, b"abc")),
            ("inline", at.stored_inline(0, b"abc")),
            ("dir", node(0o700, directory())),
        ] {
            at.add(&format!("{kind}{length}"), with_xattr(inode, &name, &value));
        }
        at.add(&format!("dir{length}/child"), node(0o600, Kind::Fifo));
    }
    let mut many = at.stored(0, b"many");
    for number in 0..200 {
        many = with_xattr(
            many,
            format!("user.n{number}").as_bytes(),
            &pattern(number, number as usize * 5),
        );
    }
    at.add("many", many);
    kernel::check(&at);
}

#[test]
fn files_of_every_size_around_a_block_read_right() {
    let mut at = Builder::new(2);
    for size in [
        0,
        1,
        100,
        447,
        448,
        449,
        511,
        512,
        513,
        1023,
        1024,
        1025,
        4095,
        4096,
        4097,
        65_537,
        1 << 20,
    ] {
        let bytes = pattern(size as u32, size);
        let file = at.stored(0, &bytes);
        at.add(&format!("stored{size}"), file);
        let file = at.stored_inline(1, &bytes[..size.min(3000)]);
        at.add(&format!("inline{size}"), file);
        let kind = Kind::Regular(FileData {
            size: size as u64,
            extents: Vec::new(),
            inline: Some(bytes),
        });
        at.add(&format!("own{size}"), node(0o644, kind));
    }
    kernel::check(&at);
}

#[test]
fn sparse_files_read_as_data_and_zeros() {
    let mut at = Builder::new(3);
    for (name, size, bounds) in [
        ("fine", 20_000, vec![(512, 512), (4096, 1024), (19_968, 32)]),
        ("coarse", 1 << 20, vec![(65_536, 65_536), (524_288, 65_536)]),
        ("tail", 70_000, vec![(65_536, 4464)]),
        ("head", 70_000, vec![(0, 512)]),
        ("hole", 123_456, vec![]),
        ("touching", 8192, vec![(0, 4096), (4096, 4096)]),
    ] {
        let mut extents = Vec::new();
        for (index, (file_offset, length)) in bounds.into_iter().enumerate() {
            let device = (index % 3) as u16;
            let device_offset = at.store(device, &pattern(index as u32 + 5, length));
            extents.push(Extent {
                file_offset,
                device,
                device_offset,
                length: length as u64,
            });
        }
        at.add(
            name,
            node(
                0o644,
                Kind::Regular(FileData {
                    size,
                    extents,
                    inline: None,
                }),
            ),
        );
    }
    kernel::check(&at);
}

#[test]
fn a_file_of_terabytes_has_its_data_where_it_belongs() {
    let mut at = Builder::new(1);
    let data = pattern(3, 4000);
    let device_offset = at.store(0, &data);
    let start = 2 << 40;
    let extents = vec![Extent {
        file_offset: start,
        device: 0,
        device_offset,
        length: 4000,
    }];
    let file = FileData {
        size: start + 4000,
        extents,
        inline: None,
    };
    at.add("huge", node(0o600, Kind::Regular(file)));
    let mounted = kernel::mount(&at);
    let file = std::fs::File::open(mounted.path().join("huge")).unwrap();
    assert_eq!(file.metadata().unwrap().size(), start + 4000);
    let mut bytes = vec![1; 4100];
    file.read_exact_at(&mut bytes, start - 100).unwrap();
    assert_eq!(bytes, [vec![0; 100], data].concat());
}

#[test]
fn two_hundred_devices_can_be_mounted_also_empty_ones() {
    let mut at = Builder::new(200);
    for device in 0..200 {
        if device % 10 == 3 {
            at.devices[usize::from(device)].clear();
            continue;
        }
        let file = at.stored(device, &pattern(device.into(), 700));
        at.add(&format!("f{device}"), file);
    }
    kernel::check(&at);
}

#[test]
fn owners_times_and_devices_keep_all_their_bits() {
    let mut at = Builder::new(0);
    for (name, seconds, nanos) in [
        ("past", -2_000_000_000, 5),
        ("far", 1 << 40, 999_999_999),
        ("before", -1, 1),
    ] {
        let inode = node(0o7777, Kind::Fifo);
        at.add(
            name,
            Inode {
                uid: u32::MAX - 1,
                gid: 1 << 31,
                mtime: Timestamp { seconds, nanos },
                ..inode
            },
        );
    }
    for (major, minor) in [(0, 1), (4095, 1_048_575), (1, 256), (256, 1)] {
        let device = DeviceNumber { major, minor };
        at.add(
            &format!("c{major}.{minor}"),
            node(0o600, Kind::CharDevice(device)),
        );
        at.add(
            &format!("b{major}.{minor}"),
            node(0o600, Kind::BlockDevice(device)),
        );
    }
    kernel::check(&at);
}

#[test]
fn a_deep_tree_is_reached_to_its_bottom() {
    let mut at = Builder::new(0);
    let mut path = String::new();
    for _ in 0..500 {
        path.push_str("/d");
        at.add(&path, node(0o755, directory()));
    }
    at.add(&format!("{path}/end"), node(0o600, Kind::Fifo));
    kernel::check(&at);
}
