//! The bytes of a layer that are left in the image, in one pass over its blob.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use archive_format::digest::{Digest, Sha256, oci};
use archive_format::tables::{Codec, LayerTable};
use crossbeam_channel::bounded;

use super::Blob;
use super::files::{Files, Wanted};
use crate::buffers::Piece;
use crate::error::IndexError;
use crate::media::codec_of;
use crate::pack::{SeekPoints, hash_stream, source_of};
use crate::source::Input;
use crate::stop::Stop;

/// Plain bytes taken from the decoder at once.
const STEP_BYTES: usize = 256 << 10;
/// Pieces of a compressed blob on their way to the hasher.
const BLOB_PIECES: usize = 8;

/// Reads a blob to its end, hands each wanted stretch to `files` and proves the blob's digest.
pub(super) fn copy_layer(
    blob: &Blob,
    table: &LayerTable,
    wanted: &[Wanted],
    files: &mut Files<'_>,
    stop: &Stop,
) -> Result<(), IndexError> {
    let codec = codec_of(&blob.media_type)?;
    let name = blob.path.display().to_string();
    let file =
        File::open(&blob.path).map_err(|error| IndexError::io(format!("open {name}"), error))?;
    let mut stretches = Stretches::new(wanted);
    let mut plain = Sha256::new();
    let stored = thread::scope(|scope| {
        let (hasher, pieces) = bounded::<Arc<Piece>>(BLOB_PIECES);
        let hashing = scope.spawn(move || hash_stream(&pieces));
        let mut source = source_of(
            codec,
            Input::File(file),
            name,
            &blob.limits,
            SeekPoints::none(),
            hasher,
            stop,
        )?;
        let mut buffer = vec![0; STEP_BYTES];
        loop {
            stop.check()?;
            let length = source.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            let bytes = buffer.get(..length).unwrap_or(&buffer);
            if codec == Codec::Plain {
                plain.update(bytes);
            }
            stretches.feed(bytes, files)?;
        }
        drop(source); // and with it the hasher's end of the channel
        hashing
            .join()
            .map_err(|_| IndexError::Internal("a thread panicked".to_owned()))
    })?;
    stretches.finish()?;
    let digest = match codec {
        Codec::Plain => plain.finish(),
        Codec::Gzip | Codec::Zstd => stored.digest,
    };
    require(&table.digest, &digest)
}

/// The same for section `extra`, which is in memory.
pub(super) fn copy_extra(
    stored: &[u8],
    table: &LayerTable,
    wanted: &[Wanted],
    files: &mut Files<'_>,
) -> Result<(), IndexError> {
    let mut stretches = Stretches::new(wanted);
    let mut rest = stored;
    for span in &table.spans {
        let broken = || IndexError::Internal("section extra is not its table's".to_owned());
        let length = usize::try_from(span.stored).map_err(|_| broken())?;
        let (frame, behind) = rest.split_at_checked(length).ok_or_else(broken)?;
        let plain_bytes = usize::try_from(span.plain).map_err(|_| broken())?;
        let plain = zstd::bulk::decompress(frame, plain_bytes).map_err(|_| broken())?;
        stretches.feed(&plain, files)?;
        rest = behind;
    }
    stretches.finish()
}

fn require(expected: &Digest, actual: &Digest) -> Result<(), IndexError> {
    if expected == actual {
        return Ok(());
    }
    Err(IndexError::BlobMismatch {
        expected: oci(expected),
        actual: oci(actual),
    })
}

/// Goes through a stream and the stretches that are wanted of it, both in order. Two files may want the same bytes.
struct Stretches<'a> {
    /// Not begun yet.
    waiting: &'a [Wanted],
    /// Begun and not ended.
    active: Vec<&'a Wanted>,
    position: u64,
}

impl<'a> Stretches<'a> {
    fn new(wanted: &'a [Wanted]) -> Self {
        Self {
            waiting: wanted,
            active: Vec::new(),
            position: 0,
        }
    }

    fn feed(&mut self, bytes: &[u8], files: &mut Files<'_>) -> Result<(), IndexError> {
        let here = self.position..self.position + bytes.len() as u64;
        while let Some((next, rest)) = self.waiting.split_first() {
            if next.device_offset >= here.end {
                break;
            }
            self.active.push(next);
            self.waiting = rest;
        }
        for wanted in &self.active {
            let start = wanted.device_offset.max(here.start);
            let part = within(bytes, &here, start..wanted.end().min(here.end));
            files.write_stretch(wanted, start - wanted.device_offset, part)?;
        }
        self.active.retain(|wanted| wanted.end() > here.end);
        self.position = here.end;
        Ok(())
    }

    fn finish(self) -> Result<(), IndexError> {
        if self.active.is_empty() && self.waiting.is_empty() {
            return Ok(());
        }
        Err(IndexError::Truncated(format!(
            "the layer has {} plain bytes, its index tells of more",
            self.position
        )))
    }
}

fn within<'b>(bytes: &'b [u8], here: &Range<u64>, part: Range<u64>) -> &'b [u8] {
    let at = |offset: u64| usize::try_from(offset.saturating_sub(here.start)).unwrap_or(usize::MAX);
    bytes.get(at(part.start)..at(part.end)).unwrap_or_default()
}
