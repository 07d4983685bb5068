//! What is fetched for a mount before anybody reads it: a profile's chunks, then the rest, also where a caller asked for that later. The holder keeps what is not done
//! yet, so the next daemon goes on with it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;

use prost::Message;

use super::replay::{Profile, replay};
use super::{Mounted, Node};
use crate::hold::{Store, Taken, names};
use crate::proto::AheadState;

/// What is left to do.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    pub(super) profile: Profile,
    pub(super) complete: bool,
    pub(super) bytes_per_second: u64,
}

impl Ahead {
    /// What a daemon before this one had left to do for a mount.
    pub(super) fn left(id: &str, taken: &mut Taken) -> Self {
        let bytes = taken.remove(&name_of(id)).map(Store::bytes_of);
        let state = bytes
            .and_then(Result::ok)
            .and_then(|bytes| AheadState::decode(bytes.as_slice()).ok());
        let state = state.unwrap_or_default();
        Self {
            profile: Profile::parse(&state.profile).unwrap_or_default(),
            complete: state.complete,
            bytes_per_second: state.bytes_per_second,
        }
    }

    fn state(&self) -> AheadState {
        AheadState {
            profile: self.profile.bytes(),
            complete: self.complete,
            bytes_per_second: self.bytes_per_second,
        }
    }
}

impl Node {
    /// Fetches in the background, until all is there or the mount has ended.
    pub(super) fn fetch_ahead(&self, mounted: &Arc<Mounted>, ahead: Ahead) {
        mounted.replay.set_rate(ahead.bytes_per_second);
        if ahead.profile.is_empty() && !ahead.complete {
            return;
        }
        self.note_left(mounted, |left| *left = ahead.state());
        let (node, target) = (self.this.clone(), Arc::clone(mounted));
        let work = move || {
            if !ahead.profile.is_empty() {
                replay(&target, &ahead.profile);
                if let Some(node) = node.upgrade() {
                    node.note_left(&target, |left| left.profile.clear());
                }
            }
            if ahead.complete {
                Self::complete(&node, &target);
            }
        };
        let started = thread::Builder::new().name("replay".to_owned()).spawn(work);
        if let Err(error) = started {
            tracing::warn!(%error, "nothing is fetched ahead");
        }
    }

    /// Changes what is left to do for a mount, and what the holder has of it.
    pub(super) fn note_left(&self, mounted: &Mounted, change: impl FnOnce(&mut AheadState)) {
        // Held to the end: what the holder has is what was noted last.
        let mut left = mounted.left.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut left);
        let is_done = left.profile.is_empty() && !left.complete;
        let name = name_of(mounted.id());
        if !is_done && let Err(error) = self.store.put_bytes(&name, &left.encode_to_vec()) {
            tracing::warn!(%error, id = mounted.id(), "another daemon would not go on fetching ahead");
        }
        // Looked at last: the end of a mount lets go of what is kept by then.
        if is_done || mounted.ended.load(Ordering::Acquire) {
            self.store.remove(&name);
        }
    }
}

/// Lets go of what the holder has of it.
pub(super) fn forget(id: &str, store: &Store) {
    store.remove(&name_of(id));
}

fn name_of(id: &str) -> String {
    format!("{}{id}", names::AHEAD)
}
