//! `clipyard-hash`: digests of files. The request on the first line of stdin, then batches of files, a line each; a result
//! event for each batch as it is done, in any order. The end of stdin means "stop".

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::process::ExitCode;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use file_hash::{Batch, Buffer, HashError, Request, hash_file};
use tool_protocol::{Coded, EventWriter, read_request};

/// Longer than any batch: 4096 of the longest paths.
const MAX_LINE_BYTES: u64 = 32 << 20;
/// Batches read ahead of those that are worked on.
const AHEAD: usize = 2;

fn main() -> ExitCode {
    let events = EventWriter::stdout();
    let Err(error) = run(&events) else {
        return ExitCode::SUCCESS;
    };
    events.error("", &error);
    ExitCode::FAILURE
}

fn run(events: &EventWriter<io::Stdout>) -> Result<(), HashError> {
    let mut input = io::stdin().lock();
    let request: Request =
        read_request(&mut input).map_err(|error| HashError::Usage(error.to_string()))?;
    if request.v != tool_protocol::VERSION {
        return Err(HashError::Usage(format!("request version {}", request.v)));
    }
    let (sender, batches) = bounded::<Batch>(AHEAD);
    thread::scope(|scope| {
        let sender = sender; // the workers end with it
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let batches = batches.clone();
            scope.spawn(move || work(&batches, events));
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut input)
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line);
            if !matches!(read, Ok(length) if length > 0) {
                // Nothing is written, so that it may end anywhere.
                std::process::exit(0);
            }
            let batch = serde_json::from_slice(&line)
                .map_err(|error| HashError::Usage(format!("not a batch: {error}")))?;
            if sender.send(batch).is_err() {
                return Ok(());
            }
        }
    })
}

/// What happened to a file of a batch.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct Failed {
    error: HashError,
    at: usize,
}

impl Coded for Failed {
    fn code(&self) -> &'static str {
        self.error.code()
    }

    fn details(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("at".to_owned(), self.at.to_string())])
    }
}

/// Takes batches until there are no more. A file that fails ends the whole job.
fn work(batches: &Receiver<Batch>, events: &EventWriter<io::Stdout>) {
    let mut buffer = Buffer::new();
    for batch in batches {
        let digests: Result<Vec<String>, Failed> = batch
            .files
            .iter()
            .enumerate()
            .map(|(at, file)| hash_file(file, &mut buffer).map_err(|error| Failed { error, at }))
            .collect();
        match digests {
            Ok(digests) => events.result(&batch.id, &digests),
            Err(error) => {
                events.error(&batch.id, &error);
                std::process::exit(1);
            }
        }
    }
}
