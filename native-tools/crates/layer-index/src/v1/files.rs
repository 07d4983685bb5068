//! The files of a V1 archive while their bytes come in.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use archive_format::clip::V1Layout;
use archive_format::digest::{Digest, Sha256};
use archive_format::model::{FileData, Image, InodeId, Kind};
use crc::{CRC_64_GO_ISO, Crc, Digest as CrcDigest, Table};

use crate::error::IndexError;
use crate::stop::Stop;

/// The stock writer's checksum: Go's `crc64.ISO`.
static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_GO_ISO);
/// Holes of sparse files are hashed like data; without a bound a few bytes of tar could cost days.
const MAX_HOLE_BYTES: u64 = 64 << 30;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A stretch of a file on a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) device_offset: u64,
    pub(super) length: u64,
    file_offset: u64,
    inode: InodeId,
}

impl Wanted {
    pub(super) fn end(&self) -> u64 {
        self.device_offset.saturating_add(self.length)
    }
}

/// What files need of a device, by its place there. Files whose bytes the index holds need nothing.
pub(super) fn extents_of(image: &Image, layout: &V1Layout<'_>, device: usize) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = files_of(image, layout)
        .filter(|(_, file)| file.inline.is_none())
        .flat_map(|(inode, file)| {
            file.extents
                .iter()
                .filter(|extent| usize::from(extent.device) == device && extent.length > 0)
                .map(move |extent| Wanted {
                    device_offset: extent.device_offset,
                    length: extent.length,
                    file_offset: extent.file_offset,
                    inode,
                })
        })
        .collect();
    wanted.sort_by_key(|wanted| (wanted.device_offset, wanted.inode));
    wanted
}

/// Refuses an image whose files are mostly holes, before anything is written.
pub(super) fn check_holes(image: &Image, layout: &V1Layout<'_>) -> Result<(), IndexError> {
    let holes = files_of(image, layout)
        .map(|(_, file)| {
            let data: u64 = file.extents.iter().map(|extent| extent.length).sum();
            file.size.saturating_sub(data)
        })
        .fold(0, u64::saturating_add);
    if holes > MAX_HOLE_BYTES {
        return Err(IndexError::limit(
            format!("{holes} bytes of holes in the files of a V1 archive"),
            MAX_HOLE_BYTES,
        ));
    }
    Ok(())
}

/// The files that have a place in the archive.
fn files_of<'a>(
    image: &'a Image,
    layout: &'a V1Layout<'_>,
) -> impl Iterator<Item = (InodeId, &'a FileData)> {
    (0..).zip(&image.inodes).filter_map(|(id, inode)| {
        layout.data_offset(id)?;
        match &inode.kind {
            Kind::Regular(file) => Some((id, file)),
            _ => None,
        }
    })
}

/// Writes bytes to their places, and hashes each file on the way.
pub(super) struct Files<'a> {
    output: &'a File,
    image: &'a Image,
    layout: &'a V1Layout<'a>,
    stop: &'a Stop,
    /// Files of which something is still to come.
    open: HashMap<InodeId, OpenFile>,
    digests: Vec<Option<Digest>>,
}

struct OpenFile {
    sha256: Sha256,
    checksum: CrcDigest<'static, u64, Table<16>>,
    position: u64,
}

impl OpenFile {
    fn new() -> Self {
        Self {
            sha256: Sha256::new(),
            checksum: CHECKSUM.digest(),
            position: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.checksum.update(bytes);
        self.position += bytes.len() as u64;
    }
}

impl<'a> Files<'a> {
    pub(super) fn new(
        output: &'a File,
        image: &'a Image,
        layout: &'a V1Layout<'a>,
        stop: &'a Stop,
    ) -> Self {
        Self {
            output,
            image,
            layout,
            stop,
            open: HashMap::new(),
            digests: vec![None; image.inodes.len()],
        }
    }

    /// Files that no layer has to be read for: those that the index holds, and those without data.
    pub(super) fn write_small(&mut self) -> Result<(), IndexError> {
        let (image, layout) = (self.image, self.layout);
        for (id, file) in files_of(image, layout) {
            match &file.inline {
                Some(bytes) => self.write(id, 0, bytes)?,
                None if file.extents.iter().all(|extent| extent.length == 0) => {}
                None => continue,
            }
            self.close(id, file.size)?;
        }
        Ok(())
    }

    /// Bytes of a stretch, from `skipped` on. The stretches of a file come in file order.
    pub(super) fn write_stretch(
        &mut self,
        wanted: &Wanted,
        skipped: u64,
        bytes: &[u8],
    ) -> Result<(), IndexError> {
        self.write(wanted.inode, wanted.file_offset + skipped, bytes)?;
        if skipped + bytes.len() as u64 == wanted.length {
            self.close_if_last(wanted)?;
        }
        Ok(())
    }

    fn close_if_last(&mut self, wanted: &Wanted) -> Result<(), IndexError> {
        let inode = usize::try_from(wanted.inode)
            .ok()
            .and_then(|at| self.image.inodes.get(at));
        let Some(Kind::Regular(file)) = inode.map(|inode| &inode.kind) else {
            return Err(IndexError::Internal("a stretch of no file".to_owned()));
        };
        let is_last = file
            .extents
            .iter()
            .rfind(|extent| extent.length > 0)
            .is_none_or(|last| last.file_offset == wanted.file_offset);
        if is_last {
            self.close(wanted.inode, file.size)?;
        }
        Ok(())
    }

    fn write(&mut self, id: InodeId, position: u64, bytes: &[u8]) -> Result<(), IndexError> {
        self.fill(id, position)?;
        self.output
            .write_all_at(bytes, self.place(id)? + position)
            .map_err(|error| IndexError::io("write file data", error))?;
        self.open
            .entry(id)
            .or_insert_with(OpenFile::new)
            .take(bytes);
        Ok(())
    }

    /// Hashes the zeros up to a position; in the output they are a hole.
    fn fill(&mut self, id: InodeId, position: u64) -> Result<(), IndexError> {
        let file = self.open.entry(id).or_insert_with(OpenFile::new);
        let mut missing = position.checked_sub(file.position).ok_or_else(|| {
            IndexError::IndexInvalid("the stretches of a file are out of order".to_owned())
        })?;
        while missing > 0 {
            self.stop.check()?;
            let length = usize::try_from(missing)
                .unwrap_or(usize::MAX)
                .min(ZEROS.len());
            file.take(ZEROS.get(..length).unwrap_or(&ZEROS));
            missing -= length as u64;
        }
        Ok(())
    }

    fn close(&mut self, id: InodeId, size: u64) -> Result<(), IndexError> {
        self.fill(id, size)?;
        let place = self.place(id)?;
        let Some(file) = self.open.remove(&id) else {
            return Err(IndexError::Internal(
                "a file that was never open".to_owned(),
            ));
        };
        let checksum = file.checksum.finalize().to_be_bytes();
        self.output
            .write_all_at(&checksum, place + size)
            .map_err(|error| IndexError::io("write a checksum", error))?;
        let digest = usize::try_from(id)
            .ok()
            .and_then(|at| self.digests.get_mut(at));
        if let Some(digest) = digest {
            *digest = Some(file.sha256.finish());
        }
        Ok(())
    }

    fn place(&self, id: InodeId) -> Result<u64, IndexError> {
        self.layout
            .data_offset(id)
            .ok_or_else(|| IndexError::Internal("a file without a place".to_owned()))
    }

    /// The digests of the files, by inode.
    pub(super) fn finish(self) -> Result<Vec<Option<Digest>>, IndexError> {
        if self.open.is_empty() {
            Ok(self.digests)
        } else {
            Err(IndexError::Internal(format!(
                "{} files did not get all their bytes",
                self.open.len()
            )))
        }
    }
}
