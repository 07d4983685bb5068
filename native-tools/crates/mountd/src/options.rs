//! What `hold` and `daemon` are told on their command line.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use crate::cache::{Free, Limits};
use crate::layer::FetchSettings;
use crate::metrics::Address;
use crate::request::DEADLINE_MS;

/// How many copies of what is read the kernel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageCache {
    /// Those of the mounted files and of the layers, which all mounts share.
    Shared,
    /// Those of the mounted files alone: a page that the kernel dropped is read again by itself.
    Single,
}

impl PageCache {
    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "shared" => Some(Self::Shared),
            "single" => Some(Self::Single),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Single => "single",
        }
    }
}

/// How long a read from a registry may wait for a byte.
const READ_TIMEOUT_MS: u64 = 30_000;

/// The same for the holder and for every daemon it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The socket that clients connect to.
    pub socket: PathBuf,
    /// A directory for one small folder a mount.
    pub state: PathBuf,
    /// The cache of mounts that name none.
    pub cache: Option<PathBuf>,
    /// How layer data is fetched.
    pub fetch: FetchSettings,
    /// End with the last mount.
    pub idle_exit: bool,
    /// What each cache may take.
    pub limits: Limits,
    /// Where metrics are asked for.
    pub metrics: Option<Address>,
    /// Let the kernel read complete layers by itself.
    pub handover: bool,
    /// Copies in the page cache, engine erofs; of mounts that ask for nothing else.
    pub page_cache: PageCache,
    /// How long a read from a registry may wait for a byte, of mounts that do not say.
    pub read_timeout_ms: u64,
    /// How long a fetch goes on without progress before its readers get an error.
    pub deadline_ms: u64,
}

impl Options {
    /// Reads arguments.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let (mut socket, mut state, mut cache) = (None, None, None);
        let (mut limits, mut metrics) = (Limits::default(), None);
        let (mut fetch, mut idle_exit, mut handover) = (FetchSettings::default(), false, true);
        let (mut page_cache, mut read_timeout_ms) = (PageCache::Shared, READ_TIMEOUT_MS);
        let mut deadline_ms = DEADLINE_MS;
        while let Some(argument) = arguments.next() {
            let name = argument.to_string_lossy().into_owned();
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{name}: a value is missing"))
            };
            match name.as_str() {
                "--socket" => socket = Some(PathBuf::from(value()?)),
                "--state" => state = Some(PathBuf::from(value()?)),
                "--cache" => cache = Some(PathBuf::from(value()?)),
                "--max-requests" => fetch.max_requests = number(&name, &value()?, 1..=1024)?,
                "--ahead-percent" => fetch.ahead_percent = number(&name, &value()?, 0..=1000)?,
                "--ahead-waits" => fetch.ahead_waits = number(&name, &value()?, 0..=100)?,
                "--hedge-percent" => fetch.hedge_percent = number(&name, &value()?, 0..=100)?,
                "--fetch-memory" => {
                    fetch.memory_bytes = number(&name, &value()?, 0..=u64::MAX)?;
                }
                "--bytes-per-second" => {
                    // less would be taken for a stall
                    fetch.bytes_per_second = number(&name, &value()?, 1 << 16..=u64::MAX)?;
                }
                "--cache-size" => limits.most_bytes = Some(bytes(&name, &value()?)?),
                "--min-free" => limits.least_free = Some(free(&name, &value()?)?),
                "--metrics" => {
                    let address = Address::parse(&value()?.to_string_lossy());
                    metrics = Some(address.ok_or("--metrics: a loopback address or a path")?);
                }
                "--idle-exit" => idle_exit = true,
                "--no-handover" => handover = false,
                "--page-cache" => {
                    let named = value()?.to_str().and_then(PageCache::parse);
                    page_cache = named.ok_or("--page-cache: shared or single")?;
                }
                "--read-timeout-ms" => {
                    read_timeout_ms = number(&name, &value()?, 100..=3_600_000)?;
                }
                "--deadline-ms" => deadline_ms = number(&name, &value()?, 100..=3_600_000)?,
                _ => return Err(format!("{name}: not an option")),
            }
        }
        Ok(Self {
            socket: socket.ok_or("--socket is missing")?,
            state: state.ok_or("--state is missing")?,
            cache,
            fetch,
            idle_exit,
            limits,
            metrics,
            handover,
            page_cache,
            read_timeout_ms,
            deadline_ms,
        })
    }

    /// The arguments that give these options.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut out: Vec<OsString> = vec![
            "--socket".into(),
            self.socket.clone().into(),
            "--state".into(),
            self.state.clone().into(),
            "--max-requests".into(),
            self.fetch.max_requests.to_string().into(),
            "--ahead-percent".into(),
            self.fetch.ahead_percent.to_string().into(),
            "--ahead-waits".into(),
            self.fetch.ahead_waits.to_string().into(),
            "--hedge-percent".into(),
            self.fetch.hedge_percent.to_string().into(),
            "--fetch-memory".into(),
            self.fetch.memory_bytes.to_string().into(),
            "--page-cache".into(),
            self.page_cache.name().into(),
            "--read-timeout-ms".into(),
            self.read_timeout_ms.to_string().into(),
            "--deadline-ms".into(),
            self.deadline_ms.to_string().into(),
        ];
        if let Some(cache) = &self.cache {
            out.extend(["--cache".into(), cache.clone().into()]);
        }
        if self.fetch.bytes_per_second > 0 {
            let most = self.fetch.bytes_per_second.to_string();
            out.extend(["--bytes-per-second".into(), most.into()]);
        }
        if let Some(bytes) = self.limits.most_bytes {
            out.extend(["--cache-size".into(), bytes.to_string().into()]);
        }
        if let Some(free) = self.limits.least_free {
            out.extend(["--min-free".into(), free.to_string().into()]);
        }
        if let Some(address) = &self.metrics {
            out.extend(["--metrics".into(), address.to_string().into()]);
        }
        if self.idle_exit {
            out.push("--idle-exit".into());
        }
        if !self.handover {
            out.push("--no-handover".into());
        }
        out
    }
}

fn number<T: FromStr + PartialOrd + Display>(
    name: &str,
    text: &OsStr,
    allowed: RangeInclusive<T>,
) -> Result<T, String> {
    let number = text.to_string_lossy().parse().ok();
    number
        .filter(|number| allowed.contains(number))
        .ok_or_else(|| {
            let (least, most) = (allowed.start(), allowed.end());
            format!("{name}: a number from {least} to {most}")
        })
}

fn bytes(name: &str, value: &OsStr) -> Result<u64, String> {
    let number = value.to_string_lossy().parse().ok();
    number.ok_or_else(|| format!("{name}: a number of bytes"))
}

fn free(name: &str, value: &OsStr) -> Result<Free, String> {
    let free = value.to_string_lossy().parse().ok();
    free.ok_or_else(|| format!("{name}: a number of bytes, or 0% to 100%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(text.split_whitespace().map(OsString::from))
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "--socket /s --state /d",
            "--socket /s --state /d --min-free 5%",
            "--state /d --socket /s --cache /c --max-requests 3 --ahead-percent 0 --ahead-waits 5 --hedge-percent 7 --fetch-memory 8 --bytes-per-second 65536 --cache-size 5 --min-free 7 --metrics 127.0.0.1:9100 --idle-exit --no-handover --page-cache single --read-timeout-ms 500 --deadline-ms 700",
        ] {
            let options = parse(text).unwrap();
            assert_eq!(Options::parse(options.arguments()), Ok(options));
        }
    }

    #[test]
    fn the_unit_of_the_package_starts_a_daemon() {
        let unit = include_str!("../../../../packaging/clipyard-mountd.service");
        let start = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        let (program, rest) = start.unwrap().split_once(" hold ").unwrap();
        assert_eq!(program, "/usr/bin/clipyard-mountd");
        let options = parse(rest).unwrap();
        // RuntimeDirectory and CacheDirectory make the folders above them.
        assert_eq!(options.socket, PathBuf::from("/run/clipyard/mountd.sock"));
        assert!(options.state.starts_with("/run/clipyard"));
        assert_eq!(options.cache, Some(PathBuf::from("/var/cache/clipyard")));
        assert!(!options.idle_exit, "it is there before the first mount");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, why) in [
            ("", "--socket"),
            ("--socket", "--socket"),
            ("--socket /s", "--state"),
            ("--socket /s --state /d --max-requests 0", "--max-requests"),
            ("--socket /s --state /d --cache-size lots", "--cache-size"),
            ("--socket /s --state /d --min-free 101%", "--min-free"),
            ("--socket /s --state /d --min-free -1", "--min-free"),
            ("--socket /s --state /d --metrics 0.0.0.0:9100", "--metrics"),
            ("--socket /s --state /d --page-cache 3", "--page-cache"),
            (
                "--socket /s --state /d --read-timeout-ms 1",
                "--read-timeout-ms",
            ),
            ("--socket /s --state /d --deadline-ms 0", "--deadline-ms"),
            (
                "--socket /s --state /d --ahead-percent x",
                "--ahead-percent",
            ),
            ("--socket /s --state /d --ahead-waits -1", "--ahead-waits"),
            ("--socket /s --state /d --verbose", "--verbose"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}
