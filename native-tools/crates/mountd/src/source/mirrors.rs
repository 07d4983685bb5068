//! Other servers that may have a blob, asked before the registry itself.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use archive_format::digest::{Digest, oci};

use super::health::Health;
use super::{Blob, BlobSource, FetchError, FetchKind};
use crate::limit::Gate;
use crate::link::Link;

/// How long the mirrors are not asked for a blob that they do not have, or of which one gave wrong bytes.
const LEFT_OUT: Duration = Duration::from_secs(60);

/// Mirrors in their order, and the registry, which has the last word. What a mirror cannot do costs time and nothing else:
/// the next one goes on at the byte where it stopped, and all bytes are proven by whoever uses them.
#[derive(Debug)]
pub struct MirroredSource {
    mirrors: Vec<Mirror>,
    origin: Arc<dyn BlobSource>,
    started: Instant,
    /// Until when a mirror is not asked for a blob.
    left_out: Mutex<HashMap<(usize, Digest), Duration>>,
}

#[derive(Debug)]
struct Mirror {
    source: Arc<dyn BlobSource>,
    health: Mutex<Health>,
}

impl MirroredSource {
    /// With `mirrors` in the order in which they are asked.
    pub fn new(mirrors: Vec<Arc<dyn BlobSource>>, origin: Arc<dyn BlobSource>) -> Self {
        let mirrors = mirrors.into_iter().map(|source| Mirror {
            source,
            health: Mutex::default(),
        });
        Self {
            mirrors: mirrors.collect(),
            origin,
            started: Instant::now(),
            left_out: Mutex::default(),
        }
    }

    /// Opens the range at the first of the mirrors from `first` on that can, else at the registry. Gives who it was.
    fn open_from(
        &self,
        first: usize,
        blob: &Blob,
        range: &Range<u64>,
    ) -> Result<(usize, Box<dyn Read + Send>), FetchError> {
        for (index, mirror) in self.mirrors.iter().enumerate().skip(first) {
            if !self.is_usable(index, mirror, blob) {
                continue;
            }
            match Arc::clone(&mirror.source).open(blob, range.clone()) {
                Ok(body) => return Ok((index, body)),
                Err(error) => self.failed(index, blob, &error),
            }
        }
        let body = Arc::clone(&self.origin).open(blob, range.clone())?;
        Ok((self.mirrors.len(), body))
    }

    fn is_usable(&self, index: usize, mirror: &Mirror, blob: &Blob) -> bool {
        let now = self.started.elapsed();
        let left_out = self.left_out();
        let until = left_out.get(&(index, blob.digest));
        until.is_none_or(|until| now >= *until) && mirror.health().is_usable(now)
    }

    fn failed(&self, index: usize, blob: &Blob, error: &FetchError) {
        tracing::debug!(mirror = index, %error, "a mirror is passed over");
        let now = self.started.elapsed();
        if error.kind == FetchKind::NotFound {
            let mut left_out = self.left_out();
            left_out.insert((index, blob.digest), now.saturating_add(LEFT_OUT));
        } else if let Some(mirror) = self.mirrors.get(index) {
            mirror.health().failed(now);
        }
    }

    fn worked(&self, index: usize) {
        if let Some(mirror) = self.mirrors.get(index) {
            mirror.health().worked();
        }
    }

    fn left_out(&self) -> MutexGuard<'_, HashMap<(usize, Digest), Duration>> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mirror {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobSource for MirroredSource {
    fn open(
        self: Arc<Self>,
        blob: &Blob,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, FetchError> {
        let (server, body) = self.open_from(0, blob, &range)?;
        Ok(Box::new(MirroredBody {
            source: self,
            blob: *blob,
            range,
            server,
            body,
        }))
    }

    fn gate(&self) -> Option<Arc<Gate>> {
        self.origin.gate()
    }

    /// Whoever answers: a mirror that is near makes it short.
    fn link(&self) -> Option<Arc<Link>> {
        self.origin.link()
    }

    /// The registry alone says who may read: a mirror asks for no login.
    fn authorise(&self, blob: &Blob) -> Result<(), FetchError> {
        self.origin.authorise(blob)
    }

    fn is_authorised(&self, blob: &Blob) -> bool {
        self.origin.is_authorised(blob)
    }

    /// Nobody knows which of several mirrors gave the wrong bytes: none is asked for this blob for a while.
    fn damaged(&self, blob: &Blob) {
        let until = self.started.elapsed().saturating_add(LEFT_OUT);
        let mut left_out = self.left_out();
        for index in 0..self.mirrors.len() {
            left_out.insert((index, blob.digest), until);
        }
        tracing::warn!(
            digest = oci(&blob.digest),
            "wrong bytes: the mirrors are left out"
        );
        drop(left_out);
        self.origin.damaged(blob);
    }
}

/// A range that goes on elsewhere when a mirror stops.
struct MirroredBody {
    source: Arc<MirroredSource>,
    blob: Blob,
    range: Range<u64>,
    server: usize,
    body: Box<dyn Read + Send>,
}

impl Read for MirroredBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.range.is_empty() || buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let error = match self.body.read(buffer) {
                Ok(length) if length > 0 => {
                    self.range.start = self.range.start.saturating_add(length as u64);
                    // A mirror that stops in every body works as little as one that gives none.
                    if self.range.is_empty() {
                        self.source.worked(self.server);
                    }
                    return Ok(length);
                }
                Ok(_) => FetchError::new(FetchKind::Unavailable, "the body ended too early"),
                Err(error) => FetchError::from_io(&error, "read the body"),
            };
            if self.server >= self.source.mirrors.len() {
                return Err(error.into());
            }
            self.source.failed(self.server, &self.blob, &error);
            let next = self.server + 1;
            (self.server, self.body) = self.source.open_from(next, &self.blob, &self.range)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives every blob; says of the login what it is told to.
    #[derive(Debug)]
    struct Server {
        authorised: bool,
    }

    impl BlobSource for Server {
        fn open(
            self: Arc<Self>,
            _: &Blob,
            _: Range<u64>,
        ) -> Result<Box<dyn Read + Send>, FetchError> {
            Ok(Box::new(&b"bytes"[..]))
        }

        fn authorise(&self, _: &Blob) -> Result<(), FetchError> {
            let refused = || FetchError::new(FetchKind::Denied, "no");
            self.authorised.then_some(()).ok_or_else(refused)
        }

        fn is_authorised(&self, _: &Blob) -> bool {
            self.authorised
        }
    }

    #[test]
    fn a_mirror_that_gives_a_blob_proves_no_right_to_it() {
        let blob = Blob {
            digest: [0; 32],
            size: 5,
        };
        let source = |authorised| {
            let mirror: Arc<dyn BlobSource> = Arc::new(Server { authorised: true });
            Arc::new(MirroredSource::new(
                vec![mirror],
                Arc::new(Server { authorised }),
            ))
        };
        let refused = source(false);
        assert!(Arc::clone(&refused).open(&blob, 0..5).is_ok());
        assert!(!refused.is_authorised(&blob));
        assert_eq!(
            refused.authorise(&blob).map_err(|error| error.kind),
            Err(FetchKind::Denied)
        );
        assert!(source(true).is_authorised(&blob) && source(true).authorise(&blob).is_ok());
    }
}
