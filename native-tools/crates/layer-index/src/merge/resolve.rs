//! From a path to a directory, through symbolic links, never out of the root.

use super::tree::{Body, NodeId, ROOT, Tree};
use crate::error::IndexError;

/// Links that may be followed for one path, as in the library that container engines use.
const MAX_LINKS: usize = 255;
/// Bytes of a path after all links are followed; Linux takes 4095.
const MAX_PATH_BYTES: usize = 4095;

/// One component of a resolved path: a name, and what is there.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: Vec<u8>,
    pub(super) node: Option<NodeId>,
}

/// Follows every component of the way to `name`, the last one too, but not `name` itself. What does not exist is taken as it is called, so that it can be
/// made; `..` in a link's target is worked out on the path so far and stops at the root.
pub(super) fn resolve<'a>(
    tree: &mut Tree,
    path: impl DoubleEndedIterator<Item = &'a [u8]>,
    name: &[u8],
) -> Result<Vec<Step>, IndexError> {
    let mut steps: Vec<Step> = Vec::new();
    let mut pending: Vec<Vec<u8>> = path.rev().map(<[u8]>::to_vec).collect();
    let mut links = 0;
    while let Some(component) = pending.pop() {
        match component.as_slice() {
            b"" | b"." => continue,
            b".." => {
                steps.pop();
                continue;
            }
            _ => {}
        }
        let parent = steps.last().map_or(Some(ROOT), |step| step.node);
        let node = parent
            .and_then(|parent| tree.child(parent, &component))
            .map(|child| child.node);
        let Some(Body::Symlink(target)) = node.and_then(|node| tree.body(node)) else {
            steps.push(Step {
                name: component,
                node,
            });
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(IndexError::PathInvalid(format!(
                "{}: more than {MAX_LINKS} symbolic links",
                String::from_utf8_lossy(&component)
            )));
        }
        if target.starts_with(b"/") {
            steps.clear();
        }
        let before = pending.len();
        pending.extend(target.rsplit(|byte| *byte == b'/').map(<[u8]>::to_vec));
        tree.spend(pending.len() - before)?;
    }
    let directories: usize = steps.iter().map(|step| step.name.len() + 1).sum();
    let bytes = directories + name.len();
    if bytes > MAX_PATH_BYTES {
        return Err(IndexError::limit(
            format!("the {bytes} bytes of a path after its links were followed"),
            MAX_PATH_BYTES as u64,
        ));
    }
    Ok(steps)
}
