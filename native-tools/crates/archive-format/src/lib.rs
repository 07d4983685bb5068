//! The Clipyard archive: CLIP container, sections, footer, metadata image. Bytes in, bytes out, no clock and no network.
//! The pages `docs/formats/archive.md`, `clip.md` and `erofs.md` describe what is written here.
#![forbid(unsafe_code)]

pub mod clip;
pub mod digest;
pub mod erofs;
pub mod error;
pub mod footer;
pub mod model;
pub mod read;
pub mod seek;
pub mod tables;
pub mod verify;
pub mod write;

mod frames;
mod gob;
mod tree;
mod wire;

pub use error::FormatError;
