//! What can go wrong with a layer or its index, each with its code.

use std::collections::BTreeMap;
use std::io;

use archive_format::FormatError;
use tool_protocol::Coded;

/// A failure to index, pack or merge layers.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The layer ends in the middle of an entry or of its compressed stream.
    #[error("the layer is cut short: {0}")]
    Truncated(String),
    /// The layer is no valid tar or compressed stream.
    #[error("the layer is damaged: {0}")]
    Corrupt(String),
    /// An entry has a name that no file tree can hold.
    #[error("an entry cannot be placed: {0}")]
    PathInvalid(String),
    /// Something is larger than a limit allows.
    #[error("{what} exceeds the limit {}", bound(*limit, *setting))]
    Limit {
        /// What was counted, with its value.
        what: String,
        /// The limit's value.
        limit: u64,
        /// The name it is set by; none for a limit that is fixed.
        setting: Option<&'static str>,
    },
    /// The blob has another digest or size than it should have.
    #[error("the blob is {actual}, expected {expected}")]
    BlobMismatch {
        /// Digest or size asked for.
        expected: String,
        /// Digest or size found.
        actual: String,
    },
    /// The plain stream has another digest than the image configuration names.
    #[error("the uncompressed layer is {actual}, expected {expected}")]
    DiffIdMismatch {
        /// The diffID asked for.
        expected: String,
        /// The digest found.
        actual: String,
    },
    /// The media type is none that can be indexed.
    #[error("media type {0:?} cannot be indexed")]
    MediaType(String),
    /// A layer index is damaged or of another version.
    #[error("the layer index cannot be used: {0}")]
    IndexInvalid(String),
    /// A layer index describes another blob than the request says.
    #[error("the layer index does not describe its layer: {0}")]
    IndexMismatch(String),
    /// The request makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The caller said stop.
    #[error("stopped")]
    Canceled,
    /// Reading or writing failed below us.
    #[error("{what}: {source}")]
    Io {
        /// What was being done to what.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The archive could not be written or read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A defect of the program.
    #[error("internal: {0}")]
    Internal(String),
}

impl IndexError {
    /// Wraps an I/O failure with what was being done.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    /// Shorthand for a fixed limit that was passed.
    pub fn limit(what: impl Into<String>, limit: u64) -> Self {
        Self::Limit {
            what: what.into(),
            limit,
            setting: None,
        }
    }

    /// Shorthand for a limit that was passed and can be set by this name.
    pub(crate) fn setting(name: &'static str, what: impl Into<String>, limit: u64) -> Self {
        Self::Limit {
            what: what.into(),
            limit,
            setting: Some(name),
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    /// Whether the layer's own bytes are to blame, so that a wrong blob digest would explain it.
    pub(crate) fn blames_bytes(&self) -> bool {
        matches!(
            self,
            Self::Truncated(_) | Self::Corrupt(_) | Self::PathInvalid(_) | Self::Limit { .. }
        )
    }
}

/// A limit as a message names it: how it is called, its value, and how to raise it.
fn bound(limit: u64, setting: Option<&str>) -> String {
    setting.map_or_else(
        || format!("of {limit}"),
        |name| {
            let variable = name.to_uppercase().replace('-', "_");
            format!(
                "{name}={limit}; raise it with --limit {name}=VALUE or CLIPYARD_LIMIT_{variable}"
            )
        },
    )
}

/// EDQUOT has no stable `ErrorKind` of its own on every toolchain; both mean that no space is left.
fn is_full(source: &io::Error) -> bool {
    matches!(
        source.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl Coded for IndexError {
    fn code(&self) -> &'static str {
        match self {
            Self::Truncated(_) => "LAYER_TRUNCATED",
            Self::Corrupt(_) => "LAYER_CORRUPT",
            Self::PathInvalid(_) => "LAYER_PATH_INVALID",
            Self::Limit { .. } => "LIMIT_EXCEEDED",
            Self::BlobMismatch { .. } => "BLOB_MISMATCH",
            Self::DiffIdMismatch { .. } => "DIFF_ID_MISMATCH",
            Self::MediaType(_) => "MEDIA_TYPE_UNSUPPORTED",
            Self::IndexInvalid(_) => "LAYER_INDEX_INVALID",
            Self::IndexMismatch(_) => "ARCHIVE_MISMATCH",
            Self::Usage(_) => "USAGE",
            Self::Canceled => "CANCELED",
            Self::Io { source, .. } if is_full(source) => "DISK_FULL",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => "PATH_NOT_FOUND",
            Self::Io { .. } => "IO_FAILED",
            Self::Format(error) => error.code(),
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn details(&self) -> BTreeMap<String, String> {
        let pair = |expected: &String, actual: &String| {
            BTreeMap::from([
                ("expected".to_owned(), expected.clone()),
                ("actual".to_owned(), actual.clone()),
            ])
        };
        match self {
            Self::BlobMismatch { expected, actual } | Self::DiffIdMismatch { expected, actual } => {
                pair(expected, actual)
            }
            Self::Limit { limit, setting, .. } => setting
                .map(|name| ("name".to_owned(), name.to_owned()))
                .into_iter()
                .chain([("limit".to_owned(), limit.to_string())])
                .collect(),
            _ => BTreeMap::new(),
        }
    }
}
