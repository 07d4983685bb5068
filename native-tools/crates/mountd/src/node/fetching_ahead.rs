//! What is fetched for a mount before anybody asks: a profile's chunks, then the rest. The holder keeps what is not done
//! yet, so the next daemon goes on with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
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

    fn is_done(&self) -> bool {
        self.profile.is_empty() && !self.complete
    }

    fn keep(&self, id: &str, store: &Store) {
        let state = AheadState {
            profile: self.profile.bytes(),
            complete: self.complete,
            bytes_per_second: self.bytes_per_second,
        };
        if let Err(error) = store.put_bytes(&name_of(id), &state.encode_to_vec()) {
            tracing::warn!(%error, id, "another daemon would not go on fetching ahead");
        }
    }
}

impl Node {
    /// Fetches in the background, until all is there or the mount has ended.
    pub(super) fn fetch_ahead(&self, mounted: &Arc<Mounted>, mut ahead: Ahead) {
        mounted.replay.set_rate(ahead.bytes_per_second);
        if ahead.is_done() {
            return;
        }
        ahead.keep(mounted.id(), &self.store);
        let (node, target) = (self.this.clone(), Arc::clone(mounted));
        let note = move |ahead: &Ahead| {
            let Some(node) = node.upgrade() else { return };
            if !ahead.is_done() {
                ahead.keep(target.id(), &node.store);
            }
            // Looked at last: the end of a mount lets go of what is kept by then.
            if ahead.is_done() || target.ended.load(Ordering::Acquire) {
                forget(target.id(), &node.store);
            }
        };
        let target = Arc::clone(mounted);
        let work = move || {
            if !ahead.profile.is_empty() {
                replay(&target, &ahead.profile);
                ahead.profile = Profile::default();
                note(&ahead);
            }
            if ahead.complete {
                Self::complete(&target);
                ahead.complete = false;
                note(&ahead);
            }
        };
        let started = thread::Builder::new().name("replay".to_owned()).spawn(work);
        if let Err(error) = started {
            tracing::warn!(%error, "nothing is fetched ahead");
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
