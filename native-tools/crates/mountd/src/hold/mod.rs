//! The holder and what the daemon keeps with it: descriptors by name that outlive any daemon.

mod holder;
mod store;
mod sweep;
mod wire;

pub use holder::{Start, hold};
pub use store::{Store, Taken};
pub use sweep::sweep;

/// The names of what is kept.
pub mod names {
    /// The socket that clients connect to, listening.
    pub const LISTENER: &str = "listener";
    /// The lock on the socket's path, held by whoever has the descriptor.
    pub const LOCK: &str = "lock";
    /// The FUSE device.
    pub const DEVICE: &str = "device";
    /// The FUSE mount, attached nowhere.
    pub const FILES: &str = "files";
    /// `ConnectionState` in a memory file.
    pub const CONNECTION: &str = "connection";
    /// `MountState` in a memory file; followed by the mount's id.
    pub const MOUNT: &str = "mount:";
    /// The archive; followed by the mount's id.
    pub const ARCHIVE: &str = "archive:";
    /// `AheadState` in a memory file, while anything is fetched ahead; followed by the mount's id.
    pub const AHEAD: &str = "ahead:";
    /// The FUSE device of a mount of engine fuse; followed by the mount's id.
    pub const TREE: &str = "tree:";
    /// A local layer that a mount of engine fuse reads; followed by the mount's id and the device's number.
    pub const LOCAL: &str = "local:";
}
