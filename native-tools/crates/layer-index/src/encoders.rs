//! The names of everything that decides the bytes of a pack result; callers key their caches by them.

use std::collections::BTreeMap;

use crate::index_file;

/// libdeflate tells no version at run time; a test holds this equal to Cargo.lock.
const LIBDEFLATE: &str = "1.26.1";

/// By codec, and `index` for the file table and the index file itself.
#[must_use]
pub fn encoder_ids() -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("index", format!("index-{}", index_file::VERSION)),
        (
            "zstd",
            format!("zstd-{}", zstd::zstd_safe::version_string()),
        ),
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
