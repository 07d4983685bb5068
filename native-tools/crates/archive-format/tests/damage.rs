//! Damage is found: by chance (every bit, every cut) and by design (parts changed and signed again).
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failing test panics"
)]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;

use archive_format::FormatError;
use archive_format::digest::sha256;
use archive_format::erofs::{ErofsReader, write_image};
use archive_format::footer::{ALIGNMENT, Encoding, FOOTER_BYTES, Footer, SectionType};
use archive_format::model::*;
use archive_format::read::Archive;
use archive_format::verify::{Report, verify_archive, verify_file};
use support::{Builder, directory, node, pattern, small, symlink};

/// The smallest image with a bit of everything that has a rule of its own.
fn tiny() -> Builder {
    let mut at = Builder::new(1);
    at.add("d", node(0o755, directory()));
    let file = at.stored(0, b"stored");
    let file = at.add("d/f", file);
    at.link(b"g", file);
    let inline = at.stored_inline(0, b"inline");
    at.add("i", support::with_xattr(inline, b"user.x", b"y"));
    at.add("l", node(0o777, symlink("d/f")));
    at
}

fn saved(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

/// Runs `check` over all numbers below `count`, on every core.
fn on_every_core(count: usize, check: impl Fn(&mut dyn Iterator<Item = usize>) + Sync) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for core in 0..cores {
            let check = &check;
            scope.spawn(move || check(&mut (core..count).step_by(cores)));
        }
    });
}

#[test]
fn every_flipped_bit_of_an_archive_is_a_coded_error() {
    let (bytes, _) = tiny().archive(false);
    assert!(verify_file(saved(&bytes)).is_ok());
    on_every_core(bytes.len() * 8, |bits| {
        let file = saved(&bytes);
        for bit in bits {
            let at = bit / 8;
            file.write_all_at(&[bytes[at] ^ 1 << (bit % 8)], at as u64)
                .unwrap();
            let error = verify_file(file.try_clone().unwrap()).expect_err(&format!("bit {bit}"));
            assert!(
                matches!(error, FormatError::Corrupt(_) | FormatError::Truncated(_)),
                "bit {bit}: {error}"
            );
            file.write_all_at(&bytes[at..=at], at as u64).unwrap();
        }
    });
}

#[test]
fn every_truncation_of_an_archive_is_truncated() {
    let (bytes, _) = tiny().archive(false);
    let file = saved(&bytes);
    for length in (0..bytes.len()).rev() {
        file.set_len(length as u64).unwrap();
        let error = verify_file(file.try_clone().unwrap()).expect_err(&format!("length {length}"));
        assert!(
            matches!(error, FormatError::Truncated(_)),
            "length {length}: {error}"
        );
        assert!(
            Archive::open(file.try_clone().unwrap()).is_err(),
            "length {length}"
        );
    }
}

#[test]
fn bytes_after_the_end_are_an_error() {
    let (bytes, _) = tiny().archive(false);
    for more in [
        vec![0],
        vec![0; FOOTER_BYTES],
        bytes[bytes.len() - FOOTER_BYTES..].to_vec(),
    ] {
        assert!(
            verify_file(saved(&[bytes.as_slice(), &more].concat())).is_err(),
            "{} bytes more",
            more.len()
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = verify_archive(std::path::Path::new("nowhere.clip")).unwrap_err();
    assert_eq!(tool_protocol::Coded::code(&error), "PATH_NOT_FOUND");
    assert!(error.to_string().contains("nowhere.clip"));
}

/// An archive taken apart.
#[derive(Clone)]
struct Parts {
    clip: Vec<u8>,
    sections: Vec<(SectionType, Vec<u8>)>,
}

impl Parts {
    fn of(bytes: &[u8]) -> Self {
        let archive = Archive::open(saved(bytes)).unwrap();
        let footer = archive.footer();
        let sections = footer
            .sections
            .iter()
            .map(|record| {
                (
                    record.section,
                    archive.section(record.section).unwrap().unwrap(),
                )
            })
            .collect();
        Self {
            clip: bytes[..footer.clip_bytes as usize].to_vec(),
            sections,
        }
    }

    fn section(&mut self, wanted: SectionType) -> &mut Vec<u8> {
        let (_, bytes) = self
            .sections
            .iter_mut()
            .find(|(section, _)| *section == wanted)
            .unwrap();
        bytes
    }

    /// Verifies what a forger makes of the parts.
    fn verify(&self, file: &File) -> Result<Report, FormatError> {
        let bytes = self.signed();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        verify_file(file.try_clone().unwrap())
    }

    /// Puts everything together with right digests, as a forger would.
    fn signed(&self) -> Vec<u8> {
        let mut out = self.clip.clone();
        let mut records = Vec::new();
        for (section, plain) in &self.sections {
            out.resize(out.len().next_multiple_of(FOOTER_BYTES), 0);
            records.push(archive_format::footer::SectionRecord {
                section: *section,
                version: 1,
                critical: section.critical(),
                // Any section may be stored as it is, and forging is faster so.
                encoding: Encoding::Stored,
                offset: out.len() as u64,
                stored_bytes: plain.len() as u64,
                plain_bytes: plain.len() as u64,
                digest: sha256(plain),
            });
            out.extend(plain);
        }
        out.resize(out.len().next_multiple_of(FOOTER_BYTES), 0);
        let footer = Footer {
            minor: 0,
            clip_bytes: self.clip.len() as u64,
            file_bytes: out.len() as u64 + ALIGNMENT,
            clip_digest: sha256(&self.clip),
            sections: records,
        };
        out.extend(footer.encode().unwrap());
        out
    }
}

#[test]
fn a_forged_metadata_image_or_configuration_is_an_error_at_every_bit() {
    let parts = Parts::of(&tiny().archive(false).0);
    assert!(verify_file(saved(&parts.signed())).is_ok());
    for section in [SectionType::Erofs, SectionType::Config] {
        let length = parts.clone().section(section).len();
        on_every_core(length * 8, |bits| {
            let (mut forged, file) = (parts.clone(), tempfile::tempfile().unwrap());
            for bit in bits {
                forged.section(section)[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    forged.verify(&file).is_err(),
                    "{} bit {bit}",
                    section.name()
                );
                forged.section(section)[bit / 8] ^= 1 << (bit % 8);
            }
        });
    }
}

#[test]
fn a_forged_node_list_or_layer_table_is_read_without_a_panic() {
    let parts = Parts::of(&tiny().archive(false).0);
    on_every_core(parts.clip.len() * 8, |bits| {
        let (mut forged, file) = (parts.clone(), tempfile::tempfile().unwrap());
        for bit in bits {
            forged.clip[bit / 8] ^= 1 << (bit % 8);
            let _ = forged.verify(&file);
            forged.clip[bit / 8] ^= 1 << (bit % 8);
        }
    });
    let length = parts.clone().section(SectionType::Layers).len();
    on_every_core(length * 8, |bits| {
        let (mut forged, file) = (parts.clone(), tempfile::tempfile().unwrap());
        for bit in bits {
            forged.section(SectionType::Layers)[bit / 8] ^= 1 << (bit % 8);
            let _ = forged.verify(&file);
            forged.section(SectionType::Layers)[bit / 8] ^= 1 << (bit % 8);
        }
    });
}

#[test]
fn a_node_that_differs_from_the_metadata_image_is_an_error() {
    let parts = Parts::of(&tiny().archive(false).0);
    let mut other = tiny();
    other.image.inodes[1].uid = 5;
    let others = Parts::of(&other.archive(false).0);
    let forged = Parts {
        clip: others.clip,
        ..parts
    };
    let error = verify_file(saved(&forged.signed())).unwrap_err();
    assert!(error.to_string().contains("node list"), "{error}");
}

#[test]
fn extra_without_its_record_is_an_error() {
    let mut parts = Parts::of(&small().archive(true).0);
    assert!(verify_file(saved(&parts.signed())).is_ok());
    parts
        .sections
        .retain(|(section, _)| *section != SectionType::Extra);
    assert!(verify_file(saved(&parts.signed())).is_err());
}

#[test]
fn a_section_that_unpacks_to_another_length_is_corrupt() {
    let (bytes, summary) = tiny().archive(false);
    let footer = Footer::decode(&bytes[bytes.len() - FOOTER_BYTES..]).unwrap();
    for change in [-1i64, 1, 1 << 40] {
        let mut forged = footer.clone();
        let record = forged.sections.last_mut().unwrap();
        record.plain_bytes = record.plain_bytes.checked_add_signed(change).unwrap();
        let end = bytes.len() - FOOTER_BYTES;
        let file = saved(&[&bytes[..end], &forged.encode().unwrap()].concat());
        assert!(Archive::open(file).unwrap().erofs().is_err(), "{change}");
    }
    assert_eq!(summary.sections.last().unwrap().section, SectionType::Erofs);
}

/// Gives a changed image its own UUID again, so that only the change can be found.
fn sign_image(image: &mut [u8]) {
    image[1072..1088].fill(0);
    let digest = sha256(image);
    image[1072..1088].copy_from_slice(&digest[..16]);
    image[1078] = image[1078] & 0x0F | 0x80;
    image[1080] = image[1080] & 0x3F | 0x80;
}

/// A metadata image with something changed at a byte; offsets as `docs/formats/erofs.md` has them.
fn patched(image: &[u8], at: usize, bytes: &[u8]) -> Result<(), FormatError> {
    let mut image = image.to_vec();
    image[at..at + bytes.len()].copy_from_slice(bytes);
    sign_image(&mut image);
    let reader = ErofsReader::new(image)?;
    let root = reader.root()?;
    for entry in reader.entries(&root)? {
        let inode = reader.inode(entry?.nid)?;
        reader.xattrs(&inode)?;
        if inode.is_directory() {
            reader
                .entries(&inode)?
                .try_for_each(|entry| entry.map(drop))?;
        } else if inode.is_symlink() {
            reader.symlink_target(&inode)?;
        } else if inode.is_regular() {
            reader.file(&inode)?;
        }
    }
    reader.walk().map(drop)
}

#[test]
fn directories_in_circles_and_shared_bodies_end_in_an_error() {
    let mut at = Builder::new(0);
    at.add("a", node(0o755, directory()));
    at.add("a/a", node(0o755, directory()));
    let image = write_image(&at.image, &[]).unwrap();
    let reader = ErofsReader::new(image.clone()).unwrap();
    let root = reader.root().unwrap();
    let child = reader.find(&root, b"a").unwrap().unwrap();
    let grandchild = reader.find(&child, b"a").unwrap().unwrap();
    let nid = grandchild.nid.to_le_bytes();
    let place = image.windows(8).position(|window| window == nid).unwrap();
    for target in [root.nid, child.nid] {
        let error = patched(&image, place, &target.to_le_bytes()).unwrap_err();
        assert!(matches!(error, FormatError::Corrupt(_)), "{error}");
    }
}

#[test]
fn huge_sizes_and_counts_are_refused_before_anything_is_allocated() {
    let mut at = Builder::new(1);
    let file = at.stored(0, &pattern(1, 5000));
    at.add("file", file);
    at.add("link", node(0o777, symlink("target")));
    let image = write_image(&at.image, &at.device_rows()).unwrap();
    let reader = ErofsReader::new(image.clone()).unwrap();
    let root = reader.root().unwrap();
    for inode in [
        root,
        reader.find(&root, b"file").unwrap().unwrap(),
        reader.find(&root, b"link").unwrap().unwrap(),
    ] {
        let start = inode.nid as usize * 32;
        for size in [1u64 << 62, u64::MAX, 1 << 40, 1 << 31] {
            assert!(
                patched(&image, start + 8, &size.to_le_bytes()).is_err(),
                "size {size}"
            );
        }
        for words in [1u16, 2, u16::MAX] {
            assert!(
                patched(&image, start + 2, &words.to_le_bytes()).is_err(),
                "{words} words of xattrs"
            );
        }
    }
}

#[test]
fn every_flipped_bit_of_a_signed_metadata_image_is_read_without_a_panic() {
    let builder = small();
    let image = write_image(&builder.image, &builder.device_rows()).unwrap();
    assert!(patched(&image, 0, &[0]).is_ok());
    on_every_core(image.len() * 8, |bits| {
        for bit in bits {
            let at = bit / 8;
            let _ = patched(&image, at, &[image[at] ^ 1 << (bit % 8)]);
        }
    });
}

#[test]
fn trees_that_are_none_cannot_be_written() {
    let mut twice = Builder::new(0);
    let id = twice.add("a", node(0o755, directory()));
    twice.link(b"b", id);
    let mut circle = Builder::new(0);
    let id = circle.add("a", node(0o755, directory()));
    circle.link(b"a/b", id);
    let mut lost = Builder::new(0);
    lost.link(b"a", 99);
    let mut dots = Builder::new(0);
    dots.add("..", node(0o600, Kind::Fifo));
    let mut cut = Builder::new(0);
    cut.add("l", node(0o777, symlink("a\0b")));
    let mut unrooted = Builder::new(0);
    unrooted.image.inodes[0].kind = Kind::Fifo;
    for (index, bad) in [
        twice,
        circle,
        lost,
        dots,
        cut,
        unrooted,
        Builder {
            image: Image::default(),
            devices: vec![],
        },
    ]
    .iter()
    .enumerate()
    {
        assert!(
            matches!(write_image(&bad.image, &[]), Err(FormatError::Input(_))),
            "tree {index}"
        );
    }
}

#[test]
fn what_the_format_cannot_hold_is_a_limit() {
    let one = |inode: Inode| {
        let mut at = Builder::new(0);
        at.add("x", inode);
        write_image(&at.image, &[])
    };
    let xattr =
        |name: &[u8], length| support::with_xattr(node(0o600, Kind::Fifo), name, &vec![1; length]);
    let mut many = node(0o600, Kind::Fifo);
    for number in 0..5 {
        many = support::with_xattr(many, format!("user.{number}").as_bytes(), &vec![0; 65_000]);
    }
    let device = |major, minor| node(0o600, Kind::CharDevice(DeviceNumber { major, minor }));
    let mut long = Builder::new(0);
    long.add(&"n".repeat(256), node(0o600, Kind::Fifo));
    let mut deep = Builder::new(0);
    let mut path = String::new();
    for _ in 0..17 {
        path = format!("{path}/{}", "d".repeat(250));
        deep.add(&path, node(0o700, directory()));
    }
    for (index, written) in [
        one(xattr(b"user.x", 65_536)),
        one(xattr(&[b"user.".as_slice(), &[b'x'; 256]].concat(), 1)),
        one(many),
        one(device(4096, 0)),
        one(device(0, 1 << 20)),
        one(node(0o777, symlink(vec![b'x'; 4096]))),
        write_image(&long.image, &[]),
        write_image(&deep.image, &[]),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(
            matches!(written, Err(FormatError::Limit(_))),
            "case {index}"
        );
    }
}
