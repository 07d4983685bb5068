//! Decides what every inode of the metadata image takes and where it goes.

use std::collections::BTreeMap;

use super::chunking::{Chunking, chunking};
use super::directory;
use super::layout::*;
use super::xattr;
use crate::FormatError;
use crate::digest::Digest;
use crate::model::{FileData, Image, Inode, InodeId, Kind};
use crate::tree::{TreeFacts, inode};

/// A device that files point into: the plain stream of one layer, or section `extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// SHA-256 of the plain stream; its hex is the device's tag.
    pub diff_id: Digest,
    /// Length of the plain stream; the device is rounded up with zeros to a block.
    pub plain_bytes: u64,
}

/// Where the bytes of an inode go.
pub(super) enum Body<'a> {
    /// No bytes at all.
    None,
    /// Bytes of the image: a directory (bytes follow later), a symlink's target, a small file.
    Bytes {
        length: usize,
        known: Option<&'a [u8]>,
    },
    /// Chunks on devices.
    Chunks(Chunking),
}

/// What an inode takes in the image.
pub(super) struct Shape<'a> {
    pub(super) id: InodeId,
    pub(super) inode: &'a Inode,
    pub(super) xattrs: Vec<u8>,
    pub(super) body: Body<'a>,
    /// Bytes right behind the inode and its xattrs: the whole body, or what is left of it after whole blocks.
    pub(super) tail: usize,
}

impl<'a> Shape<'a> {
    pub(super) fn of(
        id: InodeId,
        inode: &'a Inode,
        devices: &[Device],
    ) -> Result<Self, FormatError> {
        let xattrs = xattr::encode(&inode.xattrs)?;
        let body = body_of(inode, devices, INODE_BYTES + xattrs.len())?;
        let tail = match body {
            Body::Bytes { length, .. } => {
                let rest = length % BLOCK;
                let fits = INODE_BYTES + xattrs.len() + rest <= BLOCK;
                if fits { rest } else { 0 }
            }
            _ => 0,
        };
        Ok(Self {
            id,
            inode,
            xattrs,
            body,
            tail,
        })
    }

    /// The first place from `after` on. An inode never crosses a block; neither does its tail. Xattrs and chunk indexes may.
    fn position(&self, after: usize) -> usize {
        let together = if self.tail > 0 {
            INODE_BYTES + self.xattrs.len() + self.tail
        } else {
            INODE_BYTES
        };
        let position = after.next_multiple_of(INODE_SLOT);
        if position % BLOCK + together > BLOCK {
            position.next_multiple_of(BLOCK)
        } else {
            position
        }
    }

    /// What lies behind the inode's last byte at `position`.
    fn end(&self, position: usize) -> usize {
        let end = position + INODE_BYTES + self.xattrs.len() + self.tail;
        match &self.body {
            Body::Chunks(chunks) => {
                let count = usize::try_from(chunks.chunks).unwrap_or(usize::MAX);
                end.next_multiple_of(CHUNK_INDEX_BYTES)
                    .saturating_add(count.saturating_mul(CHUNK_INDEX_BYTES))
            }
            _ => end,
        }
    }

    /// Whole blocks of the image that the body takes.
    fn blocks(&self) -> usize {
        match self.body {
            Body::Bytes { length, .. } => (length - self.tail).div_ceil(BLOCK),
            _ => 0,
        }
    }
}

/// Where an inode is in the image.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) position: u32,
    /// First block of the body, counted from where bodies start; `None` without blocks.
    body: Option<u32>,
}

/// Where everything is. Shapes are made anew for writing: kept, they would take more memory than the tree.
pub(super) struct Plan {
    /// In the order of the inodes.
    pub(super) places: Vec<Place>,
    /// The first block behind all inodes.
    bodies: u32,
    pub(super) total_bytes: usize,
}

impl Plan {
    /// Places inodes from `meta_start` on and the blocks of their bodies behind them.
    pub(super) fn of(
        image: &Image,
        facts: &TreeFacts,
        devices: &[Device],
        meta_start: usize,
    ) -> Result<Self, FormatError> {
        let mut places = Vec::with_capacity(facts.order.len());
        let mut end = meta_start;
        let mut body_blocks = 0;
        for id in &facts.order {
            let shape = Shape::of(*id, inode(image, *id)?, devices)?;
            let position = shape.position(end);
            let blocks = shape.blocks();
            end = shape.end(position);
            places.push(Place {
                position: within(position)?,
                body: (blocks > 0).then_some(within(body_blocks)?),
            });
            body_blocks += blocks;
            within(end.saturating_add(body_blocks.saturating_mul(BLOCK)))?;
        }
        let bodies = end.div_ceil(BLOCK);
        let total_bytes = (bodies + body_blocks) * BLOCK;
        within(total_bytes)?;
        Ok(Self {
            places,
            bodies: within(bodies)?,
            total_bytes,
        })
    }

    /// The number by which directories name an inode: its position in slots.
    pub(super) fn nid(&self, facts: &TreeFacts, id: InodeId) -> Result<u64, FormatError> {
        let rank = facts.numbers.get(id as usize).copied().unwrap_or(0);
        (rank as usize)
            .checked_sub(1)
            .and_then(|rank| self.places.get(rank))
            .map(|place| u64::from(place.position) / INODE_SLOT as u64)
            .ok_or_else(|| FormatError::input(format!("inode {id} has no place")))
    }

    /// The block where the body of an inode starts; 0 when it has none.
    pub(super) fn first_block(&self, place: Place) -> u32 {
        place.body.map_or(0, |block| self.bodies + block)
    }
}

/// A place in the image, which is smaller than 4 GiB.
fn within(bytes: usize) -> Result<u32, FormatError> {
    u32::try_from(bytes)
        .ok()
        .filter(|_| bytes <= MAX_IMAGE_BYTES)
        .ok_or_else(|| {
            FormatError::limit(format!(
                "a metadata image of more than {MAX_IMAGE_BYTES} bytes"
            ))
        })
}

fn body_of<'a>(inode: &'a Inode, devices: &[Device], head: usize) -> Result<Body<'a>, FormatError> {
    let bytes = |bytes: &'a [u8]| match bytes.len() {
        0 => Body::None,
        length => Body::Bytes {
            length,
            known: Some(bytes),
        },
    };
    match &inode.kind {
        Kind::Directory { children } => Ok(Body::Bytes {
            length: directory::size_of(with_dots(children).into_iter().map(|(name, _)| name)),
            known: None,
        }),
        Kind::Symlink { target } if target.len() > MAX_TARGET_BYTES => {
            Err(FormatError::limit(format!(
                "a symlink target of {} bytes, at most {MAX_TARGET_BYTES}",
                target.len()
            )))
        }
        Kind::Symlink { target } if target.contains(&0) => Err(FormatError::input(format!(
            "the symlink target \"{}\"",
            target.escape_ascii()
        ))),
        Kind::Symlink { target } => Ok(bytes(target)),
        Kind::Regular(file) => {
            match &file.inline {
                Some(content) if content.len() as u64 != file.size => Err(FormatError::input(
                    format!("{} inline bytes for a file of {}", content.len(), file.size),
                )),
                Some(content) if file.extents.is_empty() || head + content.len() <= BLOCK => {
                    Ok(bytes(content))
                }
                _ if file.size == 0 => Ok(Body::None),
                _ => chunks_of(file, devices),
            }
        }
        Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => Ok(Body::None),
    }
}

fn chunks_of<'a>(file: &FileData, devices: &[Device]) -> Result<Body<'a>, FormatError> {
    let found = chunking(file)?;
    for run in &found.runs {
        let device = devices
            .get(usize::from(run.device))
            .ok_or_else(|| FormatError::input(format!("{run:?} of {} devices", devices.len())))?;
        if run.device_offset + run.length > device.plain_bytes {
            return Err(FormatError::input(format!(
                "{run:?} on a device of {} bytes",
                device.plain_bytes
            )));
        }
    }
    Ok(Body::Chunks(found))
}

/// The names of a directory with `.` and `..` (which have no child) where byte order puts them.
pub(super) fn with_dots(children: &BTreeMap<Vec<u8>, InodeId>) -> Vec<(&[u8], Option<InodeId>)> {
    let mut names: Vec<_> = [b".".as_slice(), b".."]
        .into_iter()
        .map(|dots| (dots, None))
        .chain(
            children
                .iter()
                .map(|(name, id)| (name.as_slice(), Some(*id))),
        )
        .collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    names
}
