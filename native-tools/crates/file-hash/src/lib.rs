//! SHA-256 of files that were listed a moment ago, each of which must still be the file that was listed. Every file is read
//! once, through a buffer that belongs to the thread.
#![forbid(unsafe_code)]

mod error;
mod hash;
mod request;

pub use error::HashError;
pub use hash::{Buffer, hash_file};
pub use request::{Batch, Listed, Request};
