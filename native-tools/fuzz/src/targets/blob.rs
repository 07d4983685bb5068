//! Compressed blobs: what is accepted is what the libraries decode, and every span decodes alone.

use std::io::Read;

use archive_format::tables::{Codec, Span};
use flate2::read::MultiGzDecoder;
use layer_index::{IndexError, Limits, source};

use crate::file_of;

const MOST_PLAIN: usize = 4 << 20;

pub(crate) fn gzip(input: &[u8]) {
    check(Codec::Gzip, input, |bytes| {
        let mut plain = Vec::new();
        MultiGzDecoder::new(bytes).read_to_end(&mut plain).ok()?;
        Some(plain)
    });
}

pub(crate) fn zstd(input: &[u8]) {
    check(Codec::Zstd, input, |bytes| {
        zstd::stream::decode_all(bytes).ok()
    });
}

fn check(codec: Codec, input: &[u8], library: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let limits = Limits {
        max_spans: 1000,
        max_window_bytes: 8 << 20,
        ..Limits::default()
    };
    let mut plain = Vec::new();
    let read = source::read_blob(codec, file_of(input), &limits, |bytes| {
        plain.extend_from_slice(bytes);
        // stands for the limits on size and ratio, which the pack holds
        if plain.len() > MOST_PLAIN {
            Err(IndexError::Canceled)
        } else {
            Ok(())
        }
    });
    let Ok((first, spans)) = read else { return };
    let stored: u64 = first + spans.iter().map(|span| span.stored).sum::<u64>();
    // zeros may fill up a gzip blob
    assert!(stored <= input.len() as u64, "spans lie in the blob");
    let tail = &input[usize::try_from(stored).unwrap()..];
    assert!(
        tail.iter().all(|byte| *byte == 0),
        "spans reach to the end of what counts"
    );
    assert_eq!(
        spans.iter().map(|span| span.plain).sum::<u64>(),
        plain.len() as u64
    );
    let counted = &input[..input.len() - tail.len()];
    assert_eq!(
        library(counted).as_deref(),
        Some(&plain[..]),
        "the library reads the same"
    );
    check_spans(counted, first, &spans, &plain, library);
}

fn check_spans(
    blob: &[u8],
    first: u64,
    spans: &[Span],
    plain: &[u8],
    library: impl Fn(&[u8]) -> Option<Vec<u8>>,
) {
    let mut blob = &blob[usize::try_from(first).unwrap()..];
    let mut plain = plain;
    for Span {
        stored,
        plain: length,
    } in spans
    {
        let (part, rest) = blob.split_at(usize::try_from(*stored).unwrap());
        let (wanted, after) = plain.split_at(usize::try_from(*length).unwrap());
        assert_eq!(
            library(part).as_deref(),
            Some(wanted),
            "a span decodes alone"
        );
        (blob, plain) = (rest, after);
    }
}
