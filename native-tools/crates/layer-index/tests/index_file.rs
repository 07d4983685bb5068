//! The index file: what goes in comes out, any damage is refused, its bytes stay what they are.
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

use layer_index::index_file::IndexReader;
use layer_index::pack::Encoding;
use support::layers::Bench;
use support::{Flavour, Spec, read, tar};
use tool_protocol::Coded;

/// One entry of every kind, with everything an entry can have.
fn specimen() -> Vec<u8> {
    tar(&[
        Spec::directory("./"),
        Spec::file("dir/small", "hello")
            .pax("SCHILY.xattr.user.k", "v")
            .pax("mtime", "-1.5"),
        Spec::file("dir/large", vec![b'x'; 5000]).with(|spec| spec.mode = 0o4755),
        Spec::symlink("dir/link", "small"),
        Spec::hard_link("dir/hard", "dir/small"),
        Spec::new(b'3', "dev/null").with(|spec| spec.device = (1, 3)),
        Spec::new(b'4', "dev/disk").with(|spec| spec.device = (8, 1)),
        Spec::new(b'6', "fifo").with(|spec| spec.flavour = Flavour::Gnu),
        Spec::file("dir/.wh.gone", ""),
        Spec::file("sparse", vec![b's'; 512])
            .pax("GNU.sparse.size", "8192")
            .pax("GNU.sparse.numblocks", "1")
            .pax("GNU.sparse.map", "4096,512"),
        Spec::file("odd", "data")
            .pax("GNU.sparse.size", "100")
            .pax("GNU.sparse.numblocks", "1")
            .pax("GNU.sparse.map", "7,4")
            .pax("SCHILY.xattr.trusted.overlay.opaque", "y"),
    ])
}

#[test]
fn an_index_holds_every_entry_and_the_table() {
    let plain = specimen();
    let packed = Bench::new(4096).pack(&plain, Encoding::Zstd(1));
    let index = packed.index();
    let mut entries = Vec::new();
    index
        .for_each(|entry| {
            entries.push(entry);
            Ok(())
        })
        .unwrap();
    assert_eq!(entries, read(&plain).unwrap());
    assert_eq!(index.entries(), 11);
    assert_eq!(index.warnings().dropped_overlay_xattrs, 1);
    assert_eq!(index.table().digest, packed.report.digest);
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let bytes = Bench::new(4096)
        .pack(&specimen(), Encoding::Zstd(1))
        .index_bytes;
    let code = |bytes: Vec<u8>| match IndexReader::parse(bytes, "test".to_owned()) {
        Ok(_) => "accepted",
        Err(error) => error.code(),
    };
    for at in 0..bytes.len() {
        assert_eq!(
            code(bytes[..at].to_vec()),
            "LAYER_INDEX_INVALID",
            "cut after {at}"
        );
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_eq!(code(flipped), "LAYER_INDEX_INVALID", "flipped at {at}");
    }
    assert_eq!(
        code([bytes.clone(), vec![0]].concat()),
        "LAYER_INDEX_INVALID"
    );
    assert_eq!(code(bytes), "accepted");
}

/// The parts of an index that do not depend on the compressor's version, in hex.
fn plain_parts(bytes: &[u8]) -> String {
    let tail_at = u64::from_le_bytes(
        bytes[bytes.len() - 40..bytes.len() - 32]
            .try_into()
            .unwrap(),
    ) as usize;
    let hex = |bytes: &[u8]| {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        digits
            .as_bytes()
            .chunks(96)
            .map(|line| format!("{}\n", std::str::from_utf8(line).unwrap()))
            .collect::<String>()
    };
    format!(
        "header\n{}entries\n{}tail\n{}",
        hex(&bytes[..16]),
        hex(&zstd::decode_all(&bytes[16..tail_at]).unwrap()),
        hex(&zstd::decode_all(&bytes[tail_at..bytes.len() - 40]).unwrap()),
    )
}

#[test]
fn the_bytes_of_an_index_are_the_golden_ones() {
    // stored, so that no digest depends on a compressor either
    let bytes = Bench::new(4096)
        .pack(&specimen(), Encoding::Plain)
        .index_bytes;
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/index-v2.hex");
    if std::env::var_os("CLIPYARD_UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, plain_parts(&bytes)).unwrap();
    }
    assert_eq!(
        plain_parts(&bytes),
        std::fs::read_to_string(golden).unwrap()
    );
}
