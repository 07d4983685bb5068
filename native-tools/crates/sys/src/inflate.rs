//! Inflate (RFC 1951) with stops at block boundaries, and from any bit with a given window. The C interface of zlib-rs has
//! both; its Rust interface has neither.

#![allow(
    unsafe_code,
    reason = "calls into the C interface of zlib-rs; each says why it is sound"
)]

use std::ffi::c_int;
use std::mem::size_of;

use libz_rs_sys::{
    Z_BLOCK, Z_BUF_ERROR, Z_NO_FLUSH, Z_OK, Z_STREAM_END, inflate, inflateEnd, inflateInit2_,
    inflatePrime, inflateReset2, inflateSetDictionary, z_stream, zlibVersion,
};

/// The farthest that deflate refers back.
pub const WINDOW_BYTES: usize = 32 << 10;
/// Negative: no header around the deflate stream.
const RAW: c_int = -15;
/// 16 more than the window's logarithm: a gzip member, its checksum proven.
const GZIP: c_int = 31;
/// Bits of `data_type` after a call (zlib.h).
const AFTER_BLOCK: c_int = 128;
const IN_LAST_BLOCK: c_int = 64;
const UNUSED_BITS: c_int = 7;

/// What is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// A deflate stream.
    Raw,
    /// A gzip member around one.
    Gzip,
}

/// Where a call may end besides at the end of its input, of its output and of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopAt {
    /// Nowhere.
    Nowhere,
    /// Where a block ends.
    BlockEnd,
}

/// What one call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of input taken.
    pub consumed: usize,
    /// Bytes of output made.
    pub produced: usize,
    /// Where it stopped.
    pub place: Place,
}

/// Where a call stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Anywhere.
    Inside,
    /// Behind a block that is not the last one; so many bits (0 to 7) of the last byte taken belong to what follows.
    BlockEnd(u8),
    /// Behind the stream.
    StreamEnd,
}

/// The stream is damaged, or the library is out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("inflate fails with {0}")]
pub struct InflateError(pub i32);

/// A decoder. It neither reads ahead nor keeps input between calls.
pub struct Inflater {
    /// In a box because the library may remember where it lies.
    stream: Box<z_stream>,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inflater(at {})", self.stream.total_out)
    }
}

// SAFETY: what the stream points to (the library's state) belongs to it alone; the pointers to input and output are reset
// by every call before they are used.
unsafe impl Send for Inflater {}

impl Inflater {
    /// At the start of a stream.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(wrapping: Wrapping) -> Result<Self, InflateError> {
        let mut stream = Box::<z_stream>::default();
        let size = c_int::try_from(size_of::<z_stream>()).unwrap_or_default();
        // SAFETY: the stream is a valid default stream, which init fills in; version and size are the library's own.
        let code =
            unsafe { inflateInit2_(&raw mut *stream, bits_of(wrapping), zlibVersion(), size) };
        checked(code).map(|()| Self { stream })
    }

    /// Starts again, at the start of another stream.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn reset(&mut self, wrapping: Wrapping) -> Result<(), InflateError> {
        // SAFETY: `new` initialised the stream.
        checked(unsafe { inflateReset2(&raw mut *self.stream, bits_of(wrapping)) })
    }

    /// Starts in the middle of a deflate stream instead: `bits` bits (0 to 7) of `byte`, the highest ones, come before the
    /// input; `window` is the output before them, at most its last [`WINDOW_BYTES`] bytes.
    ///
    /// # Errors
    /// When there is no memory, or the arguments are out of bounds.
    pub fn resume(&mut self, bits: u8, byte: u8, window: &[u8]) -> Result<(), InflateError> {
        self.reset(Wrapping::Raw)?;
        if bits > 0 {
            let value = u32::from(byte).checked_shr(8 - u32::from(bits.min(7)));
            let value = c_int::try_from(value.unwrap_or_default()).unwrap_or_default();
            // SAFETY: `new` initialised the stream.
            checked(unsafe { inflatePrime(&raw mut *self.stream, c_int::from(bits), value) })?;
        }
        if window.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(window.len()).unwrap_or(u32::MAX);
        // SAFETY: `new` initialised the stream; the library copies `length` bytes from the slice.
        checked(unsafe { inflateSetDictionary(&raw mut *self.stream, window.as_ptr(), length) })
    }

    /// Decodes. Nothing taken and nothing made means that input or output is wanted.
    ///
    /// # Errors
    /// When the stream is damaged.
    pub fn run(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        stop: StopAt,
    ) -> Result<Step, InflateError> {
        let (given, room) = (bounded(input.len()), bounded(output.len()));
        self.stream.next_in = input.as_ptr();
        self.stream.avail_in = given;
        self.stream.next_out = output.as_mut_ptr();
        self.stream.avail_out = room;
        let flush = match stop {
            StopAt::Nowhere => Z_NO_FLUSH,
            StopAt::BlockEnd => Z_BLOCK,
        };
        // SAFETY: `new` initialised the stream; input and output are as long as it says, and both outlive the call.
        let code = unsafe { inflate(&raw mut *self.stream, flush) };
        let consumed = (given - self.stream.avail_in) as usize;
        let produced = (room - self.stream.avail_out) as usize;
        self.stream.next_in = std::ptr::null();
        self.stream.avail_in = 0;
        self.stream.next_out = std::ptr::null_mut();
        self.stream.avail_out = 0;
        let place = match code {
            Z_STREAM_END => Place::StreamEnd,
            Z_OK | Z_BUF_ERROR => self.place(),
            other => return Err(InflateError(other)),
        };
        Ok(Step {
            consumed,
            produced,
            place,
        })
    }

    fn place(&self) -> Place {
        let state = self.stream.data_type;
        if state & AFTER_BLOCK == 0 || state & IN_LAST_BLOCK != 0 {
            return Place::Inside;
        }
        u8::try_from(state & UNUSED_BITS).map_or(Place::Inside, Place::BlockEnd)
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: `new` initialised the stream, and it is not used again.
        unsafe { inflateEnd(&raw mut *self.stream) };
    }
}

fn bits_of(wrapping: Wrapping) -> c_int {
    match wrapping {
        Wrapping::Raw => RAW,
        Wrapping::Gzip => GZIP,
    }
}

fn bounded(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn checked(code: c_int) -> Result<(), InflateError> {
    if code == Z_OK {
        Ok(())
    } else {
        Err(InflateError(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two stored blocks of five bytes.
    const STREAM: [u8; 20] = [
        0, 5, 0, 0xfa, 0xff, b'a', b'b', b'c', b'd', b'e', 0, 5, 0, 0xfa, 0xff, b'f', b'g', b'h',
        b'i', b'j',
    ];

    #[test]
    fn stops_behind_every_block() {
        let mut inflater = Inflater::new(Wrapping::Raw).unwrap();
        let mut out = [0; 100];
        let mut ends = vec![];
        let (mut taken, mut made) = (0, 0);
        for _ in 0..10 {
            let step = inflater
                .run(&STREAM[taken..], &mut out[made..], StopAt::BlockEnd)
                .unwrap();
            taken += step.consumed;
            made += step.produced;
            if made > 0 && step.place == Place::BlockEnd(0) {
                ends.push((taken, made));
            }
        }
        ends.dedup();
        assert_eq!(ends, [(10, 5), (20, 10)]);
        assert_eq!(&out[..10], b"abcdefghij");
    }

    #[test]
    fn a_damaged_stream_is_an_error() {
        let mut inflater = Inflater::new(Wrapping::Raw).unwrap();
        let error = inflater.run(&[0x07, 0, 0], &mut [0; 10], StopAt::Nowhere);
        assert_eq!(error.unwrap_err(), InflateError(-3));
    }
}
