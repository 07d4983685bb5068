//! The names of everything that decides the bytes of a pack result; callers key their caches by them.

use std::collections::BTreeMap;

use crate::index_file;

/// libdeflate tells no version at run time; a test holds this equal to Cargo.lock.
const LIBDEFLATE: &str = "1.26.1";

/// By codec, and `index` for the file table and the index file itself (its version covers where foreign gzip layers get
/// seek points; how their windows are compressed is the zstd library's).
#[must_use]
pub fn encoder_ids() -> BTreeMap<&'static str, String> {
    let zstd = format!("zstd-{}", zstd::zstd_safe::version_string());
    BTreeMap::from([
        ("index", format!("index-{}-{zstd}", index_file::VERSION)),
        ("zstd", zstd),
        ("gzip", format!("libdeflate-{LIBDEFLATE}")),
        ("none", "none".to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libdeflate_version_is_the_one_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!(
            "name = \"libdeflate-sys\"\nversion = \"{LIBDEFLATE}\""
        )));
    }

    #[test]
    fn every_codec_has_an_id() {
        assert_eq!(
            encoder_ids().keys().copied().collect::<Vec<_>>(),
            ["gzip", "index", "none", "zstd"]
        );
    }
}
