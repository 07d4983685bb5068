//! The pool: chunks in, digests and compressed chunks out, in any order.

use std::sync::Arc;

use archive_format::digest::{Digest, blake3};
use crossbeam_channel::{Receiver, Sender};

use super::encode::Encoders;
use super::{Encoding, LevelControl};
use crate::buffers::{Buffer, Piece};
use crate::error::IndexError;

/// A chunk to work on. The buffer for its compressed form comes along, so that no worker ever waits for one.
pub(super) struct Task {
    pub(super) sequence: u64,
    pub(super) plain: Arc<Piece>,
    pub(super) encode: Option<(Encoding, Buffer)>,
    pub(super) reply: Sender<Done>,
}

/// A chunk that was worked on.
pub(super) struct Done {
    pub(super) sequence: u64,
    pub(super) digest: Digest,
    pub(super) plain: Arc<Piece>,
    pub(super) stored: Result<Option<(Buffer, usize)>, IndexError>,
}

/// Works until no task can come any more.
pub(super) fn work(tasks: &Receiver<Task>, level: &LevelControl) {
    let mut encoders = Encoders::default();
    for task in tasks {
        let Task {
            sequence,
            plain,
            encode,
            reply,
        } = task;
        let stored = encode
            .map(|(encoding, mut out)| {
                let length = encoders.encode(level.apply(encoding), plain.bytes(), &mut out)?;
                Ok((out, length))
            })
            .transpose();
        let digest = blake3(plain.bytes());
        // a layer that failed has gone away; its chunks are of no use to anyone
        let _ = reply.send(Done {
            sequence,
            digest,
            plain,
            stored,
        });
    }
}
