//! What a blob's bytes are read from.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;

use super::Planned;
use crate::error::IndexError;
use crate::stop::Stop;

/// A blob as it lies on disk, or as it comes.
pub(crate) enum Input {
    File(File),
    Planned(Box<Planned>),
    Stream(Stream),
}

/// A blob that comes over a socket: it can be read once only. A read ends now and then without a byte, so that the stop
/// flag is heard.
pub(crate) struct Stream {
    socket: UnixStream,
    expected_bytes: Option<u64>,
    read_bytes: u64,
}

impl Stream {
    /// `socket` has a read timeout. More than `expected_bytes` are refused.
    pub(crate) fn new(socket: UnixStream, expected_bytes: Option<u64>) -> Self {
        Self {
            socket,
            expected_bytes,
            read_bytes: 0,
        }
    }

    /// The same stream for whoever reads on after this reader.
    pub(crate) fn rest(&self) -> std::io::Result<Self> {
        Ok(Self::new(self.socket.try_clone()?, self.expected_bytes))
    }

    fn took(&mut self, length: usize) -> Result<usize, IndexError> {
        self.read_bytes += length as u64;
        match self.expected_bytes {
            Some(expected) if self.read_bytes > expected => Err(IndexError::BlobMismatch {
                expected: format!("{expected} bytes"),
                actual: format!("more than {expected} bytes"),
            }),
            _ => Ok(length),
        }
    }
}

impl Input {
    /// `read(2)` that is not disturbed by signals; 0 at the end.
    pub(crate) fn read(
        &mut self,
        out: &mut [u8],
        name: &str,
        stop: &Stop,
    ) -> Result<usize, IndexError> {
        loop {
            let outcome = match self {
                Self::Planned(planned) => return planned.read(out),
                Self::File(file) => file.read(out),
                Self::Stream(stream) => stream.socket.read(out),
            };
            match (outcome, &mut *self) {
                (Ok(length), Self::Stream(stream)) => return stream.took(length),
                (Ok(length), Self::File(_) | Self::Planned(_)) => return Ok(length),
                (Err(error), _) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => stop.check()?,
                    _ => return Err(IndexError::io(format!("read {name}"), error)),
                },
            }
        }
    }
}
