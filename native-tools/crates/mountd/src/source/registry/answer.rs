//! What a response to a ranged GET means.

use std::io::Read;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use ureq::Body;
use ureq::http::{HeaderMap, Response, Uri};

use super::ended::Ended;
use super::untrusted::untrusted;
use crate::source::{Blob, FetchError, FetchKind};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// What the registry said, where it is not an error yet.
pub(super) enum Answer {
    /// The bytes from the range's start on.
    Body(Box<dyn Read + Send>),
    /// Ask there.
    Redirect(String),
    /// 401 or 403, with every WWW-Authenticate line.
    Unauthorized {
        status: u16,
        challenges: Vec<String>,
        /// What the clock there says.
        date: Option<SystemTime>,
    },
    /// No such blob.
    NotFound,
}

/// A failed request, and whether asking again can help.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: FetchError,
    pub(super) retry: Retry,
}

/// When to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// After the usual pause.
    Usual,
    /// After the pause the server asked for.
    After(Duration),
    /// Never: the answer is final.
    Never,
}

impl Refusal {
    /// A failure that may go away.
    pub(super) fn now(kind: FetchKind, message: impl Into<String>) -> Self {
        Self {
            error: FetchError::new(kind, message),
            retry: Retry::Usual,
        }
    }

    /// A failure that stays.
    pub(super) fn final_(kind: FetchKind, message: impl Into<String>) -> Self {
        Self {
            error: FetchError::new(kind, message),
            retry: Retry::Never,
        }
    }

    /// Whether asking again cannot help.
    pub(super) fn is_final(&self) -> bool {
        self.retry == Retry::Never
    }
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        let retry = if error.is_transient() {
            Retry::Usual
        } else {
            Retry::Never
        };
        Self { error, retry }
    }
}

/// A request that got no response.
pub(super) fn transport(error: &ureq::Error, uri: &Uri) -> Refusal {
    if let Some(error) = untrusted(error, uri) {
        return error.into();
    }
    let message = format!("GET {}: {error}", without_query(uri));
    match error {
        ureq::Error::Timeout(_) => Refusal::now(FetchKind::Stalled, message),
        _ => Refusal::now(FetchKind::Unavailable, message),
    }
}

/// Reads status and headers; the body only when it holds the wanted bytes.
pub(super) fn classify(
    response: Response<Body>,
    blob: &Blob,
    range: &Range<u64>,
) -> Result<Answer, Refusal> {
    let status = response.status().as_u16();
    let headers = response.headers();
    match status {
        206 => check_range(headers, blob, range)?,
        200 => check_whole(headers, &response, blob, range)?,
        301 | 302 | 303 | 307 | 308 => {
            let location = text(headers, "location").unwrap_or_default().to_owned();
            return Ok(Answer::Redirect(location));
        }
        401 | 403 => {
            let challenges = www_authenticate(headers);
            let date = text(headers, "date").and_then(parse_date);
            return Ok(Answer::Unauthorized {
                status,
                challenges,
                date,
            });
        }
        404 | 410 => return Ok(Answer::NotFound),
        429 => return Err(later(FetchKind::Throttled, status, headers)),
        408 | 425 | 500.. => return Err(later(FetchKind::Unavailable, status, headers)),
        _ => {
            return Err(Refusal::final_(
                FetchKind::Protocol,
                format!("the registry answered {status}"),
            ));
        }
    }
    let body = response.into_body();
    let length = body.content_length();
    let reader = body.into_reader();
    Ok(Answer::Body(match length {
        Some(length) => Box::new(Ended::new(reader, length)),
        None => Box::new(reader),
    }))
}

/// Every line of the header.
pub(super) fn www_authenticate(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all("www-authenticate").iter();
    lines
        .filter_map(|value| value.to_str().ok().map(str::to_owned))
        .collect()
}

fn check_range(headers: &HeaderMap, blob: &Blob, range: &Range<u64>) -> Result<(), Refusal> {
    let given = text(headers, "content-range").unwrap_or_default();
    let matches = parse_content_range(given).is_some_and(|(start, end, total)| {
        start == range.start
            && end > start
            && end <= range.end
            && total.is_none_or(|total| total == blob.size)
    });
    if matches {
        return Ok(());
    }
    let message = format!(
        "bytes {}-{} of {} wanted, `{given}` given",
        range.start,
        range.end - 1,
        blob.size
    );
    Err(Refusal::now(FetchKind::Protocol, message))
}

/// A server may ignore a range. From the start of the blob that is as good; elsewhere it would mean reading what nobody
/// wants, and it is told apart from a page that is no blob by its length and type.
fn check_whole(
    headers: &HeaderMap,
    response: &Response<Body>,
    blob: &Blob,
    range: &Range<u64>,
) -> Result<(), Refusal> {
    let media_type = text(headers, "content-type").unwrap_or_default();
    if media_type.starts_with("text/html") {
        return Err(Refusal::now(
            FetchKind::Protocol,
            "a web page was given instead of a blob",
        ));
    }
    if let Some(length) = response
        .body()
        .content_length()
        .filter(|length| *length != blob.size)
    {
        let message = format!("a blob of {length} bytes was given, not of {}", blob.size);
        return Err(Refusal::now(FetchKind::Protocol, message));
    }
    if range.start == 0 {
        return Ok(());
    }
    Err(Refusal::final_(
        FetchKind::Protocol,
        "the registry does not answer ranged requests",
    ))
}

/// An answer that says to come back later.
pub(super) fn later(kind: FetchKind, status: u16, headers: &HeaderMap) -> Refusal {
    let asked = text(headers, "retry-after").and_then(|value| {
        // The moment is one of the server's clock, which need not be ours.
        let now = text(headers, "date").and_then(parse_date);
        parse_retry_after(value, now.unwrap_or_else(SystemTime::now))
    });
    Refusal {
        error: FetchError::new(kind, format!("the registry answered {status}")),
        retry: asked.map_or(Retry::Usual, Retry::After),
    }
}

/// `bytes 0-99/1000` or `bytes 0-99/*` as start, end (exclusive) and total (RFC 9110, 14.4).
fn parse_content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" {
        None
    } else {
        Some(total.parse().ok()?)
    };
    Some((
        first.parse().ok()?,
        last.parse::<u64>().ok()?.checked_add(1)?,
        total,
    ))
}

/// Seconds, or a date as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 10.2.3 and 5.6.7); a date gone by is no pause.
fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = parse_date(value)?;
    Some(then.duration_since(now).unwrap_or_default())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn parse_date(value: &str) -> Option<SystemTime> {
    let mut fields = value.trim().split_once(", ")?.1.split([' ', ':']);
    let mut number = || fields.next()?.parse::<u64>().ok();
    let day = number()?;
    let name = fields.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let mut number = || fields.next()?.parse::<u64>().ok();
    let (year, hour, minute, second) = (number()?, number()?, number()?, number()?);
    if year > 9999 || day > 31 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970 in the proleptic Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    let since_epoch = days.checked_sub(719_469)? * 86_400 + hour * 3600 + minute * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since_epoch))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An address that may be shown: the query of a signed address is a secret.
pub(super) fn without_query(uri: &Uri) -> String {
    uri.to_string()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_given_in_seconds_or_as_a_date() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(
            parse_retry_after(" 7 ", at(0)),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            parse_retry_after(date, at(784_111_770)),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            parse_retry_after(date, at(784_111_780)),
            Some(Duration::ZERO)
        );
        let leap = "Thu, 29 Feb 2024 00:00:01 GMT";
        assert_eq!(
            parse_retry_after(leap, at(1_709_164_800)),
            Some(Duration::from_secs(1))
        );
        for bad in [
            "",
            "soon",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov",
            "Sun, 06 Nov 18446744073709551615 08:49:37 GMT",
            "Sun, 18446744073709551615 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_retry_after(bad, at(0)), None, "{bad}");
        }
    }

    #[test]
    fn content_ranges_are_read_strictly() {
        assert_eq!(
            parse_content_range("bytes 0-99/1000"),
            Some((0, 100, Some(1000)))
        );
        assert_eq!(parse_content_range("bytes 5-5/*"), Some((5, 6, None)));
        for bad in [
            "",
            "bytes */1000",
            "0-99/1000",
            "bytes 0-99",
            "bytes a-b/c",
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
