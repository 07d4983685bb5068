//! `GET /metrics`, on loopback or on a unix socket, and nothing else.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Longest request that is read.
const REQUEST_BYTES: u64 = 8 << 10;

/// One asks at a time: nobody may hold the others up for long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address of this machine alone.
    Loopback(SocketAddr),
    /// A socket that its owner can open.
    Socket(PathBuf),
}

impl Address {
    /// Reads `127.0.0.1:9100`, `[::1]:9100` or `/absolute/path`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::Socket(PathBuf::from(text)));
        }
        let address: SocketAddr = text.parse().ok()?;
        address
            .ip()
            .is_loopback()
            .then_some(Self::Loopback(address))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loopback(address) => address.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

/// Answers on a thread of its own for as long as `page` gives one.
///
/// # Errors
/// The system's, when nobody can listen there.
pub fn listen(
    address: &Address,
    page: impl Fn() -> Option<String> + Send + 'static,
) -> io::Result<()> {
    let accept: Box<dyn FnMut() -> io::Result<Box<dyn Stream>> + Send> = match address {
        Address::Loopback(address) => {
            let listener = TcpListener::bind(address)?;
            Box::new(move || {
                let (stream, _) = listener.accept()?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream))
            })
        }
        Address::Socket(path) => {
            // Of a daemon before this one; whoever may make a socket here may remove it.
            let _ = fs::remove_file(path);
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            Box::new(move || {
                let (stream, _) = listener.accept()?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream))
            })
        }
    };
    let thread = thread::Builder::new().name("metrics".to_owned());
    thread.spawn(move || run(accept, &page))?;
    Ok(())
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn run(mut accept: impl FnMut() -> io::Result<Box<dyn Stream>>, page: &dyn Fn() -> Option<String>) {
    loop {
        let answered = accept().and_then(|mut stream| answer(stream.as_mut(), page));
        match answered {
            Ok(true) => (),
            Ok(false) => return,
            Err(error) => {
                tracing::debug!(%error, "a request for metrics was not answered");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// False when there is no page any more.
fn answer(stream: &mut dyn Stream, page: &dyn Fn() -> Option<String>) -> io::Result<bool> {
    let mut reader = BufReader::new((&mut *stream).take(REQUEST_BYTES));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let is_wanted = path.split('?').next() == Some("/metrics");
    let (status, body) = match method {
        Some("GET") if is_wanted => match page() {
            Some(text) => ("200 OK", text),
            None => return Ok(false),
        },
        Some("GET") => ("404 Not Found", "/metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.flush()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_absolute_paths_are_addresses() {
        for good in ["127.0.0.1:9100", "[::1]:1", "/run/clipyard/metrics.sock"] {
            let address = Address::parse(good).unwrap();
            assert_eq!(Address::parse(&address.to_string()), Some(address));
        }
        for bad in [
            "0.0.0.0:9100",
            "10.0.0.1:1",
            "localhost:1",
            "9100",
            "run/m",
            "",
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}
