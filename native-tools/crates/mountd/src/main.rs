//! `clipyard-mountd hold|daemon|replace|drain|sweep|cat|cache`. See `docs/mount.md`. The log goes to stderr.
#![forbid(unsafe_code)]

use std::io::{self, BufReader};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use mountd::cache_care::{CacheRequest, care};
use mountd::cat::{cat, verify_all};
use mountd::error::Error;
use mountd::grpc::client::Client;
use mountd::hold::{Start, hold, sweep};
use mountd::options::Options;
use mountd::proto::{DrainRequest, DrainResponse, ReplaceRequest};
use mountd::request::CatRequest;
use serde::de::DeserializeOwned;
use tool_protocol::{EventWriter, read_request};
use tracing_subscriber::EnvFilter;

const USAGE: &str =
    "usage: clipyard-mountd hold --socket PATH --state DIR [--cache DIR] [--max-requests N]
                            [--cache-size BYTES] [--min-free BYTES|N%]
                            [--metrics ADDRESS:PORT|PATH] [--idle-exit]
                            [--no-handover] [--page-cache shared|single] [--read-timeout-ms N]
                            [--bytes-per-second N] [--fetch-memory BYTES] [--ahead-percent N] [--ahead-waits N]
                            [--hedge-percent N]
       clipyard-mountd replace --socket PATH [PROGRAM]
       clipyard-mountd drain --socket PATH
       clipyard-mountd sweep --socket PATH
       clipyard-mountd cat < request.json
       clipyard-mountd cache < request.json";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next();
    let command = command.as_ref().and_then(|command| command.to_str());
    if command == Some("hold") {
        sys::process::close_inherited();
    }
    log_to_stderr();
    match command {
        Some("cat") => events(run_cat),
        Some("cache") => events(run_cache),
        Some("hold") => with_options(arguments, |options| hold_on(options, Start::Fresh)),
        // Of the program's own making: a daemon starts a holder, a holder starts a daemon.
        Some("adopt") => with_options(arguments, |options| hold_on(options, Start::Adopting)),
        Some("daemon") => with_options(arguments, mountd::daemon::run),
        Some(command @ ("replace" | "drain")) => tell(command, arguments),
        Some("sweep") => sweep_at(arguments),
        _ => usage(USAGE),
    }
}

fn usage(what: &str) -> ExitCode {
    eprintln!("{what}");
    ExitCode::from(64)
}

fn with_options(
    arguments: impl Iterator<Item = std::ffi::OsString>,
    run: impl FnOnce(Options) -> io::Result<()>,
) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(why) => return usage(&format!("{why}\n{USAGE}")),
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot go on");
            ExitCode::FAILURE
        }
    }
}

/// `replace` and `drain`: one call to a daemon that runs.
fn tell(command: &str, mut arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let (option, socket, program) = (arguments.next(), arguments.next(), arguments.next());
    let (Some(socket), true) = (socket, option.is_some_and(|option| option == "--socket")) else {
        return usage(USAGE);
    };
    let done = Client::connect(Path::new(&socket)).and_then(|mut client| match command {
        "replace" => {
            let program = program.unwrap_or_default().to_string_lossy().into_owned();
            client.call(|calls| Box::pin(calls.replace(ReplaceRequest { program })))?;
            Ok("handed over".to_owned())
        }
        _ => {
            let DrainResponse { mounts } =
                client.call(|calls| Box::pin(calls.drain(DrainRequest {})))?;
            Ok(format!("draining, {mounts} mounts left"))
        }
    });
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(status) => {
            eprintln!("{}", status.message());
            ExitCode::FAILURE
        }
    }
}

/// Removes what a dead holder left.
fn sweep_at(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let (option, socket) = (arguments.next(), arguments.next());
    let (Some(socket), true) = (socket, option.is_some_and(|option| option == "--socket")) else {
        return usage(USAGE);
    };
    match sweep(Path::new(&socket)) {
        Ok(removed) => {
            println!("{}", if removed { "removed" } else { "left alone" });
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&socket).display());
            ExitCode::FAILURE
        }
    }
}

fn hold_on(options: Options, start: Start) -> io::Result<()> {
    std::env::set_current_dir("/")?;
    sys::process::leave_session();
    if hold(options, start)? {
        tracing::info!("another holder serves the socket");
    }
    Ok(())
}

/// Runs a one-shot command that speaks the protocol of native tools.
fn events(run: impl FnOnce(&EventWriter<io::Stdout>) -> anyhow::Result<()>) -> ExitCode {
    let events = EventWriter::stdout();
    match run(&events) {
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

fn run_cache(events: &EventWriter<io::Stdout>) -> anyhow::Result<()> {
    let request: CacheRequest = request_then(|| std::process::exit(1))?;
    events.result("", &care(&request)?);
    Ok(())
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
