//! The folder that a mount has in the daemon's state.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The folder of one mount; removed unless it comes up.
pub(super) struct RunDirectory {
    pub(super) path: PathBuf,
    stay: bool,
}

impl RunDirectory {
    pub(super) fn make(state: &Path, id: &str) -> Result<Self, Error> {
        let path = state.join(id);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| Error::io_at("make", &path, error))?;
        Ok(Self { path, stay: false })
    }

    pub(super) fn stay(mut self) {
        self.stay = true;
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if !self.stay {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
