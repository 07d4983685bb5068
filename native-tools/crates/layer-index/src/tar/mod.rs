//! A tar reader of our own: streaming, any byte in names, every limit a coded error. It accepts what Go's `archive/tar`
//! accepts (ustar, star, GNU with sparse files, PAX), because container engines are built on that.

mod build;
mod contents;
mod header;
mod path;
mod pax;
mod sparse;
mod walker;

pub use path::{clean_path, components};
pub use walker::{Feed, TarWalker};

/// Every header and every data section is a multiple of this.
pub(crate) const BLOCK_BYTES: u64 = 512;
/// The same as a length in memory.
pub(crate) const BLOCK_LENGTH: usize = 512;
