//! Whose turn it is: mounts that want the same thing are made one after another, all others side by side.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What is being worked on, by name.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<BTreeSet<String>>,
    given_back: Condvar,
}

/// Names that nobody else has. Dropping it gives them back.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    names: Vec<String>,
}

impl Turns {
    /// Waits until nobody has any of the names and takes all of them at once, so that no two wait for each other.
    pub(super) fn take(&self, names: impl IntoIterator<Item = String>) -> Turn<'_> {
        let names: Vec<String> = names.into_iter().collect();
        let mut taken = self
            .given_back
            .wait_while(self.lock(), |taken| {
                names.iter().any(|name| taken.contains(name))
            })
            .unwrap_or_else(PoisonError::into_inner);
        taken.extend(names.iter().cloned());
        drop(taken);
        Turn { turns: self, names }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.lock();
        for name in &self.names {
            taken.remove(name);
        }
        drop(taken);
        self.turns.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_wants_the_same_waits_and_nobody_else_does() {
        let turns = Turns::default();
        let first = turns.take(["a".to_owned(), "b".to_owned()]);
        drop(turns.take(["c".to_owned()]));
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let turns = &turns;
            scope.spawn(move || {
                let _turn = turns.take(["b".to_owned(), "c".to_owned()]);
                tell.send(()).unwrap();
            });
            let early = told.recv_timeout(Duration::from_millis(50));
            assert!(early.is_err(), "the name is taken");
            drop(first);
            told.recv().unwrap();
        });
    }
}
