//! Compressed blobs: what is accepted is what the libraries decode, and every span decodes alone, at a seek point from its
//! window.

use std::io::Read;

use archive_format::tables::{Codec, Span};
use flate2::read::MultiGzDecoder;
use layer_index::pack::{SeekableBlob, read_seekable};
use layer_index::{IndexError, Limits, source};
use sys::inflate::{Inflater, Place, StopAt, Wrapping};

use crate::file_of;

const MOST_PLAIN: usize = 4 << 20;
/// A point wherever a block ends, as far as the head of the one before reaches; and fewer, behind whole windows.
const SPACINGS: [u64; 2] = [1, 40_000];

pub(crate) fn gzip(input: &[u8]) {
    check(Codec::Gzip, input, |bytes| {
        let mut plain = Vec::new();
        MultiGzDecoder::new(bytes).read_to_end(&mut plain).ok()?;
        Some(plain)
    });
    for spacing in SPACINGS {
        if let Some((blob, plain)) = seekable(input, spacing) {
            check_points(input, &blob, &plain);
        }
    }
}

/// The blob with its seek points and its plain bytes.
pub(super) fn seekable(input: &[u8], spacing: u64) -> Option<(SeekableBlob, Vec<u8>)> {
    let mut plain = Vec::new();
    let blob = read_seekable(file_of(input), &limits(), spacing, |bytes| {
        take(&mut plain, bytes)
    });
    Some((blob.ok()?, plain))
}

/// Inflates from every point with its window, as far as its span goes, and compares with the straight inflate.
fn check_points(input: &[u8], blob: &SeekableBlob, plain: &[u8]) {
    let Some(seek) = &blob.seek else { return };
    let mut inflater = Inflater::new(Wrapping::Raw).expect("memory");
    let mut stored = usize::try_from(blob.first_span).unwrap();
    let mut start = 0;
    for (index, span) in blob.spans.iter().enumerate() {
        let stored_end = stored + usize::try_from(span.stored).unwrap();
        let end = start + usize::try_from(span.plain).unwrap();
        let bits = seek.bits[index];
        let window = seek.window(index).map_or_else(Vec::new, |window| {
            let at = usize::try_from(window.offset).unwrap();
            let bytes = &blob.windows[at..at + window.stored as usize];
            window.decode(bytes).expect("a window that was just made")
        });
        assert!(window.len() <= start, "a window is of what comes before");
        if bits == 0 && window.is_empty() && input[stored] == 0x1f {
            inflater.reset(Wrapping::Gzip).expect("memory");
        } else {
            inflater
                .resume(bits, input[stored.saturating_sub(1)], &window)
                .expect("a point that can be entered");
        }
        let decoded = decoded(&mut inflater, &input[stored..stored_end], end - start);
        assert_eq!(decoded, &plain[start..end], "span {index} from its point");
        (stored, start) = (stored_end, end);
    }
    assert_eq!(start, plain.len());
}

/// As much as a span is to give.
fn decoded(inflater: &mut Inflater, mut stored: &[u8], length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    let mut made = 0;
    while made < length {
        let step = inflater
            .run(stored, &mut out[made..], StopAt::Nowhere)
            .expect("a span that decodes");
        made += step.produced;
        stored = &stored[step.consumed..];
        if step.place == Place::StreamEnd || step.consumed == 0 && step.produced == 0 {
            break;
        }
    }
    out.truncate(made);
    out
}

fn limits() -> Limits {
    Limits {
        max_spans: 1000,
        max_window_bytes: 8 << 20,
        ..Limits::default()
    }
}

/// Stands for the limits on size and ratio, which the pack holds.
fn take(plain: &mut Vec<u8>, bytes: &[u8]) -> Result<(), IndexError> {
    plain.extend_from_slice(bytes);
    if plain.len() > MOST_PLAIN {
        return Err(IndexError::Canceled);
    }
    Ok(())
}

pub(crate) fn zstd(input: &[u8]) {
    check(Codec::Zstd, input, |bytes| {
        zstd::stream::decode_all(bytes).ok()
    });
}

fn check(codec: Codec, input: &[u8], library: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let mut plain = Vec::new();
    let read = source::read_blob(codec, file_of(input), &limits(), |bytes| {
        take(&mut plain, bytes)
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
