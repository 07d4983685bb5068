//! Where the bytes of a device come from.

use std::fmt::Debug;
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::fuse::FsError;

/// The plain stream of a device, rounded up with zeros to a block.
pub trait DeviceStream: Debug + Send + Sync {
    /// Whether a read needs nothing but the local disk.
    fn is_ready(&self, offset: u64, length: usize) -> bool;

    /// Fills `buffer`; what lies behind the end of the stream is zeros.
    ///
    /// # Errors
    /// [`FsError::Io`] when any of the bytes cannot be had.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError>;
}

/// A whole plain layer in a file, a multiple of 512 bytes long.
#[derive(Debug)]
pub struct LocalStream(pub File);

impl DeviceStream for LocalStream {
    fn is_ready(&self, _offset: u64, _length: usize) -> bool {
        true
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError> {
        self.0.read_exact_at(buffer, offset).map_err(|error| {
            tracing::error!(code = "IO_FAILED", %error, "a local layer cannot be read");
            FsError::Io
        })
    }
}
