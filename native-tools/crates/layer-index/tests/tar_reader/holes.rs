//! Sparse files of GNU tar, in all its formats.

use layer_index::entry::{Sparse, Stretch};

use super::support::{Flavour, Spec, block, checksum, padded, read, tar};
use super::{code_of, data_of};

fn sparse_of(bytes: &[u8]) -> (Vec<u8>, u64, u64, Sparse) {
    let entries = read(bytes).unwrap();
    let data = data_of(&entries[0].kind);
    (
        entries[0].path.clone(),
        data.size,
        data.offset,
        data.sparse.clone().expect("a sparse file"),
    )
}

const STRETCHES: [Stretch; 2] = [
    Stretch {
        offset: 4096,
        length: 512,
    },
    Stretch {
        offset: 8192,
        length: 1000,
    },
];

const SPARSE_SIZE: u64 = 9192;

fn sparse_data() -> Vec<u8> {
    [vec![b'a'; 512], vec![b'b'; 1000]].concat()
}

#[test]
fn sparse_files_of_all_pax_versions_are_read() {
    let base = || Spec::file("GNUSparseFile.0/name", sparse_data());
    let in_records = base()
        .pax("GNU.sparse.size", "9192")
        .pax("GNU.sparse.numblocks", "3")
        .pax("GNU.sparse.offset", "4096")
        .pax("GNU.sparse.numbytes", "512")
        .pax("GNU.sparse.offset", "8192")
        .pax("GNU.sparse.numbytes", "1000")
        .pax("GNU.sparse.offset", "9192")
        .pax("GNU.sparse.numbytes", "0");
    let in_one_record = base()
        .pax("GNU.sparse.size", "9192")
        .pax("GNU.sparse.name", "name")
        .pax("GNU.sparse.numblocks", "2")
        .pax("GNU.sparse.map", "4096,512,8192,1000");
    let map = padded(b"2\n4096\n512\n8192\n1000\n");
    let before_data = base()
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0")
        .pax("GNU.sparse.realsize", "9192")
        .pax("GNU.sparse.name", "name")
        .with(|spec| spec.data = [map, sparse_data()].concat());
    for (spec, name, offset) in [
        (in_records, "GNUSparseFile.0/name", 1536),
        (in_one_record, "name", 1536),
        (before_data, "name", 2048),
    ] {
        let (path, size, at, sparse) = sparse_of(&tar(&[spec]));
        assert_eq!(
            (path.as_slice(), size, at),
            (name.as_bytes(), SPARSE_SIZE, offset),
            "{name}"
        );
        assert_eq!(
            (sparse.stretches.as_slice(), sparse.relocated),
            (&STRETCHES[..], None),
            "{name}"
        );
    }
}

pub(super) fn gnu_sparse(pairs: &[(u64, u64)], size: u64, data: &[u8]) -> Vec<u8> {
    let entry =
        |(offset, length): &(u64, u64)| format!("{offset:011o}\0{length:011o}\0").into_bytes();
    let mut header = block(
        Flavour::Gnu,
        b'S',
        b"name",
        b"",
        data.len() as i64,
        &Spec::new(b'S', "").with(|spec| spec.mtime = 0),
    );
    let (first, rest) = pairs.split_at(pairs.len().min(4));
    let map: Vec<u8> = first.iter().flat_map(entry).collect();
    header[386..386 + map.len()].copy_from_slice(&map);
    header[482] = u8::from(!rest.is_empty());
    header[483..494].copy_from_slice(format!("{size:011o}").as_bytes());
    checksum(&mut header);
    let mut out = header.to_vec();
    let mut extensions = rest.chunks(21).peekable();
    while let Some(extension) = extensions.next() {
        let mut block = padded(&extension.iter().flat_map(entry).collect::<Vec<u8>>());
        block[504] = u8::from(extensions.peek().is_some());
        out.extend(block);
    }
    out.extend(padded(data));
    out.extend([0; 1024]);
    out
}

#[test]
fn old_gnu_sparse_files_have_maps_of_any_length() {
    let (path, size, offset, sparse) = sparse_of(&gnu_sparse(
        &[(4096, 512), (8192, 1000)],
        SPARSE_SIZE,
        &sparse_data(),
    ));
    assert_eq!(
        (path.as_slice(), size, offset),
        (&b"name"[..], SPARSE_SIZE, 512)
    );
    assert_eq!(sparse.stretches, STRETCHES);

    let pairs: Vec<(u64, u64)> = (0..60).map(|at| (at * 1024, 512)).collect();
    let (_, _, offset, sparse) = sparse_of(&gnu_sparse(&pairs, 60 * 1024, &vec![1; 60 * 512]));
    assert_eq!((offset, sparse.stretches.len()), (512 * 4, 60));
}

#[test]
fn sparse_data_off_block_boundaries_is_kept_in_the_index() {
    let data = [vec![b'a'; 100], vec![b'b'; 512]].concat();
    let (_, _, _, sparse) = sparse_of(&gnu_sparse(&[(7, 100), (4096, 512)], 8192, &data));
    assert_eq!(sparse.relocated, Some(data));
}

#[test]
fn a_sparse_file_without_holes_is_an_ordinary_file() {
    let entries = read(&gnu_sparse(&[(0, 512), (512, 488)], 1000, &[7; 1000])).unwrap();
    let data = data_of(&entries[0].kind);
    assert_eq!((data.size, data.offset, &data.sparse), (1000, 512, &None));
}

#[test]
fn sparse_maps_that_lie_are_corrupt() {
    for (bytes, why) in [
        (
            gnu_sparse(&[(0, 512)], 4096, &[0; 1024]),
            "more data than the map says",
        ),
        (
            gnu_sparse(&[(0, 1024)], 4096, &[0; 512]),
            "less data than the map says",
        ),
        (
            gnu_sparse(&[(4096, 512)], 4096, &[0; 512]),
            "data behind the file",
        ),
        (
            gnu_sparse(&[(1024, 512), (0, 512)], 4096, &[0; 1024]),
            "out of order",
        ),
    ] {
        assert_eq!(code_of(&bytes), "LAYER_CORRUPT", "{why}");
    }
}
