//! Any tree is read as it was written; any damage is an error with a code, never a panic and never endless.
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

use std::io::Write;

use archive_format::model::{DeviceNumber, Timestamp};
use layer_index::entry::{Entry, EntryData, EntryKind, INLINE_BYTES};
use layer_index::pack::Encoding;
use layer_index::tar::clean_path;
use layer_index::{IndexError, Limits};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use support::layers::{Bench, GZIP, PLAIN, ZSTD};
use support::{Flavour, Spec, read_in_steps, tar};
use tool_protocol::Coded;

fn name() -> impl Strategy<Value = Vec<u8>> {
    let component = prop_oneof![
        4 => "[a-c]{1,3}".prop_map(String::into_bytes),
        1 => vec(any::<u8>().prop_filter("a name byte", |byte| !matches!(byte, 0 | b'/')), 1..120),
    ];
    vec(component, 1..5)
        .prop_map(|components| components.join(&b'/'))
        .prop_filter("a name", |name| !clean_path(name).is_empty())
}

fn spec() -> impl Strategy<Value = Spec> {
    let kind = prop_oneof![
        3 => vec(any::<u8>(), 0..1500).prop_map(|data| (b'0', data)),
        2 => Just((b'5', Vec::new())),
        1 => Just((b'1', Vec::new())),
        1 => Just((b'2', Vec::new())),
        1 => Just((b'3', Vec::new())),
        1 => Just((b'4', Vec::new())),
        1 => Just((b'6', Vec::new())),
    ];
    let xattrs = btree_map("[a-z]{1,8}", vec(any::<u8>(), 1..40), 0..3);
    let numbers = (
        0..0o10000i64,
        any::<u32>(),
        any::<u32>(),
        -(1i64 << 40)..1i64 << 40,
        0..4096i64,
        0..1i64 << 20,
    );
    (kind, name(), name(), numbers, xattrs, any::<bool>()).prop_map(
        |((typeflag, data), name, link, numbers, xattrs, is_gnu)| {
            let (mode, uid, gid, mtime, major, minor) = numbers;
            let pax = xattrs
                .into_iter()
                .filter(|_| matches!(typeflag, b'0' | b'5'))
                .map(|(key, value)| (format!("SCHILY.xattr.user.{key}").into_bytes(), value))
                .collect();
            Spec {
                flavour: if is_gnu { Flavour::Gnu } else { Flavour::Pax },
                typeflag,
                name,
                link: if matches!(typeflag, b'1' | b'2') {
                    link
                } else {
                    Vec::new()
                },
                mode,
                uid: i64::from(uid),
                gid: i64::from(gid),
                mtime,
                device: if matches!(typeflag, b'3' | b'4') {
                    (major, minor)
                } else {
                    (0, 0)
                },
                data,
                size: None,
                pax,
            }
        },
    )
}

/// What the reader should say of a spec whose bytes start at `start`.
fn expected(spec: &Spec, start: u64) -> Entry {
    let device = DeviceNumber {
        major: spec.device.0 as u32,
        minor: spec.device.1 as u32,
    };
    let size = spec.data.len() as u64;
    let kind = match spec.typeflag {
        b'0' => EntryKind::Regular(EntryData {
            size,
            offset: start + spec.bytes().len() as u64 - size.next_multiple_of(512),
            sparse: None,
            inline: (1..=INLINE_BYTES)
                .contains(&size)
                .then(|| spec.data.clone()),
        }),
        b'1' => EntryKind::HardLink {
            target: clean_path(&spec.link),
        },
        b'2' => EntryKind::Symlink {
            target: spec.link.clone(),
        },
        b'3' => EntryKind::CharDevice(device),
        b'4' => EntryKind::BlockDevice(device),
        b'5' => EntryKind::Directory,
        _ => EntryKind::Fifo,
    };
    Entry {
        path: clean_path(&spec.name),
        kind,
        permissions: spec.mode as u16,
        uid: spec.uid as u32,
        gid: spec.gid as u32,
        mtime: Timestamp {
            seconds: spec.mtime,
            nanos: 0,
        },
        xattrs: spec
            .pax
            .iter()
            .map(|(key, value)| (key["SCHILY.xattr.".len()..].to_vec(), value.clone()))
            .collect(),
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Keeps a blob; a refusal must be one of the codes for bad bytes.
fn keep_or_refuse(blob: &[u8], media_type: &str) -> Result<(), TestCaseError> {
    let mut bench = Bench::new(4096);
    bench.options.limits = Limits {
        max_plain_bytes: 1 << 20,
        ..Limits::default()
    };
    if let Err(error) = bench.keep(blob, media_type) {
        let is_expected = matches!(
            error.code(),
            "LAYER_CORRUPT" | "LAYER_TRUNCATED" | "LAYER_PATH_INVALID" | "LIMIT_EXCEEDED"
        );
        prop_assert!(is_expected, "{error}");
        prop_assert!(!bench.path("kept.idx").exists(), "an index was left behind");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_random_tree_is_read_as_it_was_written(specs in vec(spec(), 0..12), step in 1usize..3000) {
        let mut start = 0;
        let mut wanted = Vec::new();
        for spec in &specs {
            wanted.push(expected(spec, start));
            start += spec.bytes().len() as u64;
        }
        prop_assert_eq!(read_in_steps(&tar(&specs), step, Limits::default()).unwrap(), wanted);
    }

    #[test]
    fn a_damaged_tar_is_read_or_refused_with_a_code(
        specs in vec(spec(), 1..6),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        repair in any::<bool>(),
    ) {
        let mut bytes = tar(&specs);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
            if repair {
                // make the damaged block's checksum right, so that the damage gets past it
                let start = at / 512 * 512;
                let mut block: [u8; 512] = bytes[start..start + 512].try_into().unwrap();
                support::checksum(&mut block);
                bytes[start..start + 512].copy_from_slice(&block);
            }
        }
        bytes.truncate(cut.index(bytes.len() * 4 + 1).min(bytes.len()));
        match read_in_steps(&bytes, 1000, Limits::default()) {
            Ok(entries) => prop_assert!(entries.len() <= bytes.len() / 512),
            Err(IndexError::Internal(what)) => prop_assert!(false, "{}", what),
            Err(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_blob_is_read_or_refused_with_a_code(
        specs in vec(spec(), 1..6),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        codec in 0..3,
    ) {
        let plain = tar(&specs);
        let (mut blob, media_type) = match codec {
            0 => (plain, PLAIN),
            1 => (gzip(&plain), GZIP),
            _ => (zstd::bulk::compress(&plain, 1).unwrap(), ZSTD),
        };
        for (at, value) in damage {
            let at = at.index(blob.len());
            blob[at] = value;
        }
        blob.truncate(cut.index(blob.len() * 2).min(blob.len()));
        keep_or_refuse(&blob, media_type)?;
    }

    #[test]
    fn keeping_what_was_packed_gives_the_index_of_packing_it(specs in vec(spec(), 0..12), gzip in any::<bool>()) {
        let bench = Bench::new(4096);
        let (encoding, media_type) = if gzip { (Encoding::Gzip(1), GZIP) } else { (Encoding::Zstd(1), ZSTD) };
        let packed = bench.pack(&tar(&specs), encoding);
        let kept = bench.keep(&packed.blob, media_type).unwrap();
        prop_assert_eq!(&kept.report, &packed.report);
        prop_assert_eq!(kept.index_bytes, packed.index_bytes);
    }
}
