//! Buffers that go round: their number bounds the memory of the whole pipeline.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::error::IndexError;
use crate::stop::Stop;

/// A fixed number of buffers of one size, made when first needed and given out last in, first out (warm caches).
#[derive(Debug, Clone)]
pub(crate) struct BufferPool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes: usize,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug)]
struct State {
    free: Vec<Vec<u8>>,
    unmade: usize,
}

/// A buffer on loan; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    home: Arc<Shared>,
}

impl BufferPool {
    pub(crate) fn new(count: usize, bytes: usize) -> Self {
        Self(Arc::new(Shared {
            bytes,
            state: Mutex::new(State {
                free: Vec::new(),
                unmade: count,
            }),
            returned: Condvar::new(),
        }))
    }

    /// Waits for a buffer. Its content is whatever was left in it.
    pub(crate) fn acquire(&self, stop: &Stop) -> Result<Buffer, IndexError> {
        let shared = &self.0;
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            stop.check()?;
            if let Some(bytes) = state.free.pop() {
                return Ok(self.lend(bytes));
            }
            if state.unmade > 0 {
                state.unmade -= 1;
                return Ok(self.lend(vec![0; shared.bytes]));
            }
            // the timeout is for the stop flag, which wakes nobody
            state = shared
                .returned
                .wait_timeout(state, Duration::from_millis(50))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lend(&self, bytes: Vec<u8>) -> Buffer {
        Buffer {
            bytes,
            home: Arc::clone(&self.0),
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .free
            .push(bytes);
        self.home.returned.notify_one();
    }
}

/// The filled part of a buffer, shared by the threads that read it.
#[derive(Debug)]
pub(crate) struct Piece {
    buffer: Buffer,
    length: usize,
}

impl Piece {
    pub(crate) fn new(buffer: Buffer, length: usize) -> Arc<Self> {
        Arc::new(Self { buffer, length })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or(&self.buffer)
    }
}
