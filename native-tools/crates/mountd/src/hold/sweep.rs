//! What a dead holder left at its path: the socket, and the file whose lock it had.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Removes a socket that nobody serves, with its lock. False where somebody does, or where there is nothing.
///
/// # Errors
/// The system's.
pub fn sweep(socket: &Path) -> io::Result<bool> {
    let path = lock_path(socket);
    let lock = match OpenOptions::new().write(true).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(false),
        locked => locked?,
    }
    if !has_name(&lock, &path)? {
        return Ok(false); // somebody else swept
    }
    // While it is locked: a holder that starts meanwhile sees the lock, or that what it locked has no name any more.
    remove(socket)?;
    remove(&path)?;
    Ok(true)
}

/// Whether a path still names an open file.
pub(super) fn has_name(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn lock_path(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
