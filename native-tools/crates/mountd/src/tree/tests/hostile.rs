//! Damaged metadata is an error for what it damages, never a panic and never endless.

use proptest::prelude::*;

use super::super::TreeFiles;
use super::random_image::random_image;
use super::{metadata_of, open};
use crate::fuse::{FileSystem, NodeId, ROOT, Seek};

/// The kernel asks one question at a time; so many are enough to go through every inode of these images.
const QUESTIONS: usize = 4000;

/// Asks everything of everything that can be reached.
fn ask_all(tree: &TreeFiles) {
    let mut ahead: Vec<NodeId> = vec![ROOT];
    let mut asked = 0;
    let mut buffer = vec![0; 4096];
    while let Some(node) = ahead.pop() {
        asked += 1;
        if asked > QUESTIONS {
            return;
        }
        let Ok(attributes) = tree.attributes(node) else {
            continue;
        };
        assert!(attributes.size <= i64::MAX as u64);
        for offset in [0, attributes.size / 2, attributes.size.saturating_sub(1)] {
            let left = attributes.size - offset;
            let length = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            tree.is_ready(node, offset, length);
            let _ = tree.read(node, 0, offset, &mut buffer[..length]);
            let _ = tree.seek(node, offset, Seek::Data);
            let _ = tree.seek(node, offset, Seek::Hole);
        }
        let _ = tree.target(node);
        let _ = tree.attribute_names(node);
        let _ = tree.attribute(node, b"user.a");
        let _ = tree.lookup(node, b"m");
        let mut position = 0;
        while let Ok(Some(entry)) = tree.entry(node, position) {
            assert!(entry.next > position && !entry.name.is_empty());
            assert!(entry.node != 0 || entry.number <= ROOT);
            position = entry.next;
            asked += 1;
            if asked > QUESTIONS {
                return;
            }
            if !matches!(entry.name.as_slice(), b"." | b"..") {
                let _ = tree.lookup(node, &entry.name);
                ahead.push(entry.node);
            }
        }
        let _ = tree.entry(node, u64::MAX);
        let _ = tree.entry(node, 41);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_is_an_error_and_no_panic(
        random in random_image(),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut metadata = metadata_of(&random.image, &random.streams);
        for (at, byte) in hits {
            // What lies before the superblock is not read.
            let length = metadata.len() - 1024;
            metadata[1024 + at.index(length)] = byte;
        }
        if let Ok(tree) = open(metadata, &random.streams) {
            ask_all(&tree);
        }
    }
}

#[test]
fn a_number_that_is_no_inode_is_an_error() {
    let random = super::random_image::RandomImage {
        image: archive_format::model::Image {
            inodes: vec![archive_format::model::Inode {
                permissions: 0o755,
                uid: 0,
                gid: 0,
                mtime: archive_format::model::Timestamp::default(),
                xattrs: std::collections::BTreeMap::new(),
                kind: archive_format::model::Kind::Directory {
                    children: std::collections::BTreeMap::new(),
                },
            }],
        },
        streams: vec![],
    };
    let tree = open(metadata_of(&random.image, &[]), &[]).unwrap();
    for node in [0, 2, 3, u64::MAX, u64::MAX / 32, 1 << 40] {
        assert!(tree.attributes(node).is_err(), "{node}");
        assert!(tree.entry(node, 0).is_err(), "{node}");
    }
}
