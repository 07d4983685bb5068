//! The JSON-lines protocol between Clipyard's TypeScript and its native tools: one request line on stdin, events on
//! stdout, one a line, each with `v: 1`. stderr is log. The end of stdin means "stop".
//! `test/golden/protocol/*.jsonl` holds examples that this crate and the TypeScript schema must both accept.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::sync::Mutex;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The version every event and request carries.
pub const VERSION: u32 = 1;

/// What a tool says on stdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// How far a part of the job is.
    Progress {
        /// Protocol version.
        v: u32,
        /// The caller's name for the part (a layer); empty for the whole job.
        id: String,
        /// Bytes done, of the part's own unit.
        #[serde(rename = "doneBytes")]
        done_bytes: u64,
        /// Bytes to do, where known.
        #[serde(
            rename = "totalBytes",
            skip_serializing_if = "Option::is_none",
            default
        )]
        total_bytes: Option<u64>,
    },
    /// A part (or the whole job, with an empty id) ended well.
    Result {
        /// Protocol version.
        v: u32,
        /// The caller's name for the part.
        id: String,
        /// What came out; its shape belongs to the command.
        result: serde_json::Value,
    },
    /// The job ended badly; nothing follows.
    Error {
        /// Protocol version.
        v: u32,
        /// The caller's name for the part that failed; empty for the whole job.
        id: String,
        /// A key of `ERROR_CODES` (src/errors/codes.ts).
        code: String,
        /// What happened to what, with values.
        message: String,
        /// Values a program may want.
        #[serde(default)]
        details: BTreeMap<String, String>,
    },
}

/// A failure that carries its code over the protocol.
pub trait Coded: std::error::Error {
    /// A key of `ERROR_CODES` (src/errors/codes.ts).
    fn code(&self) -> &'static str;
    /// Values a program may want.
    fn details(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// Writes events to stdout, whole lines only, from any thread.
#[derive(Debug)]
pub struct EventWriter<W: Write> {
    out: Mutex<W>,
}

impl EventWriter<io::Stdout> {
    /// The writer a tool's `main` makes.
    pub fn stdout() -> Self {
        Self::new(io::stdout())
    }
}

impl<W: Write> EventWriter<W> {
    /// A writer over anything, for tests.
    pub fn new(out: W) -> Self {
        Self {
            out: Mutex::new(out),
        }
    }

    /// Writes one event. A reader that went away is not an error here: stdin's end already said "stop".
    pub fn send(&self, event: &Event) {
        let Ok(mut line) = serde_json::to_vec(event) else {
            return;
        };
        line.push(b'\n');
        if let Ok(mut out) = self.out.lock() {
            let _ = out.write_all(&line).and_then(|()| out.flush());
        }
    }

    /// Sends `progress`.
    pub fn progress(&self, id: &str, done_bytes: u64, total_bytes: Option<u64>) {
        self.send(&Event::Progress {
            v: VERSION,
            id: id.to_owned(),
            done_bytes,
            total_bytes,
        });
    }

    /// Sends `result`.
    pub fn result(&self, id: &str, result: &impl Serialize) {
        let result = serde_json::to_value(result).unwrap_or(serde_json::Value::Null);
        self.send(&Event::Result {
            v: VERSION,
            id: id.to_owned(),
            result,
        });
    }

    /// Sends `error`.
    pub fn error(&self, id: &str, error: &dyn Coded) {
        self.send(&Event::Error {
            v: VERSION,
            id: id.to_owned(),
            code: error.code().to_owned(),
            message: error.to_string(),
            details: error.details(),
        });
    }
}

/// Reads the request: the first line of `input`.
///
/// # Errors
/// When the line is missing or is not the request's JSON.
pub fn read_request<T: DeserializeOwned>(input: &mut impl BufRead) -> io::Result<T> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    serde_json::from_str(&line).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("not a request: {error}"),
        )
    })
}
