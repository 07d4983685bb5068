//! The CLIP part: what a reader that knows only CLIP lists, mounts and reads. `docs/formats/clip.md`.

mod config;
mod header;
mod node;
mod storage;
mod time;
mod types;
mod v1;

pub(crate) mod describe;
pub(crate) mod nodes;

pub use config::ImageConfig;
pub use header::{HEADER_BYTES, Header, MAGIC, OUR_STORAGE_TYPE};
pub use node::{Attr, Node, NodeList, NodeType, Remote, list_head, read_nodes, write_node};
pub use storage::{GzipIndex, ImageMetadata, LayerData, StorageInfo};
pub use time::Created;
pub use v1::V1Layout;
