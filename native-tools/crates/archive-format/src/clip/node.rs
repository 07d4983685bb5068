//! The node list: one node a name.

use super::types::{INDEX_TYPES, NODE_LIST};
use crate::FormatError;
use crate::gob::decode::{Reader, Types, first_value};
use crate::gob::encode::{self, Fields};

/// The three types a CLIP node can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeType {
    /// A directory.
    Directory,
    /// A regular file; devices, fifos and sockets too, which `mode` tells apart.
    File,
    /// A symbolic link.
    Symlink,
}

/// A name and what it names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node<'a> {
    /// One of the three types; `None` only before a value was read.
    pub node_type: Option<NodeType>,
    /// Absolute path without a slash at its end; the root is `/`.
    pub path: &'a [u8],
    /// Attributes.
    pub attr: Attr,
    /// A symlink's target.
    pub target: &'a [u8],
    /// V1: hex SHA-256 of the file.
    pub content_hash: &'a [u8],
    /// V1: offset of the file's bytes.
    pub data_offset: i64,
    /// V1: length of the file's bytes.
    pub data_bytes: i64,
    /// OCI: where a file's bytes are.
    pub remote: Option<Remote<'a>>,
}

/// Attributes as FUSE has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of struct fuse_attr")]
pub struct Attr {
    pub ino: u64,
    pub size: u64,
    pub blocks: u64,
    /// Seconds as two's complement, as are the other times.
    pub atime: u64,
    pub mtime: u64,
    pub ctime: u64,
    pub atime_nanos: u32,
    pub mtime_nanos: u32,
    pub ctime_nanos: u32,
    /// With type bits.
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    /// The kernel's 32-bit device number.
    pub rdev: u32,
    pub block_size: u32,
    pub padding: u32,
}

/// A stretch of a layer's plain tar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Remote<'a> {
    /// `sha256:` digest of the blob.
    pub layer: &'a [u8],
    /// Offset in the plain tar.
    pub offset: i64,
    /// Length.
    pub length: i64,
}

impl NodeType {
    fn text(self) -> &'static [u8] {
        match self {
            Self::Directory => b"dir",
            Self::File => b"file",
            Self::Symlink => b"symlink",
        }
    }

    fn of(text: &[u8]) -> Result<Self, FormatError> {
        match text {
            b"dir" => Ok(Self::Directory),
            b"file" => Ok(Self::File),
            b"symlink" => Ok(Self::Symlink),
            other => Err(FormatError::corrupt(format!(
                "node type \"{}\"",
                other.escape_ascii()
            ))),
        }
    }
}

/// Collects nodes (in path order) into the stream of the index.
#[derive(Debug, Default)]
pub struct NodeList {
    count: u64,
    bytes: Vec<u8>,
}

impl NodeList {
    /// Nodes so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Appends a node.
    pub fn push(&mut self, node: &Node<'_>) {
        self.count += 1;
        write_node(&mut self.bytes, node);
    }

    /// The whole stream: definitions and one value.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut out = list_head(self.count, self.bytes.len() as u64);
        out.extend(self.bytes);
        out
    }
}

/// What stands before `count` nodes of `bytes` bytes: definitions and the start of the one value.
#[must_use]
pub fn list_head(count: u64, bytes: u64) -> Vec<u8> {
    let mut head = Vec::new();
    encode::int(&mut head, NODE_LIST);
    head.push(0);
    encode::uint(&mut head, count);
    let mut out = Vec::new();
    encode::definitions(&mut out, INDEX_TYPES);
    encode::uint(&mut out, head.len() as u64 + bytes);
    out.extend(head);
    out
}

/// One node of the list.
pub fn write_node(out: &mut Vec<u8>, node: &Node<'_>) {
    let mut fields = Fields::new(out);
    fields.bytes(0, node.node_type.map_or(b"".as_slice(), NodeType::text));
    fields.bytes(1, node.path);
    write_attr(fields.field(2), &node.attr);
    fields.bytes(3, node.target);
    fields.bytes(4, node.content_hash);
    fields.int(5, node.data_offset);
    fields.int(6, node.data_bytes);
    if let Some(remote) = &node.remote {
        let mut inner = Fields::new(fields.field(7));
        inner.bytes(0, remote.layer);
        inner.int(1, remote.offset);
        inner.int(2, remote.length);
        inner.end();
    }
    fields.end();
}

fn write_attr(out: &mut Vec<u8>, attr: &Attr) {
    let mut fields = Fields::new(out);
    fields.uint(0, attr.ino);
    fields.uint(1, attr.size);
    fields.uint(2, attr.blocks);
    fields.uint(3, attr.atime);
    fields.uint(4, attr.mtime);
    fields.uint(5, attr.ctime);
    fields.uint(6, attr.atime_nanos.into());
    fields.uint(7, attr.mtime_nanos.into());
    fields.uint(8, attr.ctime_nanos.into());
    fields.uint(9, attr.mode.into());
    fields.uint(10, attr.nlink.into());
    let mut owner = Fields::new(fields.field(11));
    owner.uint(0, attr.uid.into());
    owner.uint(1, attr.gid.into());
    owner.end();
    fields.uint(12, attr.rdev.into());
    fields.uint(13, attr.block_size.into());
    fields.uint(14, attr.padding.into());
    fields.end();
}

/// Calls `visit` for every node of an index in the order it has, from any writer. Returns the bytes that follow the value.
///
/// # Errors
/// ARCHIVE_CORRUPT, and what `visit` returns.
pub fn read_nodes<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(Node<'a>) -> Result<(), FormatError>,
) -> Result<usize, FormatError> {
    let mut stream = Reader::new(bytes);
    let (types, id, mut value) = first_value(&mut stream)?;
    types.each_item(id, &mut value, |id, reader| {
        visit(read_node(&types, id, reader)?)
    })?;
    if !value.is_empty() {
        return Err(FormatError::corrupt("node list: bytes after the last node"));
    }
    Ok(stream.remaining())
}

fn read_node<'a>(
    types: &Types<'a>,
    id: i64,
    reader: &mut Reader<'a>,
) -> Result<Node<'a>, FormatError> {
    let mut node = Node::default();
    types.each_field(id, reader, |name, id, reader| {
        match name {
            b"NodeType" => node.node_type = Some(NodeType::of(types.bytes(id, reader)?)?),
            b"Path" => node.path = types.bytes(id, reader)?,
            b"Attr" => node.attr = read_attr(types, id, reader)?,
            b"Target" => node.target = types.bytes(id, reader)?,
            b"ContentHash" => node.content_hash = types.bytes(id, reader)?,
            b"DataPos" => node.data_offset = types.int(id, reader)?,
            b"DataLen" => node.data_bytes = types.int(id, reader)?,
            b"Remote" => node.remote = Some(read_remote(types, id, reader)?),
            _ => types.skip(id, reader)?,
        }
        Ok(())
    })?;
    if node.node_type.is_none() || !node.path.starts_with(b"/") {
        return Err(FormatError::corrupt(format!(
            "a node without a type or path: \"{}\"",
            node.path.escape_ascii()
        )));
    }
    Ok(node)
}

fn read_attr<'a>(types: &Types<'a>, id: i64, reader: &mut Reader<'a>) -> Result<Attr, FormatError> {
    let mut attr = Attr::default();
    types.each_field(id, reader, |name, id, reader| {
        if name == b"Owner" {
            return types.each_field(id, reader, |name, id, reader| {
                match name {
                    b"Uid" => attr.uid = narrow(types.uint(id, reader)?)?,
                    b"Gid" => attr.gid = narrow(types.uint(id, reader)?)?,
                    _ => types.skip(id, reader)?,
                }
                Ok(())
            });
        }
        let wide = match name {
            b"Ino" => Some(&mut attr.ino),
            b"Size" => Some(&mut attr.size),
            b"Blocks" => Some(&mut attr.blocks),
            b"Atime" => Some(&mut attr.atime),
            b"Mtime" => Some(&mut attr.mtime),
            b"Ctime" => Some(&mut attr.ctime),
            _ => None,
        };
        if let Some(place) = wide {
            *place = types.uint(id, reader)?;
            return Ok(());
        }
        let place = match name {
            b"Atimensec" => &mut attr.atime_nanos,
            b"Mtimensec" => &mut attr.mtime_nanos,
            b"Ctimensec" => &mut attr.ctime_nanos,
            b"Mode" => &mut attr.mode,
            b"Nlink" => &mut attr.nlink,
            b"Rdev" => &mut attr.rdev,
            b"Blksize" => &mut attr.block_size,
            b"Padding" => &mut attr.padding,
            _ => return types.skip(id, reader),
        };
        *place = narrow(types.uint(id, reader)?)?;
        Ok(())
    })?;
    Ok(attr)
}

fn read_remote<'a>(
    types: &Types<'a>,
    id: i64,
    reader: &mut Reader<'a>,
) -> Result<Remote<'a>, FormatError> {
    let mut remote = Remote::default();
    types.each_field(id, reader, |name, id, reader| {
        match name {
            b"LayerDigest" => remote.layer = types.bytes(id, reader)?,
            b"UOffset" => remote.offset = types.int(id, reader)?,
            b"ULength" => remote.length = types.int(id, reader)?,
            _ => types.skip(id, reader)?,
        }
        Ok(())
    })?;
    Ok(remote)
}

fn narrow(value: u64) -> Result<u32, FormatError> {
    u32::try_from(value)
        .map_err(|_| FormatError::corrupt(format!("the attribute {value} has more than 32 bits")))
}
