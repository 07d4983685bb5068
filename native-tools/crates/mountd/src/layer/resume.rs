//! Decodes gzip members from the seek points in them.

use std::io::{self, BufRead, BufReader, Read};

use sys::inflate::{Inflater, Place, StopAt, Wrapping};

use super::assemble::Assembler;
use super::decode::{STREAM_BUFFER, broken};
use super::geometry::{Geometry, Plan};
use crate::source::FetchError;

/// First byte of a gzip member. No deflate block begins with it on a byte boundary: its type bits would be reserved ones.
const MEMBER_START: u8 = 0x1f;

/// Decodes the spans of `plan`, the first one continuing from `window` unless it starts a member, each other one from
/// the span before it. True when it was read to the end.
///
/// # Errors
/// As [`super::decode::decode`].
pub(super) fn decode(
    geometry: &Geometry,
    plan: &Plan,
    window: &[u8],
    body: &mut dyn Read,
    chunks: &mut Assembler<'_>,
) -> Result<bool, FetchError> {
    let mut body = BufReader::with_capacity(STREAM_BUFFER, body);
    let mut inflater = Inflater::new(Wrapping::Raw).map_err(|error| damaged(0, error))?;
    let mut buffer = vec![0; STREAM_BUFFER];
    for span in plan.spans.clone() {
        let is_first = span == plan.spans.start;
        enter(
            geometry,
            span,
            is_first.then_some(window),
            &mut inflater,
            &mut body,
        )?;
        let (mut stored, mut plain) = geometry.span(span);
        while stored > 0 || plain > 0 {
            let input = body.fill_buf().map_err(|error| broken(&error, span))?;
            let input = input.get(..least(stored, input.len())).unwrap_or_default();
            let room = least(plain, buffer.len());
            let out = buffer.get_mut(..room).unwrap_or_default();
            let step = inflater
                .run(input, out, StopAt::Nowhere)
                .map_err(|error| damaged(span, error))?;
            body.consume(step.consumed);
            stored -= step.consumed as u64;
            plain -= step.produced as u64;
            let made = buffer.get(..step.produced).unwrap_or_default();
            if chunks.feed(made)?.is_break() {
                return Ok(false);
            }
            let is_stuck = step.consumed == 0 && step.produced == 0;
            if is_stuck || step.place == Place::StreamEnd {
                break;
            }
        }
        if plain > 0 {
            return Err(damaged(span, format!("{plain} plain bytes are missing")));
        }
        // the member's checksum, members without content
        io::copy(&mut (&mut body).take(stored), &mut io::sink())
            .map_err(|error| broken(&error, span))?;
    }
    Ok(true)
}

/// Brings the decoder to the start of a span.
fn enter(
    geometry: &Geometry,
    span: usize,
    window: Option<&[u8]>,
    inflater: &mut Inflater,
    body: &mut impl BufRead,
) -> Result<(), FetchError> {
    let bits = geometry.bits(span);
    let mut before = [0];
    if bits > 0 && window.is_some() {
        body.read_exact(&mut before)
            .map_err(|error| broken(&error, span))?;
    }
    let next = body.fill_buf().map_err(|error| broken(&error, span))?;
    let entered = match window {
        _ if bits == 0 && next.first() == Some(&MEMBER_START) => inflater.reset(Wrapping::Gzip),
        Some(window) => inflater.resume(bits, before[0], window),
        None => return Ok(()),
    };
    entered.map_err(|error| damaged(span, error))
}

fn least(left: u64, length: usize) -> usize {
    usize::try_from(left).map_or(length, |left| left.min(length))
}

fn damaged(span: usize, what: impl std::fmt::Display) -> FetchError {
    FetchError::damaged(format!("span {span} does not decode: {what}"))
}
