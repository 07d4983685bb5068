//! V1 archives: golden bytes, and the bytes of every file under every codec.
#![allow(
    missing_docs,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test program"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use archive_format::clip::{Header, Node, read_nodes};
use archive_format::digest::{hex, sha256};
use archive_format::verify::verify_archive;
use layer_index::assemble::{AssembleJob, AssembleLayer};
use layer_index::pack::Encoding;
use layer_index::v1::{V1Summary, assemble_v1};
use layer_index::{IndexError, Stop};
use support::layers::{Bench, PLAIN, noise};
use support::{Spec, tar};
use tool_protocol::Coded;

/// Packs each tar and says how to make an archive of them.
fn job(bench: &Bench, tars: &[Vec<u8>], encoding: Encoding) -> AssembleJob {
    let layers = tars
        .iter()
        .enumerate()
        .map(|(at, tar)| {
            let name = format!("layer{at}");
            let outcome = bench
                .run(&bench.job(&name, tar, PLAIN, Some(encoding)))
                .unwrap();
            AssembleLayer {
                index: outcome.index_path,
                digest: outcome.report.digest,
                media_type: outcome.report.media_type,
                blob: Some(bench.path(&format!("{name}.blob"))),
            }
        })
        .collect();
    AssembleJob {
        output: bench.path("image.clip"),
        layers,
        config: bench.path("config"),
        manifest: bench.path("manifest"),
        registry: String::new(),
        repository: String::new(),
        reference: String::new(),
        image_name: String::new(),
    }
}

fn write(
    bench: &Bench,
    tars: &[Vec<u8>],
    encoding: Encoding,
) -> Result<(V1Summary, Vec<u8>), IndexError> {
    let job = job(bench, tars, encoding);
    let summary = assemble_v1(&job, &Stop::new())?;
    Ok((summary, fs::read(&job.output).unwrap()))
}

fn nodes(archive: &[u8]) -> Vec<Node<'_>> {
    let header = Header::decode(archive, archive.len() as u64).unwrap();
    assert_eq!((header.storage_offset, header.storage_bytes), (0, 0));
    let (start, length) = (header.index_offset as usize, header.index_bytes as usize);
    assert_eq!(start + length, archive.len());
    let mut nodes = Vec::new();
    read_nodes(&archive[start..], |node| {
        nodes.push(node);
        Ok(())
    })
    .unwrap();
    nodes
}

/// What a reader gets for each name with data; each block is checked for its type byte.
fn contents(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let regular = |node: &Node<'_>| node.attr.mode & 0o170_000 == 0o100_000;
    nodes(archive)
        .iter()
        .filter(|node| regular(node))
        .map(|node| {
            let start = node.data_offset as usize;
            let bytes = archive[start..start + node.data_bytes as usize].to_vec();
            assert_eq!(archive[start - 1], 0);
            assert_eq!(node.content_hash, hex(&sha256(&bytes)).as_bytes());
            (String::from_utf8_lossy(node.path).into_owned(), bytes)
        })
        .collect()
}

fn awkward() -> Vec<Vec<u8>> {
    let sparse = |name: &str, map: &str, data: &[u8]| {
        Spec::file(name, data)
            .pax("GNU.sparse.size", "20000")
            .pax("GNU.sparse.numblocks", "2")
            .pax("GNU.sparse.map", map)
    };
    let two = [noise(512, 5), noise(100, 6)].concat();
    vec![
        tar(&[
            Spec::directory("usr"),
            Spec::directory("usr/lib"),
            Spec::file("usr/lib/z.so", noise(300_000, 1)),
            Spec::file("a", noise(70_000, 2)),
            Spec::hard_link("b", "a"),
            Spec::file("gone", noise(400_000, 3)),
            Spec::file("small", "hello"),
            Spec::file("empty", ""),
            Spec::symlink("link", "a"),
            Spec::new(b'3', "null").with(|spec| spec.device = (1, 3)),
        ]),
        tar(&[
            Spec::file(".wh.gone", ""),
            Spec::file("small", noise(1000, 4)),
            sparse("holes", "0,512,4096,100", &two),
            sparse("odd", "4097,512,9000,100", &two),
        ]),
    ]
}

fn expected() -> BTreeMap<String, Vec<u8>> {
    let holes = |first: usize, second: usize| {
        let mut bytes = vec![0; 20_000];
        bytes[first..first + 512].copy_from_slice(&noise(512, 5));
        bytes[second..second + 100].copy_from_slice(&noise(100, 6));
        bytes
    };
    [
        ("/a", noise(70_000, 2)),
        ("/b", noise(70_000, 2)),
        ("/empty", vec![]),
        ("/holes", holes(0, 4096)),
        ("/odd", holes(4097, 9000)),
        ("/small", noise(1000, 4)),
        ("/usr/lib/z.so", noise(300_000, 1)),
    ]
    .into_iter()
    .map(|(path, bytes)| (path.to_owned(), bytes))
    .collect()
}

#[test]
fn every_file_that_is_left_has_its_bytes_under_every_codec() {
    let mut archives = Vec::new();
    for encoding in [Encoding::Zstd(1), Encoding::Gzip(1), Encoding::Plain] {
        let bench = Bench::new(4096);
        let (summary, archive) = write(&bench, &awkward(), encoding).unwrap();
        assert_eq!(contents(&archive), expected(), "{encoding:?}");
        assert_eq!(summary.digest, sha256(&archive));
        assert_eq!(summary.size_bytes, archive.len() as u64);
        let report = verify_archive(&bench.path("image.clip")).unwrap();
        assert_eq!(
            (report.kind.name(), report.entries),
            ("clip-v1", summary.entries)
        );
        archives.push(archive);
    }
    // The archive is a function of the files, not of how they were stored.
    assert!(archives[0] == archives[1] && archives[1] == archives[2]);
}

#[test]
fn names_of_one_file_share_its_block_and_what_was_overwritten_is_not_there() {
    let bench = Bench::new(4096);
    let (_, archive) = write(&bench, &awkward(), Encoding::Zstd(1)).unwrap();
    let nodes = nodes(&archive);
    let node = |path: &str| {
        nodes
            .iter()
            .find(|node| node.path == path.as_bytes())
            .unwrap()
    };
    assert_eq!(node("/a").data_offset, node("/b").data_offset);
    assert_eq!(node("/a").attr.nlink, 2);
    assert_eq!(
        node("/usr/lib/z.so").data_offset,
        55,
        "the priority folders come first"
    );
    assert_eq!(node("/null").attr.mode, 0o020_644);
    assert_eq!(node("/null").data_bytes, 0);
    let data: usize = 300_000 + 70_000 + 1000 + 40_000 + 6 * 9;
    let header = Header::decode(&archive, archive.len() as u64).unwrap();
    assert_eq!(header.index_offset as usize, 54 + data);
}

#[test]
fn a_small_archive_has_its_golden_bytes() {
    let bench = Bench::new(4096);
    let tars = [tar(&[
        Spec::file("a.txt", "hello v1\n"),
        Spec::file("b.txt", "second\n"),
        Spec::file("empty", "").with(|spec| spec.mode = 0o4755),
    ])];
    let (_, archive) = write(&bench, &tars, Encoding::Zstd(1)).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../test/golden/archive/v1.clip");
    if std::env::var_os("CLIPYARD_UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &archive).unwrap();
    }
    assert!(fs::read(golden).unwrap() == archive);
    // The stock writer's own archive holds two of these files: its blocks, checksums among them, are the same.
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../test/fixtures/clip/v1/v1.clip");
    assert_eq!(fs::read(fixture).unwrap()[54..97], archive[54..97]);
}

#[test]
fn a_wrong_or_missing_blob_is_an_error_and_leaves_nothing() {
    let fails = |change: &dyn Fn(&mut AssembleJob), code: &str| {
        let bench = Bench::new(4096);
        let mut job = job(&bench, &awkward(), Encoding::Zstd(1));
        change(&mut job);
        let error = assemble_v1(&job, &Stop::new()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!job.output.exists());
    };
    fails(&|job| job.layers[0].blob = None, "USAGE");
    fails(
        &|job| job.layers[0].blob = Some("/nowhere".into()),
        "PATH_NOT_FOUND",
    );
    fails(
        &|job| {
            let path = job.layers[0].blob.clone().unwrap();
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        },
        "LAYER_TRUNCATED",
    );
    fails(
        &|job| {
            // another whole blob of the same codec
            let other = job.layers[1].blob.clone().unwrap();
            fs::copy(other, job.layers[0].blob.clone().unwrap()).unwrap();
        },
        "LAYER_TRUNCATED",
    );
    let stop = Stop::new();
    stop.raise();
    let bench = Bench::new(4096);
    let job = job(&bench, &awkward(), Encoding::Zstd(1));
    assert_eq!(assemble_v1(&job, &stop).unwrap_err().code(), "CANCELED");
    assert!(!job.output.exists());
}

#[test]
fn a_plain_blob_with_other_bytes_is_refused_by_its_digest() {
    let bench = Bench::new(4096);
    let job = job(&bench, &awkward(), Encoding::Plain);
    let path = job.layers[0].blob.clone().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    fs::write(path, bytes).unwrap();
    assert_eq!(
        assemble_v1(&job, &Stop::new()).unwrap_err().code(),
        "BLOB_MISMATCH"
    );
    assert!(!job.output.exists());
}

#[test]
fn an_image_of_holes_is_refused_before_anything_is_written() {
    let bench = Bench::new(4096);
    let hole = Spec::file("hole", noise(512, 1))
        .pax("GNU.sparse.size", "4398046511104")
        .pax("GNU.sparse.numblocks", "1")
        .pax("GNU.sparse.map", "0,512");
    let job = job(&bench, &[tar(&[hole])], Encoding::Zstd(1));
    let error = assemble_v1(&job, &Stop::new()).unwrap_err();
    assert_eq!(error.code(), "LIMIT_EXCEEDED", "{error}");
    assert!(!job.output.exists());
}

#[test]
fn files_that_lose_attributes_are_counted() {
    let bench = Bench::new(4096);
    let with = |name: &str| Spec::file(name, "x").pax("SCHILY.xattr.user.a", "b");
    let tars = [tar(&[with("one"), with("two"), Spec::file("three", "y")])];
    let (summary, _) = write(&bench, &tars, Encoding::Zstd(1)).unwrap();
    assert_eq!(summary.v1_warnings.lost_xattr_files, 2);
}

#[test]
fn an_image_without_layers_is_an_empty_root() {
    let bench = Bench::new(4096);
    let (summary, archive) = write(&bench, &[], Encoding::Zstd(1)).unwrap();
    assert_eq!(summary.entries, 1);
    assert_eq!(nodes(&archive)[0].path, b"/");
}
