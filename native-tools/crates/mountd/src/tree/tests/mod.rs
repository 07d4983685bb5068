//! The tree over random images, over large directories, and over damaged metadata.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failing test panics"
)]

mod agreement;
mod bounds;
mod hostile;
mod random_image;

use archive_format::erofs::{Device, write_image};
use archive_format::model::Image;

use super::{DeviceStream, TreeFiles};
use crate::fuse::FsError;

/// A plain stream in memory.
#[derive(Debug, Clone)]
struct MemoryStream(Vec<u8>);

impl DeviceStream for MemoryStream {
    fn is_ready(&self, _offset: u64, _length: usize) -> bool {
        true
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError> {
        let start = usize::try_from(offset).map_err(|_| FsError::Io)?;
        let bytes = self.0.get(start..).unwrap_or_default();
        let length = bytes.len().min(buffer.len());
        buffer.fill(0);
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok(())
    }
}

/// The metadata image of a tree over plain streams.
fn metadata_of(image: &Image, streams: &[Vec<u8>]) -> Vec<u8> {
    let devices: Vec<_> = streams
        .iter()
        .enumerate()
        .map(|(index, stream)| Device {
            diff_id: [index as u8; 32],
            plain_bytes: stream.len() as u64,
        })
        .collect();
    write_image(image, &devices).unwrap()
}

fn open(metadata: Vec<u8>, streams: &[Vec<u8>]) -> Result<TreeFiles, archive_format::FormatError> {
    let devices = streams
        .iter()
        .map(|stream| Box::new(MemoryStream(stream.clone())) as Box<dyn DeviceStream>)
        .collect();
    TreeFiles::new(metadata, devices)
}
