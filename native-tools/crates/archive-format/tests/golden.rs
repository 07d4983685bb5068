//! The format's bytes: the same input gives them for ever, and an archive written once is read for ever.
//! `CLIPYARD_UPDATE_GOLDEN=1` writes the files again: only together with a new format version or encoder version.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failing test panics"
)]

mod support;

use std::io::Write;

use archive_format::footer::SectionType;
use archive_format::read::Archive;
use archive_format::verify::verify_archive;
use support::{small, test_folder};

fn check(name: &str, bytes: &[u8]) {
    let path = test_folder("golden/archive").join(name);
    if std::env::var_os("CLIPYARD_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    let first = golden.iter().zip(bytes).position(|(a, b)| a != b);
    assert!(
        golden == bytes,
        "{name}: {} bytes instead of {}, first difference at {first:?}",
        bytes.len(),
        golden.len()
    );
}

#[test]
fn the_clip_part_and_every_section_have_their_golden_bytes() {
    let (bytes, summary) = small().archive(true);
    check("small.clip-part", &bytes[..summary.clip_bytes as usize]);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let archive = Archive::open(file).unwrap();
    for section in [
        SectionType::Config,
        SectionType::Extra,
        SectionType::Layers,
        SectionType::Erofs,
    ] {
        let plain = archive.section(section).unwrap().unwrap();
        check(&format!("small.{}", section.name()), &plain);
    }
}

#[test]
fn an_archive_that_was_written_once_is_read_for_ever() {
    // Its compressed bytes may differ from what the zstd of today writes; what they hold may not.
    let path = test_folder("golden/archive").join("small.clip");
    if std::env::var_os("CLIPYARD_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, small().archive(true).0).unwrap();
    }
    let report = verify_archive(&path).unwrap();
    assert_eq!(
        (report.kind.name(), report.entries, report.layers),
        ("clipyard", 16, 2)
    );
    let archive = Archive::open(std::fs::File::open(&path).unwrap()).unwrap();
    check(
        "small.erofs",
        &archive.section(SectionType::Erofs).unwrap().unwrap(),
    );
}
