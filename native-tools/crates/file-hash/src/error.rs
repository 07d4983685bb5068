use std::io;

use tool_protocol::Coded;

/// What ends the job.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The request or a batch is none.
    #[error("{0}")]
    Usage(String),
    /// Something else lies there than what was listed, or it is written to.
    #[error("{0} changed while it was read")]
    Changed(String),
    /// The system refused a call.
    #[error("read {path}: {source}")]
    Io {
        /// Of the file, as text.
        path: String,
        /// What it said.
        source: io::Error,
    },
}

impl Coded for HashError {
    fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "USAGE",
            Self::Changed(_) => "CONTEXT_CHANGED",
            Self::Io { .. } => "IO_FAILED",
        }
    }
}
