//! What is done with the bytes. A target panics on anything that may not be: that is what the fuzzer looks for.

mod archive;
mod blob;
mod clip;
mod erofs;
mod footer;
mod layer_index;
mod points;
mod seek;
mod span;
mod tables;
mod tar;

/// One parser and its rules.
pub(crate) type Target = fn(&[u8]);

pub(crate) fn target_of(name: &str) -> Target {
    match name {
        "archive" => archive::run,
        "clip" => clip::run,
        "erofs" => erofs::run,
        "footer" => footer::run,
        "gzip" => blob::gzip,
        "layer-index" => layer_index::run,
        "seek" => seek::run,
        "span" => span::run,
        "tables" => tables::run,
        "tar" => tar::run,
        "zstd" => blob::zstd,
        _ => panic!("FUZZ_TARGET {name:?}: no such target"),
    }
}

/// Takes a part of the input that its own length (u32, little-endian) precedes.
fn part<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, rest)) = input.split_first_chunk::<4>() else {
        return std::mem::take(input);
    };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (part, rest) = rest.split_at(length.min(rest.len()));
    *input = rest;
    part
}
