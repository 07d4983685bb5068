//! Stretches of an archive that lies in an object store, by ranged GET of an address that needs no login.

use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::http::Uri;

use super::health::Health;
use super::registry::{Client, body_error, transport_error};
use super::{FetchError, FetchKind};

/// An archive by its address. Such an address is a key to the object for whoever has it: it is shown nowhere.
pub struct ArchiveUrl {
    client: Client,
    url: Uri,
    started: Instant,
    health: Mutex<Health>,
}

impl std::fmt::Debug for ArchiveUrl {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "ArchiveUrl({})", self.url.host().unwrap_or_default())
    }
}

impl ArchiveUrl {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// What is no http address, certificates that cannot be read.
    pub fn new(
        url: &str,
        ca_file: Option<&Path>,
        read_timeout: Duration,
    ) -> Result<Self, FetchError> {
        let url: Uri = url
            .parse()
            .ok()
            .filter(|url: &Uri| matches!(url.scheme_str(), Some("http" | "https")))
            .ok_or_else(|| {
                FetchError::new(FetchKind::Protocol, "the archive's address is no http one")
            })?;
        Ok(Self {
            client: Client::new(&url, ca_file, read_timeout)?,
            url,
            started: Instant::now(),
            health: Mutex::default(),
        })
    }

    /// Exactly `length` bytes from `offset`, asked for once: whoever wants them has another way when they cannot be had. That
    /// way may be the window before it and the one before that, so a store that stalls is not waited for at each of them.
    ///
    /// # Errors
    /// Any answer but those bytes; at once, where the store stalled a moment ago.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, FetchError> {
        if !self.health().is_usable(self.started.elapsed()) {
            let message = "the archive's store stalled a moment ago and is left alone";
            return Err(FetchError::new(FetchKind::Stalled, message));
        }
        let read = self.ask(offset, length);
        match &read {
            Err(error) if error.kind == FetchKind::Stalled => {
                self.health().failed(self.started.elapsed());
            }
            _ => self.health().worked(),
        }
        read
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, offset: u64, length: u32) -> Result<Vec<u8>, FetchError> {
        let wrong = |what: String| {
            FetchError::new(FetchKind::Protocol, format!("the archive's store: {what}"))
        };
        let last = offset.saturating_add(u64::from(length)).saturating_sub(1);
        let request = self
            .client
            .at(&self.url)
            .get(self.url.clone())
            .header("range", format!("bytes={offset}-{last}"));
        let answer = self
            .client
            .all_in_time(request)
            .call()
            .map_err(|error| transport_error(&error, &self.url))?;
        if answer.status() != 206 {
            return Err(wrong(format!("status {} for a range", answer.status())));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        answer
            .into_body()
            .into_reader()
            .take(u64::from(length) + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| body_error(&error))?;
        if bytes.len() == length as usize {
            Ok(bytes)
        } else {
            Err(wrong(format!("{} bytes instead of {length}", bytes.len())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::server::{Fault, Server};

    #[test]
    fn a_store_that_drips_is_waited_for_once_and_left_alone_then() {
        let server = Server::start();
        let name = format!("sha256:{}", "0".repeat(64));
        server.add(&name, vec![7; 1000]);
        let address = format!("{}/{name}", server.url);
        let url = ArchiveUrl::new(&address, None, Duration::from_millis(200)).unwrap();
        assert_eq!(url.read(10, 100).unwrap(), [7; 100]);
        server.clear_log();
        server.fail_always(Some(Fault::Drip(Duration::from_millis(20))));
        for _ in 0..20 {
            assert_eq!(url.read(0, 1000).unwrap_err().kind, FetchKind::Stalled);
        }
        assert!(server.log().len() < 5);
    }
}
