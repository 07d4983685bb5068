//! `clipyard-compare`: compares two trees. One request line on stdin, one event on stdout; the end of stdin means "stop".

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Deserialize;
use tool_protocol::{EventWriter, read_request};
use tree_compare::{CompareError, Options, Report, compare_trees};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    v: u32,
    left: PathBuf,
    right: PathBuf,
    #[serde(default)]
    ignore: BTreeSet<String>,
    #[serde(default)]
    holes: bool,
    limit: usize,
}

fn main() -> ExitCode {
    let events = EventWriter::stdout();
    match run() {
        Ok(report) => {
            events.result("", &report);
            ExitCode::SUCCESS
        }
        Err(error) => {
            events.error("", &error);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Report, CompareError> {
    let request: Request = read_request(&mut io::stdin().lock())
        .map_err(|error| CompareError::Usage(error.to_string()))?;
    if request.v != tool_protocol::VERSION {
        return Err(CompareError::Usage(format!(
            "request version {}",
            request.v
        )));
    }
    // Nothing is written, so that it may end anywhere.
    thread::spawn(|| {
        let mut ignored = [0; 4096];
        while matches!(io::stdin().lock().read(&mut ignored), Ok(length) if length > 0) {}
        std::process::exit(1);
    });
    // A folder on each side is open for every level on the way down.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let options = Options {
        ignore: request.ignore,
        holes: request.holes,
        limit: request.limit,
    };
    compare_trees(&request.left, &request.right, &options)
}
