//! Bodies whose connection serves the next request.

use std::io::{self, Read};

/// A body of known length. The client takes its connection back when it has seen the end, which lies one read behind the last
/// byte; who reads as many bytes as it asked for never comes there.
pub(super) struct Ended<R> {
    body: R,
    left: u64,
}

impl<R: Read> Ended<R> {
    /// `left`: how long the body is.
    pub(super) fn new(body: R, left: u64) -> Self {
        Self { body, left }
    }
}

impl<R: Read> Read for Ended<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.body.read(buffer)?;
        if length > 0 {
            self.left = self.left.saturating_sub(length as u64);
            if self.left == 0 {
                // Nothing is waited for: all bytes that were announced are here.
                let _ = self.body.read(&mut [0]);
            }
        }
        Ok(length)
    }
}
