//! The zstd frames of a section. Each says its length, so they are decoded side by side, each to its place.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

/// Plain bytes of a frame that the writer makes: small enough for a core's cache, and no larger together than one frame over all.
const FRAME_BYTES: usize = 256 << 10;
/// More threads do not make a mount faster: pages are had one at a time.
const MOST_THREADS: usize = 4;

/// A frame and the length it promises.
struct Frame<'a> {
    stored: &'a [u8],
    plain_bytes: usize,
}

/// Splits stored bytes into their frames, without decoding any. `None` when they are not frames that say their length and
/// give `plain_bytes` together.
fn split(mut stored: &[u8], plain_bytes: usize) -> Option<Vec<Frame<'_>>> {
    let mut frames = vec![];
    let mut left = plain_bytes;
    while !stored.is_empty() {
        let length = find_frame_compressed_size(stored).ok()?;
        let (frame, rest) = stored.split_at_checked(length)?;
        let plain = usize::try_from(get_frame_content_size(frame).ok()??).ok()?;
        left = left.checked_sub(plain)?;
        frames.push(Frame {
            stored: frame,
            plain_bytes: plain,
        });
        stored = rest;
    }
    (left == 0).then_some(frames)
}

/// Decodes frames to `plain_bytes` bytes, and does `meanwhile` beside it.
pub(crate) fn decode<T: Send>(
    stored: &[u8],
    plain_bytes: usize,
    meanwhile: impl FnOnce() -> T + Send,
) -> (T, Result<Vec<u8>, String>) {
    let Some(frames) = split(stored, plain_bytes) else {
        return (meanwhile(), decode_as_one(stored, plain_bytes));
    };
    let mut plain = vec![0; plain_bytes];
    let mut rest = plain.as_mut_slice();
    let mut places = Vec::with_capacity(frames.len());
    for frame in frames {
        // The lengths add up to that of `plain`.
        let Some((place, behind)) = rest.split_at_mut_checked(frame.plain_bytes) else {
            break;
        };
        places.push((frame.stored, place));
        rest = behind;
    }
    let (told, decoded) = side_by_side(places, meanwhile, || {
        let mut decoder = zstd::bulk::Decompressor::new().map_err(|error| error.to_string())?;
        Ok(move |(stored, place): (&[u8], &mut [u8])| {
            let length = decoder.decompress_to_buffer(stored, place);
            whole(length.map_err(|error| error.to_string())?, place.len())
        })
    });
    (told, decoded.map(|()| plain))
}

/// A section of which nothing is known but its whole length.
fn decode_as_one(stored: &[u8], plain_bytes: usize) -> Result<Vec<u8>, String> {
    let plain = zstd::bulk::decompress(stored, plain_bytes).map_err(|error| error.to_string())?;
    whole(plain.len(), plain_bytes).map(|()| plain)
}

fn whole(length: usize, wanted: usize) -> Result<(), String> {
    if length == wanted {
        return Ok(());
    }
    Err(format!("{length} bytes instead of {wanted}"))
}

/// Why bytes did not get into a file.
#[derive(Debug)]
pub(crate) enum IntoFileError {
    Decode(String),
    Write(io::Error),
}

impl From<String> for IntoFileError {
    fn from(why: String) -> Self {
        Self::Decode(why)
    }
}

/// The same into a file, from its beginning: never more than a frame a thread is in memory, or the window of a frame that is
/// larger than the writer's.
pub(crate) fn decode_into<T: Send>(
    stored: &[u8],
    plain_bytes: usize,
    file: &File,
    meanwhile: impl FnOnce() -> T + Send,
) -> (T, Result<(), IntoFileError>) {
    let frames = split(stored, plain_bytes);
    let Some(frames) = frames.filter(|frames| {
        let mut frames = frames.iter();
        frames.all(|frame| frame.plain_bytes <= FRAME_BYTES)
    }) else {
        return (meanwhile(), stream_into(stored, plain_bytes, file));
    };
    let mut at = 0;
    let places: Vec<_> = frames
        .into_iter()
        .map(|frame| {
            let offset = at;
            at += frame.plain_bytes as u64;
            (frame, offset)
        })
        .collect();
    side_by_side(places, meanwhile, || {
        let mut decoder = zstd::bulk::Decompressor::new().map_err(|error| error.to_string())?;
        let mut buffer = vec![0; FRAME_BYTES];
        Ok(move |(frame, offset): (Frame<'_>, u64)| {
            let place = buffer.get_mut(..frame.plain_bytes).unwrap_or_default();
            let length = decoder.decompress_to_buffer(frame.stored, place);
            whole(length.map_err(|error| error.to_string())?, place.len())?;
            file.write_all_at(place, offset)
                .map_err(IntoFileError::Write)
        })
    })
}

/// One thread, whatever the frames are.
fn stream_into(stored: &[u8], plain_bytes: usize, file: &File) -> Result<(), IntoFileError> {
    let failed = |error: io::Error| IntoFileError::Decode(error.to_string());
    let mut decoder = zstd::Decoder::with_buffer(stored).map_err(failed)?;
    let mut buffer = vec![0; FRAME_BYTES];
    let mut at = 0;
    loop {
        let length = decoder.read(&mut buffer).map_err(failed)?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else {
            break;
        };
        if length > plain_bytes - at {
            return Err(format!("more than {plain_bytes} bytes").into());
        }
        file.write_all_at(piece, at as u64)
            .map_err(IntoFileError::Write)?;
        at += length;
    }
    Ok(whole(at, plain_bytes)?)
}

/// Takes items on several threads, each with a worker of its own, until one fails. One of them does `meanwhile` first.
fn side_by_side<I, T, E, W>(
    items: Vec<I>,
    meanwhile: impl FnOnce() -> T + Send,
    worker: impl Fn() -> Result<W, E> + Sync,
) -> (T, Result<(), E>)
where
    I: Send,
    T: Send,
    E: Send,
    W: FnMut(I) -> Result<(), E>,
{
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(MOST_THREADS).min(items.len());
    let items = Mutex::new(items.into_iter());
    let failed = AtomicBool::new(false);
    let work = || -> Result<(), E> {
        let mut take = worker()?;
        while !failed.load(Ordering::Relaxed) {
            // Not in the loop's head: the lock would be held through its body.
            let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = next else { break };
            take(item).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        // A thread that cannot be started is one that does not help.
        let helpers: Vec<_> = (1..threads)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let told = meanwhile();
        let mut result = work();
        for helper in helpers {
            match helper.join() {
                Ok(helped) => result = result.and(helped),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        (told, result)
    })
}

/// The frames of `plain`, one after the other; none of nothing.
///
/// # Errors
/// The library's, when there is no memory.
pub(crate) fn encode(plain: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::bulk::Compressor::new(level)?;
    let mut stored = vec![];
    for piece in plain.chunks(FRAME_BYTES) {
        stored.extend(encoder.compress(piece)?);
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Vec<u8> {
        let words = (0..200_000u32).map(|number| number.wrapping_mul(2_654_435_761) >> 18);
        words.flat_map(u32::to_le_bytes).collect()
    }

    /// What both ways give.
    fn both(stored: &[u8], plain_bytes: usize) -> [Option<Vec<u8>>; 2] {
        let (told, in_memory) = decode(stored, plain_bytes, || 7);
        assert_eq!(told, 7);
        let file = tempfile::tempfile().unwrap();
        let (told, in_file) = decode_into(stored, plain_bytes, &file, || 8);
        assert_eq!(told, 8);
        let read = in_file.ok().map(|()| {
            let mut bytes = vec![];
            (&file).read_to_end(&mut bytes).unwrap();
            bytes
        });
        [in_memory.ok(), read]
    }

    #[test]
    fn what_was_encoded_is_decoded_from_frames_of_any_size() {
        let plain = plain();
        let many = encode(&plain, 3).unwrap();
        assert_eq!(split(&many, plain.len()).unwrap().len(), 4);
        let one = zstd::bulk::compress(&plain, 3).unwrap();
        // A frame that does not say its length, as a streaming encoder makes it.
        let silent = zstd::encode_all(plain.as_slice(), 3).unwrap();
        assert!(split(&silent, plain.len()).is_none());
        let mixed = [silent.as_slice(), &one].concat();
        let twice = [plain.as_slice(), &plain].concat();
        for (stored, plain) in [
            (&many, &plain),
            (&one, &plain),
            (&silent, &plain),
            (&mixed, &twice),
        ] {
            for found in both(stored, plain.len()) {
                assert!(found.as_ref() == Some(plain));
            }
        }
    }

    #[test]
    fn a_damaged_frame_or_another_length_is_an_error() {
        let plain = plain();
        let stored = encode(&plain, 3).unwrap();
        let lengths = [0, plain.len() - 1, plain.len() + 1];
        for length in lengths {
            assert_eq!(both(&stored, length), [None, None], "{length}");
        }
        let frames = split(&stored, plain.len()).unwrap();
        let second = frames.first().unwrap().stored.len();
        for end in [second - 1, second, second + 1, stored.len() - 1] {
            let cut = stored.get(..end).unwrap();
            assert_eq!(both(cut, plain.len()), [None, None], "cut at {end}");
        }
        let more = [stored.as_slice(), b"more"].concat();
        assert_eq!(both(&more, plain.len()), [None, None]);
        // The block's header of the second frame: its type becomes the reserved one.
        let mut broken = stored.clone();
        for byte in broken.get_mut(second + 5..second + 12).unwrap() {
            *byte = 0xff;
        }
        assert_eq!(both(&broken, plain.len()), [None, None]);
    }
}
