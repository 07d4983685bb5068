//! The JSON-lines protocol between Clipyard's TypeScript and its native tools: one request line on stdin, events on
//! stdout, one a line, each with `v: 1`. stderr is log. The end of stdin means "stop".
//! `test/golden/protocol/*.jsonl` holds examples that this crate and the TypeScript schema must both accept.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
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
    /// How much of a part's output can be read; it only grows, and what stands there does not change any more.
    Written {
        /// Protocol version.
        v: u32,
        /// The caller's name for the part (a layer).
        id: String,
        /// Bytes from the start of the output.
        #[serde(rename = "writtenBytes")]
        written_bytes: u64,
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

    /// Sends `written`.
    pub fn written(&self, id: &str, written_bytes: u64) {
        self.send(&Event::Written {
            v: VERSION,
            id: id.to_owned(),
            written_bytes,
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

/// Longer than any request: thousands of layers with their paths.
const MAX_REQUEST_BYTES: u64 = 64 << 20;

/// Reads the request: the first line of `input`. What follows stays unread.
///
/// # Errors
/// When the line is missing, cut short, too long or not the request's JSON.
pub fn read_request<T: DeserializeOwned>(input: &mut impl BufRead) -> io::Result<T> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut line = Vec::new();
    input.take(MAX_REQUEST_BYTES).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(invalid(if line.len() as u64 >= MAX_REQUEST_BYTES {
            format!("a request of more than {MAX_REQUEST_BYTES} bytes")
        } else {
            "stdin ended before the request's line did".to_owned()
        }));
    }
    serde_json::from_slice(&line).map_err(|error| invalid(format!("not a request: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &str = include_str!("../../../../test/golden/protocol/events.jsonl");

    #[derive(Debug, thiserror::Error)]
    #[error("it broke at {at}")]
    struct Broken {
        at: u32,
    }

    impl Coded for Broken {
        fn code(&self) -> &'static str {
            "LAYER_CORRUPT"
        }
    }

    #[test]
    fn every_golden_event_is_read_and_written_the_same() {
        for line in EVENTS.lines() {
            let event: Event = serde_json::from_str(line).unwrap();
            let mut wanted: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Event::Error { .. } = event {
                // absent details and empty ones are the same
                wanted
                    .as_object_mut()
                    .unwrap()
                    .entry("details")
                    .or_insert_with(|| serde_json::json!({}));
            }
            assert_eq!(serde_json::to_value(&event).unwrap(), wanted);
        }
    }

    #[test]
    fn events_are_whole_lines() {
        let writer = EventWriter::new(Vec::new());
        writer.progress("a\nb", 1, None);
        writer.written("a", 1 << 20);
        writer.result("", &"two\nlines");
        writer.error("0", &Broken { at: 7 });
        let out = writer.out.into_inner().unwrap();
        let events: Vec<Event> = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(events.len(), 4);
        assert!(
            matches!(&events[3], Event::Error { code, message, .. } if code == "LAYER_CORRUPT" && message == "it broke at 7")
        );
    }

    #[test]
    fn a_request_is_one_line_and_what_follows_stays_unread() {
        let mut input = io::Cursor::new(b"{\"v\":1}\nmore".to_vec());
        let request: BTreeMap<String, u32> = read_request(&mut input).unwrap();
        assert_eq!(request.get("v"), Some(&1));
        assert_eq!(input.position(), 8);
    }

    #[test]
    fn what_is_no_request_line_is_refused() {
        for bad in ["", "{\"v\":1}", "\n", "[1]\n", "{\"v\":\"x\"}\n"] {
            let outcome = read_request::<BTreeMap<String, u32>>(&mut io::Cursor::new(bad));
            assert!(outcome.is_err(), "{bad:?} gave {outcome:?}");
        }
    }
}
