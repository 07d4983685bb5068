//! Stored spans to plain chunks.

use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;

use archive_format::tables::Codec;
use flate2::bufread::MultiGzDecoder;

use super::assemble::Assembler;
use super::geometry::{Geometry, Plan};
use super::resume;
use crate::source::FetchError;

pub(super) const STREAM_BUFFER: usize = 128 << 10;

/// Decodes the spans of `plan` from `body` and hands the bytes to `chunks`, until that wants no more.
/// True when it was read to the end. `window` is what the first span continues from, empty where it does not.
///
/// # Errors
/// The body's, or `Damaged` when the bytes do not decode; what was handed on before stays good.
pub(super) fn decode(
    geometry: &Geometry,
    codec: Codec,
    plan: &Plan,
    window: &[u8],
    body: &mut dyn Read,
    chunks: &mut Assembler<'_>,
) -> Result<bool, FetchError> {
    if geometry.has_points() {
        return resume::decode(geometry, plan, window, body, chunks);
    }
    let mut stored_bytes = Vec::new();
    for span in plan.spans.clone() {
        let (stored, plain) = geometry.span(span);
        let mut part = body.take(stored);
        let flow = if geometry.is_streamed(span) {
            stream(codec, &mut part, plain, chunks)?
        } else {
            stored_bytes.clear();
            part.read_to_end(&mut stored_bytes)
                .map_err(|error| broken(&error, span))?;
            let decoded =
                whole(codec, &stored_bytes, plain).map_err(|error| broken(&error, span))?;
            chunks.take(decoded)?
        };
        if flow.is_break() {
            return Ok(false);
        }
        // What a span holds behind its last plain byte (a checksum, a skippable frame) is passed over.
        io::copy(&mut part, &mut io::sink()).map_err(|error| broken(&error, span))?;
    }
    Ok(true)
}

/// A span that fits into memory.
fn whole(codec: Codec, stored: &[u8], plain: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(plain).map_err(io::Error::other)?;
    let decoded = match codec {
        Codec::Plain => stored.to_vec(),
        Codec::Zstd => zstd::bulk::decompress(stored, length)?,
        Codec::Gzip => {
            let mut decoded = Vec::with_capacity(length);
            MultiGzDecoder::new(stored)
                .take(plain)
                .read_to_end(&mut decoded)?;
            decoded
        }
    };
    if decoded.len() == length {
        Ok(decoded)
    } else {
        Err(io::Error::other(format!(
            "{} plain bytes, not {length}",
            decoded.len()
        )))
    }
}

fn stream(
    codec: Codec,
    stored: &mut dyn Read,
    plain: u64,
    chunks: &mut Assembler<'_>,
) -> Result<ControlFlow<()>, FetchError> {
    let input = BufReader::with_capacity(STREAM_BUFFER, stored);
    let mut decoder: Box<dyn Read + '_> = match codec {
        Codec::Plain => Box::new(input),
        Codec::Gzip => Box::new(MultiGzDecoder::new(input)),
        Codec::Zstd => Box::new(
            zstd::stream::read::Decoder::with_buffer(input)
                .map_err(|error| FetchError::damaged(format!("zstd: {error}")))?,
        ),
    };
    let mut buffer = vec![0; STREAM_BUFFER];
    let mut left = plain;
    while left > 0 {
        let wanted = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        let length = decoder.read(part).map_err(|error| {
            FetchError::carried(&error)
                .unwrap_or_else(|| FetchError::damaged(format!("does not decode: {error}")))
        })?;
        if length == 0 {
            return Err(FetchError::damaged(format!(
                "ends {left} plain bytes too early"
            )));
        }
        left -= length as u64;
        if chunks
            .feed(part.get(..length).unwrap_or_default())?
            .is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

pub(super) fn broken(error: &io::Error, span: usize) -> FetchError {
    FetchError::carried(error)
        .unwrap_or_else(|| FetchError::damaged(format!("span {span} does not decode: {error}")))
}
