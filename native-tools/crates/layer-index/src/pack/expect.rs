//! What the caller knows about a layer beforehand, held against what was found.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use archive_format::digest::{Digest, Sha256, oci};

use super::hash::Hashed;
use super::{LayerJob, Origin};
use crate::error::IndexError;
use crate::source::{Input, Planned, Stream};
use crate::stop::Stop;

/// How long a socket is waited for before the stop flag is looked at.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// Opens the blob; a regular file of another size than expected is refused before anything is read.
pub(super) fn open_source(job: &LayerJob) -> Result<Input, IndexError> {
    let failed = |error| IndexError::io(format!("open {}", job.source), error);
    match &job.source {
        Origin::File(path) => {
            let file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if metadata.is_file() {
                check_size(job, metadata.len())?;
            }
            Ok(Input::File(file))
        }
        Origin::Planned { plan, data } => {
            let planned = Planned::open(plan, data).map_err(failed)?;
            Ok(Input::Planned(Box::new(planned)))
        }
        Origin::Socket(path) => {
            let socket = ask(path, job).map_err(failed)?;
            Ok(Input::Stream(Stream::new(socket, job.expected_size)))
        }
    }
}

/// Asks for the blob by its digest; a request without one was refused.
fn ask(path: &Path, job: &LayerJob) -> std::io::Result<UnixStream> {
    let mut socket = UnixStream::connect(path)?;
    socket.set_read_timeout(Some(STOP_INTERVAL))?;
    let digest = job.expected_digest.as_ref().map(oci).unwrap_or_default();
    socket.write_all(format!("{digest}\n").as_bytes())?;
    Ok(socket)
}

/// Checks digest and size of the source blob and the diffID.
pub(super) fn check(job: &LayerJob, source: Hashed, plain: Hashed) -> Result<(), IndexError> {
    check_size(job, source.bytes)?;
    check_digest(job, &source.digest)?;
    match &job.diff_id {
        Some(expected) if *expected != plain.digest => Err(IndexError::DiffIdMismatch {
            expected: oci(expected),
            actual: oci(&plain.digest),
        }),
        _ => Ok(()),
    }
}

/// The same for a blob that can be read once only: `whole` is what its rest gave as well.
pub(super) fn explain_stream(job: &LayerJob, error: IndexError, whole: Hashed) -> IndexError {
    check_digest(job, &whole.digest).err().unwrap_or(error)
}

/// A layer that cannot be read is explained best by a blob that is not the one asked for: its digest is worth another
/// look at the whole file.
pub(super) fn explain(job: &LayerJob, error: IndexError, stop: &Stop) -> IndexError {
    if job.expected_digest.is_none() || !error.blames_bytes() {
        return error;
    }
    let Origin::File(path) = &job.source else {
        return error;
    };
    let mismatch = hash_file(path, stop)
        .ok()
        .and_then(|digest| check_digest(job, &digest).err());
    mismatch.unwrap_or(error)
}

fn check_size(job: &LayerJob, bytes: u64) -> Result<(), IndexError> {
    match job.expected_size {
        Some(expected) if expected != bytes => Err(IndexError::BlobMismatch {
            expected: format!("{expected} bytes"),
            actual: format!("{bytes} bytes"),
        }),
        _ => Ok(()),
    }
}

fn check_digest(job: &LayerJob, digest: &Digest) -> Result<(), IndexError> {
    match &job.expected_digest {
        Some(expected) if expected != digest => Err(IndexError::BlobMismatch {
            expected: oci(expected),
            actual: oci(digest),
        }),
        _ => Ok(()),
    }
}

fn hash_file(path: &Path, stop: &Stop) -> Result<Digest, IndexError> {
    let failed = |error| IndexError::io(format!("read {}", path.display()), error);
    let mut file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(IndexError::Canceled);
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        stop.check()?;
        let length = file.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(buffer.get(..length).unwrap_or(&buffer));
    }
}
