//! System calls the other crates need, as safe functions; the only place where unsafe code is allowed.

pub mod filesystem;
pub mod fuse;
pub mod inflate;
pub mod kernel;
pub mod mount;
pub mod mountinfo;
pub mod pass;
pub mod process;
pub mod read_ahead;
pub mod socket;
