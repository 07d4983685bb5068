//! Whether a login may read a blob (distribution-spec 1.1, "Checking if content exists in the registry").

use std::sync::PoisonError;

use archive_format::digest::oci;
use ureq::http::Uri;

use super::answer::{Refusal, later, www_authenticate};
use super::retry::{Retries, RetryPolicy};
use super::{FetchError, FetchKind, RegistrySource};
use crate::source::Blob;

/// Somebody waits for a mount: a registry that is away is found out soon.
const MOST_FAILURES: u32 = 3;

impl RegistrySource {
    pub(super) fn is_allowed(&self, blob: &Blob) -> bool {
        let allowed = self.authorised.lock();
        allowed
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&blob.digest)
    }

    /// The registry gave the blob to this login, or the way to it.
    pub(super) fn allowed(&self, blob: &Blob) {
        let allowed = self.authorised.lock();
        allowed
            .unwrap_or_else(PoisonError::into_inner)
            .insert(blob.digest);
    }

    pub(super) fn prove_allowed(&self, blob: &Blob) -> Result<(), FetchError> {
        let policy = RetryPolicy {
            most_failures: self.retry.most_failures.min(MOST_FAILURES),
            ..self.retry
        };
        let mut retries = Retries::new(policy, self.read_timeout);
        while !self.is_allowed(blob) {
            match self.ask_whether(blob) {
                Ok(()) => self.allowed(blob),
                Err(refusal) => retries.failed(refusal)?,
            }
        }
        Ok(())
    }

    /// HEAD at the registry, with what a login takes. Where a redirect leads is not looked at: that the registry gives it
    /// is its word that this login may read the blob.
    fn ask_whether(&self, blob: &Blob) -> Result<(), Refusal> {
        let uri: Uri = self.blob_uri(blob)?;
        for is_last in [false, true] {
            let grant = self.auth.grant();
            let mut request = self.client.at(&uri).head(&uri);
            if let Some(grant) = &grant {
                request = request.header("authorization", grant.header.expose());
            }
            for (name, value) in self.signature("HEAD", &uri, None) {
                request = request.header(name, value.expose());
            }
            let response = self.counted(request.call(), &uri)?;
            let status = response.status().as_u16();
            match status {
                200..=399 => return Ok(()),
                401 | 403 if !is_last => {
                    let challenges = www_authenticate(response.headers());
                    self.auth
                        .refresh(&self.client, &challenges, grant.as_ref())?;
                }
                401 | 403 => return Err(self.refused(&uri, status)),
                404 | 410 => return Err(self.gone(blob)),
                // No HEAD here: a byte of the blob is as good an answer.
                405 | 501 => return self.ask(blob, &(0..1)).map(drop),
                429 => return Err(later(FetchKind::Throttled, status, response.headers())),
                408 | 425 | 500.. => {
                    return Err(later(FetchKind::Unavailable, status, response.headers()));
                }
                _ => {
                    let message = format!("HEAD {}: {status}", oci(&blob.digest));
                    return Err(Refusal::final_(FetchKind::Protocol, message));
                }
            }
        }
        Err(self.refused(&uri, 403))
    }
}
