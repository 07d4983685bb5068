//! The control socket: one JSON question a line, one JSON answer a line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tool_protocol::Coded;

use crate::error::Error;
use crate::stats::Report;

const MAX_LINE: u64 = 64 << 10;
/// A client that says nothing is let go.
const PATIENCE: Duration = Duration::from_secs(30);

/// What can be asked.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Question {
    Stat,
    Unmount,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Stat(Box<Report>),
    Done { ok: bool },
    Refused { code: &'static str, message: String },
}

/// Who answers.
pub(super) trait Controlled: Send + Sync + 'static {
    /// What the mount did so far.
    fn report(&self) -> Report;
    /// Unmounts.
    fn unmount(&self) -> Result<(), Error>;
    /// Held shared from a question to its written answer; the process does not end in between.
    fn answering(&self) -> &RwLock<()>;
}

/// Listens at `path` on a thread of its own.
pub(super) fn listen(path: &Path, controlled: Arc<dyn Controlled>) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let accept = move || {
        for stream in listener.incoming().flatten() {
            let controlled = Arc::clone(&controlled);
            let talk = move || {
                if let Err(error) = talk(&stream, controlled.as_ref()) {
                    tracing::debug!(%error, "a control connection broke");
                }
            };
            if let Err(error) = thread::Builder::new()
                .name("control".to_owned())
                .spawn(talk)
            {
                tracing::warn!(%error, "a control connection was not served");
            }
        }
    };
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(accept)?;
    Ok(())
}

fn talk(stream: &UnixStream, controlled: &dyn Controlled) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if (&mut reader).take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let _answering = controlled
            .answering()
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut answer = serde_json::to_vec(&answer(&line, controlled))?;
        answer.push(b'\n');
        (&*stream).write_all(&answer)?;
    }
}

fn answer(line: &str, controlled: &dyn Controlled) -> Answer {
    let refused = |error: &dyn Coded| Answer::Refused {
        code: error.code(),
        message: error.to_string(),
    };
    match serde_json::from_str(line) {
        Ok(Question::Stat) => Answer::Stat(Box::new(controlled.report())),
        Ok(Question::Unmount) => match controlled.unmount() {
            Ok(()) => Answer::Done { ok: true },
            Err(error) => refused(&error),
        },
        Err(error) => refused(&Error::Request(error.to_string())),
    }
}
