//! The bytes of requests and replies. Integers are in the machine's order, as the kernel writes them.

use rustix::io::Errno;

use super::filesystem::{Attributes, Entry};

/// Length of a request's header.
pub(super) const REQUEST_HEADER: usize = 40;
/// Length of a reply's header.
pub(super) const REPLY_HEADER: usize = 16;
/// Everything here is immutable, so the kernel may keep names and attributes for as long as it likes.
const FOR_EVER: u64 = u32::MAX as u64;
/// Length of `fuse_dirent` before the name.
const DIRENT: usize = 24;
/// Length of `fuse_entry_out`.
const ENTRY_OUT: usize = 128;

/// Operations this server knows (`enum fuse_opcode`).
pub(super) mod opcode {
    pub(in crate::fuse) const LOOKUP: u32 = 1;
    pub(in crate::fuse) const FORGET: u32 = 2;
    pub(in crate::fuse) const GETATTR: u32 = 3;
    pub(in crate::fuse) const READLINK: u32 = 5;
    pub(in crate::fuse) const OPEN: u32 = 14;
    pub(in crate::fuse) const READ: u32 = 15;
    pub(in crate::fuse) const STATFS: u32 = 17;
    pub(in crate::fuse) const RELEASE: u32 = 18;
    pub(in crate::fuse) const GETXATTR: u32 = 22;
    pub(in crate::fuse) const LISTXATTR: u32 = 23;
    pub(in crate::fuse) const INIT: u32 = 26;
    pub(in crate::fuse) const READDIR: u32 = 28;
    pub(in crate::fuse) const DESTROY: u32 = 38;
    pub(in crate::fuse) const BATCH_FORGET: u32 = 42;
    pub(in crate::fuse) const READDIRPLUS: u32 = 44;
    pub(in crate::fuse) const IOCTL: u32 = 39;
    pub(in crate::fuse) const LSEEK: u32 = 46;
}

/// Flags of INIT that are asked for where the kernel offers them.
pub(super) mod init_flags {
    /// Reads may be in flight at once and out of order.
    pub(in crate::fuse) const ASYNC_READ: u32 = 1 << 0;
    /// Listings may carry attributes.
    pub(in crate::fuse) const DO_READDIRPLUS: u32 = 1 << 13;
    /// They do so where a program looks at what it listed.
    pub(in crate::fuse) const READDIRPLUS_AUTO: u32 = 1 << 14;
    /// ENOSYS to OPEN means: never ask again, keep pages.
    pub(in crate::fuse) const NO_OPEN: u32 = 1 << 17;
    /// Lookup and readdir of one directory at once.
    pub(in crate::fuse) const PARALLEL_DIROPS: u32 = 1 << 18;
    /// The kernel obeys access control lists, which it reads as extended attributes and keeps.
    pub(in crate::fuse) const POSIX_ACL: u32 = 1 << 20;
    /// `max_pages` below is meant.
    pub(in crate::fuse) const MAX_PAGES: u32 = 1 << 22;
    /// Targets of symbolic links are kept like pages.
    pub(in crate::fuse) const CACHE_SYMLINKS: u32 = 1 << 23;
    /// ENOSYS to OPENDIR means: never ask again, cache listings.
    pub(in crate::fuse) const NO_OPENDIR: u32 = 1 << 24;
    /// Only we say when pages are stale, and we never do.
    pub(in crate::fuse) const EXPLICIT_INVAL_DATA: u32 = 1 << 25;
    /// `flags2` is meant.
    pub(in crate::fuse) const INIT_EXT: u32 = 1 << 30;
    /// Second word: the kernel can resend what a dead server left unanswered.
    pub(in crate::fuse) const HAS_RESEND: u32 = 1 << (39 - 32);
}

/// A request as it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) opcode: u32,
    pub(super) unique: u64,
    pub(super) node: u64,
    pub(super) uid: u32,
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Splits a message; `None` when the kernel wrote something that is none.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let length = u32_at(message, 0)? as usize;
        let message = message.get(..length)?;
        Some(Self {
            opcode: u32_at(message, 4)?,
            unique: u64_at(message, 8)?,
            node: u64_at(message, 16)?,
            uid: u32_at(message, 24)?,
            body: message.get(REQUEST_HEADER..)?,
        })
    }
}

/// What the kernel offers in INIT.
#[derive(Debug, Clone, Copy)]
pub(super) struct InitRequest {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) max_readahead: u32,
    pub(super) flags: u32,
    pub(super) flags2: u32,
}

impl InitRequest {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        Some(Self {
            major: u32_at(body, 0)?,
            minor: u32_at(body, 4)?,
            max_readahead: u32_at(body, 8)?,
            flags: u32_at(body, 12)?,
            flags2: u32_at(body, 16).unwrap_or_default(),
        })
    }
}

/// What this server answers to INIT.
#[derive(Debug, Clone, Copy)]
pub(super) struct InitReply {
    pub(super) minor: u32,
    pub(super) max_readahead: u32,
    pub(super) flags: u32,
    pub(super) flags2: u32,
    pub(super) max_background: u16,
    pub(super) max_write: u32,
    pub(super) max_pages: u16,
}

impl InitReply {
    pub(super) fn encode(self, reply: &mut Reply) {
        reply.u32(7);
        reply.u32(self.minor);
        reply.u32(self.max_readahead);
        reply.u32(self.flags);
        reply.u16(self.max_background);
        reply.u16(self.max_background / 4 * 3);
        reply.u32(self.max_write);
        reply.u32(1); // time granularity in ns
        reply.u16(self.max_pages);
        reply.u16(0); // map alignment: no DAX
        reply.u32(self.flags2);
        reply.zeros(28); // stack depth and what is unused
    }
}

/// `FOPEN_KEEP_CACHE`: what the kernel has of the file stays good.
const KEEP_CACHE: u32 = 1 << 1;

/// The open file of READ and RELEASE.
pub(super) fn handle(body: &[u8]) -> Option<u64> {
    u64_at(body, 0)
}

/// Offset and size of READ, READDIR and READDIRPLUS.
pub(super) fn read_range(body: &[u8]) -> Option<(u64, usize)> {
    Some((u64_at(body, 8)?, u32_at(body, 16)? as usize))
}

/// Size of the caller's buffer in GETXATTR and LISTXATTR; 0 asks how long the answer is.
pub(super) fn attribute_room(body: &[u8]) -> Option<usize> {
    Some(u32_at(body, 0)? as usize)
}

/// The name in GETXATTR, behind size and padding.
pub(super) fn attribute_name(body: &[u8]) -> &[u8] {
    first_string(body.get(8..).unwrap_or_default())
}

/// Offset and whence of LSEEK.
pub(super) fn seek_place(body: &[u8]) -> Option<(u64, u32)> {
    Some((u64_at(body, 8)?, u32_at(body, 16)?))
}

/// What stands before the first NUL.
pub(super) fn first_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A reply that grows behind its header.
#[derive(Debug, Default)]
pub(super) struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    /// Starts over, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(REPLY_HEADER, 0);
    }

    /// Makes room for `length` bytes of data behind the header.
    pub(super) fn data(&mut self, length: usize) -> &mut [u8] {
        self.bytes.resize(REPLY_HEADER + length, 0);
        self.bytes.get_mut(REPLY_HEADER..).unwrap_or_default()
    }

    pub(super) fn length(&self) -> usize {
        self.bytes.len().saturating_sub(REPLY_HEADER)
    }

    /// The whole message for a request that went well.
    pub(super) fn finish(&mut self, unique: u64) -> &[u8] {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        put(&mut self.bytes, 0, &length.to_ne_bytes());
        put(&mut self.bytes, 4, &0i32.to_ne_bytes());
        put(&mut self.bytes, 8, &unique.to_ne_bytes());
        &self.bytes
    }

    /// The whole message for a request that failed.
    pub(super) fn failure(&mut self, unique: u64, errno: Errno) -> &[u8] {
        self.clear();
        put(&mut self.bytes, 0, &16u32.to_ne_bytes());
        put(&mut self.bytes, 4, &(-errno.raw_os_error()).to_ne_bytes());
        put(&mut self.bytes, 8, &unique.to_ne_bytes());
        &self.bytes
    }

    /// `fuse_entry_out`.
    pub(super) fn entry(&mut self, attributes: &Attributes) {
        self.u64(attributes.node);
        self.u64(0); // generation
        self.u64(FOR_EVER);
        self.u64(FOR_EVER);
        self.u32(0);
        self.u32(0);
        self.attributes(attributes);
    }

    /// `fuse_open_out`.
    pub(super) fn open(&mut self, handle: u64) {
        self.u64(handle);
        self.u32(KEEP_CACHE);
        self.u32(0);
    }

    /// `fuse_entry_out` for a name that does not exist, which the kernel may remember too.
    pub(super) fn no_entry(&mut self) {
        self.u64(0);
        self.u64(0);
        self.u64(FOR_EVER);
        self.zeros(16 + 88);
    }

    /// Bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// `fuse_getxattr_out`: only the length of an answer.
    pub(super) fn size_out(&mut self, size: usize) {
        self.u32(u32::try_from(size).unwrap_or(u32::MAX));
        self.u32(0);
    }

    /// `fuse_lseek_out`.
    pub(super) fn seek_out(&mut self, offset: u64) {
        self.u64(offset);
    }

    /// `fuse_attr_out`.
    pub(super) fn attributes_out(&mut self, attributes: &Attributes) {
        self.u64(FOR_EVER);
        self.u32(0);
        self.u32(0);
        self.attributes(attributes);
    }

    /// `fuse_dirent`, in READDIRPLUS (`plus`) behind the attributes, or behind zeros where there are none. False, and nothing
    /// written, when it does not fit into `limit` bytes.
    pub(super) fn dirent(
        &mut self,
        entry: &Entry,
        plus: Option<Option<&Attributes>>,
        limit: usize,
    ) -> bool {
        let padded = (DIRENT + entry.name.len()).next_multiple_of(8);
        let whole = padded + if plus.is_some() { ENTRY_OUT } else { 0 };
        let Ok(name_length) = u32::try_from(entry.name.len()) else {
            return false;
        };
        if self.length() + whole > limit {
            return false;
        }
        match plus {
            Some(Some(attributes)) => self.entry(attributes),
            Some(None) => self.zeros(ENTRY_OUT),
            None => (),
        }
        self.u64(entry.number);
        self.u64(entry.next);
        self.u32(name_length);
        self.u32(entry.kind.mode_bits() >> 12);
        self.bytes.extend(&entry.name);
        self.zeros(padded - DIRENT - entry.name.len());
        true
    }

    /// `fuse_statfs_out`, in blocks of 512 bytes.
    pub(super) fn statfs(&mut self, bytes: u64, nodes: u64) {
        for value in [bytes.div_ceil(512), 0, 0, nodes, 0] {
            self.u64(value);
        }
        for value in [512, 255, 512, 0] {
            self.u32(value);
        }
        self.zeros(24);
    }

    /// `fuse_attr`.
    fn attributes(&mut self, attributes: &Attributes) {
        self.u64(attributes.number);
        self.u64(attributes.size);
        self.u64(attributes.size.div_ceil(512));
        for _ in 0..3 {
            self.u64(attributes.seconds.cast_unsigned());
        }
        for _ in 0..3 {
            self.u32(attributes.nanos);
        }
        self.u32(attributes.kind.mode_bits() | u32::from(attributes.permissions));
        self.u32(attributes.links);
        self.u32(attributes.uid);
        self.u32(attributes.gid);
        self.u32(attributes.device);
        self.u32(4096);
        self.u32(0);
    }

    fn u16(&mut self, value: u16) {
        self.bytes.extend(value.to_ne_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_ne_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_ne_bytes());
    }

    fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::fuse::FileKind;

    fn file() -> Attributes {
        Attributes::plain(7, FileKind::Regular, 0o400, 513)
    }

    fn named(name: &[u8]) -> Entry {
        Entry {
            name: name.to_vec(),
            node: 7,
            number: 7,
            kind: FileKind::Regular,
            next: 1,
        }
    }

    #[test]
    fn replies_have_the_lengths_the_kernel_expects() {
        let mut reply = Reply::default();
        reply.clear();
        reply.entry(&file());
        assert_eq!(reply.length(), 128);
        reply.clear();
        reply.no_entry();
        assert_eq!(reply.length(), 128);
        reply.clear();
        reply.attributes_out(&file());
        assert_eq!(reply.length(), 104);
        reply.clear();
        reply.statfs(1024, 2);
        assert_eq!(reply.length(), 80);
        reply.clear();
        reply.open(1);
        assert_eq!(reply.length(), 16);
        reply.clear();
        InitReply {
            minor: 45,
            max_readahead: 0,
            flags: 0,
            flags2: 0,
            max_background: 64,
            max_write: 4096,
            max_pages: 256,
        }
        .encode(&mut reply);
        assert_eq!(reply.length(), 64);
        assert_eq!(reply.finish(9).len(), 80);
    }

    #[test]
    fn an_entry_that_does_not_fit_is_left_out_whole() {
        let mut reply = Reply::default();
        reply.clear();
        assert!(reply.dirent(&named(b"name"), None, 64));
        assert_eq!(reply.length(), 32);
        assert!(!reply.dirent(&named(b"another name that is too long"), None, 64));
        assert_eq!(reply.length(), 32);
        assert!(!reply.dirent(&named(b"name"), Some(Some(&file())), 64));
        assert!(reply.dirent(&named(b"name"), Some(None), 32 + 160));
    }

    #[test]
    fn a_message_that_is_cut_short_is_no_request() {
        let mut message = vec![0; 48];
        message[..4].copy_from_slice(&48u32.to_ne_bytes());
        message[4..8].copy_from_slice(&opcode::READ.to_ne_bytes());
        assert_eq!(Request::parse(&message).unwrap().opcode, opcode::READ);
        for length in 0..48 {
            assert!(Request::parse(&message[..length]).is_none(), "{length}");
        }
    }
}
