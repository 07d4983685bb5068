use std::io;

use tool_protocol::Coded;

/// What kind of failure it is; decides the code and whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchKind {
    /// The source does not have the blob.
    NotFound,
    /// A login is missing or not taken.
    Unauthenticated,
    /// The login may not read it.
    Denied,
    /// The source asked to be left alone for longer than the deadline.
    Throttled,
    /// Bytes stopped coming.
    Stalled,
    /// The source cannot be reached or fails.
    Unavailable,
    /// The source's certificate is not believed.
    Untrusted,
    /// The source answered something it must not.
    Protocol,
    /// The bytes do not decode or have another digest.
    Damaged,
    /// The plain stream has another digest than the image configuration names.
    DiffId,
    /// A local file failed.
    Local,
    /// The mount is being taken down.
    Stopped,
}

/// Why bytes of a layer cannot be had. Readers that wait for the same bytes share it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FetchError {
    /// The kind.
    pub kind: FetchKind,
    /// What happened to what.
    pub message: String,
}

impl FetchError {
    /// A failure of a kind.
    pub fn new(kind: FetchKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// Shorthand for bytes that are not what they should be.
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(FetchKind::Damaged, message)
    }

    /// The failure that a reader's error carries; an error without one is a local failure while doing `what`.
    #[must_use]
    pub fn from_io(error: &io::Error, what: &str) -> Self {
        Self::carried(error)
            .unwrap_or_else(|| Self::new(FetchKind::Local, format!("{what}: {error}")))
    }

    /// The failure that a reader's error carries, if it is one of ours.
    pub(crate) fn carried(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().cloned()
    }

    /// Whether the same request may go well a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            FetchKind::Throttled
                | FetchKind::Stalled
                | FetchKind::Unavailable
                | FetchKind::Protocol
        )
    }
}

impl From<FetchError> for io::Error {
    fn from(error: FetchError) -> Self {
        Self::other(error)
    }
}

impl Coded for FetchError {
    fn code(&self) -> &'static str {
        match self.kind {
            FetchKind::NotFound => "LAYER_NOT_FOUND",
            FetchKind::Unauthenticated => "REGISTRY_UNAUTHENTICATED",
            FetchKind::Denied => "REGISTRY_DENIED",
            FetchKind::Throttled => "REGISTRY_THROTTLED",
            FetchKind::Stalled => "REGISTRY_STALLED",
            FetchKind::Unavailable => "REGISTRY_UNAVAILABLE",
            FetchKind::Untrusted => "TLS_UNTRUSTED",
            FetchKind::Protocol => "REGISTRY_PROTOCOL",
            FetchKind::Damaged => "BLOB_MISMATCH",
            FetchKind::DiffId => "DIFF_ID_MISMATCH",
            FetchKind::Local => "IO_FAILED",
            FetchKind::Stopped => "CANCELED",
        }
    }
}
