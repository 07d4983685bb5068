//! The pool: chunks in, digests and compressed chunks out, in any order; windows of seek points between them.

use std::sync::Arc;

use archive_format::digest::{Digest, blake3};
use crossbeam_channel::{Receiver, Sender};

use super::encode::Encoders;
use super::window::WindowMaker;
use super::{Encoding, LevelControl};
use crate::buffers::{Buffer, Piece};
use crate::error::IndexError;
use crate::source::Head;

/// Work for the pool.
pub(super) enum Task {
    Chunk(ChunkTask),
    Window(WindowTask),
}

/// A chunk to work on. The buffer for its compressed form comes along, so that no worker ever waits for one.
pub(super) struct ChunkTask {
    pub(super) sequence: u64,
    pub(super) plain: Arc<Piece>,
    pub(super) encode: Option<(Encoding, Buffer)>,
    pub(super) reply: Sender<Done>,
}

/// A seek point whose window is to be made.
pub(super) struct WindowTask {
    pub(super) head: Head,
    pub(super) reply: Sender<WindowDone>,
}

/// The window of a point as it is stored, by the point's number.
pub(super) type WindowDone = (u64, Result<Vec<u8>, IndexError>);

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
    let mut windows = WindowMaker::default();
    for task in tasks {
        // a layer that failed has gone away; its results are of no use to anyone
        match task {
            Task::Chunk(task) => drop(task.reply.clone().send(chunk(task, &mut encoders, level))),
            Task::Window(WindowTask { head, reply }) => {
                let _ = reply.send((head.number, windows.make(&head)));
            }
        }
    }
}

fn chunk(task: ChunkTask, encoders: &mut Encoders, level: &LevelControl) -> Done {
    let stored = task
        .encode
        .map(|(encoding, mut out)| {
            let length = encoders.encode(level.apply(encoding), task.plain.bytes(), &mut out)?;
            Ok((out, length))
        })
        .transpose();
    Done {
        sequence: task.sequence,
        digest: blake3(task.plain.bytes()),
        plain: task.plain,
        stored,
    }
}
