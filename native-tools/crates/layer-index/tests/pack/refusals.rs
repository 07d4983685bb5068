//! Blobs that are refused, limits, and what a run that fails leaves: nothing.

use std::fs;

use archive_format::digest::sha256;
use layer_index::pack::{Action, Encoding, LayerJob, pack_layers};
use layer_index::{IndexError, Limits, Stop};
use tool_protocol::Coded;

use super::support::layers::{Bench, GZIP, PLAIN, Reports, ZSTD};
use super::support::{Spec, tar};
use super::{gzip, layer, zstd_frame};

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
