//! The layer index. Its parts are compressed and under a digest, so the input is the plain parts: tail, then entries.

use layer_index::index_file::IndexReader;

use super::part;

pub(crate) fn run(input: &[u8]) {
    let _ = IndexReader::parse(input.to_vec(), "input".to_owned());
    let mut entries = input;
    let tail = part(&mut entries);
    let mut bytes = b"CLIPYIDX\x01\0\0\0\0\0\0\0".to_vec();
    bytes.extend(zstd::bulk::compress(entries, 1).expect("zstd"));
    let tail_offset = bytes.len() as u64;
    bytes.extend(zstd::bulk::compress(tail, 1).expect("zstd"));
    bytes.extend(tail_offset.to_le_bytes());
    let digest = blake3::hash(&bytes);
    bytes.extend(digest.as_bytes());
    let Ok(index) = IndexReader::parse(bytes, "signed".to_owned()) else {
        return;
    };
    index
        .table()
        .check()
        .expect("a table that was read holds its rules");
    let mut count = 0;
    let read = index.for_each(|_| {
        count += 1;
        Ok(())
    });
    assert!(
        count <= entries.len() as u64 / 4,
        "an entry has a length of four bytes"
    );
    assert!(read.is_err() || count == index.entries());
}
