//! What both writers derive from a tree: paths in byte order, inode numbers, link counts, parents.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::FormatError;
use crate::model::{Image, Inode, InodeId, Kind};

/// Longest path the format takes: what one system call can name.
pub(crate) const MAX_PATH_BYTES: usize = 4096;
/// Longest name of a directory entry.
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// Facts about every inode of an image, by [`InodeId`].
#[derive(Debug)]
pub(crate) struct TreeFacts {
    /// Inodes in the byte order of their first paths; the root is first. Unreachable inodes are absent.
    pub(crate) order: Vec<InodeId>,
    /// 1 + rank in `order`; 0 for an unreachable inode.
    pub(crate) numbers: Vec<u32>,
    /// Names of a file; 2 + subdirectories of a directory.
    pub(crate) links: Vec<u32>,
    /// The directory that holds a directory; the root holds itself.
    pub(crate) parents: Vec<InodeId>,
    /// Names in the tree, the root among them.
    pub(crate) names: u64,
}

impl TreeFacts {
    /// Walks the tree once and proves that it is one: every directory has one parent and nothing points outside.
    pub(crate) fn of(image: &Image) -> Result<Self, FormatError> {
        let count = image.inodes.len();
        if u32::try_from(count).is_err() {
            return Err(FormatError::limit(format!("{count} inodes")));
        }
        let mut facts = Self {
            order: Vec::with_capacity(count),
            numbers: vec![0; count],
            links: vec![0; count],
            parents: vec![0; count],
            names: 0,
        };
        for_each_path(image, |path, id, parent| {
            facts.take(image, path, id, parent)
        })?;
        Ok(facts)
    }

    fn take(
        &mut self,
        image: &Image,
        path: &[u8],
        id: InodeId,
        parent: InodeId,
    ) -> Result<(), FormatError> {
        let at = id as usize;
        let broken = || FormatError::input(format!("inode {id} is not in the arena"));
        let is_directory = matches!(inode(image, id)?.kind, Kind::Directory { .. });
        let number = self.numbers.get_mut(at).ok_or_else(broken)?;
        self.names += 1;
        if *number == 0 {
            self.order.push(id);
            *number = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        } else if is_directory {
            return Err(FormatError::input(format!(
                "directory {id} has a second name, {}",
                path.escape_ascii()
            )));
        }
        *self.links.get_mut(at).ok_or_else(broken)? += if is_directory { 2 } else { 1 };
        if is_directory {
            *self.parents.get_mut(at).ok_or_else(broken)? = parent;
            if id != parent {
                *self.links.get_mut(parent as usize).ok_or_else(broken)? += 1;
            }
        }
        Ok(())
    }
}

/// The inode of an id.
pub(crate) fn inode(image: &Image, id: InodeId) -> Result<&Inode, FormatError> {
    image
        .inodes
        .get(id as usize)
        .ok_or_else(|| FormatError::input(format!("inode {id} of {}", image.inodes.len())))
}

/// The children of a directory.
pub(crate) fn children(inode: &Inode) -> Option<&BTreeMap<Vec<u8>, InodeId>> {
    match &inode.kind {
        Kind::Directory { children } => Some(children),
        _ => None,
    }
}

/// A directory under way: what is still to be visited, last first.
struct Frame<'a> {
    id: InodeId,
    path_bytes: usize,
    steps: Vec<Step<'a>>,
}

/// A name, or what is below a name. In path order the two are not neighbours: `/a`, `/a.b`, `/a/x`.
#[derive(Clone, Copy)]
struct Step<'a> {
    name: &'a [u8],
    below: bool,
    id: InodeId,
}

impl Step<'_> {
    /// Byte order of what the step stands for: the name, or the name and a slash.
    fn order(&self, other: &Self) -> Ordering {
        let common = self.name.len().min(other.name.len());
        let (this, this_rest) = self.name.split_at(common);
        let (that, that_rest) = other.name.split_at(common);
        this.cmp(that).then_with(|| {
            let next = |rest: &[u8], below: bool| rest.first().copied().or(below.then_some(b'/'));
            next(this_rest, self.below)
                .cmp(&next(that_rest, other.below))
                .then_with(|| this_rest.len().cmp(&that_rest.len()))
        })
    }
}

/// Calls `visit(path, inode, directory)` for every name in the byte order of whole paths, the root (`/`) first.
pub(crate) fn for_each_path(
    image: &Image,
    mut visit: impl FnMut(&[u8], InodeId, InodeId) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    if children(inode(image, 0)?).is_none() {
        return Err(FormatError::input("inode 0 is not a directory"));
    }
    let mut path = Vec::new();
    let mut entered = vec![false; image.inodes.len()];
    visit(b"/", 0, 0)?;
    let mut frames = vec![enter(image, 0, 0, &mut entered)?];
    while let Some(frame) = frames.last_mut() {
        let Some(step) = frame.steps.pop() else {
            frames.pop();
            continue;
        };
        path.truncate(frame.path_bytes);
        path.push(b'/');
        path.extend_from_slice(step.name);
        if path.len() > MAX_PATH_BYTES {
            return Err(FormatError::limit(format!(
                "a path of more than {MAX_PATH_BYTES} bytes: {}…",
                path.get(..80).unwrap_or_default().escape_ascii()
            )));
        }
        if step.below {
            let inner = enter(image, step.id, path.len(), &mut entered)?;
            frames.push(inner);
        } else {
            visit(&path, step.id, frame.id)?;
        }
    }
    Ok(())
}

fn enter<'a>(
    image: &'a Image,
    id: InodeId,
    path_bytes: usize,
    entered: &mut [bool],
) -> Result<Frame<'a>, FormatError> {
    match entered.get_mut(id as usize) {
        Some(seen) if !*seen => *seen = true,
        _ => {
            return Err(FormatError::input(format!(
                "directory {id} is its own descendant or has two names"
            )));
        }
    }
    let mut steps = Vec::new();
    for (name, child) in children(inode(image, id)?).into_iter().flatten() {
        check_name(name)?;
        let step = Step {
            name,
            below: false,
            id: *child,
        };
        steps.push(step);
        if children(inode(image, *child)?).is_some_and(|below| !below.is_empty()) {
            steps.push(Step {
                below: true,
                ..step
            });
        }
    }
    steps.sort_by(|a, b| b.order(a));
    Ok(Frame {
        id,
        path_bytes,
        steps,
    })
}

fn check_name(name: &[u8]) -> Result<(), FormatError> {
    if name.is_empty()
        || name == b"."
        || name == b".."
        || name.iter().any(|byte| matches!(byte, 0 | b'/'))
    {
        return Err(FormatError::input(format!(
            "the name \"{}\"",
            name.escape_ascii()
        )));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(FormatError::limit(format!(
            "a name of {} bytes, at most {MAX_NAME_BYTES}: {}",
            name.len(),
            name.escape_ascii()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Timestamp;

    fn plain(kind: Kind) -> Inode {
        Inode {
            permissions: 0,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: BTreeMap::new(),
            kind,
        }
    }

    fn folder() -> Inode {
        plain(Kind::Directory {
            children: BTreeMap::new(),
        })
    }

    /// A tree with these names, each in the folder that its number chooses.
    fn image(names: &[(usize, Vec<u8>, bool)]) -> Image {
        let mut image = Image {
            inodes: vec![folder()],
        };
        let mut folders = vec![0];
        for (parent, name, is_folder) in names {
            let id = u32::try_from(image.inodes.len()).unwrap();
            let parent = folders[parent % folders.len()];
            let Kind::Directory { children } = &mut image.inodes[parent].kind else {
                unreachable!()
            };
            if children.insert(name.clone(), id).is_none() && *is_folder {
                folders.push(image.inodes.len());
                image.inodes.push(folder());
            } else {
                image.inodes.push(plain(Kind::Fifo));
            }
        }
        image
    }

    proptest! {
        #[test]
        fn paths_come_in_the_byte_order_of_whole_paths(
            names in proptest::collection::vec((any::<usize>(), proptest::collection::vec(b'-'..b'2', 1..4), any::<bool>()), 0..40),
        ) {
            let names: Vec<_> = names
                .into_iter()
                .map(|(parent, name, is_folder)| {
                    let name: Vec<u8> = name.iter().map(|byte| if *byte == b'/' { b'!' } else { *byte }).collect();
                    (parent, name, is_folder)
                })
                .filter(|(_, name, _)| name != b"." && name != b"..")
                .collect();
            let image = image(&names);
            let mut paths = Vec::new();
            for_each_path(&image, |path, _, _| {
                paths.push(path.to_vec());
                Ok(())
            })
            .unwrap();
            prop_assert!(paths.is_sorted_by(|a, b| a < b), "{paths:?}");
            prop_assert_eq!(paths.len() as u64, TreeFacts::of(&image).unwrap().names);
        }
    }
}
