//! `clipyard-mountd serve|cat`: one request line on stdin, events on stdout, log on stderr. See `docs/mount.md`.
#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::io::{self, BufReader};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use mountd::cat::{cat, verify_all};
use mountd::error::Error;
use mountd::request::{CatRequest, ServeRequest};
use mountd::serve::{Mounted, StartGate};
use serde::de::DeserializeOwned;
use tool_protocol::{EventWriter, read_request};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    if command.as_deref() == Some("serve") {
        sys::process::close_inherited();
    }
    log_to_stderr();
    let events = EventWriter::stdout();
    let done = match command.as_deref() {
        Some("serve") => serve(&events),
        Some("cat") => run_cat(&events),
        _ => {
            eprintln!("usage: clipyard-mountd serve|cat < request.json");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<Error>() {
                Some(error) => events.error("", error),
                None => events.error("", &Error::Request(format!("{error:#}"))),
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(events: &EventWriter<io::Stdout>) -> anyhow::Result<()> {
    let gate = Arc::new(StartGate::default());
    let callers = Arc::clone(&gate);
    let request: ServeRequest = request_then(move || callers.caller_left())?;
    let mounted = Mounted::start(&request, &gate)?;
    events.result("", &mounted.result());
    leave_caller().context("leave the caller")?;
    Ok(mounted.wait()?)
}

fn run_cat(events: &EventWriter<io::Stdout>) -> anyhow::Result<()> {
    let request: CatRequest = request_then(|| std::process::exit(1))?;
    if request.verify_all {
        let result = verify_all(&request.source, &mut |id, done, total| {
            events.progress(id, done, Some(total))
        })?;
        events.result("", &result);
    } else {
        events.result("", &cat(&request)?);
    }
    Ok(())
}

/// Reads the request; `stopped` runs when stdin ends after it, which means "stop".
fn request_then<T: DeserializeOwned>(stopped: impl FnOnce() + Send + 'static) -> anyhow::Result<T> {
    let mut input = BufReader::new(io::stdin());
    let request = read_request(&mut input)?;
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let _ = io::copy(&mut input, &mut io::sink());
            stopped();
        })?;
    Ok(request)
}

/// Lets go of everything of the caller's but the log on stderr.
fn leave_caller() -> io::Result<()> {
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    std::env::set_current_dir("/")?;
    sys::process::leave_session();
    Ok(())
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("CLIPYARD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .log_internal_errors(false) // a log that nobody reads any more must not end the mount
        .init();
}
