//! The image's creation time: RFC 3339 in the configuration, 15 bytes of Go's `time.Time` in the storage info.

/// Seconds from 0001-01-01 to 1970-01-01, both UTC.
const YEAR_ONE_TO_UNIX: i64 = 62_135_596_800;
/// Version byte of Go's binary time without seconds in the zone offset.
const GO_TIME_VERSION: u8 = 1;

/// A moment with the zone it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// Seconds since 0001-01-01 UTC.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanos: u32,
    /// Minutes east of UTC; `None` for UTC itself.
    pub zone_minutes: Option<i16>,
}

impl Created {
    /// Reads RFC 3339 (`2026-01-01T00:00:00.5Z`, `…+02:00`); anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let rest = rest.strip_prefix(['T', 't'])?;
        let (clock, rest) = rest.split_at_checked(8)?;
        let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
        let (nanos, zone) = fraction(rest)?;
        if !(1..=12).contains(&month)
            || !(1..=31).contains(&day)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let zone_minutes = match zone {
            "Z" | "z" => None,
            other => offset(other)?,
        };
        let local = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        Some(Self {
            seconds: local - i64::from(zone_minutes.unwrap_or(0)) * 60 + YEAR_ONE_TO_UNIX,
            nanos,
            zone_minutes,
        })
    }

    /// Go's `MarshalBinary`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![GO_TIME_VERSION];
        out.extend(self.seconds.to_be_bytes());
        out.extend(self.nanos.to_be_bytes());
        out.extend(self.zone_minutes.unwrap_or(-1).to_be_bytes());
        out
    }

    /// The reverse of [`Created::encode`]; `None` for bytes of another version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (seconds, rest) = rest.split_first_chunk()?;
        let (nanos, rest) = rest.split_first_chunk()?;
        let zone = i16::from_be_bytes(rest.try_into().ok()?);
        (*version == GO_TIME_VERSION).then_some(Self {
            seconds: i64::from_be_bytes(*seconds),
            nanos: u32::from_be_bytes(*nanos),
            zone_minutes: (zone != -1).then_some(zone),
        })
    }
}

fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut found = [0; 3];
    for (place, width) in found.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *place = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// `.123Z` gives nanoseconds and `Z`. Digits beyond the ninth are cut.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, zone) = rest.split_at_checked(digits)?;
    if digits.is_empty() {
        return None;
    }
    let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
    Some((nine.parse().ok()?, zone))
}

/// `+02:00` gives 120; an offset of zero is UTC.
fn offset(text: &str) -> Option<Option<i16>> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    if hours.len() != 2
        || minutes.len() != 2
        || !rest
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b':')
    {
        return None;
    }
    let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = sign * (hours * 60 + minutes);
    (hours < 24 && minutes < 60).then_some((total != 0).then_some(total))
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms", days_from_civil).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_bytes_that_go_writes() {
        let bytes = Created::parse("2026-01-01T00:00:00Z").unwrap().encode();
        assert_eq!(
            bytes,
            b"\x01\x00\x00\x00\x0e\xe0\xe7\xb0\x00\x00\x00\x00\x00\xff\xff"
        );
        let zoned = Created::parse("2026-01-01T02:00:00.25+02:00").unwrap();
        assert_eq!(
            zoned.encode(),
            b"\x01\x00\x00\x00\x0e\xe0\xe7\xb0\x00\x0e\xe6\xb2\x80\x00\x78"
        );
        assert_eq!(Created::decode(&zoned.encode()), Some(zoned));
    }

    #[test]
    fn the_calendar_is_right_at_its_corners() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("0001-01-01T00:00:00Z", -YEAR_ONE_TO_UNIX),
            ("2100-03-01T00:00:00-00:30", 4_107_544_200),
        ] {
            let seconds = Created::parse(text).unwrap().seconds;
            assert_eq!(seconds - YEAR_ONE_TO_UNIX, unix, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_time() {
        for text in [
            "",
            "2026-01-01",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+2:00",
            "2026-01-01T00:00:00 Z",
            "日本語日本語日本語",
        ] {
            assert_eq!(Created::parse(text), None, "{text}");
        }
    }
}
