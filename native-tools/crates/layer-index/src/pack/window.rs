//! Windows of seek points: the bytes that the span refers to, compressed.

use sys::inflate::{Inflater, Place, StopAt, WINDOW_BYTES, Wrapping};
use zstd::bulk::Compressor;

use crate::error::IndexError;
use crate::source::Head;

/// ADR 0007: what a higher level saves is not worth its time.
const LEVEL: i32 = 3;
/// Says that a mark is there, in its upper byte; positions in a window have 15 bits.
const MARKED: u8 = 0x80;

/// Makes windows; kept by a worker for all that it meets.
#[derive(Default)]
pub(super) struct WindowMaker {
    tools: Option<(Inflater, Compressor<'static>)>,
}

impl WindowMaker {
    /// The window as it is stored: one zstd frame, bytes that the span does not refer to zeroed. Empty when it refers to
    /// none.
    pub(super) fn make(&mut self, head: &Head) -> Result<Vec<u8>, IndexError> {
        let (inflater, compressor) = match &mut self.tools {
            Some(tools) => tools,
            none => none.insert(Self::tools()?),
        };
        let mut window = head.window.clone();
        if let Some(used) = used_bytes(inflater, head) {
            if !used.contains(&true) {
                return Ok(Vec::new());
            }
            for (byte, used) in window.iter_mut().zip(used) {
                if !used {
                    *byte = 0;
                }
            }
        }
        compressor
            .compress(&window)
            .map_err(|error| IndexError::Internal(format!("zstd: {error}")))
    }

    fn tools() -> Result<(Inflater, Compressor<'static>), IndexError> {
        let inflater = Inflater::new(Wrapping::Raw)
            .map_err(|error| IndexError::Internal(error.to_string()))?;
        let compressor = Compressor::new(LEVEL)
            .map_err(|error| IndexError::Internal(format!("zstd level {LEVEL}: {error}")))?;
        Ok((inflater, compressor))
    }
}

/// Which bytes of the window the span refers to; nothing when the head is too short to tell.
///
/// The head is decoded twice more, from windows in which every byte is XORed with one half of its position (and a bit that
/// is always set). Bytes that come out as in the stream were literals, and every other one tells which byte of the window
/// it is a copy of, over however many matches.
fn used_bytes(inflater: &mut Inflater, head: &Head) -> Option<Vec<bool>> {
    let marked = |mark: fn([u8; 2]) -> u8| -> Vec<u8> {
        let positions = (0u16..).map(u16::to_le_bytes);
        let bytes = head.window.iter().zip(positions);
        bytes.map(|(byte, at)| byte ^ mark(at)).collect()
    };
    let low = decoded(inflater, head, &marked(|[low, _]| low))?;
    let high = decoded(inflater, head, &marked(|[_, high]| high | MARKED))?;
    let mut used = vec![false; head.window.len()];
    for ((low, high), plain) in low.iter().zip(&high).zip(&head.plain) {
        let (low, high) = (low ^ plain, high ^ plain);
        if high & MARKED != 0 {
            let at = u16::from_le_bytes([low, high & !MARKED]);
            *used.get_mut(usize::from(at))? = true;
        }
    }
    Some(used)
}

/// The head's plain bytes as they come out over `window`: all that can refer to it.
fn decoded(inflater: &mut Inflater, head: &Head, window: &[u8]) -> Option<Vec<u8>> {
    inflater.resume(head.bits, head.byte, window).ok()?;
    let mut plain = vec![0; WINDOW_BYTES];
    let (mut taken, mut made) = (0, 0);
    loop {
        let input = head.stored.get(taken..)?;
        let step = inflater
            .run(input, plain.get_mut(made..)?, StopAt::Nowhere)
            .ok()?;
        taken += step.consumed;
        made += step.produced;
        if made == WINDOW_BYTES || step.place == Place::StreamEnd {
            plain.truncate(made);
            return Some(plain);
        }
        if step.consumed == 0 && step.produced == 0 {
            return None;
        }
    }
}
