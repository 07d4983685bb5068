use tool_protocol::Coded;

/// Why two trees could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The request is none.
    #[error("{0}")]
    Usage(String),
    /// One of the folders is not there.
    #[error("{0} is no folder")]
    NotFound(String),
    /// The kernel refused something, or a mount could not prove its data.
    #[error("{what}: {source}")]
    Io {
        /// What was done to which path.
        what: String,
        /// The kernel's answer.
        source: rustix::io::Errno,
    },
}

impl CompareError {
    pub(crate) fn io(what: String) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |source| Self::Io { what, source }
    }
}

impl Coded for CompareError {
    fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "USAGE",
            Self::NotFound(_) => "PATH_NOT_FOUND",
            Self::Io { .. } => "IO_FAILED",
        }
    }
}
