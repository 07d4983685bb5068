//! `clipyard-index`: packs, indexes and assembles. One request line on stdin, events on stdout, logs on stderr; the end
//! of stdin and SIGTERM mean "stop" and leave no unfinished file behind.

use std::fs;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use archive_format::digest::oci;
use archive_format::read::Archive;
use archive_format::tables::RecordKind;
use archive_format::verify::verify_archive;
use layer_index::assemble::assemble;
use layer_index::encoders::encoder_ids;
use layer_index::pack::{LayerFailure, LayerReport, LevelControl, Observer, pack_layers};
use layer_index::request::{
    ArchiveFormat, AssembleRequest, AssembleResult, LayerResult, PackControl, PackRequest,
    UnpackErofsRequest, VerifyRequest, VerifyResult, check_version,
};
use layer_index::v1::assemble_v1;
use layer_index::{IndexError, Stop};
use serde::de::DeserializeOwned;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tool_protocol::{EventWriter, read_request};
use tracing_subscriber::EnvFilter;

const USAGE: &str = "usage: clipyard-index pack|assemble|encoders|verify|unpack-erofs, the request as one JSON line on stdin";

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .json()
        .with_writer(io::stderr)
        .with_env_filter(
            EnvFilter::try_from_env("CLIPYARD_LOG").unwrap_or_else(|_| EnvFilter::new("warn")),
        )
        .init();
    let events = EventWriter::stdout();
    let stop = Stop::new();
    let outcome = heed_signals(&stop)
        .map_err(whole)
        .and_then(|()| run(std::env::args().nth(1).as_deref(), &events, &stop));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            events.error(&failure.id, &failure.error);
            ExitCode::FAILURE
        }
    }
}

fn run(
    command: Option<&str>,
    events: &EventWriter<io::Stdout>,
    stop: &Stop,
) -> Result<(), LayerFailure> {
    match command {
        Some("pack") => pack(events, stop),
        Some("assemble") => {
            let (job, format) = request::<AssembleRequest>(stop)
                .and_then(AssembleRequest::into_job)
                .map_err(whole)?;
            let result = match format {
                ArchiveFormat::Clipyard => assemble(&job, stop)
                    .map(|(summary, warnings)| AssembleResult::new(&summary, warnings)),
                ArchiveFormat::V1 => {
                    assemble_v1(&job, stop).map(|summary| AssembleResult::of_v1(&summary))
                }
            };
            events.result("", &result.map_err(whole)?);
            Ok(())
        }
        Some("encoders") => {
            events.result("", &encoder_ids());
            Ok(())
        }
        Some("verify") => {
            let request: VerifyRequest = request(stop).map_err(whole)?;
            check_version(request.v).map_err(whole)?;
            let report = verify_archive(&request.archive).map_err(|error| whole(error.into()))?;
            events.result("", &VerifyResult::from(report));
            Ok(())
        }
        Some("unpack-erofs") => {
            let request: UnpackErofsRequest = request(stop).map_err(whole)?;
            check_version(request.v).map_err(whole)?;
            let devices = unpack_erofs(&request.archive, &request.output).map_err(whole)?;
            events.result("", &serde_json::json!({ "devices": devices }));
            Ok(())
        }
        _ => Err(whole(IndexError::Usage(USAGE.to_owned()))),
    }
}

struct PackEvents<'a>(&'a EventWriter<io::Stdout>);

impl Observer for PackEvents<'_> {
    fn progress(&self, id: &str, done_bytes: u64, total_bytes: Option<u64>) {
        self.0.progress(id, done_bytes, total_bytes);
    }

    fn written(&self, id: &str, written_bytes: u64) {
        self.0.written(id, written_bytes);
    }

    fn layer_done(&self, id: &str, report: &LayerReport) {
        self.0.result(id, &LayerResult::from(report));
    }
}

fn pack(events: &EventWriter<io::Stdout>, stop: &Stop) -> Result<(), LayerFailure> {
    let (jobs, options) = request_line::<PackRequest>()
        .and_then(PackRequest::into_jobs)
        .map_err(whole)?;
    heed_stdin(stop, Some(options.level.clone()));
    pack_layers(&jobs, &options, &PackEvents(events), stop)?;
    events.result("", &serde_json::json!({ "layers": jobs.len() }));
    Ok(())
}

/// Writes the metadata image; the diffIDs of its devices in device order, `extra` as `extra:` and its digest.
fn unpack_erofs(archive: &Path, output: &Path) -> Result<Vec<String>, IndexError> {
    let file = fs::File::open(archive)
        .map_err(|error| IndexError::io(format!("open {}", archive.display()), error))?;
    let archive = Archive::open(file)?;
    let devices = archive
        .layers()?
        .iter()
        .map(|table| match table.kind {
            RecordKind::Layer => oci(&table.diff_id),
            RecordKind::Extra => format!("extra:{}", oci(&table.diff_id)),
        })
        .collect();
    let image = archive
        .section(archive_format::footer::SectionType::Erofs)?
        .ok_or_else(|| IndexError::Internal("an opened archive without erofs".to_owned()))?;
    fs::write(output, image)
        .map_err(|error| IndexError::io(format!("write {}", output.display()), error))?;
    Ok(devices)
}

/// Reads the request, and from then on takes the end of stdin as "stop".
fn request<T: DeserializeOwned>(stop: &Stop) -> Result<T, IndexError> {
    let request = request_line()?;
    heed_stdin(stop, None);
    Ok(request)
}

fn request_line<T: DeserializeOwned>() -> Result<T, IndexError> {
    read_request(&mut io::stdin().lock()).map_err(|error| IndexError::Usage(error.to_string()))
}

/// Longer than any control line.
const MAX_CONTROL_BYTES: u64 = 4096;

/// Takes the end of stdin as "stop", and lines before it as the changes of `level`.
fn heed_stdin(stop: &Stop, level: Option<LevelControl>) {
    let stop = stop.clone();
    thread::spawn(move || {
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut bounded = io::stdin().lock().take(MAX_CONTROL_BYTES);
            if !matches!(bounded.read_until(b'\n', &mut line), Ok(length) if length > 0) {
                break;
            }
            if let Some(level) = &level
                && !serde_json::from_slice::<PackControl>(&line)
                    .is_ok_and(|control| level.set(control.level))
            {
                tracing::warn!(line = %String::from_utf8_lossy(&line), "not a control line; ignored");
            }
        }
        stop.raise();
    });
}

/// The first signal raises the flag; a second one ends the process where it is.
fn heed_signals(stop: &Stop) -> Result<(), IndexError> {
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, 1, stop.flag())
            .and_then(|_| flag::register(signal, stop.flag()))
            .map_err(|error| IndexError::io("register a signal handler", error))?;
    }
    Ok(())
}

/// A failure of the whole job.
fn whole(error: IndexError) -> LayerFailure {
    LayerFailure {
        id: String::new(),
        error,
    }
}
