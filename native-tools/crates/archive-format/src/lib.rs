//! The Clipyard archive: CLIP container, sections, footer, metadata image. Pure: bytes in, bytes out, no clock and no network.
#![forbid(unsafe_code)]

pub mod model;
