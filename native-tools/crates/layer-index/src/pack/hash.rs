//! SHA-256 of a stream, on a thread of its own.

use std::sync::Arc;

use archive_format::digest::{Digest, Sha256};
use crossbeam_channel::Receiver;

use crate::buffers::Piece;

/// Digest and length of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// Hashes pieces in order until no more can come.
pub(crate) fn hash_stream(pieces: &Receiver<Arc<Piece>>) -> Hashed {
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    for piece in pieces {
        hasher.update(piece.bytes());
        bytes += piece.bytes().len() as u64;
    }
    Hashed {
        digest: hasher.finish(),
        bytes,
    }
}
