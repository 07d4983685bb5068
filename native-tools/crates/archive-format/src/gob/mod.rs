//! Go's `encoding/gob`, as much of it as CLIP archives use. `docs/formats/clip.md`, "Gob".

pub(crate) mod decode;
pub(crate) mod encode;

/// Type ids that every stream has.
pub(crate) mod builtin {
    pub(crate) const BOOL: i64 = 1;
    pub(crate) const INT: i64 = 2;
    pub(crate) const UINT: i64 = 3;
    pub(crate) const FLOAT: i64 = 4;
    pub(crate) const BYTES: i64 = 5;
    pub(crate) const STRING: i64 = 6;
}
