//! The daemon's side: what it wants to outlive it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::{MemfdFlags, memfd_create};

use super::holder::read_memory;
use super::wire::Message;
use crate::options::Options;

/// Descriptors by name, kept here and with the holder.
#[derive(Debug)]
pub struct Store {
    options: Options,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    socket: Arc<OwnedFd>,
    kept: BTreeMap<String, OwnedFd>,
}

/// What the daemon before this one left.
pub type Taken = BTreeMap<String, OwnedFd>;

impl Store {
    /// Takes what the holder has.
    ///
    /// # Errors
    /// The system's; a socket that is not the holder's.
    pub fn connect(socket: OwnedFd, options: Options) -> io::Result<(Self, Taken)> {
        let mut kept = BTreeMap::new();
        loop {
            match Message::receive(&socket)? {
                Some(Message::Put(name, descriptor)) => kept.insert(name, descriptor),
                Some(Message::Complete) => break,
                Some(_) => None,
                None => return Err(io::Error::other("the holder is gone")),
            };
        }
        let taken = kept
            .iter()
            .map(|(name, descriptor)| Ok((name.clone(), descriptor.try_clone()?)))
            .collect::<io::Result<_>>()?;
        let state = Mutex::new(State {
            socket: Arc::new(socket),
            kept,
        });
        Ok((Self { options, state }, taken))
    }

    /// Keeps a descriptor. Once this returns, it outlives this process.
    pub fn put(&self, name: &str, descriptor: OwnedFd) {
        let mut state = self.lock();
        if let Ok(copy) = descriptor.try_clone() {
            state.say(&Message::Put(name.to_owned(), copy));
        }
        state.kept.insert(name.to_owned(), descriptor);
    }

    /// Keeps bytes, in memory only.
    ///
    /// # Errors
    /// The system's, when there is no memory.
    pub fn put_bytes(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file: File = memfd_create(name, MemfdFlags::CLOEXEC)?.into();
        file.write_all(bytes)?;
        self.put(name, file.into());
        Ok(())
    }

    /// The bytes of a descriptor that was kept by `put_bytes`.
    ///
    /// # Errors
    /// The system's.
    pub fn bytes_of(descriptor: OwnedFd) -> io::Result<Vec<u8>> {
        read_memory(descriptor)
    }

    /// Lets go of a descriptor.
    pub fn remove(&self, name: &str) {
        let mut state = self.lock();
        state.say(&Message::Remove(name.to_owned()));
        state.kept.remove(name);
    }

    /// Everything is taken over: this program works.
    pub fn ready(&self) {
        self.lock().say(&Message::Ready(std::process::id()));
    }

    /// The program that is started when this process ends.
    pub fn next_program(&self, path: &str) {
        self.lock().say(&Message::Program(path.to_owned()));
    }

    /// This process ends for good.
    pub fn over(&self) {
        self.lock().say(&Message::Over);
    }

    /// Waits for the holder: true when it says "stop". A holder that died is replaced by a new one, which gets everything.
    ///
    /// # Errors
    /// The system's, when no new holder can be started.
    pub fn wait(&self) -> io::Result<bool> {
        let socket = Arc::clone(&self.lock().socket);
        match Message::receive(&socket)? {
            Some(message) => Ok(matches!(message, Message::Stop)),
            None => self.replace_holder().map(|()| false),
        }
    }

    fn replace_holder(&self) -> io::Result<()> {
        let (ours, theirs) = sys::socket::pair()?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("adopt")
            .args(self.options.arguments())
            .stdin(Stdio::from(theirs))
            .spawn()?;
        let mut state = self.lock();
        state.socket = Arc::new(ours);
        for (name, descriptor) in &state.kept {
            state.say(&Message::Put(name.clone(), descriptor.try_clone()?));
        }
        state.say(&Message::Ready(std::process::id()));
        tracing::warn!(
            pid = child.id(),
            "the holder died; a new one has everything"
        );
        // Collected when it ends, should this process outlive it too.
        thread::Builder::new()
            .name("holder-end".to_owned())
            .spawn(move || child.wait())?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A holder that is gone misses nothing: the next one is given all that is kept.
    fn say(&self, message: &Message) {
        if let Err(error) = message.send(&self.socket) {
            tracing::warn!(%error, "the holder does not listen");
        }
    }
}
