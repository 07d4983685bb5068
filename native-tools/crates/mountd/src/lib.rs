//! The mount daemon's parts: layers that are fetched, verified and cached on demand, the files the kernel sees, and the
//! mount that puts an image together from them. `docs/mount.md` draws the picture.
#![forbid(unsafe_code)]

pub mod answers;
pub mod cache;
pub mod cache_care;
pub mod cat;
pub mod daemon;
pub mod error;
pub mod fuse;
pub mod grpc;
pub mod hold;
pub mod image;
pub mod layer;
pub mod limit;
pub mod link;
pub mod metrics;
pub mod node;
pub mod options;
pub mod proto;
pub mod request;
pub mod secret;
pub mod source;
pub mod stats;
pub mod tree;

#[cfg(test)]
mod testing;
