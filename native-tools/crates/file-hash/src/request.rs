use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::HashError;

/// The first line: it only says which protocol is spoken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Protocol version.
    pub v: u32,
}

/// Every further line: files whose digests come back together, in this order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The caller's name for it.
    pub id: String,
    /// What to read.
    pub files: Vec<Listed>,
}

/// A file as lstat(2) told of it: path, inode, size in bytes, and ctime in nanoseconds. A path is bytes, one character for
/// each (latin1); numbers are text, as JSON's own are not wide enough.
#[derive(Debug, Deserialize)]
pub struct Listed(String, String, String, String);

impl Listed {
    /// The path's bytes. Fails with `Usage` for a character that is no byte.
    pub(crate) fn path(&self) -> Result<PathBuf, HashError> {
        let bytes: Result<Vec<u8>, _> = self.0.chars().map(u8::try_from).collect();
        bytes
            .map(|bytes| PathBuf::from(OsString::from_vec(bytes)))
            .map_err(|_| HashError::Usage(format!("a path with wide characters: {}", self.0)))
    }

    pub(crate) fn inode(&self) -> Result<u64, HashError> {
        number(&self.1)
    }

    pub(crate) fn size_bytes(&self) -> Result<u64, HashError> {
        number(&self.2)
    }

    pub(crate) fn changed_ns(&self) -> Result<i128, HashError> {
        number(&self.3)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, HashError> {
    text.parse()
        .map_err(|_| HashError::Usage(format!("{text:?} is no number")))
}
