//! Reads a metadata image. Nothing in it is trusted: every position and length is checked before it is used.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::directory::{DirEntry, Entries};
use super::inode::InodeInfo;
use super::layout::*;
use super::write::uuid_of;
use super::xattr;
use crate::FormatError;
use crate::model::{Extent, FileData, Timestamp};
use crate::wire::Cursor;

/// A metadata image in memory.
#[derive(Debug, Clone)]
pub struct ErofsReader<B> {
    bytes: B,
    root_nid: u64,
    inode_count: u64,
    devices: Vec<ReaderDevice>,
}

/// A row of the device table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderDevice {
    /// Hex SHA-256 of the device's plain stream.
    pub tag: String,
    /// Its length in blocks of 512 bytes.
    pub blocks: u32,
}

/// How much of an image with so many devices [`ErofsReader::of_head`] needs: the device table ends in it, and every
/// address that a root can have.
#[must_use]
pub const fn head_bytes(devices: usize) -> usize {
    let table = DEVICE_TABLE_OFFSET + devices * DEVICE_SLOT_BYTES;
    let root = u16::MAX as usize * INODE_SLOT + INODE_BYTES;
    if table > root { table } else { root }
}

impl<B: AsRef<[u8]>> ErofsReader<B> {
    /// Takes the plain bytes of section `erofs` and checks superblock and device table.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT, or FORMAT_TOO_NEW for features this reader does not know.
    pub fn new(bytes: B) -> Result<Self, FormatError> {
        let image_bytes = bytes.as_ref().len() as u64;
        Self::of_head(bytes, image_bytes)
    }

    /// The same of the first [`head_bytes`] of an image, where nothing but superblock, device table and root are looked at.
    ///
    /// # Errors
    /// As [`ErofsReader::new`].
    pub fn of_head(bytes: B, image_bytes: u64) -> Result<Self, FormatError> {
        let image = bytes.as_ref();
        let head = image.get(SUPER_OFFSET..).unwrap_or_default();
        let mut cursor = Cursor::new(head, "erofs superblock");
        let magic = cursor.u32()?;
        cursor.zeros(4)?;
        let compat = cursor.u32()?;
        let block_bits = cursor.u8()?;
        cursor.zeros(1)?;
        let root_nid = cursor.u16()?.into();
        let inode_count = cursor.u64()?;
        cursor.zeros(12)?;
        let blocks = cursor.u32()?;
        cursor.zeros(8)?;
        cursor.take(16)?;
        cursor.zeros(16)?;
        let incompat = cursor.u32()?;
        cursor.zeros(2)?;
        let device_count = cursor.u16()?;
        let table_slot = cursor.u16()?;
        cursor.zeros(SUPER_BYTES - 90)?;
        if magic != MAGIC {
            return Err(FormatError::corrupt("erofs superblock: other magic"));
        }
        let wanted = INCOMPAT_CHUNKED
            | if device_count > 0 {
                INCOMPAT_DEVICES
            } else {
                0
            };
        if block_bits != BLOCK_BITS || compat != COMPAT_MTIME || incompat != wanted {
            return Err(FormatError::TooNew(format!(
                "metadata image with blocks of 2^{block_bits}, features {compat:#x} and {incompat:#x}"
            )));
        }
        let wanted_slot = if device_count > 0 {
            DEVICE_TABLE_OFFSET / DEVICE_SLOT_BYTES
        } else {
            0
        };
        if u64::from(blocks) * BLOCK_U64 != image_bytes || usize::from(table_slot) != wanted_slot {
            return Err(FormatError::corrupt(format!(
                "erofs superblock: {blocks} blocks for {image_bytes} bytes, device table at {table_slot}"
            )));
        }
        let devices = (0..device_count)
            .map(|_| read_device(&mut cursor))
            .collect::<Result<Vec<_>, _>>()?;
        let reader = Self {
            bytes,
            root_nid,
            inode_count,
            devices,
        };
        if !reader.root()?.is_directory() {
            return Err(FormatError::corrupt("erofs: the root is no directory"));
        }
        Ok(reader)
    }

    /// The device table.
    #[must_use]
    pub fn devices(&self) -> &[ReaderDevice] {
        &self.devices
    }

    /// How many inodes the superblock says there are.
    #[must_use]
    pub fn inode_count(&self) -> u64 {
        self.inode_count
    }

    /// Length of the image.
    #[must_use]
    pub fn image_bytes(&self) -> usize {
        self.bytes.as_ref().len()
    }

    /// Whether the UUID is the one that the rest of the image gives.
    pub(crate) fn has_own_uuid(&self) -> bool {
        let image = self.bytes.as_ref();
        image.get(UUID_OFFSET..UUID_OFFSET + 16) == Some(uuid_of(image).as_slice())
    }

    /// Address of the root directory.
    #[must_use]
    pub fn root_nid(&self) -> u64 {
        self.root_nid
    }

    /// The root directory.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT.
    pub fn root(&self) -> Result<InodeInfo, FormatError> {
        self.inode(self.root_nid)
    }

    /// The inode at an address.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT when there is none.
    pub fn inode(&self, nid: u64) -> Result<InodeInfo, FormatError> {
        let start = usize::try_from(nid)
            .ok()
            .and_then(|nid| nid.checked_mul(INODE_SLOT))
            .ok_or_else(|| FormatError::corrupt(format!("erofs: inode {nid}")))?;
        let mut cursor = Cursor::new(self.slice(start, INODE_BYTES)?, "erofs inode");
        let format = cursor.u16()?;
        let xattr_words = usize::from(cursor.u16()?);
        let mode = cursor.u16()?;
        cursor.zeros(2)?;
        let size = cursor.u64()?;
        let union = cursor.u32()?;
        let number = cursor.u32()?;
        let (uid, gid) = (cursor.u32()?, cursor.u32()?);
        let seconds = cursor.u64()?.cast_signed();
        let nanos = cursor.u32()?;
        let links = cursor.u32()?;
        cursor.zeros(cursor.remaining())?;
        let layout = format >> 1;
        let inode = InodeInfo {
            nid,
            number,
            mode,
            size,
            uid,
            gid,
            mtime: Timestamp { seconds, nanos },
            links,
            layout,
            union,
            xattr_bytes: match xattr_words {
                0 => 0,
                words => XATTR_HEADER_BYTES + (words - 1) * 4,
            },
        };
        let fits = match layout {
            LAYOUT_PLAIN | LAYOUT_INLINE => true,
            LAYOUT_CHUNKED => inode.is_regular() && size > 0,
            _ => false,
        };
        let has_data = matches!(mode & S_IFMT, S_IFREG | S_IFDIR | S_IFLNK);
        if format & FORMAT_EXTENDED == 0
            || !fits
            || dirent_type(mode).is_none()
            || nanos >= 1_000_000_000
            || i64::try_from(size).is_err()
            || (!has_data && (size != 0 || layout != LAYOUT_PLAIN))
        {
            return Err(inode.bad("format, mode, time or size"));
        }
        Ok(inode)
    }

    /// The names of a directory in byte order.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT when the inode is no directory or its blocks are not in the image.
    pub fn entries(&self, directory: &InodeInfo) -> Result<Entries<'_>, FormatError> {
        if !directory.is_directory() {
            return Err(directory.bad("is no directory"));
        }
        let (blocks, tail) = self.body(directory)?;
        Ok(Entries::new(directory.nid, blocks, tail))
    }

    /// The entry at a place of a directory and the place of the next one; `None` behind the last entry. The first place is
    /// 0; the others are opaque, grow, and are the same for every reader of the image.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT.
    pub fn entry_at(
        &self,
        directory: &InodeInfo,
        place: u64,
    ) -> Result<Option<(DirEntry<'_>, u64)>, FormatError> {
        self.entries(directory)?.at(place)
    }

    /// The inode a directory has under a name.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT.
    pub fn find(
        &self,
        directory: &InodeInfo,
        name: &[u8],
    ) -> Result<Option<InodeInfo>, FormatError> {
        let mut entries = self.entries(directory)?;
        entries.seek_block(name)?;
        for entry in entries {
            let entry = entry?;
            match entry.name.cmp(name) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return self.inode(entry.nid).map(Some),
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// A symlink's target.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT.
    pub fn symlink_target(&self, inode: &InodeInfo) -> Result<Cow<'_, [u8]>, FormatError> {
        if !inode.is_symlink() || inode.size > MAX_TARGET_BYTES as u64 {
            return Err(inode.bad("is no symlink or one with an endless target"));
        }
        self.whole_body(inode)
    }

    /// Where a file's bytes are: in the image (`inline`) or on devices (`extents`; what none covers is zeros).
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT.
    pub fn file(&self, inode: &InodeInfo) -> Result<FileData, FormatError> {
        if !inode.is_regular() {
            return Err(inode.bad("is no regular file"));
        }
        let mut file = FileData {
            size: inode.size,
            ..FileData::default()
        };
        if inode.layout == LAYOUT_CHUNKED {
            file.extents = self.extents_within(inode, 0..inode.size)?;
        } else if inode.size > 0 {
            file.inline = Some(self.whole_body(inode)?.into_owned());
        }
        Ok(file)
    }

    /// Whether the bytes of a regular file are on devices.
    #[must_use]
    pub fn is_on_devices(&self, inode: &InodeInfo) -> bool {
        inode.layout == LAYOUT_CHUNKED
    }

    /// Chunk size of a file whose bytes are on devices: 512 bytes to 1 TiB.
    #[must_use]
    pub fn chunk_bytes(&self, inode: &InodeInfo) -> u64 {
        1 << self.chunk_bits(inode)
    }

    /// Fills `buffer` from `offset` with bytes of a file that has them in the image; takes no memory.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT, also when the file is shorter or its bytes are on devices.
    pub fn read_inline(
        &self,
        inode: &InodeInfo,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), FormatError> {
        let (blocks, tail) = self.body(inode)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let in_blocks = blocks.get(offset..).unwrap_or_default();
        let (first, second) = buffer.split_at_mut(in_blocks.len().min(buffer.len()));
        let tail_offset = offset
            .saturating_add(first.len())
            .saturating_sub(blocks.len());
        let rest = tail.get(tail_offset..).unwrap_or_default();
        match (in_blocks.get(..first.len()), rest.get(..second.len())) {
            (Some(whole), Some(rest)) => {
                first.copy_from_slice(whole);
                second.copy_from_slice(rest);
                Ok(())
            }
            _ => Err(inode.bad("is read behind its end")),
        }
    }

    /// The stretches of a file on devices that touch `range`, uncut, in file order; what none covers is zeros. Reads only
    /// the chunk indexes of the range.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT, also when the file's bytes are in the image.
    pub fn extents_within(
        &self,
        inode: &InodeInfo,
        range: Range<u64>,
    ) -> Result<Vec<Extent>, FormatError> {
        if inode.layout != LAYOUT_CHUNKED {
            return Err(inode.bad("has no chunks"));
        }
        let chunk_bits = self.chunk_bits(inode);
        let end = range.end.min(inode.size).div_ceil(1 << chunk_bits);
        self.extents(inode, range.start >> chunk_bits..end)
    }

    /// Extended attributes by whole name.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT.
    pub fn xattrs(&self, inode: &InodeInfo) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, FormatError> {
        match inode.xattr_bytes {
            0 => Ok(BTreeMap::new()),
            length => xattr::decode(self.slice(inode.behind() - length, length)?),
        }
    }

    /// Bytes an inode takes in the image, its body included.
    pub(crate) fn footprint(&self, inode: &InodeInfo) -> u64 {
        let body = match inode.layout {
            LAYOUT_CHUNKED => inode
                .size
                .div_ceil(1 << self.chunk_bits(inode))
                .saturating_mul(8),
            _ => inode.size,
        };
        (INODE_BYTES as u64 + inode.xattr_bytes as u64).saturating_add(body)
    }

    fn slice(&self, start: usize, length: usize) -> Result<&[u8], FormatError> {
        start
            .checked_add(length)
            .and_then(|end| self.bytes.as_ref().get(start..end))
            .ok_or_else(|| {
                FormatError::corrupt(format!(
                    "erofs: {length} bytes at {start} of {}",
                    self.bytes.as_ref().len()
                ))
            })
    }

    /// Whole blocks, then the tail behind the inode.
    fn body(&self, inode: &InodeInfo) -> Result<(&[u8], &[u8]), FormatError> {
        let size =
            usize::try_from(inode.size).map_err(|_| inode.bad("is larger than the image"))?;
        let start = inode.union as usize * BLOCK;
        match inode.layout {
            LAYOUT_PLAIN if size == 0 => Ok((&[], &[])),
            LAYOUT_PLAIN => Ok((self.slice(start, size)?, &[])),
            LAYOUT_INLINE => {
                let tail = size % BLOCK;
                if tail == 0 || inode.behind() % BLOCK + tail > BLOCK {
                    return Err(inode.bad("a tail over a block's end"));
                }
                let blocks = match size - tail {
                    0 => &[],
                    length => self.slice(start, length)?,
                };
                Ok((blocks, self.slice(inode.behind(), tail)?))
            }
            _ => Err(inode.bad("has no bytes in the image")),
        }
    }

    fn whole_body(&self, inode: &InodeInfo) -> Result<Cow<'_, [u8]>, FormatError> {
        let (blocks, tail) = self.body(inode)?;
        Ok(match (blocks, tail) {
            (blocks, []) => Cow::Borrowed(blocks),
            ([], tail) => Cow::Borrowed(tail),
            (blocks, tail) => Cow::Owned([blocks, tail].concat()),
        })
    }

    fn chunk_bits(&self, inode: &InodeInfo) -> u32 {
        (inode.union & u32::from(CHUNK_BITS_MASK)) + u32::from(BLOCK_BITS)
    }

    /// The extents of some of a file's chunks.
    fn extents(&self, inode: &InodeInfo, wanted: Range<u64>) -> Result<Vec<Extent>, FormatError> {
        if inode.union & !u32::from(CHUNK_BITS_MASK) != u32::from(CHUNK_INDEXES) {
            return Err(inode.bad("chunk format"));
        }
        let chunk_bits = self.chunk_bits(inode);
        let chunks = inode.size.div_ceil(1 << chunk_bits);
        let length = usize::try_from(chunks)
            .ok()
            .and_then(|chunks| chunks.checked_mul(CHUNK_INDEX_BYTES))
            .ok_or_else(|| inode.bad("chunks without bounds"))?;
        let start = inode.behind().next_multiple_of(CHUNK_INDEX_BYTES);
        let indexes = self.slice(start, length)?;
        let skipped = usize::try_from(wanted.start).unwrap_or(usize::MAX);
        let rest = indexes.get(skipped.saturating_mul(CHUNK_INDEX_BYTES)..);
        let mut cursor = Cursor::new(rest.unwrap_or_default(), "erofs chunks");
        let mut extents: Vec<Extent> = Vec::new();
        for chunk in wanted.start..wanted.end.min(chunks) {
            cursor.zeros(2)?;
            let (device, block) = (cursor.u16()?, cursor.u32()?);
            if block == HOLE {
                continue;
            }
            let file_offset = chunk << chunk_bits;
            let device_offset = u64::from(block) * BLOCK_U64;
            let length = (inode.size - file_offset).min(1 << chunk_bits);
            let end = device_offset + length.next_multiple_of(BLOCK_U64);
            let index = device
                .checked_sub(1)
                .filter(|index| {
                    self.devices
                        .get(usize::from(*index))
                        .is_some_and(|known| end <= u64::from(known.blocks) * BLOCK_U64)
                })
                .ok_or_else(|| {
                    inode.bad(&format!("a chunk at block {block} of device {device}"))
                })?;
            match extents.last_mut() {
                Some(last)
                    if last.device == index
                        && last.file_offset + last.length == file_offset
                        && last.device_offset + last.length == device_offset =>
                {
                    last.length += length;
                }
                _ => extents.push(Extent {
                    file_offset,
                    device: index,
                    device_offset,
                    length,
                }),
            }
        }
        Ok(extents)
    }
}

fn read_device(cursor: &mut Cursor<'_>) -> Result<ReaderDevice, FormatError> {
    let tag = std::str::from_utf8(cursor.take(64)?)
        .map_err(|_| FormatError::corrupt("erofs: a device tag is not UTF-8"))?
        .to_owned();
    let blocks = cursor.u32()?;
    cursor.zeros(DEVICE_SLOT_BYTES - 68)?;
    Ok(ReaderDevice { tag, blocks })
}
