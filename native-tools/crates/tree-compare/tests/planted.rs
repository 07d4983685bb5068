//! Every kind of difference, planted one at a time, is found and told as what it is. Needs root for owners and devices.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};
use tempfile::TempDir;
use tree_compare::{Options, Report, compare_trees};

const ODD: &[u8] = b"-odd\xff\n name";

fn node(path: &Path, kind: FileType, major: u32, minor: u32) {
    mknodat(CWD, path, kind, Mode::from(0o600), makedev(major, minor)).unwrap();
}

fn odd(root: &Path) -> PathBuf {
    root.join(OsStr::from_bytes(ODD))
}

/// A tree with everything that can differ, and the same time everywhere.
fn plant(root: &Path) {
    fs::create_dir(root).unwrap();
    fs::create_dir(root.join("dir")).unwrap();
    fs::create_dir(root.join("dir/sub")).unwrap();
    fs::write(root.join("dir/file"), vec![7; 3_000_000]).unwrap();
    fs::write(root.join("linked"), "several names").unwrap();
    fs::hard_link(root.join("linked"), root.join("linked-2")).unwrap();
    fs::write(root.join("other"), "several names").unwrap();
    fs::hard_link(root.join("other"), root.join("other-2")).unwrap();
    fs::write(odd(root), "odd").unwrap();
    symlink("target", root.join("link")).unwrap();
    node(&root.join("fifo"), FileType::Fifo, 0, 0);
    node(&root.join("char"), FileType::CharacterDevice, 1, 3);
    node(&root.join("block"), FileType::BlockDevice, 259, 70_000);
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    sparse.write_all_at(b"data", 512 << 10).unwrap();
    xattr(&root.join("dir/file"), "user.note", b"value");
    xattr(&root.join("dir/file"), "security.capability", &CAPABILITY);
    xattr(&root.join("dir/sub"), "system.posix_acl_default", &ACL);
    still(root);
}

/// `cap_net_raw` in revision 2 (capability.h).
const CAPABILITY: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];
/// `u::rwx,u:1000:r-x,g::r-x,m::r-x,o::---`
const ACL: [u8; 44] = [
    2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 5, 0, 0xe8, 3, 0, 0, 4, 0, 5, 0, 255, 255,
    255, 255, 16, 0, 5, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
];

fn xattr(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// Gives everything below one time, so that planting one difference plants no time.
fn still(path: &Path) {
    let found = path.symlink_metadata().unwrap();
    if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            still(&entry.unwrap().path());
        }
    }
    set_time(path, Duration::new(1_700_000_000, 123_456_789));
}

fn set_time(path: &Path, since: Duration) {
    let time = rustix::fs::Timespec {
        tv_sec: i64::try_from(since.as_secs()).unwrap(),
        tv_nsec: i64::from(since.subsec_nanos()),
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

struct Trees {
    dir: TempDir,
}

impl Trees {
    fn new() -> Self {
        let trees = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        plant(&trees.left());
        plant(&trees.right());
        trees
    }

    fn left(&self) -> PathBuf {
        self.dir.path().join("left")
    }

    fn right(&self) -> PathBuf {
        self.dir.path().join("right")
    }

    fn compare(&self, options: &Options) -> Report {
        compare_trees(&self.left(), &self.right(), options).unwrap()
    }
}

fn options() -> Options {
    Options {
        limit: 100,
        holes: true,
        ..Options::default()
    }
}

#[test]
fn trees_that_are_alike_have_no_difference() {
    let report = Trees::new().compare(&options());
    assert_eq!(report.first, []);
    assert_eq!(report.differences, 0);
    assert_eq!(report.entries, 14);
    assert_eq!(report.content_bytes, 3_000_000 + 2 * 13 + 3 + (1 << 20));
}

type Planted = (
    &'static str,
    fn(&Path),
    &'static [(&'static str, &'static str)],
);

/// What is done to the right tree, and the path and field of every difference that this makes.
const PLANTED: &[Planted] = &[
    (
        "mode",
        |root| {
            fs::set_permissions(root.join("dir/file"), fs::Permissions::from_mode(0o4755)).unwrap()
        },
        &[("/dir/file", "mode")],
    ),
    (
        "uid of a link",
        |root| lchown(root.join("link"), Some(7), None).unwrap(),
        &[("/link", "uid")],
    ),
    (
        "gid",
        |root| chown(root.join("linked"), None, Some(8)).unwrap(),
        &[("/linked", "gid"), ("/linked-2", "gid")],
    ),
    (
        "a nanosecond",
        |root| {
            set_time(
                &root.join("dir/file"),
                Duration::new(1_700_000_000, 123_456_788),
            )
        },
        &[("/dir/file", "mtime")],
    ),
    (
        "the time of a folder",
        |root| set_time(&root.join("dir"), Duration::new(1, 0)),
        &[("/dir", "dirtime")],
    ),
    (
        "the last byte",
        |root| {
            File::options()
                .write(true)
                .open(root.join("sparse"))
                .unwrap()
                .write_all_at(b"x", (512 << 10) + 3)
                .unwrap()
        },
        &[("/sparse", "content")],
    ),
    (
        "a longer file",
        |root| {
            File::options()
                .write(true)
                .open(root.join("sparse"))
                .unwrap()
                .set_len((1 << 20) + 1)
                .unwrap()
        },
        &[("/sparse", "size")],
    ),
    (
        "a name less",
        |root| fs::remove_file(odd(root)).unwrap(),
        &[("/-odd\\xff\\x0a name", "presence")],
    ),
    (
        "a name more",
        |root| fs::write(root.join("dir/zz"), "").unwrap(),
        &[("/dir/zz", "presence")],
    ),
    (
        "another target",
        |root| {
            fs::remove_file(root.join("link")).unwrap();
            symlink("targe_", root.join("link")).unwrap();
        },
        &[("/link", "target")],
    ),
    (
        "another device",
        |root| {
            fs::remove_file(root.join("char")).unwrap();
            node(&root.join("char"), FileType::CharacterDevice, 1, 5);
        },
        &[("/char", "device")],
    ),
    (
        "another type",
        |root| {
            fs::remove_file(root.join("fifo")).unwrap();
            fs::write(root.join("fifo"), "").unwrap();
        },
        &[("/fifo", "type")],
    ),
    (
        "an attribute's value",
        |root| xattr(&root.join("dir/file"), "user.note", b"valuE"),
        &[("/dir/file", "xattr:user.note")],
    ),
    (
        "a trusted attribute",
        |root| xattr(&root.join("linked"), "trusted.x", b"1"),
        &[
            ("/linked", "xattr:trusted.x"),
            ("/linked-2", "xattr:trusted.x"),
        ],
    ),
    (
        "no capability",
        |root| rustix::fs::lremovexattr(root.join("dir/file"), "security.capability").unwrap(),
        &[("/dir/file", "xattr:security.capability")],
    ),
    (
        "no default ACL",
        |root| rustix::fs::lremovexattr(root.join("dir/sub"), "system.posix_acl_default").unwrap(),
        &[("/dir/sub", "xattr:system.posix_acl_default")],
    ),
    (
        "a link into another group",
        |root| {
            for (name, of) in [("linked-2", "other"), ("other-2", "linked")] {
                fs::remove_file(root.join(name)).unwrap();
                fs::hard_link(root.join(of), root.join(name)).unwrap();
            }
        },
        &[
            ("/linked-2", "hardlink"),
            ("/other", "hardlink"),
            ("/other-2", "hardlink"),
        ],
    ),
    (
        "a copy instead of a link",
        |root| {
            fs::remove_file(root.join("linked-2")).unwrap();
            fs::write(root.join("linked-2"), "several names").unwrap();
        },
        &[
            ("/linked", "nlink"),
            ("/linked-2", "nlink"),
            ("/linked-2", "hardlink"),
        ],
    ),
    (
        "a sub-folder more",
        |root| fs::create_dir(root.join("dir/more")).unwrap(),
        &[("/dir", "nlink"), ("/dir/more", "presence")],
    ),
    (
        "zeros instead of a hole",
        |root| {
            File::options()
                .write(true)
                .open(root.join("sparse"))
                .unwrap()
                .write_all_at(&[0; 8192], 0)
                .unwrap()
        },
        &[("/sparse", "holes")],
    ),
];

#[test]
fn every_planted_difference_is_told_as_what_it_is_and_alone() {
    for (what, act, wanted) in PLANTED {
        let trees = Trees::new();
        act(&trees.right());
        // What is not about times must not differ in time; what is, must keep it.
        if !wanted.iter().any(|(_, field)| field.ends_with("time")) {
            still(&trees.right());
        }
        let report = trees.compare(&options());
        let found: BTreeSet<(&str, &str)> = report
            .first
            .iter()
            .map(|difference| (difference.path.as_str(), difference.field.as_str()))
            .collect();
        assert_eq!(found, wanted.iter().copied().collect(), "{what}");
        assert_eq!(report.differences as usize, wanted.len(), "{what}");
        for (_, field) in *wanted {
            let ignored = options()
                .ignore
                .into_iter()
                .chain([(*field).to_owned()])
                .collect();
            let report = trees.compare(&Options {
                ignore: ignored,
                ..options()
            });
            assert!(
                report
                    .first
                    .iter()
                    .all(|difference| difference.field != *field),
                "{what}"
            );
        }
    }
}

#[test]
fn what_archives_leave_out_is_counted_and_no_difference() {
    let trees = Trees::new();
    xattr(&trees.right().join("dir"), "trusted.overlay.opaque", b"y");
    node(
        &trees.right().join("whiteout"),
        FileType::CharacterDevice,
        0,
        0,
    );
    still(&trees.right());
    let report = trees.compare(&options());
    assert_eq!((report.differences, report.left_out), (0, 2));
}

#[test]
fn times_that_nobody_promises_are_no_difference() {
    let trees = Trees::new();
    set_time(&trees.left().join("dir"), Duration::ZERO);
    set_time(&trees.right(), Duration::new(5, 5));
    assert_eq!(trees.compare(&options()).first, []);
}

#[test]
fn the_list_ends_where_it_was_told_to_and_the_count_goes_on() {
    let trees = Trees::new();
    for at in 0..50 {
        fs::write(trees.right().join(format!("dir/{at}")), "").unwrap();
    }
    still(&trees.right());
    let report = trees.compare(&Options {
        limit: 3,
        ..Options::default()
    });
    assert_eq!((report.first.len(), report.differences), (3, 50));
    assert_eq!(report.fields.get("presence"), Some(&50));
}

#[test]
fn a_folder_of_four_hundred_levels_is_walked() {
    let trees = Trees::new();
    for root in [trees.left(), trees.right()] {
        let mut at = rustix::fs::open(&root, rustix::fs::OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..400 {
            rustix::fs::mkdirat(&at, "d", Mode::from(0o755)).unwrap();
            at =
                rustix::fs::openat(&at, "d", rustix::fs::OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
    }
    let report = trees.compare(&Options {
        ignore: ["dirtime".to_owned()].into(),
        limit: 1,
        ..Options::default()
    });
    assert_eq!((report.differences, report.entries), (0, 414));
}

#[test]
fn a_root_that_is_no_folder_is_an_error() {
    let trees = Trees::new();
    let error =
        compare_trees(&trees.left(), &trees.right().join("linked"), &options()).unwrap_err();
    assert_eq!(tool_protocol::Coded::code(&error), "PATH_NOT_FOUND");
}
