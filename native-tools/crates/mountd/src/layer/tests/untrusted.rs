//! Registries behind TLS, with certificates right and wrong.

use super::CHUNK;
use super::harness::{Harness, read};
use crate::source::FetchKind;
use crate::testing::tls::{Flaw, TlsServer};
use crate::testing::{Stored, assert_same, layer, sample};

#[test]
fn the_authority_in_the_given_file_is_believed() {
    let plain = sample(50_000, 31);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    let tls = TlsServer::start(&harness.server.url, Flaw::None);
    harness.base_url = Some(tls.url.clone());
    harness.ca_file = Some(tls.ca_file(harness.directory.path()));
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
}

#[test]
fn a_certificate_that_is_not_believed_says_why_and_is_not_asked_again() {
    for (flaw, given, words) in [
        (Flaw::None, false, "of an unknown authority"),
        (Flaw::SelfSigned, true, "of an unknown authority"),
        (Flaw::OtherName, true, "for another name"),
        (Flaw::Expired, true, "has expired"),
    ] {
        let (table, blob) = layer(&sample(50_000, 32), Stored::ZstdFrames, CHUNK);
        let mut harness = Harness::with(&table, &blob);
        let tls = TlsServer::start(&harness.server.url, flaw);
        harness.base_url = Some(tls.url.clone());
        harness.ca_file = given.then(|| tls.ca_file(harness.directory.path()));
        let (layer, _) = harness.open(&table);
        let error = read(&layer, 0, 10).unwrap_err();
        assert_eq!(error.kind, FetchKind::Untrusted, "{error}");
        assert!(!error.is_transient());
        assert!(
            error.message.contains(words) && error.message.contains("127.0.0.1"),
            "{flaw:?}: {error}"
        );
        assert_eq!(tls.connections(), 1, "{flaw:?}");
        assert!(harness.server.log().is_empty());
    }
}
