//! What the tree answers is what `ErofsReader::walk` reads.

use std::collections::BTreeMap;

use archive_format::erofs::ErofsReader;
use archive_format::model::{FileData, Image, InodeId, Kind};
use proptest::prelude::*;

use super::super::TreeFiles;
use super::random_image::random_image;
use super::{metadata_of, open};
use crate::fuse::{Attributes, FileKind, FileSystem, FsError, NodeId, ROOT, Seek};

/// A listing as the kernel takes it, with each name looked up.
fn list(tree: &TreeFiles, directory: NodeId) -> BTreeMap<Vec<u8>, Attributes> {
    let mut found = BTreeMap::new();
    let mut position = 0;
    let mut last = vec![];
    while let Some(entry) = tree.entry(directory, position).unwrap() {
        assert!(entry.next > position, "positions grow");
        assert!(last < entry.name || position == 0, "names are in order");
        let again = tree.entry(directory, position).unwrap();
        assert_eq!(again.as_ref(), Some(&entry), "a position stays what it is");
        let attributes = tree.attributes(entry.node).unwrap();
        assert_eq!(
            (attributes.kind, attributes.number),
            (entry.kind, entry.number)
        );
        if !matches!(entry.name.as_slice(), b"." | b"..") {
            assert_eq!(tree.lookup(directory, &entry.name), Ok(attributes));
            found.insert(entry.name.clone(), attributes);
        }
        (position, last) = (entry.next, entry.name);
    }
    found
}

fn content(data: &FileData, streams: &[Vec<u8>]) -> Vec<u8> {
    if let Some(inline) = &data.inline {
        return inline.clone();
    }
    let mut bytes = vec![0; data.size as usize];
    for extent in &data.extents {
        let from = extent.device_offset as usize;
        let to = extent.file_offset as usize;
        let length = extent.length as usize;
        bytes[to..to + length]
            .copy_from_slice(&streams[usize::from(extent.device)][from..from + length]);
    }
    bytes
}

fn check_file(tree: &TreeFiles, node: NodeId, data: &FileData, streams: &[Vec<u8>]) {
    let wanted = content(data, streams);
    for step in [wanted.len().max(1), 700, 513] {
        for start in (0..wanted.len()).step_by(step) {
            let end = wanted.len().min(start + step);
            let mut buffer = vec![0xAA; end - start];
            assert!(tree.is_ready(node, start as u64, buffer.len()));
            tree.read(node, 0, start as u64, &mut buffer).unwrap();
            assert_eq!(buffer, wanted[start..end], "{start}");
        }
    }
    let has_data = |at: u64| {
        data.inline.is_some()
            || data.extents.iter().any(|extent| {
                (extent.file_offset..extent.file_offset + extent.length).contains(&at)
            })
    };
    for at in (0..data.size).step_by(256) {
        let next_data = (at..data.size)
            .find(|at| has_data(*at))
            .ok_or(FsError::BehindEnd);
        let next_hole = (at..data.size)
            .find(|at| !has_data(*at))
            .unwrap_or(data.size);
        assert_eq!(tree.seek(node, at, Seek::Data), next_data, "data from {at}");
        assert_eq!(
            tree.seek(node, at, Seek::Hole),
            Ok(next_hole),
            "hole from {at}"
        );
    }
    assert_eq!(
        tree.seek(node, data.size, Seek::Data),
        Err(FsError::BehindEnd)
    );
}

fn check(tree: &TreeFiles, image: &Image, streams: &[Vec<u8>], has_xattrs: bool) {
    let mut ahead: Vec<(NodeId, InodeId)> = vec![(ROOT, 0)];
    let mut numbers: BTreeMap<u64, InodeId> = BTreeMap::new();
    while let Some((node, id)) = ahead.pop() {
        let wanted = &image.inodes[id as usize];
        let found = tree.attributes(node).unwrap();
        assert_eq!(
            *numbers.entry(found.number).or_insert(id),
            id,
            "a number is one inode"
        );
        assert_eq!(
            (
                found.permissions,
                found.uid,
                found.gid,
                found.seconds,
                found.nanos
            ),
            (
                wanted.permissions,
                wanted.uid,
                wanted.gid,
                wanted.mtime.seconds,
                wanted.mtime.nanos
            )
        );
        match tree.attribute_names(node) {
            Ok(names) => {
                assert!(names.iter().eq(wanted.xattrs.keys()));
                for (name, value) in &wanted.xattrs {
                    assert_eq!(tree.attribute(node, name).as_ref(), Ok(value));
                }
                assert_eq!(
                    tree.attribute(node, b"user.no such"),
                    Err(FsError::NoAttribute)
                );
            }
            Err(error) => assert!(error == FsError::Unsupported && !has_xattrs, "{error}"),
        }
        match &wanted.kind {
            Kind::Directory { children } => {
                let listed = list(tree, node);
                assert!(listed.keys().eq(children.keys()));
                assert_eq!(tree.lookup(node, b"no such name"), Err(FsError::NotFound));
                let subdirectories = listed
                    .values()
                    .filter(|child| child.kind == FileKind::Directory);
                assert_eq!(found.links as usize, 2 + subdirectories.count());
                ahead.extend(
                    children
                        .iter()
                        .map(|(name, child)| (listed[name].node, *child)),
                );
            }
            Kind::Regular(data) => {
                assert_eq!((found.kind, found.size), (FileKind::Regular, data.size));
                check_file(tree, node, data, streams);
            }
            Kind::Symlink { target } => {
                assert_eq!(
                    (found.kind, found.size),
                    (FileKind::Symlink, target.len() as u64)
                );
                assert_eq!(tree.target(node).as_ref(), Ok(target));
            }
            Kind::CharDevice(number) | Kind::BlockDevice(number) => {
                let encoded = u64::from(found.device);
                let shown = (
                    encoded >> 8 & 0xFFF,
                    encoded & 0xFF | encoded >> 12 & 0xFFF00,
                );
                assert_eq!(shown, (number.major.into(), number.minor.into()));
            }
            Kind::Fifo => assert_eq!(found.kind, FileKind::Fifo),
            Kind::Socket => assert_eq!(found.kind, FileKind::Socket),
        }
        if !matches!(wanted.kind, Kind::Directory { .. }) {
            assert_eq!(tree.lookup(node, b"x"), Err(FsError::NotDirectory));
            assert_eq!(tree.entry(node, 0), Err(FsError::NotDirectory));
        }
    }
    assert_eq!(numbers.len() as u64, tree.usage().nodes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_of_any_image_is_what_its_reader_walks(random in random_image()) {
        let metadata = metadata_of(&random.image, &random.streams);
        let walked = ErofsReader::new(metadata.as_slice()).unwrap().walk().unwrap();
        let tree = open(metadata, &random.streams).unwrap();
        let has_xattrs = walked.image.inodes.iter().any(|inode| !inode.xattrs.is_empty());
        check(&tree, &walked.image, &random.streams, has_xattrs);
    }
}
