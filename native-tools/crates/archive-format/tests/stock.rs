//! Archives of the stock CLIP writer: read, and written again byte by byte.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failing test panics"
)]

mod support;

use std::io::Write;

use archive_format::clip::{Header, NodeList, StorageInfo, read_nodes};
use archive_format::verify::{ArchiveKind, verify_archive};
use archive_format::{FormatError, read::Archive};
use support::test_folder;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(test_folder("fixtures/clip").join(name)).unwrap()
}

fn parts(bytes: &[u8]) -> (Header, &[u8], &[u8]) {
    let header = Header::decode(bytes, bytes.len() as u64).unwrap();
    let range = |offset: u64, length: u64| &bytes[offset as usize..(offset + length) as usize];
    let index = range(header.index_offset, header.index_bytes);
    let storage = range(header.storage_offset, header.storage_bytes);
    (header.clone(), index, storage)
}

/// Decodes a node list and encodes it again.
fn again(index: &[u8]) -> Vec<u8> {
    let mut list = NodeList::default();
    let slack = read_nodes(index, |node| {
        list.push(&node);
        Ok(())
    });
    assert_eq!(slack.unwrap(), 0);
    list.finish()
}

#[test]
fn node_lists_of_the_stock_writer_are_written_again_byte_by_byte() {
    for name in [
        "two/image.clip",
        "sample/image.clip",
        "v1/v1.clip",
        "v1/v1.rclip",
    ] {
        let bytes = fixture(name);
        let (_, index, _) = parts(&bytes);
        assert!(again(index) == index, "{name}");
    }
}

#[test]
fn the_stock_writers_storage_info_is_written_again_byte_by_byte() {
    let bytes = fixture("two/image.clip");
    let (header, _, storage) = parts(&bytes);
    let info = StorageInfo::decode(storage).unwrap().unwrap();
    assert_eq!(info.encode(), storage);
    assert_eq!(info.repository, "fixtures/two");
    assert_eq!(info.metadata.unwrap().cmd, ["python3"]);
    assert_eq!(header.encode(), bytes[..54]);
    // With two layers the stock writer's map order is random, ours is that of the keys.
    let bytes = fixture("sample/image.clip");
    let (_, _, storage) = parts(&bytes);
    let info = StorageInfo::decode(storage).unwrap().unwrap();
    assert_eq!(StorageInfo::decode(&info.encode()).unwrap().unwrap(), info);
    assert_eq!(info.encode().len(), storage.len());
}

#[test]
fn stock_archives_are_told_apart_and_proven() {
    for (name, kind, entries) in [
        ("two/image.clip", ArchiveKind::Clip, 2),
        ("sample/image.clip", ArchiveKind::Clip, 8),
        ("v1/v1.clip", ArchiveKind::ClipV1, 6),
        ("v1/v1.rclip", ArchiveKind::ClipV1, 6),
    ] {
        let report = verify_archive(&test_folder("fixtures/clip").join(name)).unwrap();
        assert_eq!((report.kind, report.entries), (kind, entries), "{name}");
    }
}

#[test]
fn a_flipped_byte_in_the_data_of_a_v1_archive_is_corrupt() {
    let mut bytes = fixture("v1/v1.clip");
    bytes[56] ^= 1;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    assert!(matches!(
        verify_archive(file.path()),
        Err(FormatError::Corrupt(_))
    ));
}

#[test]
fn a_stock_archive_cannot_be_opened_as_ours() {
    let path = test_folder("fixtures/clip/two/image.clip");
    let opened = Archive::open(std::fs::File::open(path).unwrap());
    assert!(matches!(opened, Err(FormatError::NotLazy(_))));
}

#[test]
fn every_flipped_bit_of_a_stock_archive_is_read_or_a_coded_error() {
    let bytes = fixture("two/image.clip");
    let (_, index, storage) = parts(&bytes);
    for bit in 0..index.len() * 8 {
        let mut broken = index.to_vec();
        broken[bit / 8] ^= 1 << (bit % 8);
        let _ = read_nodes(&broken, |_| Ok(()));
    }
    for bit in 0..storage.len() * 8 {
        let mut broken = storage.to_vec();
        broken[bit / 8] ^= 1 << (bit % 8);
        let _ = StorageInfo::decode(&broken);
    }
}

#[test]
fn every_cut_of_a_stock_node_list_or_storage_info_is_corrupt() {
    let bytes = fixture("sample/image.clip");
    let (_, index, storage) = parts(&bytes);
    for length in 0..index.len() {
        assert!(
            read_nodes(&index[..length], |_| Ok(())).is_err(),
            "{length}"
        );
    }
    for length in 0..storage.len() {
        assert!(StorageInfo::decode(&storage[..length]).is_err(), "{length}");
    }
}
