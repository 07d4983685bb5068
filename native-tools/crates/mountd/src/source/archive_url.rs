//! Stretches of an archive that lies in an object store, by ranged GET of an address that needs no login.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use ureq::http::Uri;

use super::registry::{Client, transport_error};
use super::{FetchError, FetchKind};

/// An archive by its address. Such an address is a key to the object for whoever has it: it is shown nowhere.
pub struct ArchiveUrl {
    client: Client,
    url: Uri,
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
        })
    }

    /// Exactly `length` bytes from `offset`, asked for once: whoever wants them has another way when they cannot be had.
    ///
    /// # Errors
    /// Any answer but those bytes.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, FetchError> {
        let wrong = |what: String| {
            FetchError::new(FetchKind::Protocol, format!("the archive's store: {what}"))
        };
        let last = offset.saturating_add(u64::from(length)).saturating_sub(1);
        let answer = self
            .client
            .at(&self.url)
            .get(self.url.clone())
            .header("range", format!("bytes={offset}-{last}"))
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
            .map_err(|error| wrong(error.to_string()))?;
        if bytes.len() == length as usize {
            Ok(bytes)
        } else {
            Err(wrong(format!("{} bytes instead of {length}", bytes.len())))
        }
    }
}
