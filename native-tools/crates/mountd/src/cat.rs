//! `clipyard-mountd cat`: one file, or every layer, without a mount.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use archive_format::digest::{Sha256, hex, oci};
use archive_format::erofs::{ErofsReader, Follow};
use archive_format::model::FileData;
use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;

use crate::error::Error;
use crate::image::Image;
use crate::layer::{FetchSettings, Layer, verify_blob};
use crate::request::{CatRequest, SourceRequest};

/// Read at once: a window of the layers' own read-ahead.
const STEP: u64 = 1 << 20;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CatResult {
    size_bytes: u64,
    sha256: String,
}

/// What was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyResult {
    layers: u64,
    bytes: u64,
}

/// Writes a file of the image to `request.output`. Symbolic links are followed inside the image.
///
/// # Errors
/// `PATH_NOT_FOUND`, `NOT_A_REGULAR_FILE`, the archive's and the registry's codes, `IO_FAILED`, `DISK_FULL`.
pub fn cat(request: &CatRequest) -> Result<CatResult, Error> {
    let path = request
        .path
        .as_deref()
        .ok_or_else(|| Error::Request("no path".to_owned()))?;
    let output = request
        .output
        .as_deref()
        .ok_or_else(|| Error::Request("no output".to_owned()))?;
    let image = Image::open(&request.source)?;
    let bytes = image.metadata()?;
    let metadata = ErofsReader::new(bytes.as_slice())?;
    let found = metadata.lookup(path.as_bytes(), Follow::All)?;
    let inode = found.ok_or_else(|| Error::PathNotFound(path.to_owned()))?;
    if !inode.is_regular() {
        return Err(Error::NotAFile(path.to_owned()));
    }
    let file = metadata.file(&inode)?;
    let fetch = FetchSettings {
        max_requests: request.source.max_requests,
        ..FetchSettings::default()
    };
    let layers = image.layers(&request.source.cache_dir, fetch)?;
    let mut out = Output::open(output)?;
    write_file(&file, &layers, &mut out)?;
    Ok(CatResult {
        size_bytes: file.size,
        sha256: hex(&out.hasher.finish()),
    })
}

fn write_file(file: &FileData, layers: &[Arc<Layer>], out: &mut Output) -> Result<(), Error> {
    if let Some(bytes) = &file.inline {
        return out.write(bytes);
    }
    let mut at = 0;
    for extent in &file.extents {
        out.zeros(extent.file_offset.saturating_sub(at))?;
        let end = extent
            .file_offset
            .saturating_add(extent.length)
            .min(file.size);
        let layer = layers.get(usize::from(extent.device)).ok_or_else(|| {
            archive_format::FormatError::Corrupt(format!(
                "a file lies on device {}, which is not there",
                extent.device
            ))
        })?;
        at = extent.file_offset;
        while at < end {
            let length = usize::try_from((end - at).min(STEP)).unwrap_or(usize::MAX);
            out.buffer.resize(length, 0);
            layer.read(
                extent.device_offset + (at - extent.file_offset),
                &mut out.buffer,
            )?;
            out.write_buffer()?;
            at += length as u64;
        }
    }
    out.zeros(file.size.saturating_sub(at))
}

/// Reads every layer whole from its source, past the cache, and proves blob digest, chunk digests and diffID.
///
/// # Errors
/// `BLOB_MISMATCH`, `DIFF_ID_MISMATCH`, the archive's and the registry's codes.
pub fn verify_all(
    source: &SourceRequest,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<VerifyResult, Error> {
    let image = Image::open(source)?;
    let mut bytes = 0;
    for table in &image.tables {
        let name = oci(&table.digest);
        let mut done = 0;
        let mut count = |length: u64| {
            done += length;
            progress(&name, done, table.blob_bytes);
        };
        bytes += verify_blob(table, image.source(table), &mut count)?;
    }
    Ok(VerifyResult {
        layers: image.tables.len() as u64,
        bytes,
    })
}

struct Output {
    file: File,
    name: String,
    hasher: Sha256,
    buffer: Vec<u8>,
}

impl Output {
    fn open(path: &Path) -> Result<Self, Error> {
        let descriptor = path
            .strip_prefix("/dev/fd")
            .ok()
            .and_then(|name| name.to_str()?.parse().ok());
        let file = match descriptor {
            Some(descriptor) => sys::process::inherited(descriptor),
            None => OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path),
        };
        let file = file.map_err(|error| Error::io_at("open", path, error))?;
        Ok(Self {
            file,
            name: path.display().to_string(),
            hasher: Sha256::new(),
            buffer: vec![],
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        write_waiting(&mut self.file, bytes)
            .map_err(|error| Error::io(format!("write {}", self.name), error))
    }

    fn write_buffer(&mut self) -> Result<(), Error> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer);
        self.buffer = buffer;
        written
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), Error> {
        while count > 0 {
            let length = usize::try_from(count.min(STEP)).unwrap_or(usize::MAX);
            self.buffer.clear();
            self.buffer.resize(length, 0);
            self.write_buffer()?;
            count -= length as u64;
        }
        Ok(())
    }
}

/// `write_all` that also waits for the reader of a pipe which somebody set to not block, as programs set their own.
fn write_waiting(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(file, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::io::Read;

    #[test]
    fn a_pipe_that_does_not_block_gets_every_byte() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let bytes: Vec<u8> = (0..3 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
        let expected = bytes.clone();
        let writing = std::thread::spawn(move || write_waiting(&mut File::from(writer), &bytes));
        rustix::io::ioctl_fionbio(&reader, false).unwrap();
        // The pipe fills up before anybody reads.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let mut got = Vec::new();
        File::from(reader).read_to_end(&mut got).unwrap();
        writing.join().unwrap().unwrap();
        assert!(got == expected);
    }
}
