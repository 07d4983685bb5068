//! The messages and the service of `proto/clipyard/mount/v1`, generated when this crate is built.
#![allow(
    clippy::all,
    clippy::indexing_slicing,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "generated code"
)]

tonic::include_proto!("clipyard.mount.v1");
