//! What can be wrong with an archive, each with its code.

use std::io;

use tool_protocol::Coded;

/// A failure to write or read an archive.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The file is no CLIP archive at all.
    #[error("no CLIP archive: {0}")]
    NotClip(String),
    /// The file ends before the archive does.
    #[error("the archive is cut short: {0}")]
    Truncated(String),
    /// A digest, a length, a value or the padding is wrong.
    #[error("the archive is damaged: {0}")]
    Corrupt(String),
    /// A part that must be understood is of a version this program does not know.
    #[error("the archive is newer than this program: {0}")]
    TooNew(String),
    /// A CLIP archive of somebody else: complete, but without our sections.
    #[error("the archive has no sections: {0}")]
    NotLazy(String),
    /// The parts of the archive contradict each other or what the caller says about them.
    #[error("the archive does not describe its layers: {0}")]
    Mismatch(String),
    /// Something is larger than the format or a limit allows.
    #[error("limit exceeded: {0}")]
    Limit(String),
    /// The image configuration or the manifest cannot be used.
    #[error("image configuration or manifest: {0}")]
    Manifest(String),
    /// The caller asked for something impossible: a defect of the program.
    #[error("cannot be written: {0}")]
    Input(String),
    /// Reading or writing failed below us.
    #[error("{what}: {source}")]
    Io {
        /// What was being done to what.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl FormatError {
    /// Wraps an I/O failure with what was being done.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    /// Shorthand for [`FormatError::Corrupt`].
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    /// Shorthand for [`FormatError::Limit`].
    pub(crate) fn limit(what: impl Into<String>) -> Self {
        Self::Limit(what.into())
    }

    /// Shorthand for [`FormatError::Input`].
    pub(crate) fn input(what: impl Into<String>) -> Self {
        Self::Input(what.into())
    }
}

impl Coded for FormatError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotClip(_) => "ARCHIVE_NOT_CLIP",
            Self::Truncated(_) => "ARCHIVE_TRUNCATED",
            Self::Corrupt(_) => "ARCHIVE_CORRUPT",
            Self::TooNew(_) => "FORMAT_TOO_NEW",
            Self::NotLazy(_) => "ARCHIVE_NOT_LAZY",
            Self::Mismatch(_) => "ARCHIVE_MISMATCH",
            Self::Limit(_) => "LIMIT_EXCEEDED",
            Self::Manifest(_) => "MANIFEST_INVALID",
            Self::Input(_) => "INTERNAL",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => "DISK_FULL",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => "PATH_NOT_FOUND",
            Self::Io { .. } => "IO_FAILED",
        }
    }
}
