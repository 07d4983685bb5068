//! Certificates that are not believed.

use ureq::http::Uri;

use super::answer::without_query;
use crate::source::{FetchError, FetchKind};

/// What rustls begins its verdict with. It comes through as text alone.
const VERDICT: &str = "invalid peer certificate: ";

/// The failure, when the server's certificate was the reason; it says which server, what is wrong and what to do.
pub(super) fn untrusted(error: &ureq::Error, uri: &Uri) -> Option<FetchError> {
    let ureq::Error::Io(io) = error else {
        return None;
    };
    let text = io.to_string();
    let verdict = text.strip_prefix(VERDICT)?;
    let (fault, help) = fault_and_help(verdict);
    let message = format!(
        "GET {}: the certificate of {} {fault} ({verdict}); {help}",
        without_query(uri),
        uri.authority().map_or("", |authority| authority.as_str()),
    );
    Some(FetchError::new(FetchKind::Untrusted, message))
}

/// The names are those of `rustls::CertificateError`; some are written out as a sentence.
fn fault_and_help(verdict: &str) -> (&'static str, &'static str) {
    const AUTHORITY: &str = "set CLIPYARD_CA_FILE to the PEM file of its authority, or add that one to the authorities of the system";
    const TIME: &str =
        "renew the certificate of the server, or set the clock of this machine right";
    const NAME: &str =
        "address the server by a name that is in its certificate, or give it one for this name";
    if verdict.contains("UnknownIssuer") {
        return ("is of an unknown authority", AUTHORITY);
    }
    if verdict.contains("CaUsedAsEndEntity") {
        return ("is signed by itself", AUTHORITY);
    }
    if verdict.contains("not valid for name") || verdict.contains("NotValidForName") {
        return ("is for another name", NAME);
    }
    if verdict.contains("not valid yet") || verdict.contains("NotValidYet") {
        return ("is not valid yet", TIME);
    }
    if verdict.contains("expired") || verdict.contains("Expired") {
        return ("has expired", TIME);
    }
    (
        "cannot be believed",
        "give the server another certificate, or name its authority with CLIPYARD_CA_FILE",
    )
}
