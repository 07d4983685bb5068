//! Compares two trees on disk, field by field and byte by byte, in one walk of both. Memory holds the names of the folders
//! on the way down and one entry for every file with several names; contents pass through two buffers.
//! The rules are those of docs/semantics.md, "Comparing trees".
#![forbid(unsafe_code)]

mod content;
mod entry;
mod error;
mod report;
mod walk;

pub use error::CompareError;
pub use report::{Difference, Report};
pub use walk::{Options, compare_trees};
