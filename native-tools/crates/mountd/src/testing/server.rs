//! A registry on loopback that serves blobs by range, keeps a log, and misbehaves on demand.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What goes wrong with the next blob request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Answers a status with extra header lines and no data.
    Status(u16, Vec<String>),
    /// Closes the connection after so many bytes of the body.
    Cut(usize),
    /// Sends so many bytes, then nothing more.
    Stall(usize),
    /// Sends a byte at a time, slowly.
    Drip(Duration),
    /// Takes the request and answers nothing.
    Silent,
    /// 206 with the first so many bytes of the range, which is allowed.
    Short(usize),
    /// The right lengths, but bytes of another blob.
    OtherBlob,
    /// Flips a bit of the byte at this offset of the blob, when it is in the range.
    Flip(u64),
    /// A web page with status 200.
    Html,
    /// The whole blob with status 200.
    WholeBlob,
    /// 206 with another range than the one asked for.
    OtherRange,
}

/// A request for a blob as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Method and path.
    pub(crate) line: String,
    /// First and last byte wanted.
    pub(crate) range: Option<(u64, u64)>,
    /// The Authorization header.
    pub(crate) authorization: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<String, Arc<Vec<u8>>>,
    faults: VecDeque<Fault>,
    always: Option<Fault>,
    log: Vec<Seen>,
    token: Option<String>,
    tokens_given: u32,
    token_forms: Vec<String>,
    basic: Option<String>,
    redirect: Option<String>,
    delay: Duration,
    connections: usize,
    /// Requests that wait for their answer, and the most at one moment.
    waiting: usize,
    most_waiting: usize,
}

/// The server; its threads end with the process.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    /// `http://127.0.0.1:port`.
    pub(crate) url: String,
}

impl Server {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let server = Self { state, url };
        let shared = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                shared.state.lock().unwrap().connections += 1;
                thread::spawn(move || shared.serve(stream));
            }
        });
        server
    }

    /// Adds a blob under `sha256:<hex>`.
    pub(crate) fn add(&self, digest: &str, bytes: Vec<u8>) {
        self.state
            .lock()
            .unwrap()
            .blobs
            .insert(digest.to_owned(), Arc::new(bytes));
    }

    /// A blob as it is served.
    pub(crate) fn blob(&self, digest: &str) -> Vec<u8> {
        self.state.lock().unwrap().blobs[digest].to_vec()
    }

    /// Forgets a blob.
    pub(crate) fn remove(&self, digest: &str) {
        self.state.lock().unwrap().blobs.remove(digest);
    }

    /// Lets the next blob requests go wrong, in this order.
    pub(crate) fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    /// Lets every blob request go wrong from now on.
    pub(crate) fn fail_always(&self, fault: Option<Fault>) {
        self.state.lock().unwrap().always = fault;
    }

    /// Wants a Bearer token, a new one each time one is asked for; `basic` is what the token address wants.
    pub(crate) fn want_token(&self, basic: Option<&str>) {
        let mut state = self.state.lock().unwrap();
        state.token = Some("none yet".to_owned());
        state.basic = basic.map(str::to_owned);
    }

    /// Lets the current token run out.
    pub(crate) fn expire_token(&self) {
        self.state.lock().unwrap().token = Some("expired".to_owned());
    }

    /// Request lines and bodies of the token requests that were granted.
    pub(crate) fn token_requests(&self) -> Vec<String> {
        self.state.lock().unwrap().token_forms.clone()
    }

    /// Wants this token and gives out no other.
    pub(crate) fn accept_token(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
    }

    /// Wants Basic credentials with every request.
    pub(crate) fn want_basic(&self, basic: &str) {
        self.state.lock().unwrap().basic = Some(basic.to_owned());
    }

    /// Sends blob requests to another server.
    pub(crate) fn redirect_to(&self, url: Option<&str>) {
        self.state.lock().unwrap().redirect = url.map(str::to_owned);
    }

    /// Waits before each answer.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    /// Blob requests so far.
    pub(crate) fn log(&self) -> Vec<Seen> {
        self.state.lock().unwrap().log.clone()
    }

    /// Forgets the log.
    pub(crate) fn clear_log(&self) {
        self.state.lock().unwrap().log.clear();
    }

    /// Tokens given out so far.
    pub(crate) fn tokens_given(&self) -> u32 {
        self.state.lock().unwrap().tokens_given
    }

    /// Most blob requests that waited for their answer at one moment.
    pub(crate) fn most_waiting(&self) -> usize {
        self.state.lock().unwrap().most_waiting
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    fn arrive(&self) -> Duration {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        state.most_waiting = state.most_waiting.max(state.waiting);
        state.delay
    }

    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap(); // head and body are written one after the other
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some((seen, body_bytes)) = read_request(&mut reader) {
            let mut body = vec![0; body_bytes];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            let open = if seen.line.contains("/token") {
                self.answer_token(&mut stream, &seen, &body)
            } else {
                self.answer_blob(&mut stream, &seen)
            };
            if open.is_none() {
                return;
            }
        }
    }

    fn answer_token(&self, stream: &mut TcpStream, seen: &Seen, body: &[u8]) -> Option<()> {
        let mut state = self.state.lock().unwrap();
        let form = String::from_utf8_lossy(body).into_owned();
        let identified = seen.line.starts_with("POST")
            && form.contains("refresh_token=identity&") | form.ends_with("refresh_token=identity");
        if state.basic.is_some() && seen.authorization != state.basic && !identified {
            return head(stream, 401, &[], 0);
        }
        state.token_forms.push(format!("{} {form}", seen.line));
        state.tokens_given += 1;
        let token = format!("token-{}", state.tokens_given);
        state.token = Some(token.clone());
        let body = format!("{{\"token\":\"{token}\",\"expires_in\":60}}");
        head(
            stream,
            200,
            &["content-type: application/json".to_owned()],
            body.len(),
        )?;
        stream.write_all(body.as_bytes()).ok()
    }

    fn answer_blob(&self, stream: &mut TcpStream, seen: &Seen) -> Option<()> {
        let (blob, fault) = {
            let mut state = self.state.lock().unwrap();
            state.log.push(seen.clone());
            let wanted = state.token.as_ref().map(|token| format!("Bearer {token}"));
            let wanted = wanted.or_else(|| state.basic.clone());
            if wanted.is_some() && seen.authorization != wanted {
                let challenge = if state.token.is_some() {
                    format!(
                        "www-authenticate: Bearer realm=\"{}/token\",service=\"test\"",
                        self.url
                    )
                } else {
                    "www-authenticate: Basic realm=\"test\"".to_owned()
                };
                return head(stream, 401, &[challenge], 0);
            }
            if let Some(url) = &state.redirect {
                let path = seen.line.split(' ').nth(1).unwrap_or_default();
                return head(
                    stream,
                    307,
                    &[format!("location: {url}{path}?signature=secret")],
                    0,
                );
            }
            let name = blob_name(&seen.line);
            let fault = state.faults.pop_front().or_else(|| state.always.clone());
            (name.and_then(|name| state.blobs.get(&name).cloned()), fault)
        };
        let delay = self.arrive();
        thread::sleep(delay);
        self.state.lock().unwrap().waiting -= 1;
        if matches!(fault, Some(Fault::Silent)) {
            thread::sleep(Duration::from_secs(20));
            return None;
        }
        if let Some(Fault::Status(status, headers)) = &fault {
            return head(stream, *status, headers, 0);
        }
        let Some(blob) = blob else {
            return head(stream, 404, &[], 0);
        };
        if seen.line.starts_with("HEAD ") {
            return head(stream, 200, &[], blob.len());
        }
        send_blob(stream, &blob, seen.range, fault)
    }
}

/// As a registry names it, or as a folder of an image layout does.
fn blob_name(line: &str) -> Option<String> {
    let mut parts = line.split(['/', ' ', '?']);
    let name = parts.find(|part| part.starts_with("sha256"))?;
    match name {
        "sha256" => Some(format!("sha256:{}", parts.next()?)),
        _ => Some(name.to_owned()),
    }
}

fn send_blob(
    stream: &mut TcpStream,
    blob: &[u8],
    range: Option<(u64, u64)>,
    fault: Option<Fault>,
) -> Option<()> {
    let total = blob.len() as u64;
    if matches!(fault, Some(Fault::Html)) {
        let page = b"<html>log in please</html>";
        head(
            stream,
            200,
            &["content-type: text/html; charset=utf-8".to_owned()],
            page.len(),
        )?;
        return stream.write_all(page).ok();
    }
    let whole = matches!(fault, Some(Fault::WholeBlob)) || range.is_none();
    let (first, last) = if whole { (0, total - 1) } else { range? };
    let last = match fault {
        Some(Fault::Short(bytes)) => last.min(first + (bytes as u64).max(1) - 1),
        _ => last,
    };
    let last = last.min(total - 1);
    let mut body = blob[usize::try_from(first).ok()?..=usize::try_from(last).ok()?].to_vec();
    if let Some(Fault::Flip(at)) = fault
        && (first..=last).contains(&at)
    {
        body[usize::try_from(at - first).ok()?] ^= 1;
    }
    if matches!(fault, Some(Fault::OtherBlob)) {
        body.fill(0x55);
    }
    let shift = u64::from(matches!(fault, Some(Fault::OtherRange)));
    let content_range = format!(
        "content-range: bytes {}-{}/{total}",
        first + shift,
        last + shift
    );
    let status = if whole { 200 } else { 206 };
    let headers = if whole { vec![] } else { vec![content_range] };
    head(stream, status, &headers, body.len())?;
    match fault {
        Some(Fault::Cut(bytes)) => {
            let _ = stream.write_all(&body[..bytes.min(body.len())]);
            let _ = stream.shutdown(std::net::Shutdown::Both);
            None
        }
        Some(Fault::Stall(bytes)) => {
            let _ = stream.write_all(&body[..bytes.min(body.len())]);
            thread::sleep(Duration::from_secs(20));
            None
        }
        Some(Fault::Drip(pause)) => {
            for byte in body {
                stream.write_all(&[byte]).ok()?;
                thread::sleep(pause);
            }
            Some(())
        }
        _ => stream.write_all(&body).ok(),
    }
}

fn head(stream: &mut TcpStream, status: u16, headers: &[String], length: usize) -> Option<()> {
    let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).ok()
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(Seen, usize)> {
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let header = |name: &str| {
        lines.iter().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let range = header("range").and_then(|value| {
        let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    });
    let length = header("content-length")
        .and_then(|value| value.parse().ok())
        .unwrap_or(0);
    let line = lines.first()?.clone();
    Some((
        Seen {
            line,
            range,
            authorization: header("authorization"),
        },
        length,
    ))
}
