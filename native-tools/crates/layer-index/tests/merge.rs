//! How layers become one tree: each rule of docs/semantics.md, "How layers are merged".
#![allow(
    missing_docs,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test program"
)]

#[path = "merge/scattered.rs"]
mod scattered;
mod support;

use std::collections::BTreeMap;

use archive_format::model::{Image, Inode, InodeId, Kind};
use layer_index::IndexError;
use layer_index::merge::{Merge, Merged};
use support::{Spec, read, tar};
use tool_protocol::Coded;

const CHUNK_BYTES: u32 = 4096;

fn try_merge(layers: &[&[Spec]]) -> Result<Merged, IndexError> {
    let tars: Vec<Vec<u8>> = layers.iter().map(|specs| tar(specs)).collect();
    merge_tars(&tars)
}

fn merge_tars(tars: &[Vec<u8>]) -> Result<Merged, IndexError> {
    let mut merge = Merge::new();
    for (device, tar) in tars.iter().enumerate() {
        merge.begin_layer(device as u16);
        for entry in read(tar)? {
            merge.apply(entry)?;
        }
    }
    merge.finish(tars.len() as u16, CHUNK_BYTES)
}

/// Every path of the image with its inode.
fn paths(image: &Image) -> BTreeMap<String, (InodeId, &Inode)> {
    let mut found = BTreeMap::new();
    let mut pending = vec![(String::from("/"), 0)];
    while let Some((path, id)) = pending.pop() {
        let inode = &image.inodes[id as usize];
        if let Kind::Directory { children } = &inode.kind {
            for (name, child) in children {
                let slash = if path == "/" { "" } else { "/" };
                pending.push((
                    format!("{path}{slash}{}", String::from_utf8_lossy(name)),
                    *child,
                ));
            }
        }
        found.insert(path, (id, inode));
    }
    found
}

/// The tree in short: `d` directory, `l->target`, `p` fifo, `c`, `b`, or a file's content.
fn shape(merged: &Merged) -> Vec<String> {
    paths(&merged.image)
        .into_iter()
        .filter(|(path, _)| path != "/")
        .map(|(path, (_, inode))| {
            let what = match &inode.kind {
                Kind::Directory { .. } => "d".to_owned(),
                Kind::Symlink { target } => format!("l->{}", String::from_utf8_lossy(target)),
                Kind::Regular(data) => {
                    String::from_utf8_lossy(data.inline.as_deref().unwrap_or_default()).into_owned()
                }
                Kind::Fifo => "p".to_owned(),
                Kind::CharDevice(_) => "c".to_owned(),
                Kind::BlockDevice(_) => "b".to_owned(),
                Kind::Socket => "s".to_owned(),
            };
            format!("{path} {what}")
        })
        .collect()
}

fn shape_of(layers: &[&[Spec]]) -> Vec<String> {
    shape(&try_merge(layers).unwrap())
}

fn file(name: &str, data: &str) -> Spec {
    Spec::file(name, data)
}

fn whiteout(name: &str) -> Spec {
    Spec::file(name, "")
}

#[test]
fn whiteouts_remove_what_lower_layers_have() {
    assert_eq!(
        shape_of(&[
            &[
                file("a/x", "1"),
                file("a/y", "2"),
                file("b/z", "3"),
                file("c", "4")
            ],
            &[
                whiteout("a/.wh.x"),
                whiteout(".wh.b"),
                whiteout(".wh.nothing"),
                whiteout("no/where/.wh.x")
            ],
        ]),
        ["/a d", "/a/y 2", "/c 4"]
    );
}

#[test]
fn whiteouts_spare_what_their_own_layer_made_before_and_after_them() {
    assert_eq!(
        shape_of(&[
            &[file("a/old", "1"), file("b", "2"), file("d/e/old", "3")],
            &[
                file("a/new", "4"),
                whiteout(".wh.a"),
                whiteout(".wh.b"),
                file("b", "5"),
                file("d/e/new", "6"),
                whiteout("d/.wh.e"),
            ],
        ]),
        ["/a d", "/a/new 4", "/b 5", "/d d", "/d/e d", "/d/e/new 6"]
    );
}

#[test]
fn opaque_directories_hide_lower_layers_only() {
    assert_eq!(
        shape_of(&[
            &[
                file("a/old", "1"),
                file("a/deep/old", "2"),
                file("b/old", "3"),
                file("c", "4")
            ],
            &[
                file("a/new", "5"),
                file("a/deep/new", "6"),
                whiteout("a/.wh..wh..opq"),
                whiteout("b/.wh..wh..opq"),
                file("b/new", "7"),
                whiteout("missing/.wh..wh..opq"),
                whiteout("c/.wh..wh..opq"),
            ],
        ]),
        [
            "/a d",
            "/a/deep d",
            "/a/deep/new 6",
            "/a/new 5",
            "/b d",
            "/b/new 7",
            "/c 4"
        ]
    );
    assert_eq!(
        shape_of(&[
            &[file("a", "1")],
            &[whiteout(".wh..wh..opq"), file("b", "2")]
        ]),
        ["/b 2"]
    );
}

#[test]
fn types_replace_each_other_across_three_layers() {
    let types = |first: Spec, second: Spec, third: Spec| {
        shape_of(&[&[first, file("keep", "")], &[second], &[third]])
    };
    assert_eq!(
        types(
            file("x/in", "1"),
            file("x", "2"),
            Spec::symlink("x", "keep")
        ),
        ["/keep ", "/x l->keep"]
    );
    assert_eq!(
        types(
            Spec::symlink("x", "keep"),
            Spec::directory("x"),
            file("x/in", "3")
        ),
        ["/keep ", "/x d", "/x/in 3"]
    );
    assert_eq!(
        types(file("x", "1"), Spec::directory("x"), Spec::new(b'6', "x")),
        ["/keep ", "/x p"]
    );
}

#[test]
fn a_directory_that_comes_again_keeps_its_names_and_takes_the_new_attributes() {
    let merged = try_merge(&[
        &[
            Spec::directory("d").pax("SCHILY.xattr.user.old", "1"),
            file("d/f", "1"),
        ],
        &[Spec::directory("d").with(|spec| {
            spec.mode = 0o1700;
            spec.uid = 7;
            spec.mtime = 99;
        })],
    ])
    .unwrap();
    let found = paths(&merged.image);
    let (_, directory) = found["/d"];
    assert_eq!(
        (
            directory.permissions,
            directory.uid,
            directory.mtime.seconds
        ),
        (0o1700, 7, 99)
    );
    assert!(directory.xattrs.is_empty() && found.contains_key("/d/f"));
}

#[test]
fn in_one_layer_the_last_of_a_name_wins() {
    assert_eq!(
        shape_of(&[&[
            file("a", "1"),
            file("a", "2"),
            file("b/c", "3"),
            file("b", "4"),
            Spec::directory("d"),
            file("d/x", "5"),
            Spec::directory("d")
        ]]),
        ["/a 2", "/b 4", "/d d", "/d/x 5"]
    );
}

#[test]
fn parents_that_nobody_described_are_made() {
    let merged = try_merge(&[&[
        file("a/b/c", "1"),
        Spec::directory("s").with(|spec| {
            spec.mode = 0o2755;
            spec.gid = 50;
        }),
        file("s/t/u", "2"),
    ]])
    .unwrap();
    let found = paths(&merged.image);
    for (path, permissions, gid) in [
        ("/", 0o755, 0),
        ("/a", 0o755, 0),
        ("/a/b", 0o755, 0),
        ("/s/t", 0o2755, 50),
    ] {
        let (_, inode) = found[path];
        assert_eq!(
            (inode.permissions, inode.uid, inode.gid, inode.mtime.seconds),
            (permissions, 0, gid, 0),
            "{path}"
        );
    }
}

#[test]
fn the_entry_of_the_root_gives_the_root_its_attributes() {
    for name in ["./", "/", ".", "a/.."] {
        let merged = try_merge(&[&[Spec::directory(name).with(|spec| spec.mode = 0o700)]]).unwrap();
        assert_eq!(merged.image.inodes[0].permissions, 0o700, "{name}");
        assert_eq!(merged.image.inodes.len(), 1);
    }
}

#[test]
fn hard_links_are_one_inode() {
    let merged = try_merge(&[
        &[
            file("f", "1"),
            Spec::hard_link("g", "f"),
            Spec::symlink("l", "f"),
            Spec::hard_link("m", "./l"),
            Spec::symlink("to", "dir"),
            file("dir/x", "2"),
            Spec::hard_link("through", "to/x"),
        ],
        &[Spec::hard_link("upper", "/f"), file("f", "new")],
    ])
    .unwrap();
    let found = paths(&merged.image);
    let id = |path: &str| found[path].0;
    assert_eq!(id("/g"), id("/upper"));
    assert_ne!(
        id("/g"),
        id("/f"),
        "the lower file was replaced after it was linked"
    );
    assert_eq!(id("/l"), id("/m"));
    assert_eq!(id("/dir/x"), id("/through"));
    assert_eq!(
        shape(&merged),
        [
            "/dir d",
            "/dir/x 2",
            "/f new",
            "/g 1",
            "/l l->f",
            "/m l->f",
            "/through 2",
            "/to l->dir",
            "/upper 1"
        ]
    );
}

#[test]
fn entries_below_a_lower_layers_link_go_where_it_leads() {
    assert_eq!(
        shape_of(&[
            &[
                Spec::directory("real"),
                Spec::symlink("abs", "/real"),
                Spec::symlink("rel", "./real/../real"),
                Spec::symlink("up", "../../../../real"),
                Spec::symlink("dangling", "made/here"),
                Spec::symlink("chain", "abs"),
                file("real/gone", "x"),
            ],
            &[
                file("abs/1", ""),
                file("rel/2", ""),
                file("up/3", ""),
                file("dangling/4", ""),
                file("chain/5", ""),
                whiteout("chain/.wh.gone"),
            ],
        ]),
        [
            "/abs l->/real",
            "/chain l->abs",
            "/dangling l->made/here",
            "/made d",
            "/made/here d",
            "/made/here/4 ",
            "/real d",
            "/real/1 ",
            "/real/2 ",
            "/real/3 ",
            "/real/5 ",
            "/rel l->./real/../real",
            "/up l->../../../../real"
        ]
    );
}

#[test]
fn hostile_names_stay_inside_the_root() {
    assert_eq!(
        shape_of(&[&[
            file("../../../etc/passwd", "1"),
            file("/abs", "2"),
            file("a/../../b", "3"),
            Spec::symlink("out", "../../.."),
            file("out/c", "4"),
            Spec::hard_link("h", "../../abs"),
        ]]),
        [
            "/abs 2",
            "/b 3",
            "/c 4",
            "/etc d",
            "/etc/passwd 1",
            "/h 2",
            "/out l->../../.."
        ]
    );
}

#[test]
fn whiteout_devices_are_dropped_and_counted() {
    let merged = try_merge(&[
        &[file("a", "1"), file("b", "2")],
        &[
            Spec::new(b'3', "a"),
            Spec::hard_link("again", "a"),
            Spec::new(b'3', "null").with(|spec| spec.device = (1, 3)),
            Spec::new(b'4', "block"),
        ],
    ])
    .unwrap();
    assert_eq!(shape(&merged), ["/b 2", "/block b", "/null c"]);
    assert_eq!(merged.warnings.dropped_whiteout_devices, 2);
}

#[test]
fn what_no_engine_could_unpack_is_refused() {
    for (layers, code, why) in [
        (
            vec![vec![file("a", ""), file("a/b", "")]],
            "LAYER_PATH_INVALID",
            "below a file",
        ),
        (
            vec![vec![file("a", "")], vec![file("a/b/c", "")]],
            "LAYER_PATH_INVALID",
            "below a lower layer's file",
        ),
        (
            vec![vec![
                Spec::symlink("a", "b"),
                Spec::symlink("b", "a"),
                file("a/x", ""),
            ]],
            "LAYER_PATH_INVALID",
            "a loop of links",
        ),
        (
            vec![vec![Spec::symlink("./", "x")]],
            "LAYER_PATH_INVALID",
            "a link for the root",
        ),
        (
            vec![vec![file("", "")]],
            "LAYER_PATH_INVALID",
            "a file without a name",
        ),
        (
            vec![vec![file("a/.wh.", "")]],
            "LAYER_PATH_INVALID",
            "a whiteout of nothing",
        ),
        (
            vec![vec![file("a/.wh..", "")]],
            "LAYER_PATH_INVALID",
            "a whiteout of the directory",
        ),
        (
            vec![vec![file("a/.wh...", "")]],
            "LAYER_PATH_INVALID",
            "a whiteout of the parent",
        ),
        (
            vec![vec![Spec::hard_link("a", "missing")]],
            "LAYER_CORRUPT",
            "a hard link to nothing",
        ),
        (
            vec![vec![Spec::hard_link("a", "a")]],
            "LAYER_CORRUPT",
            "a hard link to itself",
        ),
        (
            vec![vec![Spec::directory("d"), Spec::hard_link("a", "d")]],
            "LAYER_CORRUPT",
            "a hard link to a directory",
        ),
        (
            vec![vec![Spec::hard_link("a", "/")]],
            "LAYER_CORRUPT",
            "a hard link to the root",
        ),
    ] {
        let layers: Vec<&[Spec]> = layers.iter().map(Vec::as_slice).collect();
        let found = try_merge(&layers).map_or_else(|error| error.code(), |_| "accepted");
        assert_eq!(found, code, "{why}");
    }
}

#[test]
fn work_behind_links_and_whiteouts_is_limited() {
    let mut merge = Merge::new();
    merge.begin_layer(0);
    let apply =
        |merge: &mut Merge, spec: Spec| merge.apply(read(&spec.bytes()).unwrap().pop().unwrap());
    for at in 0..50_000 {
        apply(&mut merge, file(&format!("d/{at}"), "")).unwrap();
    }
    let code = (0..100_000)
        .find_map(|_| apply(&mut merge, whiteout("d/.wh..wh..opq")).err())
        .map(|error| error.code());
    assert_eq!(code, Some("LIMIT_EXCEEDED"));
}

#[test]
fn paths_that_grow_through_links_are_limited() {
    let deep = "0123456789/".repeat(190);
    let layer: Vec<Spec> = vec![
        Spec::symlink("a", &deep),
        Spec::symlink(format!("{deep}b"), &deep),
        file("a/b/x", ""),
    ];
    let code = try_merge(&[&layer]).map_or_else(|error| error.code(), |_| "accepted");
    assert_eq!(code, "LIMIT_EXCEEDED");
}
