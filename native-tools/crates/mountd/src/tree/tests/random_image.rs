//! Random trees: every type, hard links, attributes, sparse files, odd names.

use std::collections::BTreeMap;

use archive_format::model::{
    DeviceNumber, Extent, FileData, Image, Inode, InodeId, Kind, Timestamp,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// A tree and the streams its files point into.
#[derive(Debug, Clone)]
pub(super) struct RandomImage {
    pub(super) image: Image,
    pub(super) streams: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum What {
    Directory,
    File(Vec<u8>, bool),
    /// Data and holes in turns, in blocks of 512 bytes.
    Sparse(Vec<(u8, u8)>, u16),
    Link(Vec<u8>),
    Again(u16),
    Device(bool, u32, u32),
    Fifo,
    Socket,
}

#[derive(Debug, Clone)]
struct Spec {
    parent: u16,
    name: Vec<u8>,
    what: What,
    numbers: (u16, u32, u32, i64, u32),
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn bytes_without(
    not: &'static [u8],
    length: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), length).prop_map(move |bytes| {
        bytes
            .into_iter()
            .map(|byte| if not.contains(&byte) { b'x' } else { byte })
            .collect()
    })
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => Just(What::Directory),
        4 => (vec(any::<u8>(), 0..1500), any::<bool>()).prop_map(|(data, inline)| What::File(data, inline)),
        2 => (vec((0..4u8, 0..4u8), 1..6), 0..600u16).prop_map(|(runs, odd)| What::Sparse(runs, odd)),
        2 => bytes_without(&[0], 1..600).prop_map(What::Link),
        2 => any::<u16>().prop_map(What::Again),
        1 => (any::<bool>(), 0..4096u32, 1..1u32 << 20).prop_map(|(is_char, major, minor)| What::Device(is_char, major, minor)),
        1 => Just(What::Fifo),
        1 => Just(What::Socket),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let xattr_name = prop_oneof![
        "user\\.[a-z]{1,8}".prop_map(String::into_bytes),
        "trusted\\.[a-z]{1,8}".prop_map(String::into_bytes),
        Just(b"security.capability".to_vec()),
        Just(b"system.posix_acl_access".to_vec()),
    ];
    (
        any::<u16>(),
        bytes_without(b"\0/", 1..256),
        what(),
        (
            0..0o10000u16,
            any::<u32>(),
            any::<u32>(),
            any::<i64>(),
            0..1_000_000_000u32,
        ),
        btree_map(xattr_name, vec(any::<u8>(), 0..40), 0..3),
    )
        .prop_map(|(parent, name, what, numbers, xattrs)| Spec {
            parent,
            name,
            what,
            numbers,
            xattrs,
        })
}

/// Up to 60 inodes.
pub(super) fn random_image() -> impl Strategy<Value = RandomImage> {
    vec(spec(), 0..60).prop_map(build)
}

fn build(specs: Vec<Spec>) -> RandomImage {
    let mut made = RandomImage {
        image: Image {
            inodes: vec![inode((0o755, 0, 0, 5, 6), BTreeMap::new(), directory())],
        },
        streams: vec![vec![1; 512], vec![2; 512]],
    };
    let mut directories: Vec<InodeId> = vec![0];
    let mut others: Vec<InodeId> = vec![];
    for spec in specs {
        let parent = directories[usize::from(spec.parent) % directories.len()];
        if matches!(spec.name.as_slice(), b"." | b"..")
            || children(&mut made.image, parent).contains_key(&spec.name)
        {
            continue;
        }
        let id = match (&spec.what, others.as_slice()) {
            (What::Again(_), []) => continue,
            (What::Again(which), others) => others[usize::from(*which) % others.len()],
            _ => {
                let kind = made.kind(&spec.what, usize::from(spec.parent) % 2);
                let is_directory = matches!(kind, Kind::Directory { .. });
                made.image
                    .inodes
                    .push(inode(spec.numbers, spec.xattrs, kind));
                let id = made.image.inodes.len() as InodeId - 1;
                if is_directory {
                    &mut directories
                } else {
                    &mut others
                }
                .push(id);
                id
            }
        };
        children(&mut made.image, parent).insert(spec.name, id);
    }
    made
}

impl RandomImage {
    fn kind(&mut self, what: &What, device: usize) -> Kind {
        match what {
            What::Directory | What::Again(_) => directory(),
            What::File(data, inline) => {
                let (device_offset, length) = (self.store(device, data), data.len() as u64);
                Kind::Regular(FileData {
                    size: length,
                    extents: vec![Extent {
                        file_offset: 0,
                        device: device as u16,
                        device_offset,
                        length,
                    }],
                    inline: (*inline && !data.is_empty()).then(|| data.clone()),
                })
            }
            What::Sparse(runs, odd) => {
                let mut at = 0;
                let mut extents = vec![];
                for (hole, data) in runs {
                    at += u64::from(*hole) * 512;
                    let length = u64::from(*data) * 512;
                    if length > 0 {
                        let bytes: Vec<u8> =
                            (0..length).map(|index| (index + at) as u8 | 1).collect();
                        let device_offset = self.store(device, &bytes);
                        extents.push(Extent {
                            file_offset: at,
                            device: device as u16,
                            device_offset,
                            length,
                        });
                        at += length;
                    }
                }
                Kind::Regular(FileData {
                    size: at + u64::from(*odd),
                    extents,
                    inline: None,
                })
            }
            What::Link(target) => Kind::Symlink {
                target: target.clone(),
            },
            What::Device(is_char, major, minor) => {
                let number = DeviceNumber {
                    major: *major,
                    minor: *minor,
                };
                if *is_char {
                    Kind::CharDevice(number)
                } else {
                    Kind::BlockDevice(number)
                }
            }
            What::Fifo => Kind::Fifo,
            What::Socket => Kind::Socket,
        }
    }

    fn store(&mut self, device: usize, bytes: &[u8]) -> u64 {
        let stream = &mut self.streams[device];
        stream.extend([0xEE; 512]);
        let at = stream.len() as u64;
        stream.extend(bytes);
        stream.resize(stream.len().next_multiple_of(512), 0);
        at
    }
}

fn directory() -> Kind {
    Kind::Directory {
        children: BTreeMap::new(),
    }
}

fn inode(
    numbers: (u16, u32, u32, i64, u32),
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    kind: Kind,
) -> Inode {
    let (permissions, uid, gid, seconds, nanos) = numbers;
    Inode {
        permissions,
        uid,
        gid,
        mtime: Timestamp { seconds, nanos },
        xattrs,
        kind,
    }
}

fn children(image: &mut Image, id: InodeId) -> &mut BTreeMap<Vec<u8>, InodeId> {
    match &mut image.inodes[id as usize].kind {
        Kind::Directory { children } => children,
        other => panic!("{other:?} is no directory"),
    }
}
