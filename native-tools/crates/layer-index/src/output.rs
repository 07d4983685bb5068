//! Files this tool makes: at exactly the path the caller named, gone again unless they were finished.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::IndexError;

/// A file being written. Dropping it without [`OutputFile::keep`] removes it.
#[derive(Debug)]
pub(crate) struct OutputFile {
    file: File,
    path: PathBuf,
    is_finished: bool,
}

impl OutputFile {
    pub(crate) fn create(path: &Path) -> Result<Self, IndexError> {
        let file = File::create(path)
            .map_err(|error| IndexError::io(format!("create {}", path.display()), error))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            is_finished: false,
        })
    }

    /// The caller makes the file durable when it gives it its name; here it only has to be whole.
    pub(crate) fn keep(mut self) {
        self.is_finished = true;
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        self.file
            .write_all(bytes)
            .map_err(|error| IndexError::io(format!("write {}", self.path.display()), error))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        // never a device or a pipe that the caller named
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.is_file());
        if !self.is_finished && is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
