//! A compressed blob's bytes, hashed on another thread while they are decoded.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::{Input, Tail};
use crate::buffers::{BufferPool, Piece};
use crate::error::IndexError;
use crate::stop::Stop;

/// Reads a blob piece by piece and gives every piece to the hasher as well.
pub(crate) struct BlobReader {
    input: Input,
    name: String,
    pool: BufferPool,
    hasher: Sender<Arc<Piece>>,
    stop: Stop,
    piece: Option<Arc<Piece>>,
    used: usize,
    position: u64,
    tail: Tail,
}

impl BlobReader {
    pub(crate) fn new(
        input: Input,
        name: String,
        pool: BufferPool,
        hasher: Sender<Arc<Piece>>,
        stop: Stop,
    ) -> Self {
        Self {
            input,
            name,
            pool,
            hasher,
            stop,
            piece: None,
            used: 0,
            position: 0,
            tail: Tail::default(),
        }
    }

    /// The last bytes read from the blob so far.
    pub(crate) fn take_tail(&mut self) -> Tail {
        std::mem::take(&mut self.tail)
    }

    /// Bytes consumed so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The bytes at hand, more of the file when there are none; empty at its end.
    pub(crate) fn available(&mut self) -> Result<&[u8], IndexError> {
        let is_used_up = self
            .piece
            .as_ref()
            .is_none_or(|piece| self.used >= piece.bytes().len());
        if is_used_up {
            self.piece = None;
            self.used = 0;
            let mut buffer = self.pool.acquire(&self.stop)?;
            let length = self.input.read(&mut buffer, &self.name, &self.stop)?;
            if length > 0 {
                let piece = Piece::new(buffer, length);
                self.tail.saw(piece.bytes());
                self.hasher
                    .send(Arc::clone(&piece))
                    .map_err(|_| IndexError::Canceled)?;
                self.piece = Some(piece);
            }
        }
        let bytes = self.piece.as_ref().map_or(&[][..], |piece| piece.bytes());
        Ok(bytes.get(self.used..).unwrap_or(&[]))
    }

    /// Marks bytes of [`Self::available`] as read.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.used += bytes;
        self.position += bytes as u64;
    }

    /// The next byte, none at the end of the blob.
    pub(crate) fn next_byte(&mut self) -> Result<Option<u8>, IndexError> {
        let byte = self.available()?.first().copied();
        if byte.is_some() {
            self.consume(1);
        }
        Ok(byte)
    }
}
