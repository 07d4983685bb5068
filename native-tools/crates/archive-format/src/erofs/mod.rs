//! Section `erofs`: the metadata image. A real EROFS image with 512-byte blocks that the stock kernel mounts; regular
//! files point into devices, the plain tar streams of the layers. `docs/formats/erofs.md`.

mod chunking;
mod directory;
mod inode;
mod layout;
mod lookup;
mod place;
mod read;
mod to_image;
mod write;
mod xattr;

pub(crate) use chunking::join;
pub(crate) use layout::{encode_device, type_bits};
pub(crate) use write::write_with_facts;

pub use chunking::{Chunking, chunking};
pub use directory::{DirEntry, Entries};
pub use inode::InodeInfo;
pub use lookup::Follow;
pub use place::Device;
pub use read::{ErofsReader, ReaderDevice, head_bytes};
pub use to_image::Walked;
pub use write::{uuid_of, write_image};
