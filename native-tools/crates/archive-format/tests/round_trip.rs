//! What is written is read back, and is a function of its input alone.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failing test panics"
)]

mod support;

use std::collections::BTreeMap;
use std::io::Write;

use archive_format::erofs::{ErofsReader, Follow, write_image};
use archive_format::model::*;
use archive_format::read::Archive;
use archive_format::verify::{ArchiveKind, verify_archive};
use proptest::prelude::*;
use support::{Builder, directory, node, pattern, small, symlink};

/// The tree by paths: ids differ between an image and its copy.
fn by_path(image: &Image) -> BTreeMap<Vec<u8>, Inode> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![(b"".to_vec(), 0)];
    while let Some((path, id)) = ahead.pop() {
        let mut inode = image.inodes[id as usize].clone();
        if let Kind::Directory { children } = &mut inode.kind {
            for (name, child) in std::mem::take(children) {
                ahead.push(([path.as_slice(), b"/", &name].concat(), child));
            }
        }
        found.insert(path, inode);
    }
    found
}

fn image_round_trip(builder: &Builder) {
    let bytes = write_image(&builder.image, &builder.device_rows()).unwrap();
    let found = by_path(&ErofsReader::new(bytes).unwrap().walk().unwrap().image);
    let mut wanted = by_path(&builder.as_read());
    // What does not fit beside its inode stays on its device.
    let stored = by_path(&builder.image);
    for (path, inode) in &found {
        if matches!(&inode.kind, Kind::Regular(file) if !file.extents.is_empty())
            && let Kind::Regular(file) = &mut wanted.get_mut(path).unwrap().kind
            && let Kind::Regular(original) = &stored[path].kind
        {
            *file = FileData {
                inline: None,
                ..original.clone()
            };
        }
    }
    for (path, inode) in &wanted {
        assert_eq!(found.get(path), Some(inode), "{}", path.escape_ascii());
    }
    assert_eq!(found.len(), wanted.len());
}

fn saved(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn the_metadata_image_gives_back_the_whole_tree() {
    image_round_trip(&small());
}

#[test]
fn an_archive_proves_itself_and_gives_back_its_parts() {
    let builder = small();
    let (bytes, summary) = builder.archive(false);
    assert_eq!(summary.size_bytes, bytes.len() as u64);
    let file = saved(&bytes);
    let report = verify_archive(file.path()).unwrap();
    assert_eq!(
        (report.kind, report.entries, report.layers),
        (ArchiveKind::Clipyard, summary.entries, 3)
    );
    let archive = Archive::open(file.reopen().unwrap()).unwrap();
    assert_eq!(archive.footer_digest(), summary.footer_digest);
    assert_eq!(archive.layers().unwrap().len(), 3);
    let walked = archive.erofs().unwrap().walk().unwrap();
    assert_eq!(by_path(&walked.image), by_path(&builder.as_read()));
    let config = archive.config().unwrap();
    assert!(
        config
            .storage_reference
            .starts_with("127.0.0.1:5000/team/app@sha256:")
    );
}

#[test]
fn the_last_device_can_be_the_section_extra() {
    let (bytes, summary) = small().archive(true);
    let report = verify_archive(saved(&bytes).path()).unwrap();
    assert_eq!(report.layers, 2);
    let names: Vec<_> = summary
        .sections
        .iter()
        .map(|record| record.section.name())
        .collect();
    assert_eq!(names, ["config", "extra", "layers", "erofs"]);
}

#[test]
fn a_mount_needs_only_footer_erofs_layers_and_extra() {
    let (bytes, summary) = small().archive(true);
    let mut sparse = vec![0; bytes.len()];
    let mut ranges: Vec<_> = summary
        .sections
        .iter()
        .filter(|record| record.critical)
        .map(|record| record.offset as usize..record.end() as usize)
        .collect();
    ranges.push(bytes.len() - 4096..bytes.len());
    let fetched: usize = ranges.iter().map(std::ops::Range::len).sum();
    assert_eq!(fetched as u64, summary.mount_bytes);
    for range in ranges {
        sparse[range.clone()].copy_from_slice(&bytes[range]);
    }
    let archive = Archive::open(saved(&sparse).reopen().unwrap()).unwrap();
    archive.layers().unwrap();
    archive.erofs().unwrap().walk().unwrap();
    assert!(archive.config().is_err());
}

#[test]
fn equal_input_gives_equal_bytes() {
    assert_eq!(small().archive(true), small().archive(true));
}

#[test]
fn paths_are_found_inside_the_root_alone() {
    let mut at = Builder::new(0);
    at.add("a", node(0o755, directory()));
    at.add("a/b", node(0o755, directory()));
    at.add("a/b/file", node(0o644, Kind::Fifo));
    at.add("abs", node(0o777, symlink("/a/b")));
    at.add("a/up", node(0o777, symlink("../../../../a/./b/")));
    at.add("a/loop", node(0o777, symlink("loop")));
    at.add("dangling", node(0o777, symlink("nowhere")));
    let reader = ErofsReader::new(write_image(&at.image, &[]).unwrap()).unwrap();
    let find = |path: &str, follow| reader.lookup(path.as_bytes(), follow).unwrap();
    let file = find("/a/b/file", Follow::AllButLast).unwrap();
    for same in [
        "a/b/file",
        "abs/file",
        "a/up/file",
        "/../a/up/../b/file",
        "abs/../b/file",
        "a//b/./file",
    ] {
        assert_eq!(find(same, Follow::All), Some(file), "{same}");
    }
    for nothing in [
        "a/c",
        "a/b/file/",
        "a/b/file/x",
        "a/b/file/..",
        "dangling",
        "nowhere/x",
    ] {
        assert_eq!(find(nothing, Follow::All), None, "{nothing}");
    }
    assert!(find("dangling", Follow::AllButLast).unwrap().is_symlink());
    assert!(find("abs/", Follow::AllButLast).unwrap().is_directory());
    assert!(find("/", Follow::All).unwrap().is_directory());
    let endless = reader.lookup(b"a/loop", Follow::All);
    assert!(endless.is_err_and(|error| error.to_string().contains("symlinks")));
}

#[test]
fn every_name_of_a_large_directory_is_found() {
    let mut at = Builder::new(0);
    let names: Vec<String> = (0..3000)
        .map(|number| format!("{number:x}{}", "n".repeat(number % 240)))
        .collect();
    for name in &names {
        at.add(name, node(0o600, Kind::Fifo));
    }
    let reader = ErofsReader::new(write_image(&at.image, &[]).unwrap()).unwrap();
    let root = reader.root().unwrap();
    for name in &names {
        assert!(
            reader.find(&root, name.as_bytes()).unwrap().is_some(),
            "{name}"
        );
        let other = format!("{name}!");
        assert!(
            reader.find(&root, other.as_bytes()).unwrap().is_none(),
            "{other}"
        );
    }
}

/// A tree from a list of choices, each a name below one of the directories so far.
fn tree(choices: Vec<(usize, Vec<u8>, u8, u16, usize)>) -> Builder {
    let mut at = Builder::new(2);
    let mut folders = vec![Vec::new()];
    let mut files = Vec::new();
    for (folder, name, what, permissions, length) in choices {
        let name: Vec<u8> = name
            .iter()
            .map(|byte| {
                if matches!(byte, 0 | b'/') {
                    b'_'
                } else {
                    *byte
                }
            })
            .collect();
        if matches!(name.as_slice(), b"" | b"." | b"..") {
            continue;
        }
        let path = [folders[folder % folders.len()].as_slice(), b"/", &name].concat();
        let content = pattern(length as u32, length);
        let inode = match what % 7 {
            0 | 1 => {
                folders.push(path.clone());
                node(permissions, directory())
            }
            2 => at.stored(u16::from(what % 2), &content),
            3 => at.stored_inline(0, &content[..length.min(300)]),
            4 => node(
                0o777,
                symlink(
                    content
                        .iter()
                        .map(|byte| byte | 1)
                        .take(4095)
                        .chain([b'x'])
                        .take(4095)
                        .collect::<Vec<_>>(),
                ),
            ),
            5 if !files.is_empty() => {
                let id = files[length % files.len()];
                if by_path(&at.image).contains_key(&path) {
                    continue;
                }
                at.link(&path, id);
                continue;
            }
            _ => node(
                permissions,
                Kind::CharDevice(DeviceNumber {
                    major: 4000,
                    minor: length as u32 * 50,
                }),
            ),
        };
        if by_path(&at.image).contains_key(&path) {
            continue;
        }
        let inode = if what > 100 {
            support::with_xattr(inode, b"trusted.x", &content[..length.min(2000)])
        } else {
            inode
        };
        let is_folder = matches!(inode.kind, Kind::Directory { .. });
        let id = at.add_bytes(
            &path,
            Inode {
                uid: u32::from(permissions) << 12,
                ..inode
            },
        );
        if !is_folder {
            files.push(id);
        }
    }
    at
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_tree_is_read_back(choices in proptest::collection::vec(
        (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..60), any::<u8>(), 0u16..0o10000, 0usize..5000),
        0..60,
    )) {
        let builder = tree(choices);
        image_round_trip(&builder);
        let (bytes, _) = builder.archive(false);
        verify_archive(saved(&bytes).path()).unwrap();
    }
}
