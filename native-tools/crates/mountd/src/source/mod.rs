//! Where the stored bytes of layers come from.

mod archive_url;
mod directory;
mod error;
mod file;
mod health;
mod mirrors;
pub mod registry;

pub use archive_url::ArchiveUrl;
pub use directory::DirectorySource;
pub use error::{FetchError, FetchKind};
pub use file::FileSource;
pub use mirrors::MirroredSource;

use std::fmt::Debug;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use archive_format::digest::Digest;

use crate::limit::Gate;
use crate::link::Link;

/// A blob as its descriptor names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
}

/// Reads stretches of blobs. The bytes are not proven here: whoever uses them checks the digests.
///
/// A reader gives exactly the bytes of the range or fails; an implementation retries, waits and resumes by itself, so
/// an error is its last word for now. Errors of the reader carry a [`FetchError`] (see [`FetchError::from_io`]).
pub trait BlobSource: Debug + Send + Sync {
    /// Starts reading `range` of `blob`.
    ///
    /// # Errors
    /// Why the bytes cannot be had.
    fn open(
        self: Arc<Self>,
        blob: &Blob,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, FetchError>;

    /// Bytes that were given of `blob` are not its bytes. Where they may come from elsewhere, they do from now on.
    fn damaged(&self, _blob: &Blob) {}

    /// What bounds the requests in flight here, where something does.
    fn gate(&self) -> Option<Arc<Gate>> {
        None
    }

    /// What is known of the way there; nothing where there is none to speak of.
    fn link(&self) -> Option<Arc<Link>> {
        None
    }

    /// Proves that this login may read `blob`, without reading it. What needs no login is open to all.
    ///
    /// # Errors
    /// Why it may not, or why nobody can tell.
    fn authorise(&self, _blob: &Blob) -> Result<(), FetchError> {
        Ok(())
    }

    /// Whether an answer has proven it already.
    fn is_authorised(&self, _blob: &Blob) -> bool {
        true
    }

    /// Called before bytes are used that somebody else may have left in the cache.
    ///
    /// # Errors
    /// Why who reads through this source may not have them.
    fn may_use_cache(&self, _blob: &Blob) -> Result<(), FetchError> {
        Ok(())
    }
}
