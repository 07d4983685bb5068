use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use archive_format::digest::Sha256;

use super::{Blob, BlobSource, FetchError, FetchKind};

/// A blob that lies in a local file, or in a part of one (the archive's section `extra`).
#[derive(Debug, Clone)]
pub struct FileSource {
    file: Arc<File>,
    start: u64,
    name: String,
}

impl FileSource {
    /// The blob that starts at byte `start` of `file`; `name` is for messages.
    pub fn new(file: Arc<File>, start: u64, name: impl Into<String>) -> Self {
        Self {
            file,
            start,
            name: name.into(),
        }
    }
}

impl BlobSource for FileSource {
    fn open(
        self: Arc<Self>,
        blob: &Blob,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, FetchError> {
        if range.end > blob.size {
            let message = format!("{}: {} bytes, read to {}", self.name, blob.size, range.end);
            return Err(FetchError::new(FetchKind::Local, message));
        }
        Ok(Box::new(Section {
            source: self,
            position: range.start,
            end: range.end,
        }))
    }

    /// Whoever has the bytes may read them.
    fn authorise(&self, blob: &Blob) -> Result<(), FetchError> {
        let failed = |error| FetchError::from_io(&error, &format!("read {}", self.name));
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        let mut at = 0;
        while at < blob.size {
            let left = usize::try_from(blob.size - at).unwrap_or(usize::MAX);
            let length = left.min(buffer.len());
            let part = buffer.get_mut(..length).unwrap_or_default();
            self.file
                .read_exact_at(part, self.start + at)
                .map_err(failed)?;
            hasher.update(part);
            at += length as u64;
        }
        if hasher.finish() == blob.digest {
            return Ok(());
        }
        Err(FetchError::damaged(format!(
            "{} does not have its digest",
            self.name
        )))
    }

    fn is_authorised(&self, _: &Blob) -> bool {
        false // a part of it proves a part of it
    }
}

struct Section {
    source: Arc<FileSource>,
    position: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        if part.is_empty() {
            return Ok(0);
        }
        let length = self
            .source
            .file
            .read_at(part, self.source.start + self.position)?;
        if length == 0 {
            let message = format!(
                "{} ends at byte {}, not at {}",
                self.source.name, self.position, self.end
            );
            return Err(FetchError::new(FetchKind::Local, message).into());
        }
        self.position += length as u64;
        Ok(length)
    }
}
