//! Section `erofs`: the metadata image. A real EROFS image with 512-byte blocks that the stock kernel mounts; regular
//! files point into devices, the plain tar streams of the layers. `docs/formats/erofs.md`.

mod chunking;
mod directory;
mod layout;
mod write;
mod xattr;

pub use chunking::{Chunking, chunking};
pub use write::{Device, write_image};
