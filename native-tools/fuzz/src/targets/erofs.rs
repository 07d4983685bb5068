//! The metadata image: a walk and a lookup end, and what a walk accepts is written again as an equal tree.

use archive_format::digest::Digest;
use archive_format::erofs::{Device, ErofsReader, Follow, uuid_of, write_image};

/// Of the superblock's UUID; a digest of the image, so that it is made right here.
const UUID: std::ops::Range<usize> = 1072..1088;
const MOST_NODES: usize = 2000;

pub(crate) fn run(input: &[u8]) {
    let mut image = input.to_vec();
    if image.len() >= UUID.end {
        let uuid = uuid_of(&image);
        image[UUID].copy_from_slice(&uuid);
    }
    let Ok(reader) = ErofsReader::new(image) else {
        return;
    };
    look(&reader);
    for path in ["etc/passwd", "a/../b", "link/file", "usr/bin/tool"] {
        let _ = reader.lookup(path.as_bytes(), Follow::All);
    }
    let Ok(walked) = reader.walk() else { return };
    let devices: Option<Vec<Device>> = reader
        .devices()
        .iter()
        .map(|device| {
            Some(Device {
                diff_id: digest_of(&device.tag)?,
                plain_bytes: u64::from(device.blocks) * 512,
            })
        })
        .collect();
    let Some(devices) = devices else { return };
    let Ok(written) = write_image(&walked.image, &devices) else {
        return;
    };
    let again = ErofsReader::new(written).expect("what was written opens");
    let again = again.walk().expect("what was written is walked");
    assert_eq!(again.image, walked.image);
}

/// Every directory, inode, target, attribute and chunk list that can be reached, without trusting any of it.
fn look(reader: &ErofsReader<Vec<u8>>) {
    let Ok(root) = reader.root() else { return };
    let mut ahead = vec![root];
    let mut seen = 0;
    while let Some(inode) = ahead.pop() {
        let _ = reader.xattrs(&inode);
        if inode.is_symlink() {
            let _ = reader.symlink_target(&inode);
        }
        if inode.is_regular() {
            let _ = reader.file(&inode);
        }
        if !inode.is_directory() {
            continue;
        }
        let Ok(entries) = reader.entries(&inode) else {
            continue;
        };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MOST_NODES {
                return;
            }
            if entry.name != b"." && entry.name != b".." {
                ahead.extend(reader.inode(entry.nid));
            }
        }
    }
}

fn digest_of(tag: &str) -> Option<Digest> {
    archive_format::digest::parse_oci(&format!("sha256:{tag}"))
}
