//! A range that reads on where a connection broke.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::RegistrySource;
use super::answer::Refusal;
use super::retry::Retries;
use crate::source::{Blob, FetchError, FetchKind};

/// Slower than this over a whole read timeout is a stall, not a slow link.
const LEAST_BYTES_PER_SECOND: u64 = 1024;

/// The bytes of a range; short, broken and stalled bodies are asked for again from the last good byte.
pub(super) struct Body {
    source: Arc<RegistrySource>,
    blob: Blob,
    range: Range<u64>,
    retries: Retries,
    open: Option<Box<dyn Read + Send>>,
    pace: Pace,
    /// Bytes came, but too slowly: counted as a failure when the next ones are wanted.
    late: Option<Refusal>,
}

impl Body {
    pub(super) fn new(
        source: Arc<RegistrySource>,
        blob: Blob,
        range: Range<u64>,
        retries: Retries,
    ) -> Self {
        Self {
            pace: Pace::new(source.read_timeout),
            source,
            blob,
            range,
            retries,
            open: None,
            late: None,
        }
    }

    /// Asks until there is a body to read from.
    pub(super) fn start(&mut self) -> Result<(), FetchError> {
        if let Some(refusal) = self.late.take() {
            self.failed(refusal)?;
        }
        while self.open.is_none() {
            match self.source.ask_in_time(&self.blob, &self.range) {
                Ok(body) => {
                    self.open = Some(body);
                    self.pace = Pace::new(self.source.read_timeout);
                }
                Err(refusal) => self.failed(refusal)?,
            }
        }
        Ok(())
    }

    fn failed(&mut self, refusal: Refusal) -> Result<(), FetchError> {
        self.open = None;
        self.source.remember(&self.blob, None); // the registry may send us somewhere better
        tracing::debug!(error = %refusal.error, start = self.range.start, "a request for layer data failed");
        self.retries.failed(refusal)?;
        self.source.stats.retries.add(1);
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, Refusal> {
        let left = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        let read = self.open.as_mut().map_or(Ok(0), |body| body.read(part));
        let length = read.map_err(|error| broken(&error))?;
        if length == 0 {
            let message = format!("the body ended {left} bytes too early");
            return Err(Refusal::now(FetchKind::Unavailable, message));
        }
        self.range.start += length as u64;
        self.source.stats.fetched_bytes.add(length as u64);
        self.retries.progressed(length as u64);
        self.source.bandwidth.pass(length as u64);
        if self.pace.is_stalled(length as u64) && !self.range.is_empty() {
            // What came is good. Asking for the rest again is a try like any other: a server that does nothing but drip
            // must not hold its readers for ever.
            let left = self.range.end - self.range.start;
            let message = format!("bytes come too slowly, {left} are missing");
            self.late = Some(Refusal::now(FetchKind::Stalled, message));
        }
        Ok(length)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.range.is_empty() || buffer.is_empty() {
            return Ok(0);
        }
        loop {
            self.start()?;
            match self.read_some(buffer) {
                Ok(length) => return Ok(length),
                Err(refusal) => self.failed(refusal)?,
            }
        }
    }
}

/// A body that ended with an error of its connection.
pub(super) fn broken(error: &io::Error) -> Refusal {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<ureq::Error>());
    let late =
        matches!(inner, Some(ureq::Error::Timeout(_))) || error.kind() == io::ErrorKind::TimedOut;
    let kind = if late {
        FetchKind::Stalled
    } else {
        FetchKind::Unavailable
    };
    Refusal::now(kind, format!("reading the body: {error}"))
}

/// Measures how fast bytes come, one read timeout at a time.
struct Pace {
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new(window: Duration) -> Self {
        Self {
            window,
            since: Instant::now(),
            bytes: 0,
        }
    }

    fn is_stalled(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        let elapsed = self.since.elapsed();
        if elapsed < self.window {
            return false;
        }
        let enough = self.bytes >= LEAST_BYTES_PER_SECOND * elapsed.as_secs().max(1);
        self.since = Instant::now();
        self.bytes = 0;
        !enough
    }
}
