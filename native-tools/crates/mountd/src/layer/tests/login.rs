//! Logins, tokens and redirects.

use std::thread;

use archive_format::digest::oci;

use super::CHUNK;
use super::harness::{Harness, read};
use crate::secret::Secret;
use crate::source::FetchKind;
use crate::source::registry::Credentials;
use crate::testing::server::{Fault, Server};
use crate::testing::{Stored, assert_same, layer, sample};

fn password() -> Credentials {
    Credentials::Password {
        username: "bob".to_owned(),
        password: Secret::new("hunter2".to_owned()),
    }
}

const BASIC: &str = "Basic Ym9iOmh1bnRlcjI=";

#[test]
fn a_token_is_fetched_when_it_is_wanted_and_again_when_it_ran_out() {
    let plain = sample(300_000, 15);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.credentials = Some(password());
    harness.server.want_token(Some(BASIC));
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
    assert_eq!(harness.server.tokens_given(), 1);
    harness.server.expire_token();
    assert_same(
        read(&layer, 200_000, 50_000).unwrap(),
        &plain[200_000..250_000],
        "",
    );
    assert_eq!(harness.server.tokens_given(), 2);
    let seen = harness.server.log();
    assert!(
        seen.iter()
            .all(|seen| seen.authorization.as_deref() != Some(BASIC)),
        "the password goes to the token address alone"
    );
}

#[test]
fn a_wrong_login_is_told_from_a_missing_one() {
    let (table, blob) = layer(&sample(50_000, 16), Stored::ZstdFrames, CHUNK);
    for (credentials, words) in [
        (None, "wants a login"),
        (Some(password()), "does not take the login"),
    ] {
        let mut harness = Harness::with(&table, &blob);
        harness.credentials = credentials;
        harness.server.want_token(Some("Basic other"));
        let (layer, _) = harness.open(&table);
        let error = read(&layer, 0, 10).unwrap_err();
        assert_eq!(error.kind, FetchKind::Unauthenticated);
        assert!(
            error.message.contains(words) && !error.message.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn basic_credentials_are_sent_once_they_are_asked_for() {
    let plain = sample(50_000, 17);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.credentials = Some(password());
    harness.server.want_basic(BASIC);
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
    assert_eq!(harness.server.log()[0].authorization, None);
}

#[test]
fn a_redirect_is_followed_without_credentials_and_kept() {
    let plain = sample(300_000, 18);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.credentials = Some(password());
    harness.server.want_basic(BASIC);
    let elsewhere = Server::start();
    elsewhere.add(&oci(&table.digest), blob.clone());
    harness.server.redirect_to(Some(&elsewhere.url));
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
    assert_same(
        read(&layer, 250_000, 10).unwrap(),
        &plain[250_000..250_010],
        "",
    );
    assert!(
        elsewhere
            .log()
            .iter()
            .all(|seen| seen.authorization.is_none() && seen.range.is_some())
    );
    let asked = harness.server.log().len();
    assert_eq!(
        asked, 2,
        "once without and once with the login; then the address was kept"
    );
    // The signed address runs out, which stores say in several ways: the registry is asked for a new one.
    for (index, (status, at)) in [(403, 100_000), (400, 180_000), (410, 50_000)]
        .into_iter()
        .enumerate()
    {
        elsewhere.fail_next([Fault::Status(status, vec![])]);
        assert_same(read(&layer, at, 10).unwrap(), &plain[at..at + 10], status);
        assert_eq!(harness.server.log().len(), asked + 1 + index, "{status}");
    }
    // What the new address says counts.
    elsewhere.fail_always(Some(Fault::Status(400, vec![])));
    let error = read(&layer, 220_000, 10).unwrap_err();
    assert_eq!(error.kind, FetchKind::Protocol);
}

#[test]
fn redirects_in_a_circle_end() {
    let (table, blob) = layer(&sample(50_000, 19), Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    harness.server.redirect_to(Some(&harness.server.url));
    let (layer, _) = harness.open(&table);
    let error = read(&layer, 0, 10).unwrap_err();
    assert_eq!(error.kind, FetchKind::Protocol);
    assert!(!error.message.contains("signature"), "{error}");
}

#[test]
fn an_identity_token_is_exchanged_and_never_sent_to_the_registry() {
    let plain = sample(50_000, 30);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.credentials = Some(Credentials::Identity {
        identity_token: Secret::new("identity".to_owned()),
    });
    harness.server.want_token(Some("Basic never"));
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
    let requests = harness.server.token_requests();
    assert!(requests[0].starts_with("POST /token"), "{requests:?}");
    for field in [
        "grant_type=refresh_token",
        "service=test",
        "scope=repository%3Ateam%2Fapp%3Apull",
    ] {
        assert!(requests[0].contains(field), "{field}: {requests:?}");
    }
    assert!(
        harness
            .server
            .log()
            .iter()
            .all(|seen| !format!("{seen:?}").contains("identity"))
    );
}

#[test]
fn a_registry_token_is_sent_as_it_is_from_the_first_request_on() {
    let plain = sample(50_000, 31);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.credentials = Some(Credentials::Registry {
        registry_token: Secret::new("given".to_owned()),
    });
    harness.server.accept_token("given");
    let (layer, _) = harness.open(&table);
    assert_same(read(&layer, 0, 10).unwrap(), &plain[..10], "");
    assert_eq!(harness.server.log().len(), 1);
    assert!(harness.server.token_requests().is_empty());
}

#[test]
fn many_refused_requests_get_one_token_together() {
    let plain = sample(400_000, 32);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let mut harness = Harness::with(&table, &blob);
    harness.credentials = Some(password());
    harness.server.want_token(Some(BASIC));
    let (layer, _) = harness.open(&table);
    thread::scope(|scope| {
        for start in (0..400_000).step_by(100_000) {
            let (layer, plain) = (&layer, &plain);
            scope.spawn(move || {
                assert_same(
                    read(layer, start, 10).unwrap(),
                    &plain[start..start + 10],
                    "",
                )
            });
        }
    });
    assert_eq!(harness.server.tokens_given(), 1);
}

#[test]
fn a_login_that_ends_in_the_middle_of_a_body_is_renewed_and_the_body_goes_on() {
    let plain = sample(300_000, 22);
    let (table, blob) = layer(&plain, Stored::Plain, CHUNK);
    for status in [401, 403] {
        let mut harness = Harness::with(&table, &blob);
        harness.credentials = Some(password());
        harness.server.want_token(Some(BASIC));
        let refusal = Fault::Status(
            status,
            vec![format!(
                "www-authenticate: Bearer realm=\"{}/token\",service=\"test\"",
                harness.server.url
            )],
        );
        harness.server.fail_next([Fault::Cut(100_000), refusal]);
        let (layer, stats) = harness.open(&table);
        assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain, "{status}");
        assert_eq!(harness.server.tokens_given(), 2);
        assert_eq!(stats.fetched_bytes.get(), blob.len() as u64);
        let log = harness.server.log();
        let starts = log
            .iter()
            .filter_map(|seen| seen.range)
            .map(|range| range.0);
        assert_eq!(starts.collect::<Vec<_>>(), [0, 0, 100_000, 100_000]);
        // unauthorised, cut, refused, the rest
        assert_eq!(stats.answers.counts()[0], [2, 0, 2, 0, 0]);
    }
}
