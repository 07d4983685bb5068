//! The Clipyard archive: CLIP container, sections, footer, metadata image. Bytes in, bytes out, no clock and no network.
//! The pages `docs/formats/archive.md`, `clip.md` and `erofs.md` describe what is written here.
#![forbid(unsafe_code)]

pub mod digest;
pub mod erofs;
pub mod error;
pub mod footer;
pub mod model;
pub mod tables;
pub mod write;

mod tree;
mod wire;

pub use error::FormatError;
