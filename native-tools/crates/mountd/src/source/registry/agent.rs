//! The HTTP client and its addresses.

use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, RequestBuilder};

use super::answer::{Refusal, without_query};
use crate::source::{FetchError, FetchKind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_CONNECTIONS: usize = 16;
/// Where distributions keep the system's authorities (Debian, Fedora, SUSE, Alpine).
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The registry's address, with nothing behind host and port.
pub(super) fn parse_base(text: &str) -> Result<Uri, FetchError> {
    let wrong = || FetchError::new(FetchKind::Protocol, format!("no registry address: {text}"));
    let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| wrong())?;
    let scheme = uri.scheme_str().ok_or_else(wrong)?;
    if !matches!(scheme, "http" | "https") || !matches!(uri.path(), "" | "/") {
        return Err(wrong());
    }
    let authority = uri.authority().ok_or_else(wrong)?;
    format!("{scheme}://{authority}/")
        .parse()
        .map_err(|_| wrong())
}

/// A client with a deadline on every read; redirects and refusals are the caller's business. It learns whom to trust when it
/// is first needed: reading a system's authorities takes as long as mounting a large image does.
#[derive(Debug)]
pub(in crate::source) struct Client {
    read_timeout: Duration,
    on_this_machine: bool,
    /// The certificates (PEM) to trust besides the system's.
    given: Vec<u8>,
    plain: OnceLock<Agent>,
    trusting: OnceLock<Agent>,
}

impl Client {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// When the file with certificates cannot be read or holds none.
    pub(in crate::source) fn new(
        base: &Uri,
        ca_file: Option<&Path>,
        read_timeout: Duration,
    ) -> Result<Self, FetchError> {
        let given = ca_file.map(given_certificates).transpose()?;
        Ok(Self {
            read_timeout,
            on_this_machine: is_loopback(base),
            given: given.unwrap_or_default(),
            plain: OnceLock::new(),
            trusting: OnceLock::new(),
        })
    }

    /// What to ask an address with.
    pub(in crate::source) fn at(&self, uri: &Uri) -> &Agent {
        // Past this machine there may be a proxy in between that is spoken to over TLS.
        if self.on_this_machine && uri.scheme_str() == Some("http") {
            return self.plain.get_or_init(|| self.agent(RootCerts::WebPki));
        }
        let trusting = || self.agent(root_certificates(&self.given));
        self.trusting.get_or_init(trusting)
    }

    /// Of an answer that is small: all of it within one read timeout, so that a server cannot drip it for ever.
    pub(in crate::source) fn all_in_time<B>(
        &self,
        request: RequestBuilder<B>,
    ) -> RequestBuilder<B> {
        let in_time = Some(self.read_timeout);
        request.config().timeout_recv_body(in_time).build()
    }

    fn agent(&self, trusted: RootCerts) -> Agent {
        let Self { read_timeout, .. } = *self;
        let mut config = Agent::config_builder()
            .user_agent(concat!("clipyard-mountd/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(CONNECT_TIMEOUT.min(read_timeout)))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(read_timeout)))
            .timeout_recv_response(Some(read_timeout))
            .timeout_per_read(Some(read_timeout))
            .timeout_per_write(Some(read_timeout))
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .tls_config(TlsConfig::builder().root_certs(trusted).build());
        if self.on_this_machine {
            config = config.proxy(None);
        }
        config.build().new_agent()
    }
}

/// The bytes of a file in which there is a certificate at least.
fn given_certificates(path: &Path) -> Result<Vec<u8>, FetchError> {
    let wrong = |why: String| {
        FetchError::new(
            FetchKind::Local,
            format!("certificates {}: {why}", path.display()),
        )
    };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    if certificates(&text).next().is_none() {
        return Err(wrong("holds no certificate".to_owned()));
    }
    Ok(text)
}

/// The system's certificates and the ones given; without either, the set that is built in.
fn root_certificates(given: &[u8]) -> RootCerts {
    let mut found: Vec<_> = certificates(given).collect();
    let system = SYSTEM_CERTIFICATES.iter().find_map(|path| {
        let text = std::fs::read(path).ok().filter(|text| text != given)?;
        let found: Vec<_> = certificates(&text).collect();
        (!found.is_empty()).then_some(found)
    });
    found.extend(system.unwrap_or_default());
    if found.is_empty() {
        RootCerts::WebPki
    } else {
        RootCerts::new_with_certs(&found)
    }
}

fn certificates(text: &[u8]) -> impl Iterator<Item = Certificate<'static>> {
    parse_pem(text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    })
}

/// Where a redirect leads.
pub(super) fn follow(from: &Uri, location: &str) -> Result<Uri, Refusal> {
    let wrong = |why: &str| {
        Refusal::now(
            FetchKind::Protocol,
            format!("GET {}: redirect {why}", without_query(from)),
        )
    };
    let scheme = from.scheme_str().unwrap_or("https");
    let text = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        let authority = from.authority().map_or("", |authority| authority.as_str());
        format!("{scheme}://{authority}{location}")
    } else {
        location.to_owned()
    };
    let to: Uri = text.parse().map_err(|_| wrong("to no address"))?;
    match to.scheme_str() {
        Some("https") => Ok(to),
        Some("http") if scheme == "http" || is_loopback(&to) => Ok(to),
        Some("http") => Err(wrong("from https to plain http")),
        _ => Err(wrong("to no address")),
    }
}

/// Whether two addresses are the same server by scheme, host and port.
pub(super) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16()
            .unwrap_or(if uri.scheme_str() == Some("http") {
                80
            } else {
                443
            })
    };
    let host = |uri: &Uri| uri.host().unwrap_or_default().to_ascii_lowercase();
    a.scheme() == b.scheme() && host(a) == host(b) && port(a) == port(b)
}

/// Whether an address can only be this machine.
pub(super) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn redirects_lead_where_the_location_says() {
        let from = uri("https://registry.test/v2/a/blobs/x");
        assert_eq!(
            follow(&from, "/b?c=d").unwrap(),
            uri("https://registry.test/b?c=d")
        );
        assert_eq!(
            follow(&from, "//cdn.test/b").unwrap(),
            uri("https://cdn.test/b")
        );
        assert_eq!(
            follow(&from, "https://cdn.test/b").unwrap(),
            uri("https://cdn.test/b")
        );
        assert!(
            follow(&from, "http://cdn.test/b").is_err(),
            "never down to plain http"
        );
        assert!(follow(&from, "ftp://cdn.test/b").is_err());
    }

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        assert!(same_origin(
            &uri("https://a.test/x"),
            &uri("https://A.test:443/y")
        ));
        assert!(!same_origin(
            &uri("https://a.test/"),
            &uri("http://a.test/")
        ));
        assert!(!same_origin(
            &uri("http://127.0.0.1:5000/"),
            &uri("http://127.0.0.1:5001/")
        ));
        assert!(is_loopback(&uri("http://[::1]:5000/")) && is_loopback(&uri("http://127.0.0.2/")));
        assert!(!is_loopback(&uri("http://127.0.0.1.example.test/")));
    }

    #[test]
    fn certificates_are_looked_at_before_anybody_is_asked_and_read_when_somebody_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let client = |base| Client::new(&uri(base), Some(&path), Duration::from_secs(1));
        assert!(client("https://a.test/").is_err(), "not there");
        std::fs::write(&path, "no certificate").unwrap();
        assert!(client("https://a.test/").is_err());
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, pem).unwrap();
        let client = client("http://127.0.0.1:5000/").unwrap();
        client.at(&uri("http://127.0.0.1:5000/v2/"));
        assert!(client.trusting.get().is_none());
        client.at(&uri("https://a.test/v2/"));
        assert!(client.trusting.get().is_some());
    }

    #[test]
    fn a_base_address_is_scheme_host_and_port() {
        assert_eq!(
            parse_base("http://127.0.0.1:5000").unwrap(),
            uri("http://127.0.0.1:5000/")
        );
        for bad in ["127.0.0.1:5000", "ftp://a.test", "https://a.test/path", ""] {
            assert!(parse_base(bad).is_err(), "{bad}");
        }
    }
}
