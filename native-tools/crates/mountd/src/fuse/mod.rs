//! A read-only FUSE server on the raw kernel protocol (linux/fuse.h, 7.45): messages, the request loop, and the pool of
//! threads on which requests wait that cannot be answered at once.

mod counts;
mod filesystem;
mod message;
mod server;
mod waiting;

pub use counts::RequestCounts;
pub use filesystem::{
    Attributes, Entry, FileKind, FileSystem, FsError, Handle, NodeId, ROOT, Seek, Usage,
};
pub use server::{Contents, Negotiated, Server, Session};
