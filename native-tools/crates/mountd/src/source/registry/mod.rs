//! Blobs of a registry (distribution-spec 1.1, "Pulling blobs"): ranged GETs by digest, nothing else.

mod agent;
mod answer;
mod auth;
mod authorise;
mod body;
mod bucket;
mod challenge;
mod ended;
mod hedge;
mod race;
mod retry;
mod untrusted;

pub(super) use agent::Client;
pub use auth::Credentials;
pub use bucket::{Bucket, Keys};
pub use retry::RetryPolicy;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archive_format::digest::{Digest, oci};
use ureq::http::{Response, Uri};

use super::{Blob, BlobSource, FetchError, FetchKind};
use crate::answers::Asked;
use crate::limit::{Bandwidth, Gate};
use crate::link::Link;
use crate::secret::Secret;
use crate::stats::Stats;
use answer::{Answer, Refusal, classify};
use auth::Authenticator;
use body::Body;
use bucket::StoreClock;
use hedge::Hedge;
use retry::Retries;

/// Hops of redirects before it is taken for a loop.
const MAX_REDIRECTS: u32 = 5;

/// Where blobs are and how to ask for them.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// `http://` or `https://`, host and port.
    pub base_url: String,
    /// The repository.
    pub repository: String,
    /// The registry that this one stands in for, where it is a mirror (query parameter `ns`, as containerd sends it).
    pub mirror_of: Option<String>,
    /// Where blobs are in an object store that stands for the registry.
    pub bucket: Option<Bucket>,
    /// A login, if there is one.
    pub credentials: Option<Credentials>,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a read may wait for a byte.
    pub read_timeout: Duration,
    /// Requests in flight at most, where there is a limit of this source's own.
    pub gate: Option<Arc<Gate>>,
    /// How fast bytes may come.
    pub bandwidth: Arc<Bandwidth>,
    /// How to try again.
    pub retry: RetryPolicy,
    /// Second requests, sent when an answer is later than 19 of 20 were, in percent of all; 0: none.
    pub hedge_percent: u32,
}

/// The blobs of one repository.
#[derive(Debug)]
pub struct RegistrySource {
    client: Client,
    base: Uri,
    repository: String,
    query: String,
    bucket: Option<Bucket>,
    clock: StoreClock,
    asked: Asked,
    read_timeout: Duration,
    retry: RetryPolicy,
    auth: Authenticator,
    gate: Option<Arc<Gate>>,
    bandwidth: Arc<Bandwidth>,
    hedge: Arc<Hedge>,
    link: Arc<Link>,
    /// Where the registry sent us for a blob. Asked again there until the address is refused.
    elsewhere: Mutex<HashMap<Digest, Uri>>,
    /// Blobs that the registry itself let this login have.
    authorised: Mutex<HashSet<Digest>>,
    stats: Arc<Stats>,
}

impl RegistrySource {
    /// Prepares a source; asks nothing of the network.
    ///
    /// # Errors
    /// When the address is none or the certificates cannot be read.
    pub fn new(options: RegistryOptions, stats: Arc<Stats>) -> Result<Self, FetchError> {
        let base = agent::parse_base(&options.base_url)?;
        Ok(Self {
            client: Client::new(&base, options.ca_file.as_deref(), options.read_timeout)?,
            auth: Authenticator::new(&base, &options.repository, options.credentials),
            base,
            gate: options.gate,
            bandwidth: options.bandwidth,
            hedge: Hedge::new(options.hedge_percent),
            link: Link::new(),
            asked: match (&options.bucket, &options.mirror_of) {
                (Some(_), _) => Asked::Store,
                (None, Some(_)) => Asked::Mirror,
                (None, None) => Asked::Registry,
            },
            bucket: options.bucket,
            clock: StoreClock::default(),
            query: options
                .mirror_of
                .map_or_else(String::new, |registry| format!("?ns={registry}")),
            repository: options.repository,
            read_timeout: options.read_timeout,
            retry: options.retry,
            elsewhere: Mutex::default(),
            authorised: Mutex::default(),
            stats,
        })
    }

    /// Asks for a range once, with what that takes: a login, redirects. Gives the body at the range's start.
    fn ask(&self, blob: &Blob, range: &Range<u64>) -> Result<Box<dyn Read + Send>, Refusal> {
        let mut refreshed = false;
        let mut hops = 0;
        let mut elsewhere = self.elsewhere(blob);
        loop {
            let uri = elsewhere.clone().map_or_else(|| self.blob_uri(blob), Ok)?;
            // Credentials go to the registry and to nobody it points at.
            let at_registry = agent::same_origin(&uri, &self.base);
            let grant = if at_registry { self.auth.grant() } else { None };
            let bytes = format!("bytes={}-{}", range.start, range.end - 1);
            let mut request = self
                .client
                .at(&uri)
                .get(&uri)
                .header("accept-encoding", "identity")
                .header("range", &bytes);
            if let Some(grant) = &grant {
                request = request.header("authorization", grant.header.expose());
            }
            if at_registry {
                for (name, value) in self.signature("GET", &uri, Some(&bytes)) {
                    request = request.header(name, value.expose());
                }
            }
            let response = self.counted(request.call(), &uri)?;
            let answer = match classify(response, blob, range) {
                // Some stores say 400 to a signed address that has run out: the registry gives a new one.
                Err(refusal) if refusal.is_final() && elsewhere.is_some() && hops == 0 => {
                    self.remember(blob, None);
                    elsewhere = None;
                    continue;
                }
                classified => classified?,
            };
            if at_registry && matches!(answer, Answer::Body(_) | Answer::Redirect(_)) {
                self.allowed(blob);
            }
            match answer {
                Answer::Body(body) => {
                    self.remember(blob, elsewhere);
                    self.stats.requests.add(1);
                    return Ok(body);
                }
                Answer::Redirect(location) if hops < MAX_REDIRECTS => {
                    hops += 1;
                    elsewhere = Some(agent::follow(&uri, &location)?);
                }
                Answer::Redirect(_) => {
                    let message = format!(
                        "GET {}: more than {MAX_REDIRECTS} redirects",
                        answer::without_query(&uri)
                    );
                    return Err(Refusal::now(FetchKind::Protocol, message));
                }
                // A signed address that has run out: the registry gives a new one.
                Answer::Unauthorized { .. } | Answer::NotFound
                    if elsewhere.is_some() && hops == 0 =>
                {
                    self.remember(blob, None);
                    elsewhere = None;
                }
                Answer::Unauthorized {
                    challenges, date, ..
                } if at_registry && !refreshed => {
                    refreshed = true;
                    self.clock.set(date);
                    self.auth
                        .refresh(&self.client, &challenges, grant.as_ref())?;
                }
                Answer::Unauthorized { status, .. } => return Err(self.refused(&uri, status)),
                Answer::NotFound => return Err(self.gone(blob)),
            }
        }
    }

    /// Counts what came of a request.
    fn counted(
        &self,
        answer: Result<Response<ureq::Body>, ureq::Error>,
        uri: &Uri,
    ) -> Result<Response<ureq::Body>, Refusal> {
        let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
        self.stats.answers.add(self.asked, status);
        answer.map_err(|error| answer::transport(&error, uri))
    }

    /// What a store wants to know who asks; nothing at a registry.
    fn signature(
        &self,
        method: &str,
        uri: &Uri,
        range: Option<&str>,
    ) -> Vec<(&'static str, Secret)> {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let default_port = match uri.scheme_str() {
            Some("http") => ":80",
            _ => ":443",
        };
        let request = bucket::Unsigned {
            method,
            host: authority.strip_suffix(default_port).unwrap_or(authority),
            path: uri.path(),
            range,
        };
        let bucket = self.bucket.as_ref();
        bucket.map_or_else(Vec::new, |bucket| {
            bucket.headers(&request, self.clock.now())
        })
    }

    fn blob_uri(&self, blob: &Blob) -> Result<Uri, Refusal> {
        let text = match &self.bucket {
            Some(bucket) => format!("{}{}", self.base, bucket.blob_path(&blob.digest)),
            None => format!(
                "{}v2/{}/blobs/{}{}",
                self.base,
                self.repository,
                oci(&blob.digest),
                self.query
            ),
        };
        text.parse()
            .map_err(|_| Refusal::final_(FetchKind::Protocol, format!("no address: {text}")))
    }

    fn elsewhere(&self, blob: &Blob) -> Option<Uri> {
        self.elsewhere
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&blob.digest)
            .cloned()
    }

    fn remember(&self, blob: &Blob, uri: Option<Uri>) {
        let mut elsewhere = self
            .elsewhere
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match uri {
            Some(uri) => elsewhere.insert(blob.digest, uri),
            None => elsewhere.remove(&blob.digest),
        };
    }

    fn refused(&self, uri: &Uri, status: u16) -> Refusal {
        let host = uri.host().unwrap_or_default();
        let repository = self.place();
        if status == 401 {
            let message = format!("{host} wants a login for {repository} (401)");
            return Refusal::final_(FetchKind::Unauthenticated, message);
        }
        Refusal::final_(
            FetchKind::Denied,
            format!("{host} does not let this login read {repository} ({status})"),
        )
    }

    fn place(&self) -> &str {
        let bucket = self.bucket.as_ref();
        bucket.map_or(&self.repository, |bucket| bucket.path.trim_matches('/'))
    }

    fn gone(&self, blob: &Blob) -> Refusal {
        let authority = self
            .base
            .authority()
            .map_or("", |authority| authority.as_str());
        let option = match self.bucket {
            Some(_) => "--blobs",
            None => "--storage-ref",
        };
        let message = format!(
            "{} is not in {authority}/{} any more (404): push it again or give {option} where it is now",
            oci(&blob.digest),
            self.place()
        );
        Refusal::final_(FetchKind::NotFound, message)
    }
}

/// What of a failed request without an answer is told.
pub(super) fn transport_error(error: &ureq::Error, uri: &Uri) -> FetchError {
    answer::transport(error, uri).error
}

/// What of a body that broke is told.
pub(super) fn body_error(error: &io::Error) -> FetchError {
    body::broken(error).error
}

impl BlobSource for RegistrySource {
    fn gate(&self) -> Option<Arc<Gate>> {
        self.gate.clone()
    }

    fn link(&self) -> Option<Arc<Link>> {
        Some(Arc::clone(&self.link))
    }

    fn open(
        self: Arc<Self>,
        blob: &Blob,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, FetchError> {
        if range.is_empty() {
            return Ok(Box::new(io::empty()));
        }
        let retries = Retries::new(self.retry, self.read_timeout);
        let mut body = Body::new(self, *blob, range, retries);
        body.start()?;
        Ok(Box::new(body))
    }

    fn authorise(&self, blob: &Blob) -> Result<(), FetchError> {
        self.prove_allowed(blob)
    }

    fn is_authorised(&self, blob: &Blob) -> bool {
        self.is_allowed(blob)
    }
}
