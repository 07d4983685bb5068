//! The pack pipeline: blobs, tables, promises about both.
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

#[path = "pack/refusals.rs"]
mod refusals;
mod support;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use archive_format::digest::{blake3, sha256};
use archive_format::tables::{Chunk, Codec, LayerTable, Span};
use flate2::Compression;
use flate2::write::GzEncoder;
use layer_index::Stop;
use layer_index::pack::{Action, Encoding, LayerJob, pack_layers};
use support::layers::{Bench, GZIP, PLAIN, Reports, ZSTD, noise};
use support::{Spec, tar};

/// Small files, large ones and a hard link, about 1.3 MB.
fn layer() -> Vec<u8> {
    let mut specs = vec![Spec::directory("d")];
    for at in 0..40 {
        specs.push(Spec::file(
            format!("d/small{at}"),
            noise(at * 97, 1 + at as u64),
        ));
    }
    for at in 0..6 {
        specs.push(Spec::file(
            format!("d/large{at}"),
            noise(200_000 + at * 777, 100 + at as u64),
        ));
    }
    specs.push(Spec::hard_link("d/again", "d/large0"));
    tar(&specs)
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd_frame(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).unwrap()
}

/// Runs a decompressor over bytes.
fn decompress(program: &str, blob: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let blob = blob.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&blob));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}: {}", output.status);
    output.stdout
}

/// What docs/formats/archive.md says about a table, checked against the bytes.
fn check_table(table: &LayerTable, blob: &[u8], plain: &[u8]) {
    table.check().unwrap();
    assert_eq!(table.digest, sha256(blob));
    assert_eq!(table.diff_id, sha256(plain));
    assert_eq!(
        (table.blob_bytes, table.plain_bytes),
        (blob.len() as u64, plain.len() as u64)
    );
    let mut at = 0;
    for chunk in &table.chunks {
        let end = at + chunk.plain as usize;
        assert_eq!(chunk.digest, blake3(&plain[at..end]));
        at = end;
    }
    let (mut stored_at, mut plain_at) = (table.first_span as usize, 0);
    for span in &table.spans {
        let stored = &blob[stored_at..stored_at + span.stored as usize];
        let wanted = &plain[plain_at..plain_at + span.plain as usize];
        let decoded = match table.codec {
            Codec::Plain => stored.to_vec(),
            Codec::Gzip => decompress("gzip", stored),
            Codec::Zstd => zstd::decode_all(stored).unwrap(),
        };
        assert!(
            decoded == wanted,
            "the span at {stored_at} decodes to something else"
        );
        stored_at += stored.len();
        plain_at += wanted.len();
    }
}

#[test]
fn packed_blobs_decode_whole_and_in_parts() {
    let plain = layer();
    let bench = Bench::new(64 << 10);
    for (encoding, program) in [
        (Encoding::Zstd(1), "zstd"),
        (Encoding::Zstd(9), "zstd"),
        (Encoding::Gzip(1), "gzip"),
        (Encoding::Gzip(9), "gzip"),
        (Encoding::Plain, "cat"),
    ] {
        let packed = bench.pack(&plain, encoding);
        match program {
            "cat" => assert!(packed.blob == plain),
            program => assert!(decompress(program, &packed.blob) == plain, "{encoding:?}"),
        }
        let index = packed.index();
        let table = index.table();
        check_table(table, &packed.blob, &plain);
        assert_eq!(table.spans.len(), table.chunks.len());
        assert_eq!(packed.report.entries, 48);
        assert!(packed.report.is_seekable);
    }
}

#[test]
fn chunks_end_when_full_before_large_files_and_at_the_end() {
    let large = noise(5000, 1);
    let plain = tar(&[
        Spec::file("a", noise(100, 2)),
        Spec::file("large", &large),
        Spec::file("b", noise(4095, 3)),
        Spec::file("exact", noise(4096, 4)),
    ]);
    let packed = Bench::new(4096).pack(&plain, Encoding::Zstd(1));
    let lengths: Vec<u32> = packed
        .index()
        .table()
        .chunks
        .iter()
        .map(|chunk| chunk.plain)
        .collect();
    // a with its header and large's header; large's data; its rest, b and the header of exact; exact; the end
    let rest = 5000_u32.next_multiple_of(512) - 4096 + 512 + 4096 + 512;
    assert_eq!(
        lengths,
        [512 + 512 + 512, 4096, 4096, rest - 4096, 4096, 1024]
    );
    assert_eq!(lengths.iter().sum::<u32>() as usize, plain.len());
}

#[test]
fn the_number_of_jobs_changes_no_byte() {
    let plain = layer();
    for encoding in [Encoding::Zstd(1), Encoding::Gzip(1)] {
        let outputs: Vec<_> = [1, 2, 3, 8]
            .into_iter()
            .map(|jobs| {
                let mut bench = Bench::new(16 << 10);
                bench.options.jobs = jobs;
                let packed = bench.pack(&plain, encoding);
                (packed.blob, packed.index_bytes)
            })
            .collect();
        assert!(
            outputs.windows(2).all(|pair| pair[0] == pair[1]),
            "{encoding:?}"
        );
    }
}

#[test]
fn keeping_a_packed_blob_gives_the_index_of_packing_it() {
    let plain = layer();
    let bench = Bench::new(32 << 10);
    for (encoding, media_type) in [
        (Encoding::Zstd(3), ZSTD),
        (Encoding::Gzip(6), GZIP),
        (Encoding::Plain, PLAIN),
    ] {
        let packed = bench.pack(&plain, encoding);
        let kept = bench.keep(&packed.blob, media_type).unwrap();
        assert_eq!(kept.report, packed.report, "{encoding:?}");
        assert!(kept.index_bytes == packed.index_bytes, "{encoding:?}");
    }
}

#[test]
fn an_empty_layer_is_a_blob_that_decodes_to_nothing() {
    let bench = Bench::new(4096);
    for (encoding, media_type) in [
        (Encoding::Zstd(1), ZSTD),
        (Encoding::Gzip(1), GZIP),
        (Encoding::Plain, PLAIN),
    ] {
        let packed = bench.pack(b"", encoding);
        check_table(packed.index().table(), &packed.blob, b"");
        assert_eq!((packed.report.entries, packed.report.chunks), (0, 0));
        let kept = bench.keep(&packed.blob, media_type).unwrap();
        assert!(kept.index_bytes == packed.index_bytes, "{encoding:?}");
    }
}

#[test]
fn foreign_blobs_are_indexed_by_their_frames_and_members() {
    let plain = layer();
    let mut bench = Bench::new(64 << 10);
    bench.options.seek_bytes = u64::MAX; // points: tests/seek.rs
    let (first, second) = plain.split_at(300_001);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let spans = |stored: &[usize], plain: &[usize]| -> Vec<Span> {
        let pair = |(stored, plain): (&usize, &usize)| Span {
            stored: *stored as u64,
            plain: *plain as u64,
        };
        stored.iter().zip(plain).map(pair).collect()
    };
    let (z1, z2) = (zstd_frame(first), zstd_frame(second));
    let (g1, g2) = (gzip(first), gzip(second));
    let empty = gzip(b"");
    for (blob, media_type, first_span, wanted, why) in [
        (
            gzip(&plain),
            GZIP,
            0,
            spans(&[gzip(&plain).len()], &[plain.len()]),
            "one member",
        ),
        (
            [g1.clone(), g2.clone()].concat(),
            GZIP,
            0,
            spans(&[g1.len(), g2.len()], &[first.len(), second.len()]),
            "two members",
        ),
        (
            [
                empty.clone(),
                g1.clone(),
                empty.clone(),
                g2.clone(),
                empty.clone(),
                vec![0; 100],
            ]
            .concat(),
            GZIP,
            empty.len() as u64,
            spans(
                &[g1.len() + empty.len(), g2.len() + empty.len()],
                &[first.len(), second.len()],
            ),
            "members without content and zeros behind",
        ),
        (
            zstd_frame(&plain),
            ZSTD,
            0,
            spans(&[zstd_frame(&plain).len()], &[plain.len()]),
            "one frame",
        ),
        (
            [
                skippable.clone(),
                z1.clone(),
                skippable.clone(),
                z2.clone(),
                skippable.clone(),
            ]
            .concat(),
            ZSTD,
            skippable.len() as u64,
            spans(
                &[z1.len() + skippable.len(), z2.len() + skippable.len()],
                &[first.len(), second.len()],
            ),
            "skippable frames",
        ),
    ] {
        let kept = bench.keep(&blob, media_type).unwrap();
        let index = kept.index();
        let table = index.table();
        assert_eq!(table.first_span, first_span, "{why}");
        assert_eq!(table.spans, wanted, "{why}");
        check_table(table, &blob, &plain);
        assert_eq!(kept.report.is_seekable, wanted.len() > 1, "{why}");
        let own = bench.pack(&plain, Encoding::Zstd(1));
        assert_eq!(
            table.chunks,
            own.index().table().chunks,
            "{why}: chunks depend on the plain stream alone"
        );
    }
}

#[test]
fn gzip_headers_may_carry_everything_rfc_1952_allows() {
    let plain = tar(&[Spec::file("a", "x")]);
    let body = gzip(&plain);
    let mut blob = vec![0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 0, 0, 0, 0, 0, 0xff];
    blob.extend([3, 0, b'e', b'x', b't']);
    blob.extend(b"name\0comment\0");
    blob.extend([0, 0]);
    blob.extend(&body[10..]);
    let kept = Bench::new(4096).keep(&blob, GZIP).unwrap();
    assert_eq!(kept.report.diff_id, sha256(&plain));
}

#[test]
fn compressed_layers_can_be_packed_anew() {
    let plain = layer();
    let bench = Bench::new(64 << 10);
    let job = bench.job("in", &gzip(&plain), GZIP, Some(Encoding::Zstd(1)));
    let packed = bench.run(&job).unwrap();
    assert!(packed.blob == bench.pack(&plain, Encoding::Zstd(1)).blob);
    assert_eq!(packed.report.media_type, ZSTD);
}

#[test]
fn many_layers_are_packed_at_once_each_as_alone() {
    let bench = Bench::new(16 << 10);
    let layers: Vec<Vec<u8>> = (0..7)
        .map(|at| {
            tar(&[Spec::file(
                format!("f{at}"),
                noise(50_000 * at + 1, at as u64),
            )])
        })
        .collect();
    let jobs: Vec<LayerJob> = layers
        .iter()
        .enumerate()
        .map(|(at, plain)| bench.job(&format!("layer{at}"), plain, PLAIN, Some(Encoding::Zstd(1))))
        .collect();
    let reports = Reports::default();
    pack_layers(&jobs, &bench.options, &reports, &Stop::new())
        .map_err(|failure| failure.error)
        .unwrap();
    let mut reports = reports.0.into_inner().unwrap();
    reports.sort_by(|a, b| a.0.cmp(&b.0));
    for ((id, report), (plain, job)) in reports.iter().zip(layers.iter().zip(&jobs)) {
        assert_eq!(id, &job.id);
        let alone = Bench::new(16 << 10).pack(plain, Encoding::Zstd(1));
        assert_eq!(report, &alone.report);
        assert!(
            matches!(&job.action, Action::Pack { output, .. } if fs::read(output).unwrap() == alone.blob)
        );
    }
}

#[test]
fn a_chunk_table_is_the_same_for_every_codec() {
    let plain = layer();
    let bench = Bench::new(8192);
    let tables: Vec<Vec<Chunk>> = [Encoding::Zstd(1), Encoding::Gzip(1), Encoding::Plain]
        .map(|encoding| bench.pack(&plain, encoding).index().table().chunks.clone())
        .to_vec();
    assert!(tables.windows(2).all(|pair| pair[0] == pair[1]));
}
