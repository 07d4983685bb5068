//! What a daemon did and holds, for Prometheus. Names and labels are in `docs/mount.md`; no label comes from a request.

mod histogram;
mod listen;
mod tally;
mod text;

pub use histogram::Histogram;
pub use listen::{Address, listen};
pub use tally::Tally;
pub use text::Page;
