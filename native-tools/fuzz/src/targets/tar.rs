//! The tar walker: pieces do not matter, limits hold, whatever the headers say.

use layer_index::entry::Entry;
use layer_index::tar::TarWalker;
use layer_index::{IndexError, Limits};
use tool_protocol::Coded;

pub(crate) fn run(input: &[u8]) {
    let mut bytes = input.to_vec();
    sign(&mut bytes);
    let whole = read(&bytes, bytes.len().max(1));
    let pieces = read(&bytes, 97);
    assert_eq!(whole, pieces, "the pieces a stream comes in change nothing");
}

/// The entries, or the code of the error.
fn read(bytes: &[u8], step: usize) -> Result<Vec<Entry>, &'static str> {
    let limits = Limits {
        max_entries: 200,
        max_header_bytes: 16 << 10,
        max_sparse_extents: 500,
        max_relocated_bytes: 64 << 10,
        ..Limits::default()
    };
    let mut walker = TarWalker::new(limits, 4096);
    let mut entries = Vec::new();
    let mut walk = || -> Result<(), IndexError> {
        for mut piece in bytes.chunks(step) {
            while !piece.is_empty() {
                let fed = walker.feed(piece, &mut |entry| {
                    entries.push(entry);
                    Ok(())
                })?;
                assert!(fed.taken > 0 || fed.cut, "no progress");
                piece = &piece[fed.taken..];
            }
        }
        walker.finish()
    };
    walk().map_err(|error| error.code())?;
    assert!(entries.len() as u64 <= walker.entries().min(200));
    for entry in &entries {
        assert!(!entry.path.contains(&0) && !entry.path.starts_with(b"/"));
        assert!(
            entry
                .path
                .split(|byte| *byte == b'/')
                .all(|name| name != b"..")
        );
    }
    Ok(entries)
}

/// Makes the checksums right, as far as the headers say where the next one is: else the fuzzer sees little behind the first.
fn sign(tar: &mut [u8]) {
    let mut rest = tar;
    while rest.len() >= 512 && rest[..512].iter().any(|byte| *byte != 0) {
        let (block, after) = rest.split_at_mut(512);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = block[124..136]
            .iter()
            .filter(|byte| (b'0'..=b'7').contains(byte))
            .fold(0usize, |size, digit| {
                (size << 3 | usize::from(digit - b'0')) & 0xff_ffff
            });
        let has_data = !(b'1'..=b'6').contains(&block[156]);
        let skipped = if has_data {
            size.next_multiple_of(512)
        } else {
            0
        };
        let skipped = skipped.min(after.len());
        rest = &mut after[skipped..];
    }
}
