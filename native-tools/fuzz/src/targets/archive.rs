//! A whole archive. Its parts are under digests, so the input is the parts, each behind its length: CLIP part, config,
//! layers, erofs, extra. They are signed as a writer would, and verified.

use archive_format::digest::sha256;
use archive_format::footer::{ALIGNMENT, Encoding, Footer, SectionRecord, SectionType};
use archive_format::verify::verify_file;

use super::part;
use crate::file_of;

pub(crate) fn run(input: &[u8]) {
    let _ = verify_file(file_of(input));
    let mut rest = input;
    let clip = part(&mut rest);
    let mut file = clip.to_vec();
    let mut sections = Vec::new();
    for (section, version) in [
        (SectionType::Config, 1),
        (SectionType::Layers, 1),
        (SectionType::Erofs, 1),
        (SectionType::Extra, 1),
    ] {
        let bytes = part(&mut rest);
        if bytes.is_empty() {
            continue;
        }
        align(&mut file);
        sections.push(SectionRecord {
            section,
            version,
            critical: section.critical(),
            encoding: Encoding::Stored,
            offset: file.len() as u64,
            stored_bytes: bytes.len() as u64,
            plain_bytes: bytes.len() as u64,
            digest: sha256(bytes),
        });
        file.extend_from_slice(bytes);
    }
    align(&mut file);
    let footer = Footer {
        minor: 0,
        clip_bytes: clip.len() as u64,
        file_bytes: file.len() as u64 + ALIGNMENT,
        clip_digest: sha256(clip),
        sections,
    };
    let Ok(footer) = footer.encode() else { return };
    file.extend(footer);
    if let Ok(report) = verify_file(file_of(&file)) {
        assert_eq!(report.size_bytes, file.len() as u64);
    }
}

fn align(file: &mut Vec<u8>) {
    let alignment = usize::try_from(ALIGNMENT).unwrap();
    file.resize(file.len().next_multiple_of(alignment), 0);
}
