//! Packs and indexes OCI layers in one pass, keeps what a layer holds in an index file, merges layers into one tree.
//! `docs/formats/layer-index.md` describes the index, `docs/semantics.md` the rules of the merge.
#![forbid(unsafe_code)]

pub mod assemble;
pub mod encoders;
pub mod entry;
pub mod error;
pub mod index_file;
pub mod limits;
pub mod media;
pub mod merge;
pub mod pack;
pub mod request;
pub mod source;
pub mod stop;
pub mod tar;
pub mod v1;

mod buffers;
mod output;

pub use error::IndexError;
pub use limits::Limits;
pub use stop::Stop;
