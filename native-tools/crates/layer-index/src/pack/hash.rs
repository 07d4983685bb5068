//! SHA-256 of a stream, on a thread of its own.

use std::sync::Arc;

use archive_format::digest::{Digest, Sha256};
use crossbeam_channel::Receiver;

use crate::buffers::Piece;

/// Digest and length of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hashed {
    pub(super) digest: Digest,
    pub(super) bytes: u64,
}

/// Hashes pieces in order until no more can come.
pub(super) fn hash_stream(pieces: &Receiver<Arc<Piece>>) -> Hashed {
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
