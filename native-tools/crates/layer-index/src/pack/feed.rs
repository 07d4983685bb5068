//! Reads the plain stream, walks the tar in it, cuts it into chunks and sends those off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Sender;

use super::Encoding;
use super::worker::{ChunkTask, Done, Task};
use crate::buffers::{Buffer, BufferPool, Piece};
use crate::error::IndexError;
use crate::index_file::IndexWriter;
use crate::limits::Limits;
use crate::source::Source;
use crate::stop::Stop;
use crate::tar::TarWalker;

/// Bytes asked of the source at once. What was read beyond a cut is copied into the next chunk, so not too many.
const READ_BYTES: usize = 128 << 10;

/// Everything the reading thread of a layer works with.
pub(super) struct Feeder<'a> {
    pub(super) source: &'a mut dyn Source,
    pub(super) walker: &'a mut TarWalker,
    pub(super) index: &'a mut IndexWriter,
    pub(super) limits: &'a Limits,
    pub(super) plain_pool: &'a BufferPool,
    /// Pool for compressed chunks and how they are compressed, when they are.
    pub(super) encode: Option<(Encoding, &'a BufferPool)>,
    pub(super) tasks: &'a Sender<Task>,
    pub(super) reply: Sender<Done>,
    pub(super) hasher: Sender<Arc<Piece>>,
    pub(super) done_bytes: &'a AtomicU64,
    pub(super) stop: &'a Stop,
}

impl Feeder<'_> {
    /// Runs to the end of the stream. The plain stream's length is the sum of the chunks.
    pub(super) fn run(mut self) -> Result<(), IndexError> {
        let mut buffer = self.plain_pool.acquire(self.stop)?;
        let mut filled = 0;
        let mut total = 0u64;
        let mut sequence = 0;
        loop {
            let end = buffer.len().min(filled + READ_BYTES);
            let room = buffer.get_mut(filled..end).unwrap_or_default();
            let length = self.source.read(room)?;
            self.done_bytes
                .store(self.source.position(), Ordering::Relaxed);
            if length == 0 {
                break;
            }
            total += length as u64;
            self.check_size(total)?;
            let mut walked = filled;
            filled += length;
            while walked < filled {
                let bytes = buffer.get(walked..filled).unwrap_or_default();
                let index = &mut *self.index;
                let fed = self.walker.feed(bytes, &mut |entry| index.entry(&entry))?;
                walked += fed.taken;
                if fed.cut && walked > 0 {
                    let mut next = self.plain_pool.acquire(self.stop)?;
                    let rest = buffer.get(walked..filled).unwrap_or_default();
                    if let Some(start) = next.get_mut(..rest.len()) {
                        start.copy_from_slice(rest);
                    }
                    self.send(&mut sequence, std::mem::replace(&mut buffer, next), walked)?;
                    filled -= walked;
                    walked = 0;
                }
            }
            if filled == buffer.len() {
                let next = self.plain_pool.acquire(self.stop)?;
                self.send(&mut sequence, std::mem::replace(&mut buffer, next), filled)?;
                filled = 0;
            }
        }
        self.walker.finish()?;
        if filled > 0 {
            self.send(&mut sequence, buffer, filled)?;
        }
        Ok(())
    }

    fn send(
        &mut self,
        sequence: &mut u64,
        buffer: Buffer,
        length: usize,
    ) -> Result<(), IndexError> {
        let encode = match self.encode {
            Some((encoding, pool)) => Some((encoding, pool.acquire(self.stop)?)),
            None => None,
        };
        let plain = Piece::new(buffer, length);
        self.hasher
            .send(Arc::clone(&plain))
            .map_err(|_| IndexError::Canceled)?;
        let task = ChunkTask {
            sequence: *sequence,
            plain,
            encode,
            reply: self.reply.clone(),
        };
        *sequence += 1;
        self.tasks
            .send(Task::Chunk(task))
            .map_err(|_| IndexError::Canceled)
    }

    fn check_size(&self, total: u64) -> Result<(), IndexError> {
        let limits = self.limits;
        if total > limits.max_plain_bytes {
            return Err(IndexError::setting(
                "plain-bytes",
                format!("a layer of {total} plain bytes"),
                limits.max_plain_bytes,
            ));
        }
        let stored = self.source.position();
        if total > limits.ratio_free_bytes && total / limits.max_ratio.max(1) > stored {
            let what = format!("{total} plain bytes from {stored} stored ones: the ratio");
            return Err(IndexError::setting("ratio", what, limits.max_ratio));
        }
        Ok(())
    }
}
