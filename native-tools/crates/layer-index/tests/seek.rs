//! Seek points of foreign gzip layers: whatever wrote them, every span decodes alone, from its window and nothing else.
#![allow(
    missing_docs,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test program"
)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use archive_format::seek::check_windows;
use archive_format::tables::LayerTable;
use flate2::{Compress, Compression, FlushCompress};
use layer_index::index_file::IndexReader;
use layer_index::pack::SEEK_BYTES;
use libdeflater::{CompressionLvl, Compressor};
use proptest::prelude::*;
use support::layers::{Bench, GZIP, Outcome, noise};
use support::{Spec, tar};
use sys::inflate::{Inflater, StopAt, Wrapping};

/// Small enough that a few hundred kilobytes have many points.
const SPACING: u64 = 40_000;

/// How a member is made of its part of the plain stream.
#[derive(Debug, Clone)]
enum Maker {
    /// Blocks as zlib-rs makes them, level 0 stored; flushed after so many bytes, fully or not.
    Zlib {
        level: u32,
        flush_every: usize,
        full: bool,
    },
    Libdeflate(i32),
}

fn maker() -> impl Strategy<Value = Maker> {
    let flushes = prop_oneof![Just(usize::MAX), Just(30), 100usize..60_000];
    prop_oneof![
        3 => (0u32..10, flushes, any::<bool>()).prop_map(|(level, flush_every, full)| Maker::Zlib { level, flush_every, full }),
        1 => (1i32..13).prop_map(Maker::Libdeflate),
    ]
}

impl Maker {
    fn member(&self, plain: &[u8]) -> Vec<u8> {
        match self {
            Self::Libdeflate(level) => {
                let mut deflater = Compressor::new(CompressionLvl::new(*level).unwrap());
                let mut out = vec![0; deflater.gzip_compress_bound(plain.len())];
                let length = deflater.gzip_compress(plain, &mut out).unwrap();
                out.truncate(length);
                out
            }
            Self::Zlib {
                level,
                flush_every,
                full,
            } => {
                let mut deflater = Compress::new(Compression::new(*level), false);
                let flush = if *full {
                    FlushCompress::Full
                } else {
                    FlushCompress::Sync
                };
                let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
                let pieces = plain.chunks((*flush_every).min(plain.len().max(1)));
                for piece in pieces {
                    deflate(&mut deflater, piece, flush, &mut out);
                }
                deflate(&mut deflater, &[], FlushCompress::Finish, &mut out);
                let mut crc = flate2::Crc::new();
                crc.update(plain);
                out.extend(crc.sum().to_le_bytes());
                out.extend(crc.amount().to_le_bytes());
                out
            }
        }
    }
}

fn deflate(deflater: &mut Compress, plain: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
    let start = deflater.total_in();
    loop {
        out.reserve(plain.len() + 1000);
        let taken = (deflater.total_in() - start) as usize;
        deflater.compress_vec(&plain[taken..], out, flush).unwrap();
        if out.len() < out.capacity() {
            return;
        }
    }
}

/// Text with repetitions near and far, and stretches that do not compress.
fn plain(length: usize, seed: u64) -> Vec<u8> {
    let mut out = noise(5000, seed);
    let mut state = seed | 1;
    while out.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (far, count) = (
            (state >> 33) as usize % 33_000,
            (state >> 50) as usize % 400,
        );
        match state >> 30 & 7 {
            0 => out.extend(
                noise(count, state)
                    .iter()
                    .map(|byte| byte.wrapping_mul(77) ^ (state >> 40) as u8),
            ),
            1 => out.extend(noise(count / 8, state)),
            _ => {
                let start = out.len().saturating_sub(far + 1);
                let end = out.len().min(start + count);
                out.extend_from_within(start..end);
            }
        }
    }
    out.truncate(length);
    out
}

/// A span's plain bytes from its stored bytes, the byte before and its window alone.
fn decode_alone(table: &LayerTable, windows: &[u8], blob: &[u8], span: usize) -> Vec<u8> {
    let start = table.first_span as usize
        + table.spans[..span]
            .iter()
            .map(|span| span.stored as usize)
            .sum::<usize>();
    let stored = &blob[start..start + table.spans[span].stored as usize];
    let bits = table.seek.as_ref().map_or(0, |seek| seek.bits[span]);
    let window = table.seek.as_ref().and_then(|seek| seek.window(span));
    let mut inflater = Inflater::new(Wrapping::Gzip).unwrap();
    // a deflate block cannot begin with the first byte of a gzip member
    if bits > 0 || stored[0] != 0x1f {
        let window = window.map_or(Vec::new(), |window| {
            let at = window.offset as usize;
            window
                .decode(&windows[at..at + window.stored as usize])
                .unwrap()
        });
        inflater.resume(bits, blob[start - 1], &window).unwrap();
    } else {
        assert_eq!(window, None);
    }
    let mut out = vec![0; table.spans[span].plain as usize];
    let (mut taken, mut made) = (0, 0);
    while made < out.len() {
        let step = inflater
            .run(&stored[taken..], &mut out[made..], StopAt::Nowhere)
            .unwrap();
        assert!(step.consumed + step.produced > 0, "span {span} ends early");
        taken += step.consumed;
        made += step.produced;
    }
    out
}

fn check_spans(index: &IndexReader, blob: &[u8], plain: &[u8]) {
    let table = index.table();
    check_windows(std::slice::from_ref(table), index.windows()).unwrap();
    let mut at = 0;
    for span in 0..table.spans.len() {
        let decoded = decode_alone(table, index.windows(), blob, span);
        assert!(
            decoded == plain[at..at + decoded.len()],
            "span {span} decodes to something else"
        );
        at += decoded.len();
    }
    assert_eq!(at, plain.len());
}

fn keep(blob: &[u8], seek_bytes: u64, jobs: usize) -> Outcome {
    let mut bench = Bench::new(16 << 10);
    bench.options.seek_bytes = seek_bytes;
    bench.options.jobs = jobs;
    bench.keep(blob, GZIP).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_span_decodes_alone_whatever_made_the_blob(
        makers in prop::collection::vec((maker(), 1usize..300_000, 0usize..3), 1..5),
        seed in any::<u64>(),
    ) {
        let content: usize = makers.iter().map(|(_, length, _)| length).sum();
        let plain = tar(&[Spec::file("a", plain(content, seed))]);
        let mut blob = Vec::new();
        let mut rest = plain.as_slice();
        for (at, (maker, length, empties)) in makers.iter().enumerate() {
            let length = if at + 1 == makers.len() { rest.len() } else { *length };
            blob.extend(maker.member(&rest[..length]));
            rest = &rest[length..];
            for _ in 0..*empties {
                blob.extend(maker.member(b""));
            }
        }
        let kept = keep(&blob, SPACING, 1);
        check_spans(&kept.index(), &blob, &plain);
        prop_assert_eq!(&keep(&blob, SPACING, 3).index_bytes, &kept.index_bytes);
    }
}

fn large() -> Vec<u8> {
    tar(&[Spec::file("a", plain(9 << 20, 7))])
}

#[test]
fn a_large_member_gets_points_a_megabyte_apart_and_is_seekable() {
    let plain = large();
    let blob = Maker::Libdeflate(6).member(&plain);
    let kept = keep(&blob, SEEK_BYTES, 2);
    let index = kept.index();
    check_spans(&index, &blob, &plain);
    let spans = &index.table().spans;
    assert!(spans.len() >= 7, "{} spans", spans.len());
    assert!(
        spans
            .iter()
            .rev()
            .skip(1)
            .all(|span| (SEEK_BYTES..SEEK_BYTES * 3 / 2).contains(&span.plain))
    );
    assert!(kept.report.is_seekable);
}

#[test]
fn windows_hold_only_what_their_spans_refer_to() {
    let plain = tar(&[Spec::file("a", plain(60_000, 1))]);
    let full = Maker::Zlib {
        level: 6,
        flush_every: 20_000,
        full: true,
    }
    .member(&plain);
    let kept = keep(&full, SPACING, 1);
    assert!(
        kept.index().windows().is_empty(),
        "a full flush leaves nothing to refer to"
    );
    assert!(kept.index().table().seek.is_some());
    check_spans(&kept.index(), &full, &plain);

    // the same text again and again, as far back as zlib looks: nearly all of the window is used
    let again = tar(&[Spec::file("a", noise(32_000, 3).repeat(8))]);
    let blob = Maker::Zlib {
        level: 9,
        flush_every: 50_000,
        full: false,
    }
    .member(&again);
    let index = keep(&blob, SPACING, 1).index();
    let seek = index.table().seek.clone().unwrap();
    let window = seek.window(1).unwrap();
    let window = window
        .decode(&index.windows()[..window.stored as usize])
        .unwrap();
    let used = window.iter().filter(|byte| **byte != 0).count();
    assert!(used > 30_000, "{used} bytes");
}

#[test]
fn a_blob_of_the_gzip_program_has_points() {
    let plain = large();
    for level in ["-1", "-9"] {
        let mut child = Command::new("gzip")
            .args([level, "-c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn({
            let plain = plain.clone();
            move || input.write_all(&plain).unwrap()
        });
        let blob = child.wait_with_output().unwrap().stdout;
        writer.join().unwrap();
        let kept = keep(&blob, SEEK_BYTES, 2);
        check_spans(&kept.index(), &blob, &plain);
        assert!(
            kept.report.spans > 5,
            "{level}: {} spans",
            kept.report.spans
        );
    }
}

#[test]
fn blocks_without_content_that_never_end_keep_the_whole_window() {
    let plain = tar(&[Spec::file("a", plain(150_000, 5))]);
    let mut blob = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut deflater = Compress::new(Compression::new(6), false);
    for piece in plain.chunks(10_000) {
        deflate(&mut deflater, piece, FlushCompress::Sync, &mut blob);
        // a sync flush ends on a byte: stored blocks of length 0 may follow
        blob.extend([0, 0, 0, 0xff, 0xff].repeat(20_000));
    }
    deflate(&mut deflater, &[], FlushCompress::Finish, &mut blob);
    let mut crc = flate2::Crc::new();
    crc.update(&plain);
    blob.extend(crc.sum().to_le_bytes());
    blob.extend(crc.amount().to_le_bytes());
    let kept = keep(&blob, SPACING, 1);
    assert!(kept.report.spans > 2);
    check_spans(&kept.index(), &blob, &plain);
}

#[test]
fn damage_anywhere_in_a_large_member_is_told() {
    let plain = tar(&[Spec::file("a", plain(200_000, 11))]);
    let blob = Maker::Libdeflate(6).member(&plain);
    let mut bench = Bench::new(16 << 10);
    bench.options.seek_bytes = SPACING;
    for at in (10..blob.len()).step_by(blob.len() / 60) {
        let mut damaged = blob.clone();
        damaged[at] ^= 1 << (at % 8);
        let code = bench
            .keep(&damaged, GZIP)
            .map(|_| ())
            .map_err(|error| tool_protocol::Coded::code(&error));
        assert!(
            matches!(
                code,
                Err("LAYER_CORRUPT" | "LAYER_TRUNCATED" | "LAYER_PATH_INVALID" | "LIMIT_EXCEEDED")
            ),
            "{at}: {code:?}"
        );
        let code = bench
            .keep(&blob[..at], GZIP)
            .map(|_| ())
            .map_err(|error| tool_protocol::Coded::code(&error));
        assert_eq!(code, Err("LAYER_TRUNCATED"), "cut at {at}");
    }
}
