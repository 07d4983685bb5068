use std::fmt::Write;
use std::os::fd::OwnedFd;

use ring::digest::{Context, SHA256};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open};
use rustix::io::{Errno, read};

use crate::{HashError, Listed};

/// Most files of a context fit in one read.
const BUFFER_BYTES: usize = 256 * 1024;

/// What a thread reads through.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// One of the size that most files fit in.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![0; BUFFER_BYTES])
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

/// The SHA-256 of a file's bytes, in hex.
///
/// # Errors
/// `Changed` when it is not the file that was listed, before or after it was read; `Io` when it cannot be read.
pub fn hash_file(listed: &Listed, buffer: &mut Buffer) -> Result<String, HashError> {
    let path = listed.path()?;
    let shown = || path.to_string_lossy().into_owned();
    let failed = |errno: Errno| HashError::Io {
        path: shown(),
        source: errno.into(),
    };
    // Not through a link, and not waiting on a pipe or a terminal that took the file's place.
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match open(&path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::NODEV) => {
            return Err(HashError::Changed(shown()));
        }
        Err(errno) => return Err(failed(errno)),
    };
    let is_listed = |file: &OwnedFd| -> Result<bool, HashError> {
        is_same(&fstat(file).map_err(failed)?, listed)
    };
    // Before a byte is read: of a device even that may be too much.
    if !is_listed(&file)? {
        return Err(HashError::Changed(shown()));
    }
    let digest = digest_of(&file, listed.size_bytes()?, buffer).map_err(failed)?;
    match digest {
        Some(digest) if is_listed(&file)? => Ok(digest),
        _ => Err(HashError::Changed(shown())),
    }
}

fn is_same(stat: &Stat, listed: &Listed) -> Result<bool, HashError> {
    let changed_ns = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
    Ok(
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_ino == listed.inode()?
            && u64::try_from(stat.st_size).ok() == Some(listed.size_bytes()?)
            && changed_ns == listed.changed_ns()?,
    )
}

/// None when there are more or fewer bytes than `size_bytes`; a file that grows for ever ends here.
fn digest_of(
    file: &OwnedFd,
    size_bytes: u64,
    buffer: &mut Buffer,
) -> Result<Option<String>, Errno> {
    let mut context = Context::new(&SHA256);
    let mut left = size_bytes;
    loop {
        let count = match read(file, &mut *buffer.0) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        if count == 0 {
            break;
        }
        let Some(rest) = left.checked_sub(count as u64) else {
            return Ok(None);
        };
        left = rest;
        context.update(buffer.0.get(..count).unwrap_or_default());
    }
    Ok((left == 0).then(|| hex(context.finish().as_ref())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
