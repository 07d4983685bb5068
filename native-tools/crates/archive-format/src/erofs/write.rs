//! Writes the metadata image: places every inode first, then fills the bytes in.

use std::collections::BTreeMap;

use super::chunking::{Chunking, chunking};
use super::directory::{self, Entry};
use super::layout::*;
use super::xattr;
use crate::FormatError;
use crate::digest::{Digest, Sha256, hex};
use crate::model::{FileData, Image, Inode, InodeId, Kind};
use crate::tree::{TreeFacts, children, inode};

/// A device that files point into: the plain stream of one layer, or section `extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// SHA-256 of the plain stream; its hex is the device's tag.
    pub diff_id: Digest,
    /// Length of the plain stream; the device is rounded up with zeros to a block.
    pub plain_bytes: u64,
}

/// Where the bytes of an inode go.
enum Body<'a> {
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

/// An inode with its place.
struct Placed<'a> {
    id: InodeId,
    inode: &'a Inode,
    xattrs: Vec<u8>,
    body: Body<'a>,
    position: usize,
    /// Bytes right behind the inode and its xattrs: the whole body, or what is left of it after whole blocks.
    tail: usize,
    /// First block of the body in the image, when it has blocks there.
    first_block: u32,
}

/// Writes a complete image; file extents name devices by their index in `devices`.
///
/// # Errors
/// LIMIT_EXCEEDED where the tree does not fit into the format (see `docs/formats/erofs.md`, "Limits"), INTERNAL for a
/// tree that is none or extents that [`chunking`] refuses.
pub fn write_image(image: &Image, devices: &[Device]) -> Result<Vec<u8>, FormatError> {
    write_with_facts(image, &TreeFacts::of(image)?, devices)
}

pub(crate) fn write_with_facts(
    image: &Image,
    facts: &TreeFacts,
    devices: &[Device],
) -> Result<Vec<u8>, FormatError> {
    let meta_start =
        (DEVICE_TABLE_OFFSET + devices.len() * DEVICE_SLOT_BYTES).next_multiple_of(BLOCK);
    let (placed, total_bytes) = place(image, facts, devices, meta_start)?;
    let mut nids = vec![0u64; image.inodes.len()];
    for item in &placed {
        *slot(&mut nids, item.id)? = (item.position / INODE_SLOT) as u64;
    }
    let mut out = vec![0; total_bytes];
    write_super(&mut out, facts, devices, meta_start)?;
    for item in &placed {
        write_inode(&mut out, item, facts)?;
        write_body(&mut out, item, image, facts, &nids)?;
    }
    let uuid = uuid_of(&out);
    put(&mut out, UUID_OFFSET, &uuid)?;
    Ok(out)
}

fn place<'a>(
    image: &'a Image,
    facts: &TreeFacts,
    devices: &[Device],
    meta_start: usize,
) -> Result<(Vec<Placed<'a>>, usize), FormatError> {
    let mut placed = Vec::with_capacity(facts.order.len());
    let mut position = meta_start;
    for id in &facts.order {
        let item = place_one(*id, inode(image, *id)?, devices, position)?;
        position = item.position + INODE_BYTES + item.xattrs.len() + item.tail;
        if let Body::Chunks(chunks) = &item.body {
            let count = usize::try_from(chunks.chunks).unwrap_or(usize::MAX);
            position = position
                .next_multiple_of(CHUNK_INDEX_BYTES)
                .saturating_add(count.saturating_mul(CHUNK_INDEX_BYTES));
        }
        if position > MAX_IMAGE_BYTES {
            return Err(FormatError::limit(format!(
                "the metadata image is larger than {MAX_IMAGE_BYTES} bytes"
            )));
        }
        placed.push(item);
    }
    let mut block = position.div_ceil(BLOCK);
    for item in &mut placed {
        if let Body::Bytes { length, .. } = item.body {
            let blocks = (length - item.tail).div_ceil(BLOCK);
            if blocks > 0 {
                item.first_block =
                    u32::try_from(block).map_err(|_| FormatError::limit("block address"))?;
                block += blocks;
            }
        }
    }
    let total_bytes = block * BLOCK;
    if total_bytes > MAX_IMAGE_BYTES {
        return Err(FormatError::limit(format!(
            "a metadata image of {total_bytes} bytes, at most {MAX_IMAGE_BYTES}"
        )));
    }
    Ok((placed, total_bytes))
}

/// Chooses layout and position. An inode never crosses a block; neither does its tail. Xattrs and chunk indexes may.
fn place_one<'a>(
    id: InodeId,
    inode: &'a Inode,
    devices: &[Device],
    after: usize,
) -> Result<Placed<'a>, FormatError> {
    let xattrs = xattr::encode(&inode.xattrs)?;
    let body = body_of(inode, devices, INODE_BYTES + xattrs.len())?;
    let mut tail = 0;
    if let Body::Bytes { length, .. } = body {
        let rest = length % BLOCK;
        if rest > 0 && INODE_BYTES + xattrs.len() + rest <= BLOCK {
            tail = rest;
        }
    }
    let together = if tail > 0 {
        INODE_BYTES + xattrs.len() + tail
    } else {
        INODE_BYTES
    };
    let mut position = after.next_multiple_of(INODE_SLOT);
    if position % BLOCK + together > BLOCK {
        position = position.next_multiple_of(BLOCK);
    }
    Ok(Placed {
        id,
        inode,
        xattrs,
        body,
        position,
        tail,
        first_block: 0,
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

fn write_super(
    out: &mut [u8],
    facts: &TreeFacts,
    devices: &[Device],
    meta_start: usize,
) -> Result<(), FormatError> {
    let root_nid = u16::try_from(meta_start / INODE_SLOT)
        .map_err(|_| FormatError::limit(format!("{} devices", devices.len())))?;
    let device_count = u16::try_from(devices.len())
        .map_err(|_| FormatError::limit(format!("{} devices", devices.len())))?;
    let blocks =
        u32::try_from(out.len() / BLOCK).map_err(|_| FormatError::limit("image blocks"))?;
    let incompat = INCOMPAT_CHUNKED
        | if devices.is_empty() {
            0
        } else {
            INCOMPAT_DEVICES
        };
    let mut block = Vec::with_capacity(SUPER_BYTES);
    block.extend(MAGIC.to_le_bytes());
    block.extend([0; 4]);
    block.extend(COMPAT_MTIME.to_le_bytes());
    block.extend([BLOCK_BITS, 0]);
    block.extend(root_nid.to_le_bytes());
    block.extend((facts.order.len() as u64).to_le_bytes());
    block.extend([0; 12]);
    block.extend(blocks.to_le_bytes());
    block.resize(80, 0);
    block.extend(incompat.to_le_bytes());
    block.extend([0; 2]);
    block.extend(device_count.to_le_bytes());
    let table_slot = if devices.is_empty() {
        0
    } else {
        DEVICE_TABLE_OFFSET / DEVICE_SLOT_BYTES
    };
    block.extend(u16::try_from(table_slot).unwrap_or(0).to_le_bytes());
    put(out, SUPER_OFFSET, &block)?;
    for (index, device) in devices.iter().enumerate() {
        let blocks = u32::try_from(device.plain_bytes.div_ceil(BLOCK_U64))
            .ok()
            .filter(|blocks| *blocks < HOLE)
            .ok_or_else(|| {
                FormatError::limit(format!("a layer of {} plain bytes", device.plain_bytes))
            })?;
        let at = DEVICE_TABLE_OFFSET + index * DEVICE_SLOT_BYTES;
        put(out, at, hex(&device.diff_id).as_bytes())?;
        put(out, at + 64, &blocks.to_le_bytes())?;
    }
    Ok(())
}

fn write_inode(out: &mut [u8], item: &Placed<'_>, facts: &TreeFacts) -> Result<(), FormatError> {
    let (layout, size, union) = match (&item.body, &item.inode.kind) {
        (Body::None, Kind::CharDevice(device) | Kind::BlockDevice(device)) => {
            let encoded = encode_device(*device).ok_or_else(|| {
                FormatError::limit(format!("device number {}:{}", device.major, device.minor))
            })?;
            (LAYOUT_PLAIN, 0, encoded)
        }
        (Body::None, _) => (LAYOUT_PLAIN, 0, 0),
        (Body::Bytes { length, .. }, _) => {
            let layout = if item.tail > 0 {
                LAYOUT_INLINE
            } else {
                LAYOUT_PLAIN
            };
            (layout, *length as u64, item.first_block)
        }
        (Body::Chunks(chunks), Kind::Regular(file)) => {
            let bits =
                u16::try_from(chunks.chunk_bits - u32::from(BLOCK_BITS)).unwrap_or(CHUNK_BITS_MASK);
            (LAYOUT_CHUNKED, file.size, u32::from(bits | CHUNK_INDEXES))
        }
        (Body::Chunks(_), _) => {
            return Err(FormatError::input("chunks of something else than a file"));
        }
    };
    let xattr_count = match item.xattrs.len() {
        0 => 0,
        length => {
            1 + u16::try_from((length - XATTR_HEADER_BYTES) / 4)
                .map_err(|_| FormatError::limit("extended attributes"))?
        }
    };
    let mode = type_bits(&item.inode.kind) | item.inode.permissions & 0o7777;
    if item.inode.mtime.nanos >= 1_000_000_000 {
        return Err(FormatError::input(format!("{:?}", item.inode.mtime)));
    }
    let mut bytes = Vec::with_capacity(INODE_BYTES + item.xattrs.len());
    bytes.extend((FORMAT_EXTENDED | layout << 1).to_le_bytes());
    bytes.extend(xattr_count.to_le_bytes());
    bytes.extend(mode.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(size.to_le_bytes());
    bytes.extend(union.to_le_bytes());
    bytes.extend(lookup(&facts.numbers, item.id)?.to_le_bytes());
    bytes.extend(item.inode.uid.to_le_bytes());
    bytes.extend(item.inode.gid.to_le_bytes());
    bytes.extend(item.inode.mtime.seconds.to_le_bytes());
    bytes.extend(item.inode.mtime.nanos.to_le_bytes());
    bytes.extend(lookup(&facts.links, item.id)?.to_le_bytes());
    bytes.resize(INODE_BYTES, 0);
    bytes.extend(&item.xattrs);
    put(out, item.position, &bytes)
}

fn write_body(
    out: &mut [u8],
    item: &Placed<'_>,
    image: &Image,
    facts: &TreeFacts,
    nids: &[u64],
) -> Result<(), FormatError> {
    let behind = item.position + INODE_BYTES + item.xattrs.len();
    match &item.body {
        Body::None => Ok(()),
        Body::Chunks(chunks) => {
            write_chunks(out, behind.next_multiple_of(CHUNK_INDEX_BYTES), chunks)
        }
        Body::Bytes { known, .. } => {
            let made;
            let bytes = match known {
                Some(bytes) => bytes,
                None => {
                    made = directory_bytes(item, image, facts, nids)?;
                    made.as_slice()
                }
            };
            let (blocks, tail) = bytes
                .split_at_checked(bytes.len() - item.tail)
                .ok_or_else(|| FormatError::input("a tail longer than its body"))?;
            put(out, behind, tail)?;
            put(out, item.first_block as usize * BLOCK, blocks)
        }
    }
}

fn directory_bytes(
    item: &Placed<'_>,
    image: &Image,
    facts: &TreeFacts,
    nids: &[u64],
) -> Result<Vec<u8>, FormatError> {
    let names =
        children(item.inode).ok_or_else(|| FormatError::input("a directory without names"))?;
    let mut entries = Vec::with_capacity(names.len() + 2);
    for (name, child) in with_dots(names) {
        let id = match child {
            Some(child) => child,
            None if name == b"." => item.id,
            None => lookup(&facts.parents, item.id)?,
        };
        entries.push(Entry {
            name,
            nid: lookup(nids, id)?,
            file_type: dirent_type(type_bits(&inode(image, id)?.kind)).unwrap_or(0),
        });
    }
    directory::encode(&entries)
}

/// The names of a directory with `.` and `..` (which have no child) where byte order puts them.
fn with_dots(children: &BTreeMap<Vec<u8>, InodeId>) -> Vec<(&[u8], Option<InodeId>)> {
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

fn write_chunks(out: &mut [u8], start: usize, chunks: &Chunking) -> Result<(), FormatError> {
    let mut indexes = Vec::new();
    let mut runs = chunks.runs.iter().peekable();
    for chunk in 0..chunks.chunks {
        let offset = chunk << chunks.chunk_bits;
        while runs
            .next_if(|run| run.file_offset + run.length <= offset)
            .is_some()
        {}
        let found = runs.peek().filter(|run| run.file_offset <= offset);
        let (device, block) = match found {
            None => (0, HOLE),
            Some(run) => {
                let at = (run.device_offset + (offset - run.file_offset)) / BLOCK_U64;
                let block = u32::try_from(at)
                    .ok()
                    .filter(|block| *block != HOLE)
                    .ok_or_else(|| {
                        FormatError::limit(format!("{run:?}: a layer of more than 2 TiB"))
                    })?;
                let device = run
                    .device
                    .checked_add(1)
                    .ok_or_else(|| FormatError::limit("65535 devices"))?;
                (device, block)
            }
        };
        indexes.extend([0; 2]);
        indexes.extend(device.to_le_bytes());
        indexes.extend(block.to_le_bytes());
    }
    put(out, start, &indexes)
}

/// A UUID that is a function of the image: overlayfs and fsid tell images apart by it. Version 8 of RFC 9562, over the
/// SHA-256 of the image with zeros in its place.
#[must_use]
pub fn uuid_of(image: &[u8]) -> [u8; 16] {
    let (before, rest) = image.split_at(UUID_OFFSET.min(image.len()));
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(&[0; 16]);
    hasher.update(rest.get(16..).unwrap_or_default());
    let digest = hasher.finish();
    let mut uuid = [0; 16];
    for (to, from) in uuid.iter_mut().zip(digest) {
        *to = from;
    }
    let [_, _, _, _, _, _, seventh, _, ninth, ..] = &mut uuid;
    *seventh = *seventh & 0x0F | 0x80;
    *ninth = *ninth & 0x3F | 0x80;
    uuid
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), FormatError> {
    let place = at
        .checked_add(bytes.len())
        .and_then(|end| out.get_mut(at..end))
        .ok_or_else(|| FormatError::input(format!("{} bytes at {at} of the image", bytes.len())))?;
    place.copy_from_slice(bytes);
    Ok(())
}

fn lookup<T: Copy>(values: &[T], id: InodeId) -> Result<T, FormatError> {
    values
        .get(id as usize)
        .copied()
        .ok_or_else(|| FormatError::input(format!("inode {id} of {}", values.len())))
}

fn slot<T>(values: &mut [T], id: InodeId) -> Result<&mut T, FormatError> {
    let count = values.len();
    values
        .get_mut(id as usize)
        .ok_or_else(|| FormatError::input(format!("inode {id} of {count}")))
}
