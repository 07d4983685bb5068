//! What holder and daemon say to each other: a letter and a name, with a descriptor where one goes along.
//!
//! The holder of one version works with daemons of others, so nothing here changes; letters it does not know are ignored.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Longest message: a letter and a path.
const LIMIT: usize = 8 << 10;

/// A message, either way.
#[derive(Debug)]
pub(super) enum Message {
    /// Keep this under that name, instead of what was there. From the holder: this is what was kept.
    Put(String, OwnedFd),
    /// Let go of what has the name.
    Remove(String),
    /// The next daemon is this program.
    Program(String),
    /// The daemon with this process id has taken everything over.
    Ready(u32),
    /// The holder has handed everything over.
    Complete,
    /// The holder was told to stop.
    Stop,
    /// The daemon is done for good: do not start another one.
    Over,
    /// Of a later version.
    Unknown,
}

impl Message {
    pub(super) fn send(&self, socket: impl AsFd) -> io::Result<()> {
        let pid;
        let (letter, name, descriptor) = match self {
            Self::Ready(process) => {
                pid = process.to_string();
                (b'A', pid.as_str(), None)
            }
            Self::Put(name, descriptor) => (b'P', name.as_str(), Some(descriptor)),
            Self::Remove(name) => (b'R', name.as_str(), None),
            Self::Program(path) => (b'X', path.as_str(), None),
            Self::Complete => (b'E', "", None),
            Self::Stop => (b'S', "", None),
            Self::Over => (b'Q', "", None),
            Self::Unknown => return Ok(()),
        };
        let mut bytes = vec![letter];
        bytes.extend(name.as_bytes());
        sys::socket::send(socket, &bytes, descriptor)
    }

    /// The next message; `None` when the other side is gone.
    pub(super) fn receive(socket: impl AsFd) -> io::Result<Option<Self>> {
        let Some((bytes, descriptor)) = sys::socket::receive(socket, LIMIT)? else {
            return Ok(None);
        };
        let (letter, name) = bytes.split_first().unwrap_or((&0, &[]));
        let name = String::from_utf8_lossy(name).into_owned();
        Ok(Some(match (letter, descriptor) {
            (b'P', Some(descriptor)) => Self::Put(name, descriptor),
            (b'R', None) => Self::Remove(name),
            (b'X', None) => Self::Program(name),
            (b'A', None) => Self::Ready(name.parse().unwrap_or_default()),
            (b'E', None) => Self::Complete,
            (b'S', None) => Self::Stop,
            (b'Q', None) => Self::Over,
            _ => Self::Unknown,
        }))
    }
}
