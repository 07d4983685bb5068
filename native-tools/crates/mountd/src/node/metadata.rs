//! The metadata image of a mount that is being made, where the engine wants it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::choice::Engine;
use crate::error::Error;
use crate::image::Image;

/// A metadata image, proven.
#[derive(Debug)]
pub(super) enum Metadata {
    /// Engine fuse answers from memory.
    InMemory(Vec<u8>),
    /// Engine erofs: the kernel reads a file. It has no name, so that nothing is left however this process ends; the mount
    /// holds the file itself.
    InCache(File),
}

impl Metadata {
    /// Decodes it for an engine. A file lies in the cache directory, where the kernel may mount from.
    ///
    /// # Errors
    /// The archive's codes; `DISK_FULL`, `FILESYSTEM_READ_ONLY`, `IO_FAILED`.
    pub(super) fn of(
        image: &Image,
        engine: Engine,
        (mount, cache_dir): (&str, &Path),
    ) -> Result<Self, Error> {
        if engine == Engine::Fuse {
            return image.metadata().map(Self::InMemory);
        }
        let file = nameless(mount, cache_dir)
            .map_err(|error| Error::io_at("write the metadata image into", cache_dir, error))?;
        image.metadata_into(&file)?;
        Ok(Self::InCache(file))
    }

    /// Its bytes, for engine fuse.
    ///
    /// # Errors
    /// `IO_FAILED`.
    pub(super) fn into_bytes(self) -> Result<Vec<u8>, Error> {
        match self {
            Self::InMemory(bytes) => Ok(bytes),
            Self::InCache(file) => {
                read_whole(&file).map_err(|error| Error::io("read the metadata image", error))
            }
        }
    }
}

fn nameless(mount: &str, cache_dir: &Path) -> io::Result<File> {
    let name = format!("{mount}.{}.erofs", std::process::id());
    let path = cache_dir.join(name);
    let _ = fs::remove_file(&path); // of a dead process that had our number
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
