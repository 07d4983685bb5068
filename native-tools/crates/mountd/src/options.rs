//! What `hold` and `daemon` are told on their command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::cache::Limits;
use crate::metrics::Address;

/// Requests in flight to all registries together.
const MAX_REQUESTS: usize = 16;

/// How many copies of what is read the kernel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageCache {
    /// Those of the mounted files and of the layers, which all mounts share.
    Shared,
    /// Those of the mounted files alone: a page that the kernel dropped is read again by itself.
    Single,
}

/// The same for the holder and for every daemon it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The socket that clients connect to.
    pub socket: PathBuf,
    /// A directory for one small folder a mount.
    pub state: PathBuf,
    /// The cache of mounts that name none.
    pub cache: Option<PathBuf>,
    /// Requests in flight to all registries together.
    pub max_requests: usize,
    /// End with the last mount.
    pub idle_exit: bool,
    /// What each cache may take.
    pub limits: Limits,
    /// Where metrics are asked for.
    pub metrics: Option<Address>,
    /// Let the kernel read complete layers by itself.
    pub handover: bool,
    /// Copies in the page cache, engine erofs.
    pub page_cache: PageCache,
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
        let (mut max_requests, mut idle_exit, mut handover) = (MAX_REQUESTS, false, true);
        let mut page_cache = PageCache::Shared;
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
                "--max-requests" => {
                    let number = value()?.to_string_lossy().parse().ok();
                    max_requests = number
                        .filter(|number| (1..=1024).contains(number))
                        .ok_or("--max-requests: a number from 1 to 1024")?;
                }
                "--cache-size" => limits.most_bytes = Some(bytes(&name, &value()?)?),
                "--min-free" => limits.least_free = Some(bytes(&name, &value()?)?),
                "--metrics" => {
                    let address = Address::parse(&value()?.to_string_lossy());
                    metrics = Some(address.ok_or("--metrics: a loopback address or a path")?);
                }
                "--idle-exit" => idle_exit = true,
                "--no-handover" => handover = false,
                "--page-cache" => {
                    page_cache = match value()?.to_str() {
                        Some("shared") => PageCache::Shared,
                        Some("single") => PageCache::Single,
                        _ => return Err("--page-cache: shared or single".to_owned()),
                    }
                }
                _ => return Err(format!("{name}: not an option")),
            }
        }
        Ok(Self {
            socket: socket.ok_or("--socket is missing")?,
            state: state.ok_or("--state is missing")?,
            cache,
            max_requests,
            idle_exit,
            limits,
            metrics,
            handover,
            page_cache,
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
            self.max_requests.to_string().into(),
        ];
        if let Some(cache) = &self.cache {
            out.extend(["--cache".into(), cache.clone().into()]);
        }
        for (name, bytes) in [
            ("--cache-size", self.limits.most_bytes),
            ("--min-free", self.limits.least_free),
        ] {
            out.extend(
                bytes
                    .into_iter()
                    .flat_map(|bytes| [name.into(), bytes.to_string().into()]),
            );
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
        if self.page_cache == PageCache::Single {
            out.extend(["--page-cache".into(), "single".into()]);
        }
        out
    }
}

fn bytes(name: &str, value: &OsStr) -> Result<u64, String> {
    let number = value.to_string_lossy().parse().ok();
    number.ok_or_else(|| format!("{name}: a number of bytes"))
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
            "--state /d --socket /s --cache /c --max-requests 3 --cache-size 5 --min-free 7 --metrics 127.0.0.1:9100 --idle-exit",
            "--state /d --socket /s --cache /c --max-requests 3 --idle-exit --no-handover --page-cache single",
        ] {
            let options = parse(text).unwrap();
            assert_eq!(Options::parse(options.arguments()), Ok(options));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, why) in [
            ("", "--socket"),
            ("--socket", "--socket"),
            ("--socket /s", "--state"),
            ("--socket /s --state /d --max-requests 0", "--max-requests"),
            ("--socket /s --state /d --cache-size lots", "--cache-size"),
            ("--socket /s --state /d --metrics 0.0.0.0:9100", "--metrics"),
            ("--socket /s --state /d --page-cache 3", "--page-cache"),
            ("--socket /s --state /d --verbose", "--verbose"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}
