//! Where the data of files lies, with holes and without.

use archive_format::model::{Extent, Kind};
use layer_index::merge::Merged;

use super::support::{Flavour, Spec, block, checksum, padded};
use super::{file, merge_tars, paths, try_merge, whiteout};

fn extents(merged: &Merged, path: &str) -> Vec<Extent> {
    match &paths(&merged.image)[path].1.kind {
        Kind::Regular(data) => data.extents.clone(),
        other => panic!("{path} is {other:?}"),
    }
}

fn sparse(name: &str, size: &str, map: &str, data: &[u8]) -> Spec {
    Spec::file(name, data)
        .pax("GNU.sparse.size", size)
        .pax(
            "GNU.sparse.numblocks",
            (map.matches(',').count() / 2 + 1).to_string(),
        )
        .pax("GNU.sparse.map", map)
}

#[test]
fn files_point_into_their_layers() {
    let merged = try_merge(&[
        &[file("small", "12345")],
        &[
            sparse("holes", "12288", "4096,512,8192,4096", &[b'x'; 4608]),
            file("empty", ""),
        ],
    ])
    .unwrap();
    let extent = |file_offset, device, device_offset, length| Extent {
        file_offset,
        device,
        device_offset,
        length,
    };
    assert_eq!(extents(&merged, "/small"), [extent(0, 0, 512, 5)]);
    assert_eq!(
        extents(&merged, "/holes"),
        [extent(4096, 1, 1536, 512), extent(8192, 1, 2048, 4096)]
    );
    assert_eq!(extents(&merged, "/empty").len(), 1);
    assert!(merged.extra.is_none());
}

/// The content of a file whose data is in `extra`.
fn content_in_extra(merged: &Merged, path: &str) -> Vec<u8> {
    let (stored, table) = merged.extra.as_ref().expect("extra");
    let mut plain = Vec::new();
    let mut at = 0;
    for span in &table.spans {
        plain.extend(zstd::decode_all(&stored[at..at + span.stored as usize]).unwrap());
        at += span.stored as usize;
    }
    assert_eq!(plain.len() as u64, table.plain_bytes);
    let Kind::Regular(data) = &paths(&merged.image)[path].1.kind else {
        panic!("no file")
    };
    let mut content = vec![0; data.size as usize];
    for extent in &data.extents {
        assert_eq!(extent.device_offset % 512, 0);
        let from = extent.device_offset as usize;
        let length = extent.length as usize;
        content[extent.file_offset as usize..][..length]
            .copy_from_slice(&plain[from..from + length]);
    }
    content
}

#[test]
fn sparse_data_at_odd_places_moves_into_extra() {
    let map = "7,100,5000,512,5600,10,20000,5";
    let data: Vec<u8> = (0..627u32).map(|at| (at % 251) as u8 + 1).collect();
    let merged = try_merge(&[
        &[
            sparse("odd", "20005", map, &data),
            sparse("odd2", "100", "3,4", b"abcd"),
            file("gone", ""),
        ],
        &[whiteout(".wh.gone")],
    ])
    .unwrap();
    let mut wanted = vec![0; 20005];
    wanted[7..107].copy_from_slice(&data[..100]);
    wanted[5000..5512].copy_from_slice(&data[100..612]);
    wanted[5600..5610].copy_from_slice(&data[612..622]);
    wanted[20000..20005].copy_from_slice(&data[622..]);
    assert!(content_in_extra(&merged, "/odd") == wanted);
    assert_eq!(&content_in_extra(&merged, "/odd2")[..8], b"\0\0\0abcd\0");
    let (_, table) = merged.extra.as_ref().unwrap();
    table.check().unwrap();
    assert!(
        extents(&merged, "/odd")
            .iter()
            .all(|extent| extent.device == 2)
    );
}

#[test]
fn sparse_data_of_a_file_that_is_gone_takes_no_place() {
    let merged = try_merge(&[
        &[sparse("odd", "100", "3,4", b"abcd")],
        &[whiteout(".wh.odd")],
    ])
    .unwrap();
    assert!(merged.extra.is_none());
}

#[test]
fn a_huge_sparse_file_with_fine_data_becomes_coarse_in_extra() {
    let size: u64 = 1 << 42;
    let header = block(
        Flavour::Gnu,
        b'S',
        b"lastlog",
        b"",
        512,
        &Spec::new(b'S', ""),
    );
    let mut header = header;
    let map = [number12(292 << 20), number12(512)].concat();
    header[386..386 + 24].copy_from_slice(&map);
    header[483..495].copy_from_slice(&number12(size));
    checksum(&mut header);
    let tar = [header.to_vec(), padded(&[9; 512]), vec![0; 1024]].concat();
    let merged = merge_tars(&[tar]).unwrap();
    let found = extents(&merged, "/lastlog");
    assert_eq!(found.len(), 1);
    let chunking = match &paths(&merged.image)["/lastlog"].1.kind {
        Kind::Regular(data) => archive_format::erofs::chunking(data).unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(chunking.chunks <= 1 << 20);
    assert!(
        found[0].file_offset <= 292 << 20
            && found[0].file_offset + found[0].length >= (292 << 20) + 512
    );
}

fn number12(value: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[4..].copy_from_slice(&value.to_be_bytes());
    field[0] = 0x80;
    field
}
