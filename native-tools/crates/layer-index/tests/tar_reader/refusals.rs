//! Streams that end early, are damaged, or are too much.

use layer_index::{IndexError, Limits};
use tool_protocol::Coded;

use super::holes::gnu_sparse;
use super::support::{Flavour, Spec, padded, read, read_in_steps, tar};

#[test]
fn a_stream_cut_anywhere_is_truncated_or_ends_between_entries() {
    let specs = [
        Spec::directory("d"),
        Spec::file("d/f", vec![b'x'; 700]).pax("mtime", "1.5"),
        Spec::file(vec![b'n'; 150], "yy").with(|spec| spec.flavour = Flavour::Gnu),
    ];
    let whole = tar(&specs);
    let mut ends: Vec<usize> = Vec::new();
    let mut end = 0;
    for spec in &specs {
        let padding = spec.data.len().next_multiple_of(512) - spec.data.len();
        end += spec.bytes().len();
        ends.extend(end - padding..=end); // the padding of the last entry may be missing
    }
    ends.extend([0, end + 512, end + 1024]);
    for length in 0..whole.len() {
        match read(&whole[..length]) {
            Ok(_) => assert!(ends.contains(&length), "accepted after {length} bytes"),
            Err(error) => {
                assert_eq!(
                    error.code(),
                    "LAYER_TRUNCATED",
                    "after {length} bytes: {error}"
                );
                assert!(!ends.contains(&length), "refused after {length} bytes");
            }
        }
    }
}

#[test]
fn what_follows_the_end_of_the_archive_is_ignored() {
    let bytes = [tar(&[Spec::file("a", "x")]), vec![0xaa; 5000]].concat();
    assert_eq!(read(&bytes).unwrap().len(), 1);
}

#[test]
fn damage_is_told_by_its_code() {
    let flip = |mut bytes: Vec<u8>, at: usize| {
        bytes[at] ^= 1;
        bytes
    };
    let file = tar(&[Spec::file("a", "x")]);
    for (bytes, code, why) in [
        (
            flip(file.clone(), 3),
            "LAYER_CORRUPT",
            "a flipped bit in a header",
        ),
        (vec![0x5a; 4096], "LAYER_CORRUPT", "garbage"),
        (
            [vec![0; 512], file.clone()].concat(),
            "LAYER_CORRUPT",
            "one block of zeros in front",
        ),
        (
            tar(&[Spec::new(b'V', "label")]),
            "LAYER_CORRUPT",
            "a volume label",
        ),
        (
            tar(&[Spec::file("a", "").with(|spec| spec.size = Some(-1))]),
            "LAYER_CORRUPT",
            "a negative size",
        ),
        (
            tar(&[Spec::file("a", "").pax("size", "x")]),
            "LAYER_CORRUPT",
            "a size that is no number",
        ),
        (
            tar(&[Spec::file("a", "").pax("uid", "4294967296")]),
            "LAYER_CORRUPT",
            "an owner of 33 bits",
        ),
        (
            tar(&[Spec::new(b'3', "a").with(|spec| spec.device = (4096, 0))]),
            "LAYER_CORRUPT",
            "a major of 13 bits",
        ),
        (
            tar(&[Spec::symlink("a", "")]),
            "LAYER_PATH_INVALID",
            "an empty link target",
        ),
        (
            tar(&[Spec::file(vec![b'a'; 256], "")]),
            "LAYER_PATH_INVALID",
            "a name of 256 bytes",
        ),
        (
            tar(&[Spec::file("a", "")
                .pax("GNU.sparse.major", "1")
                .pax("GNU.sparse.minor", "0")
                .pax("GNU.sparse.name", "b\0c")]),
            "LAYER_CORRUPT",
            "a sparse map in no data",
        ),
    ] {
        assert_eq!(
            read(&bytes).map_or_else(|error| error.code(), |_| "accepted"),
            code,
            "{why}"
        );
    }
}

#[test]
fn every_limit_is_an_error_of_its_own() {
    let small = Limits {
        max_entries: 2,
        max_path_bytes: 300,
        max_name_bytes: 30,
        max_depth: 120,
        max_header_bytes: 1024,
        max_sparse_extents: 3,
        max_file_bytes: 10_000,
        max_xattr_bytes: 10,
        max_xattrs_bytes: 20,
        max_relocated_bytes: 150,
        ..Limits::default()
    };
    let holes: Vec<(u64, u64)> = (0..4).map(|at| (at * 1024, 512)).collect();
    let odd = gnu_sparse(&[(1, 100), (4096, 100)], 8192, &[1; 200]);
    let text_map = Spec::file("s", [padded(b"99999999999\n1\n"), vec![0; 512]].concat())
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0");
    for (bytes, why) in [
        (
            tar(&[
                Spec::file("a", ""),
                Spec::file("b", ""),
                Spec::file("c", ""),
            ]),
            "entries",
        ),
        (tar(&[Spec::file(b"ab/".repeat(110), "")]), "path"),
        (tar(&[Spec::symlink("l", vec![b'x'; 301])]), "link target"),
        (tar(&[Spec::file(vec![b'n'; 31], "")]), "name"),
        (tar(&[Spec::file(b"a/".repeat(121), "")]), "depth"),
        (
            tar(&[Spec::file("a", "").pax("comment", vec![b'x'; 2000])]),
            "header",
        ),
        (gnu_sparse(&holes, 4096, &[0; 2048]), "old sparse map"),
        (tar(&[text_map]), "sparse map before the data"),
        (
            tar(&[Spec::file("a", "").with(|spec| spec.size = Some(20_000))]),
            "file size",
        ),
        (
            tar(&[Spec::file("a", "").pax("SCHILY.xattr.user.a", "12345678901")]),
            "one attribute",
        ),
        (
            tar(&[Spec::file("a", "")
                .pax("SCHILY.xattr.user.a", "1234567")
                .pax("SCHILY.xattr.user.b", "1234567")]),
            "all attributes",
        ),
        (odd, "relocated data"),
    ] {
        let error = read_in_steps(&bytes, 4096, small.clone()).expect_err(why);
        assert!(matches!(error, IndexError::Limit { .. }), "{why}: {error}");
        assert_eq!(error.code(), "LIMIT_EXCEEDED");
        assert!(
            error.to_string().contains("raise it with --limit"),
            "{why}: {error}"
        );
        assert!(
            read(&bytes).is_ok() || why == "sparse map before the data" || why == "file size",
            "{why}: the default limits are wider"
        );
    }
}
