//! Large directories and the number of the root.

use std::collections::BTreeMap;
use std::time::Instant;

use archive_format::model::{FileData, Image, Inode, Kind, Timestamp};

use super::super::TreeFiles;
use super::{metadata_of, open};
use crate::fuse::{FileSystem, FsError, ROOT};

const NAMES: u32 = 100_000;

fn inode(kind: Kind) -> Inode {
    Inode {
        permissions: 0o755,
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        xattrs: BTreeMap::new(),
        kind,
    }
}

fn large() -> TreeFiles {
    let mut inodes = vec![];
    let children = (0..NAMES)
        .map(|index| (format!("file-{index:06}").into_bytes(), index + 1))
        .collect();
    inodes.push(inode(Kind::Directory { children }));
    inodes.extend((0..NAMES).map(|_| inode(Kind::Regular(FileData::default()))));
    open(metadata_of(&Image { inodes }, &[]), &[]).unwrap()
}

#[test]
fn a_directory_of_100_000_names_is_listed_once_and_each_is_found() {
    let tree = large();
    let (mut position, mut count) = (0, 0u32);
    let started = Instant::now();
    while let Some(entry) = tree.entry(ROOT, position).unwrap() {
        position = entry.next;
        count += 1;
    }
    assert_eq!(count, NAMES + 2);
    for index in (0..NAMES).step_by(7) {
        let name = format!("file-{index:06}");
        assert_eq!(tree.lookup(ROOT, name.as_bytes()).unwrap().links, 1);
    }
    assert_eq!(tree.lookup(ROOT, b"file-1"), Err(FsError::NotFound));
    assert_eq!(tree.lookup(ROOT, &[b'n'; 255]), Err(FsError::NotFound));
    assert_eq!(tree.lookup(ROOT, &[b'n'; 256]), Err(FsError::NameTooLong));
    // Not a matter of speed: a search from the front would look at 10^9 names.
    eprintln!("listed and looked up in {:?}", started.elapsed());
}

#[test]
fn the_root_is_node_1_and_shows_its_address_as_the_kernel_does() {
    let tree = large();
    let root = tree.attributes(ROOT).unwrap();
    assert_eq!(root.node, ROOT);
    assert!(root.number > ROOT);
    assert_eq!(
        tree.attributes(root.number).unwrap(),
        root,
        "the same by its address"
    );
    let dots: Vec<_> = [0, 1]
        .map(|position| tree.entry(ROOT, position).unwrap().unwrap())
        .into_iter()
        .map(|entry| (entry.name, entry.node, entry.number))
        .collect();
    let wanted = |name: &[u8]| (name.to_vec(), ROOT, root.number);
    assert_eq!(dots, [wanted(b"."), wanted(b"..")]);
}

#[test]
fn an_image_without_attributes_says_so_once_and_for_all() {
    let tree = large();
    assert_eq!(
        tree.attribute(ROOT, b"security.capability"),
        Err(FsError::Unsupported)
    );
    assert_eq!(tree.attribute_names(ROOT), Err(FsError::Unsupported));
}
