//! The mount daemon's parts: layers that are fetched, verified and cached on demand, the files the kernel sees, and the
//! mount that puts an image together from them. `docs/mount.md` draws the picture.
#![forbid(unsafe_code)]

pub mod cache;
pub mod cat;
pub mod device_files;
pub mod error;
pub mod fuse;
pub mod image;
pub mod layer;
pub mod request;
pub mod secret;
pub mod serve;
pub mod source;
pub mod stats;
pub mod tree;

#[cfg(test)]
mod testing;
