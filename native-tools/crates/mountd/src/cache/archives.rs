//! Archives that were fetched or made for mounting: `<cache>/archives`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use archive_format::FormatError;
use archive_format::footer::SectionType;
use archive_format::read::Archive;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::age::is_older;

/// What a command found is handed to a daemon, which locks it, within this time.
const GRACE: Duration = Duration::from_secs(60);
/// What nobody wrote to for so long belongs to a process that is gone.
const ABANDONED: Duration = Duration::from_hours(1);
/// A look takes microseconds.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(1);
const END: &str = "clip";
/// The plain layer that belongs to an archive of the same name.
const LAYER_END: &str = "tar";
/// Names the archive that has all of the one it stands for.
const LINK_END: &str = "link";

/// An archive in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedArchive {
    /// Its file.
    pub path: PathBuf,
    /// When a command handed it out last.
    pub used: SystemTime,
    /// Bytes on disk, with those of the plain layer beside it.
    pub bytes: u64,
    /// A mount has it.
    pub in_use: bool,
}

impl CachedArchive {
    /// Whether nobody can be using it.
    pub(super) fn is_free(&self) -> bool {
        !self.in_use && is_older(self.used, GRACE)
    }
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    Good,
    /// It is removed, unless a mount has it, and is made again when it is wanted.
    Damaged,
    /// It has no digests of its own.
    Unknown,
}

/// Takes note that a mount has an archive, for as long as the file or a copy of its descriptor is open.
///
/// Who looks whether it is in use has the lock for a moment. It is not waited for without end: anybody may lock an archive
/// that lies elsewhere. Where there are no locks, nobody evicts by them either.
pub fn hold_archive(file: &File) {
    for _ in 0..LOCK_TRIES {
        match flock(file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_PAUSE),
            _ => return,
        }
    }
}

/// The archives, those first that were handed out longest ago. There is no folder where none was ever kept.
pub(super) fn list(archives: &Path) -> io::Result<Vec<CachedArchive>> {
    let mut found = vec![];
    for path in paths_in(archives)? {
        if is_temporary(&path) || !ends_with(&path, END) {
            continue;
        }
        // One that is being removed right now is nothing to look at.
        let Ok(file) = File::open(&path) else {
            continue;
        };
        let metadata = file.metadata()?;
        let layer = fs::metadata(path.with_extension(LAYER_END));
        found.push(CachedArchive {
            used: metadata.modified()?,
            bytes: (metadata.blocks() + layer.map_or(0, |layer| layer.blocks())) * 512,
            in_use: flock(&file, FlockOperation::NonBlockingLockExclusive).is_err(),
            path,
        });
    }
    found.sort_by_key(|archive| archive.used);
    Ok(found)
}

/// Removes an archive unless somebody began to use it.
pub(super) fn remove_unused(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
        || !is_older(file.metadata()?.modified()?, GRACE)
    {
        return Ok(false);
    }
    // The archive first: it says that its layer is there.
    for path in [path.to_owned(), path.with_extension(LAYER_END)] {
        remove(&path)?;
    }
    Ok(true)
}

/// Removes what processes that are gone left half-made. Gives how many there were.
pub(super) fn reap(archives: &Path) -> io::Result<u32> {
    let mut removed = 0;
    for path in paths_in(archives)? {
        if (is_temporary(&path) || is_orphan(&path))
            && newest(&path).is_some_and(|newest| is_older(newest, ABANDONED))
        {
            remove(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Proves what a mount takes from an archive; a damaged one goes.
pub(super) fn check(archive: &CachedArchive) -> io::Result<Checked> {
    let found = match File::open(&archive.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checked::Good),
        other => Archive::open(other?),
    };
    let is_good = match found {
        Ok(found) if found.footer().section(SectionType::Erofs).is_none() => {
            return Ok(Checked::Unknown);
        }
        Ok(found) => {
            let sections = [SectionType::Erofs, SectionType::Config];
            found.layers().is_ok() && sections.iter().all(|one| found.section(*one).is_ok())
        }
        // Another writer's, V1 among them, ends without a footer.
        Err(FormatError::NotLazy(_)) => return Ok(Checked::Unknown),
        Err(_) => false,
    };
    if is_good {
        return Ok(Checked::Good);
    }
    if !archive.in_use {
        remove(&archive.path)?;
        remove(&archive.path.with_extension(LAYER_END))?;
    }
    Ok(Checked::Damaged)
}

fn paths_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        other => other?.map(|entry| Ok(entry?.path())).collect(),
    }
}

fn ends_with(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|found| found == end)
}

fn is_temporary(path: &Path) -> bool {
    ends_with(path, "tmp")
}

/// A layer without its archive, or a link to an archive that is gone.
fn is_orphan(path: &Path) -> bool {
    if ends_with(path, LAYER_END) {
        return !path.with_extension(END).exists();
    }
    let target = || fs::read_to_string(path).map(|name| path.with_file_name(name));
    ends_with(path, LINK_END) && !target().is_ok_and(|target| target.exists())
}

/// When something at or below a path was written last; nothing when it is gone.
fn newest(path: &Path) -> Option<SystemTime> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let mut newest = metadata.modified().ok()?;
    if metadata.is_dir() {
        for below in paths_in(path).ok()? {
            newest = newest.max(self::newest(&below)?);
        }
    }
    Some(newest)
}

fn remove(path: &Path) -> io::Result<()> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let removed = match is_folder {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
