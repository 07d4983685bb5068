//! Writes the metadata image: places every inode first, then fills the bytes in.

use super::chunking::Chunking;
use super::directory::{self, Entry};
use super::layout::*;
use super::place::{Body, Device, Plan, Shape, with_dots};
use crate::FormatError;
use crate::digest::{Sha256, hex};
use crate::model::{Image, InodeId, Kind};
use crate::tree::{TreeFacts, children, inode};

/// An inode with its place.
struct Placed<'a> {
    shape: Shape<'a>,
    position: usize,
    /// First block of the body, when it has blocks.
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
    let plan = Plan::of(image, facts, devices, meta_start)?;
    let mut out = vec![0; plan.total_bytes];
    write_super(&mut out, facts, devices, meta_start)?;
    for (id, place) in facts.order.iter().zip(&plan.places) {
        let item = Placed {
            shape: Shape::of(*id, inode(image, *id)?, devices)?,
            position: place.position as usize,
            first_block: plan.first_block(*place),
        };
        write_inode(&mut out, &item, facts)?;
        write_body(&mut out, &item, image, facts, &plan)?;
    }
    let uuid = uuid_of(&out);
    put(&mut out, UUID_OFFSET, &uuid)?;
    Ok(out)
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
    let (layout, size, union) = match (&item.shape.body, &item.shape.inode.kind) {
        (Body::None, Kind::CharDevice(device) | Kind::BlockDevice(device)) => {
            let encoded = encode_device(*device).ok_or_else(|| {
                FormatError::limit(format!("device number {}:{}", device.major, device.minor))
            })?;
            (LAYOUT_PLAIN, 0, encoded)
        }
        (Body::None, _) => (LAYOUT_PLAIN, 0, 0),
        (Body::Bytes { length, .. }, _) => {
            let layout = if item.shape.tail > 0 {
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
    let xattr_count = match item.shape.xattrs.len() {
        0 => 0,
        length => {
            1 + u16::try_from((length - XATTR_HEADER_BYTES) / 4)
                .map_err(|_| FormatError::limit("extended attributes"))?
        }
    };
    let mode = type_bits(&item.shape.inode.kind) | item.shape.inode.permissions & 0o7777;
    if item.shape.inode.mtime.nanos >= 1_000_000_000 {
        return Err(FormatError::input(format!("{:?}", item.shape.inode.mtime)));
    }
    let mut bytes = Vec::with_capacity(INODE_BYTES + item.shape.xattrs.len());
    bytes.extend((FORMAT_EXTENDED | layout << 1).to_le_bytes());
    bytes.extend(xattr_count.to_le_bytes());
    bytes.extend(mode.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(size.to_le_bytes());
    bytes.extend(union.to_le_bytes());
    bytes.extend(lookup(&facts.numbers, item.shape.id)?.to_le_bytes());
    bytes.extend(item.shape.inode.uid.to_le_bytes());
    bytes.extend(item.shape.inode.gid.to_le_bytes());
    bytes.extend(item.shape.inode.mtime.seconds.to_le_bytes());
    bytes.extend(item.shape.inode.mtime.nanos.to_le_bytes());
    bytes.extend(lookup(&facts.links, item.shape.id)?.to_le_bytes());
    bytes.resize(INODE_BYTES, 0);
    bytes.extend(&item.shape.xattrs);
    put(out, item.position, &bytes)
}

fn write_body(
    out: &mut [u8],
    item: &Placed<'_>,
    image: &Image,
    facts: &TreeFacts,
    plan: &Plan,
) -> Result<(), FormatError> {
    let behind = item.position + INODE_BYTES + item.shape.xattrs.len();
    match &item.shape.body {
        Body::None => Ok(()),
        Body::Chunks(chunks) => {
            write_chunks(out, behind.next_multiple_of(CHUNK_INDEX_BYTES), chunks)
        }
        Body::Bytes { known, .. } => {
            let made;
            let bytes = match known {
                Some(bytes) => bytes,
                None => {
                    made = directory_bytes(item, image, facts, plan)?;
                    made.as_slice()
                }
            };
            let (blocks, tail) = bytes
                .split_at_checked(bytes.len() - item.shape.tail)
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
    plan: &Plan,
) -> Result<Vec<u8>, FormatError> {
    let names = children(item.shape.inode)
        .ok_or_else(|| FormatError::input("a directory without names"))?;
    let mut entries = Vec::with_capacity(names.len() + 2);
    for (name, child) in with_dots(names) {
        let id = match child {
            Some(child) => child,
            None if name == b"." => item.shape.id,
            None => lookup(&facts.parents, item.shape.id)?,
        };
        entries.push(Entry {
            name,
            nid: plan.nid(facts, id)?,
            file_type: dirent_type(type_bits(&inode(image, id)?.kind)).unwrap_or(0),
        });
    }
    directory::encode(&entries)
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
