//! Numbers of the EROFS on-disk format that this writer and reader share.

use crate::model::{DeviceNumber, Kind};

/// log2 of the block size.
pub(crate) const BLOCK_BITS: u8 = 9;
/// The block size: that of a tar, so that file data in a tar is block data.
pub(crate) const BLOCK: usize = 512;
/// The block size for offsets.
pub(crate) const BLOCK_U64: u64 = 512;

/// Where the superblock is.
pub(crate) const SUPER_OFFSET: usize = 1024;
/// Its length.
pub(crate) const SUPER_BYTES: usize = 128;
/// Where the UUID is.
pub(crate) const UUID_OFFSET: usize = SUPER_OFFSET + 48;
/// Where the device table is: right behind it.
pub(crate) const DEVICE_TABLE_OFFSET: usize = SUPER_OFFSET + SUPER_BYTES;
/// Length of a device slot.
pub(crate) const DEVICE_SLOT_BYTES: usize = 128;
/// First word of the superblock.
pub(crate) const MAGIC: u32 = 0xE0F5_E1E2;
/// Compatible feature: inodes carry their mtime.
pub(crate) const COMPAT_MTIME: u32 = 2;
/// Incompatible feature: chunk-based files.
pub(crate) const INCOMPAT_CHUNKED: u32 = 4;
/// Incompatible feature: device table.
pub(crate) const INCOMPAT_DEVICES: u32 = 8;

/// Inode positions are multiples of this; a nid is the position divided by it.
pub(crate) const INODE_SLOT: usize = 32;
/// Length of an extended inode.
pub(crate) const INODE_BYTES: usize = 64;
/// Format bit 0: extended inode.
pub(crate) const FORMAT_EXTENDED: u16 = 1;
/// Data in blocks of the image.
pub(crate) const LAYOUT_PLAIN: u16 = 0;
/// Whole blocks in the image, the rest right behind the inode.
pub(crate) const LAYOUT_INLINE: u16 = 2;
/// Data in chunks on devices.
pub(crate) const LAYOUT_CHUNKED: u16 = 4;
/// Chunk format bit: 8-byte indexes.
pub(crate) const CHUNK_INDEXES: u16 = 0x20;
/// Low bits of the chunk format: log2(chunk size / block size).
pub(crate) const CHUNK_BITS_MASK: u16 = 0x1F;
/// Length of a chunk index.
pub(crate) const CHUNK_INDEX_BYTES: usize = 8;
/// Block address of a hole.
pub(crate) const HOLE: u32 = u32::MAX;

/// Length of a directory entry without its name.
pub(crate) const DIRENT_BYTES: usize = 12;
/// Length of the header before an inode's xattrs.
pub(crate) const XATTR_HEADER_BYTES: usize = 12;
/// Most bytes an inode's xattrs can take: the count is 16 bits of words.
pub(crate) const MAX_XATTR_BYTES: usize = XATTR_HEADER_BYTES + (u16::MAX as usize - 1) * 4;

/// Longest symlink target the kernel reads.
pub(crate) const MAX_TARGET_BYTES: usize = 4095;
/// Largest metadata image that is written or read.
pub(crate) const MAX_IMAGE_BYTES: usize = 1 << 30;

/// Type bits of a mode.
pub(crate) const S_IFMT: u16 = 0o170_000;
pub(crate) const S_IFSOCK: u16 = 0o140_000;
pub(crate) const S_IFLNK: u16 = 0o120_000;
pub(crate) const S_IFREG: u16 = 0o100_000;
pub(crate) const S_IFBLK: u16 = 0o060_000;
pub(crate) const S_IFDIR: u16 = 0o040_000;
pub(crate) const S_IFCHR: u16 = 0o020_000;
pub(crate) const S_IFIFO: u16 = 0o010_000;

/// The type bits of an inode's mode.
pub(crate) fn type_bits(kind: &Kind) -> u16 {
    match kind {
        Kind::Directory { .. } => S_IFDIR,
        Kind::Regular(_) => S_IFREG,
        Kind::Symlink { .. } => S_IFLNK,
        Kind::CharDevice(_) => S_IFCHR,
        Kind::BlockDevice(_) => S_IFBLK,
        Kind::Fifo => S_IFIFO,
        Kind::Socket => S_IFSOCK,
    }
}

/// The type byte of a directory entry for a mode; `None` for a type that does not exist.
pub(crate) fn dirent_type(mode: u16) -> Option<u8> {
    match mode & S_IFMT {
        S_IFREG => Some(1),
        S_IFDIR => Some(2),
        S_IFCHR => Some(3),
        S_IFBLK => Some(4),
        S_IFIFO => Some(5),
        S_IFSOCK => Some(6),
        S_IFLNK => Some(7),
        _ => None,
    }
}

/// The kernel's 32-bit device number; `None` where major or minor do not fit.
pub(crate) fn encode_device(device: DeviceNumber) -> Option<u32> {
    let DeviceNumber { major, minor } = device;
    (major < 1 << 12 && minor < 1 << 20)
        .then_some(minor & 0xFF | major << 8 | (minor & !0xFF) << 12)
}

/// The reverse of [`encode_device`].
pub(crate) fn decode_device(encoded: u32) -> DeviceNumber {
    DeviceNumber {
        major: encoded >> 8 & 0xFFF,
        minor: encoded & 0xFF | encoded >> 12 & 0xFFF00,
    }
}
