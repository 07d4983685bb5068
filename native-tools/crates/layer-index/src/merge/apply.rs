//! One entry onto the tree.

use std::collections::BTreeMap;

use super::resolve::{Step, resolve};
use super::tree::{Attributes, Body, Child, NodeId, ROOT, Tree};
use crate::entry::{Entry, EntryKind};
use crate::error::IndexError;

/// Names with this prefix remove what lower layers have.
const WHITEOUT: &[u8] = b".wh.";
/// This name removes everything that lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

pub(super) fn apply(
    tree: &mut Tree,
    layer: u32,
    device: u16,
    mut entry: Entry,
) -> Result<(), IndexError> {
    let path = std::mem::take(&mut entry.path);
    let mut components = path.split(|byte| *byte == b'/');
    let name = components.next_back().unwrap_or_default();
    if name.is_empty() {
        return apply_root(tree, entry);
    }
    let at = |error: IndexError| match error {
        IndexError::PathInvalid(what) => {
            IndexError::PathInvalid(format!("{}: {what}", String::from_utf8_lossy(&path)))
        }
        IndexError::Corrupt(what) => {
            IndexError::Corrupt(format!("{}: {what}", String::from_utf8_lossy(&path)))
        }
        other => other,
    };
    let steps = resolve(tree, components, name).map_err(at)?;
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        return whiteout(tree, layer, &steps, name, hidden).map_err(at);
    }
    let directory = ensure_directory(tree, layer, steps).map_err(at)?;
    place(tree, layer, device, directory, name, entry).map_err(at)
}

fn apply_root(tree: &mut Tree, mut entry: Entry) -> Result<(), IndexError> {
    if !matches!(entry.kind, EntryKind::Directory) {
        return Err(IndexError::PathInvalid(
            "an entry makes the root something else than a directory".to_owned(),
        ));
    }
    if let Some(root) = tree.nodes.get_mut(ROOT) {
        root.attributes = Attributes::of(&mut entry);
    }
    Ok(())
}

/// Makes what is missing on the way and marks the way as made by this layer.
fn ensure_directory(tree: &mut Tree, layer: u32, steps: Vec<Step>) -> Result<NodeId, IndexError> {
    let mut directory = ROOT;
    for step in steps {
        let node = match step.node {
            Some(node) => node,
            None => {
                let parent = tree.nodes.get(directory).map(|node| &node.attributes);
                let attributes = Attributes::implicit(parent);
                tree.add(attributes, Body::Directory(BTreeMap::new()))
            }
        };
        let children = tree
            .children_mut(directory)
            .ok_or_else(|| IndexError::PathInvalid("its parent is no directory".to_owned()))?;
        children.insert(step.name, Child { node, layer });
        directory = node;
    }
    if tree.is_directory(directory) {
        Ok(directory)
    } else {
        Err(IndexError::PathInvalid(
            "its parent is no directory".to_owned(),
        ))
    }
}

fn place(
    tree: &mut Tree,
    layer: u32,
    device: u16,
    directory: NodeId,
    name: &[u8],
    mut entry: Entry,
) -> Result<(), IndexError> {
    let old = tree.child(directory, name);
    let attributes = Attributes::of(&mut entry);
    let body = match entry.kind {
        EntryKind::Directory => {
            if let Some(old) = old.filter(|old| tree.is_directory(old.node)) {
                if let Some(node) = tree.nodes.get_mut(old.node) {
                    node.attributes = attributes;
                }
                return link(tree, layer, directory, name, old.node);
            }
            Body::Directory(BTreeMap::new())
        }
        EntryKind::HardLink { target } => {
            // engines remove the old name first, so a link cannot lead to what it replaces
            unlink(tree, directory, name);
            let node = hard_link_target(tree, &target)?;
            return link(tree, layer, directory, name, node);
        }
        EntryKind::Regular(data) => Body::Regular { device, data },
        EntryKind::Symlink { target } => Body::Symlink(target),
        EntryKind::CharDevice(number) => Body::CharDevice(number),
        EntryKind::BlockDevice(number) => Body::BlockDevice(number),
        EntryKind::Fifo => Body::Fifo,
    };
    let node = tree.add(attributes, body);
    link(tree, layer, directory, name, node)
}

fn link(
    tree: &mut Tree,
    layer: u32,
    directory: NodeId,
    name: &[u8],
    node: NodeId,
) -> Result<(), IndexError> {
    let children = tree
        .children_mut(directory)
        .ok_or_else(|| IndexError::Internal("a name outside a directory".to_owned()))?;
    children.insert(name.to_vec(), Child { node, layer });
    Ok(())
}

fn unlink(tree: &mut Tree, directory: NodeId, name: &[u8]) {
    if let Some(children) = tree.children_mut(directory) {
        children.remove(name);
    }
}

/// What a hard link points at: the way there follows links, the last name does not.
fn hard_link_target(tree: &mut Tree, target: &[u8]) -> Result<NodeId, IndexError> {
    let missing = |what: &str| {
        IndexError::Corrupt(format!(
            "its hard link target {} {what}",
            String::from_utf8_lossy(target)
        ))
    };
    let mut components = target.split(|byte| *byte == b'/');
    let name = components.next_back().unwrap_or_default();
    let steps = resolve(tree, components, name)?;
    let directory = steps.last().map_or(Some(ROOT), |step| step.node);
    let node = directory
        .and_then(|directory| tree.child(directory, name))
        .ok_or_else(|| missing("does not exist"))?
        .node;
    if tree.is_directory(node) {
        return Err(missing("is a directory"));
    }
    Ok(node)
}

fn whiteout(
    tree: &mut Tree,
    layer: u32,
    steps: &[Step],
    name: &[u8],
    hidden: &[u8],
) -> Result<(), IndexError> {
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(IndexError::PathInvalid("a whiteout of no name".to_owned()));
    }
    let Some(directory) = steps.last().map_or(Some(ROOT), |step| step.node) else {
        return Ok(());
    };
    if name == OPAQUE {
        return tree.purge(directory, layer);
    }
    match tree.child(directory, hidden) {
        Some(child) if child.layer == layer => tree.purge(child.node, layer),
        _ => {
            unlink(tree, directory, hidden);
            Ok(())
        }
    }
}
