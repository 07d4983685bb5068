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

mod support;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use archive_format::digest::{blake3, sha256};
use archive_format::tables::{Chunk, Codec, LayerTable, Span};
use flate2::Compression;
use flate2::write::GzEncoder;
use layer_index::pack::{Action, Encoding, LayerJob, pack_layers};
use layer_index::{IndexError, Limits, Stop};
use support::layers::{Bench, GZIP, PLAIN, Reports, ZSTD, noise};
use support::{Spec, tar};
use tool_protocol::Coded;

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
fn broken_blobs_are_refused_and_leave_nothing() {
    let plain = layer();
    let change = |mut blob: Vec<u8>, at: usize| {
        let at = if at > blob.len() {
            blob.len() - (usize::MAX - at) - 1
        } else {
            at
        };
        blob[at] ^= 0x10;
        blob
    };
    let (g, z) = (gzip(&plain), zstd_frame(&plain));
    let half = |blob: &[u8]| blob[..blob.len() / 2].to_vec();
    for (blob, media_type, code, why) in [
        (half(&g), GZIP, "LAYER_TRUNCATED", "half a gzip member"),
        (
            g[..g.len() - 3].to_vec(),
            GZIP,
            "LAYER_TRUNCATED",
            "a gzip trailer cut short",
        ),
        (Vec::new(), GZIP, "LAYER_TRUNCATED", "no gzip at all"),
        (
            change(g.clone(), usize::MAX),
            GZIP,
            "LAYER_CORRUPT",
            "a wrong length in the trailer",
        ),
        (
            change(g.clone(), usize::MAX - 5),
            GZIP,
            "LAYER_CORRUPT",
            "a wrong CRC in the trailer",
        ),
        (
            [g.clone(), b"tail".to_vec()].concat(),
            GZIP,
            "LAYER_CORRUPT",
            "garbage behind a gzip",
        ),
        (
            plain.clone(),
            GZIP,
            "LAYER_CORRUPT",
            "a tar that should be gzip",
        ),
        (z.clone(), GZIP, "LAYER_CORRUPT", "zstd that should be gzip"),
        (half(&z), ZSTD, "LAYER_TRUNCATED", "half a zstd frame"),
        (Vec::new(), ZSTD, "LAYER_TRUNCATED", "no zstd at all"),
        (
            change(z.clone(), 1),
            ZSTD,
            "LAYER_CORRUPT",
            "a wrong zstd magic",
        ),
        (
            [z.clone(), b"tail".to_vec()].concat(),
            ZSTD,
            "LAYER_CORRUPT",
            "garbage behind zstd",
        ),
        (
            g.clone(),
            PLAIN,
            "LAYER_CORRUPT",
            "gzip that should be a tar",
        ),
        (
            z.clone(),
            PLAIN,
            "LAYER_CORRUPT",
            "zstd that should be a tar",
        ),
        (half(&plain), PLAIN, "LAYER_TRUNCATED", "half a tar"),
        (
            plain.clone(),
            "application/x-tar",
            "MEDIA_TYPE_UNSUPPORTED",
            "an unknown media type",
        ),
    ] {
        let bench = Bench::new(4096);
        for encoding in [None, Some(Encoding::Zstd(1))] {
            let job = bench.job("in", &blob, media_type, encoding);
            let error = bench.run(&job).expect_err(why);
            assert_eq!(error.code(), code, "{why}: {error}");
            assert_eq!(bench.names(), ["in"], "{why}");
        }
    }
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
fn what_the_caller_expects_is_checked() {
    let plain = layer();
    let blob = gzip(&plain);
    let bench = Bench::new(64 << 10);
    let good = |blob: &[u8]| LayerJob {
        diff_id: Some(sha256(&plain)),
        expected_digest: Some(sha256(blob)),
        expected_size: Some(blob.len() as u64),
        ..bench.job("in", blob, GZIP, None)
    };
    bench.run(&good(&blob)).unwrap();
    let wrong = Some([7; 32]);
    for (job, code, why) in [
        (
            LayerJob {
                diff_id: wrong,
                ..good(&blob)
            },
            "DIFF_ID_MISMATCH",
            "another diffID",
        ),
        (
            LayerJob {
                expected_digest: wrong,
                ..good(&blob)
            },
            "BLOB_MISMATCH",
            "another digest",
        ),
        (
            LayerJob {
                expected_size: Some(5),
                ..good(&blob)
            },
            "BLOB_MISMATCH",
            "another size",
        ),
    ] {
        fs::remove_file(&job.index).unwrap_or_default();
        let error = bench.run(&job).expect_err(why);
        assert_eq!(error.code(), code, "{why}: {error}");
        assert_eq!(bench.names(), ["in"], "{why}");
    }
    // damage that stops the decoder is still told as what it is: not the blob that was asked for
    for blob in [
        [&blob[..100], &[0; 50], &blob[150..]].concat(),
        plain.clone(),
    ] {
        let job = LayerJob {
            expected_digest: Some(sha256(b"the blob that was asked for")),
            expected_size: None,
            ..good(&blob)
        };
        assert_eq!(bench.run(&job).unwrap_err().code(), "BLOB_MISMATCH");
    }
}

#[test]
fn bombs_stop_at_the_limits() {
    let zeros = tar(&[Spec::file("zeros", vec![0; 8 << 20])]);
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    for (limits, why) in [
        (limits(|limits| limits.max_plain_bytes = 1 << 20), "total"),
        (
            limits(|limits| {
                limits.max_ratio = 100;
                limits.ratio_free_bytes = 1 << 20;
            }),
            "ratio",
        ),
        (limits(|limits| limits.max_spans = 3), "frames"),
    ] {
        for (blob, media_type) in [
            (
                zeros.chunks(1 << 20).flat_map(gzip).collect::<Vec<u8>>(),
                GZIP,
            ),
            (zeros.chunks(1 << 20).flat_map(zstd_frame).collect(), ZSTD),
        ] {
            let mut bench = Bench::new(64 << 10);
            bench.options.limits = limits.clone();
            let error = bench.keep(&blob, media_type).expect_err(why);
            assert!(matches!(error, IndexError::Limit { .. }), "{why}: {error}");
            assert_eq!(bench.names(), ["kept"]);
        }
    }
}

#[test]
fn a_window_larger_than_zstd_grants_by_itself_is_refused() {
    // magic, descriptor with a window byte, a window of 2^31
    let blob = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    let error = Bench::new(4096).keep(&blob, ZSTD).unwrap_err();
    assert_eq!(error.code(), "LIMIT_EXCEEDED", "{error}");
}

#[test]
fn a_smaller_window_can_be_demanded() {
    let blob = zstd_frame(&tar(&[Spec::file("zeros", vec![0; 1 << 20])]));
    let mut bench = Bench::new(4096);
    bench.options.limits.max_window_bytes = 64 << 10;
    let error = bench.keep(&blob, ZSTD).unwrap_err();
    assert_eq!(error.code(), "LIMIT_EXCEEDED", "{error}");
    assert!(
        error.to_string().contains("--limit window-bytes="),
        "{error}"
    );
}

#[test]
fn a_frame_that_lacks_the_content_it_claims_is_refused() {
    let layer = tar(&[Spec::file("a", "b")]);
    // a single segment of five bytes, whose only block is empty
    let lying = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 1, 0, 0];
    for blob in [
        [&zstd_frame(&layer)[..], &lying].concat(),
        [&lying[..], &zstd_frame(&layer)].concat(),
    ] {
        let error = Bench::new(4096).keep(&blob, ZSTD).unwrap_err();
        assert_eq!(error.code(), "LAYER_CORRUPT", "{error}");
    }
    let honest = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0];
    let blob = [&zstd_frame(&layer)[..], &honest].concat();
    Bench::new(4096).keep(&blob, ZSTD).unwrap();
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
fn one_bad_layer_stops_the_rest_and_is_named() {
    let bench = Bench::new(16 << 10);
    let good = layer();
    let jobs = [
        bench.job("good", &good, PLAIN, Some(Encoding::Zstd(1))),
        bench.job("bad", &good[..250_000], PLAIN, Some(Encoding::Zstd(1))),
    ];
    let failure =
        pack_layers(&jobs, &bench.options, &Reports::default(), &Stop::new()).unwrap_err();
    assert_eq!(
        (failure.id.as_str(), failure.error.code()),
        ("bad", "LAYER_TRUNCATED")
    );
    assert!(!bench.path("bad.blob").exists() && !bench.path("bad.idx").exists());
}

#[test]
fn a_raised_stop_ends_the_work_and_leaves_nothing() {
    let bench = Bench::new(4096);
    let job = bench.job("in", &layer(), PLAIN, Some(Encoding::Zstd(19)));
    let stop = Stop::new();
    stop.raise();
    let failure = pack_layers(&[job], &bench.options, &Reports::default(), &stop).unwrap_err();
    assert_eq!(failure.error.code(), "CANCELED");
    assert_eq!(bench.names(), ["in"]);
}

#[test]
fn a_full_disk_and_missing_paths_have_their_codes() {
    let bench = Bench::new(4096);
    let job = |change: fn(&mut LayerJob)| {
        let mut job = bench.job("in", &layer(), PLAIN, Some(Encoding::Zstd(1)));
        change(&mut job);
        job
    };
    let full = "/dev/full";
    for (job, code) in [
        (
            job(|job| {
                job.action = Action::Pack {
                    encoding: Encoding::Zstd(1),
                    output: "/dev/full".into(),
                }
            }),
            "DISK_FULL",
        ),
        (job(|job| job.index = "/dev/full".into()), "DISK_FULL"),
        (
            job(|job| job.source = std::path::PathBuf::from("/nowhere/blob").into()),
            "PATH_NOT_FOUND",
        ),
        (
            job(|job| job.index = "/nowhere/index".into()),
            "PATH_NOT_FOUND",
        ),
    ] {
        assert_eq!(bench.run(&job).unwrap_err().code(), code);
        assert_eq!(bench.names(), ["in"]);
    }
    assert!(fs::metadata(full).is_ok(), "a device is never removed");
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
