//! Blobs in an object store that speaks S3, under `blobs/sha256/<hex>` as in an OCI image layout (AWS "Signature Version 4",
//! "Authenticating Requests: Using the Authorization Header").

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use archive_format::digest::{Digest, Sha256, hex};
use ring::hmac::{HMAC_SHA256, Key, sign};
use serde::Deserialize;

use crate::secret::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Where in a store the blobs are, and the keys to it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// What comes before `blobs/` in the address: bucket and prefix, or the prefix alone. Not encoded.
    pub path: String,
    /// The store's region.
    pub region: String,
    /// Nothing for a store that everybody may read.
    pub keys: Option<Keys>,
}

/// Keys as AWS tools have them.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    /// Whose.
    pub access_key_id: String,
    /// What requests are signed with; it is not sent.
    pub secret_access_key: Secret,
    /// Of keys that were lent for a while.
    pub session_token: Option<Secret>,
}

/// What the time is there. Signatures are good for some minutes of the store's clock: after it refused one, its own word
/// counts, so that a clock that jumps here locks nobody out.
#[derive(Debug, Default)]
pub(super) struct StoreClock(Mutex<Option<(SystemTime, Instant)>>);

impl StoreClock {
    pub(super) fn set(&self, date: Option<SystemTime>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            date.map(|date| (date, Instant::now()));
    }

    pub(super) fn now(&self) -> SystemTime {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = known.and_then(|(date, at)| date.checked_add(at.elapsed()));
        there.unwrap_or_else(SystemTime::now)
    }
}

/// A request that is to be signed.
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    /// Host, with the port unless it is the scheme's own.
    pub(super) host: &'a str,
    /// Encoded.
    pub(super) path: &'a str,
    pub(super) range: Option<&'a str>,
}

impl Bucket {
    /// The path of a blob's address, encoded.
    pub(super) fn blob_path(&self, digest: &Digest) -> String {
        let prefix = self.path.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        encoded(&format!("{prefix}{slash}blobs/sha256/{}", hex(digest)))
    }

    /// The headers that prove who asks; none where nobody is asked.
    pub(super) fn headers(
        &self,
        request: &Unsigned<'_>,
        now: SystemTime,
    ) -> Vec<(&'static str, Secret)> {
        let Some(keys) = &self.keys else {
            return vec![];
        };
        let time = timestamp(now);
        let nothing = hex(&Sha256::new().finish());
        let mut headers = vec![("host", request.host)];
        headers.extend(request.range.map(|range| ("range", range)));
        headers.push(("x-amz-content-sha256", &nothing));
        headers.push(("x-amz-date", &time));
        let token = keys.session_token.as_ref();
        let token = token.filter(|token| !token.expose().is_empty());
        headers.extend(token.map(|token| ("x-amz-security-token", token.expose())));
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let Unsigned { method, path, .. } = request;
        let canonical = format!("{method}\n{path}\n\n{lines}\n{names}\n{nothing}");
        let day = time.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let digest = hex(&archive_format::digest::sha256(canonical.as_bytes()));
        let text = format!("{ALGORITHM}\n{time}\n{scope}\n{digest}");
        let signature = hex_of(&keys.sign(day, &self.region, &text));
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope},SignedHeaders={names},Signature={signature}",
            keys.access_key_id
        );
        let mut out = vec![
            ("authorization", Secret::new(authorization)),
            ("x-amz-content-sha256", Secret::new(nothing)),
            ("x-amz-date", Secret::new(time)),
        ];
        out.extend(token.map(|token| ("x-amz-security-token", token.clone())));
        out
    }
}

impl Keys {
    fn sign(&self, day: &str, region: &str, text: &str) -> Vec<u8> {
        let first = format!("AWS4{}", self.secret_access_key.expose()).into_bytes();
        [day, region, "s3", "aws4_request", text]
            .iter()
            .fold(first, |key, part| {
                sign(&Key::new(HMAC_SHA256, &key), part.as_bytes())
                    .as_ref()
                    .to_vec()
            })
    }
}

/// Every byte that is not unreserved as %XX, slashes as they are.
fn encoded(path: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes()
        .map(|byte| {
            if unreserved(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// `20130524T000000Z`.
fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // The proleptic Gregorian calendar with years that begin in March, in eras of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 {
        (era * 400 + year_of_era, month + 3)
    } else {
        (era * 400 + year_of_era + 1, month - 9)
    };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of the examples in AWS's documentation.
    fn example(session_token: Option<&str>) -> Bucket {
        Bucket {
            path: String::new(),
            region: "us-east-1".to_owned(),
            keys: Some(Keys {
                access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
                secret_access_key: Secret::new(
                    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
                ),
                session_token: session_token.map(|token| Secret::new(token.to_owned())),
            }),
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const REQUEST: Unsigned<'static> = Unsigned {
        method: "GET",
        host: "examplebucket.s3.amazonaws.com",
        path: "/test.txt",
        range: Some("bytes=0-9"),
    };

    #[test]
    fn the_example_of_the_documentation_has_its_signature() {
        let headers = example(None).headers(&REQUEST, at(1_369_353_600));
        assert_eq!(headers[2].1.expose(), "20130524T000000Z");
        assert_eq!(
            headers[0].1.expose(),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    #[test]
    fn a_session_is_signed_too_and_nothing_of_it_is_shown() {
        let bucket = example(Some("lent"));
        let headers = bucket.headers(&REQUEST, at(0));
        assert!(headers[0].1.expose().contains(";x-amz-security-token,"));
        assert_eq!(headers[3].1.expose(), "lent");
        let shown = format!("{bucket:?} {headers:?}");
        assert!(!shown.contains("lent") && !shown.contains("EXAMPLEKEY"));
        let open = Bucket {
            keys: None,
            ..bucket
        };
        assert!(open.headers(&REQUEST, at(0)).is_empty());
    }

    #[test]
    fn paths_are_encoded_and_times_are_of_the_calendar() {
        let mut bucket = example(None);
        let name = format!("blobs/sha256/{}", "00".repeat(32));
        assert_eq!(bucket.blob_path(&[0; 32]), name);
        bucket.path = "/images/a b+ü/".to_owned();
        assert_eq!(
            bucket.blob_path(&[0; 32]),
            format!("images/a%20b%2B%C3%BC/{name}")
        );
        assert_eq!(timestamp(at(951_782_400)), "20000229T000000Z");
        assert_eq!(timestamp(at(4_102_444_799)), "20991231T235959Z");
    }
}
