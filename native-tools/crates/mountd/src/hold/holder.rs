//! `clipyard-mountd hold`: keeps descriptors, starts the daemon and starts it again when it dies.
//!
//! It touches nothing it keeps and reads nothing from the network, so that there is little to make it fail.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::names;
use super::sweep::{has_name, lock_path};
use super::wire::Message;
use crate::options::Options;

/// A daemon that lives this long did not fail because of what was handed to it.
const HEALTHY: Duration = Duration::from_secs(2);
/// With mounts to care for it is tried for ever.
const MOST_FAILURES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After one that had taken everything over: readers wait for the next one, however often it is killed.
const READY_PAUSE: Duration = Duration::from_millis(100);

/// Where the descriptors come from that a holder starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It makes the socket and starts a daemon.
    Fresh,
    /// A daemon whose holder died hands over what it has; its socket is stdin.
    Adopting,
}

/// The daemon of the moment, for the thread that takes signals.
#[derive(Debug, Default)]
struct Current {
    socket: Option<Arc<OwnedFd>>,
    process: Option<Pid>,
    /// SIGTERM was seen.
    stopping: bool,
}

#[derive(Debug)]
struct Holder {
    options: Options,
    kept: BTreeMap<String, OwnedFd>,
    /// What is started next, and what is gone back to when that does not come up.
    program: PathBuf,
    proven: PathBuf,
    current: Arc<Mutex<Current>>,
}

/// Holds until the daemon says that it is done. True when another holder already serves the socket.
///
/// # Errors
/// The system's.
pub fn hold(options: Options, start: Start) -> io::Result<bool> {
    // Taken before anything is kept: a signal must not end the holder halfway.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    // The path, not the open file: what is installed there later is what a restart starts.
    let program = std::env::current_exe()?;
    let mut holder = Holder {
        options,
        kept: BTreeMap::new(),
        proven: program.clone(),
        program,
        current: Arc::default(),
    };
    if start == Start::Fresh && !holder.make_socket()? {
        return Ok(true);
    }
    holder.take_signals(signals)?;
    if start == Start::Adopting {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        if holder.listen(Arc::new(socket))?.over {
            return Ok(false);
        }
    }
    holder.supervise()?;
    Ok(false)
}

/// What a daemon said before its end.
#[derive(Debug, Default)]
struct Ended {
    ready: bool,
    over: bool,
}

impl Holder {
    /// Listens at the path. False when somebody else does.
    fn make_socket(&mut self) -> io::Result<bool> {
        let path = &self.options.socket;
        if let Some(directory) = path.parent() {
            private_directory(directory)?;
        }
        private_directory(&self.options.state)?;
        let lock = loop {
            let lock = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(lock_path(path))?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
                other => other?,
            }
            // It may have been swept between the two.
            if has_name(&lock, &lock_path(path))? {
                break lock;
            }
        };
        // We have the lock: whoever listened here is dead.
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        self.kept.insert(names::LOCK.to_owned(), lock.into());
        self.kept
            .insert(names::LISTENER.to_owned(), listener.into());
        Ok(true)
    }

    fn supervise(&mut self) -> io::Result<()> {
        let mut pause = FIRST_PAUSE;
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let ran = self.program.clone();
            let ended = self.run_daemon()?;
            if ended.over {
                break;
            }
            if self.current().stopping && self.kept_mounts() == 0 {
                break;
            }
            failures = if ended.ready { 0 } else { failures + 1 };
            if failures >= MOST_FAILURES && self.kept_mounts() == 0 {
                let _ = fs::remove_file(&self.options.socket);
                return Err(io::Error::other("the daemon does not come up"));
            }
            if ended.ready {
                self.proven = ran;
            } else if ran != self.proven {
                tracing::error!(program = %ran.display(), "the program did not come up; going back");
                self.program.clone_from(&self.proven);
            }
            if started.elapsed() >= HEALTHY {
                pause = FIRST_PAUSE;
                continue;
            }
            let longest = if ended.ready {
                READY_PAUSE
            } else {
                LONGEST_PAUSE
            };
            thread::sleep(pause.min(longest));
            pause = (pause * 2).min(longest);
        }
        let _ = fs::remove_file(&self.options.socket);
        Ok(())
    }

    fn kept_mounts(&self) -> usize {
        let is_mount = |name: &&String| name.starts_with(names::MOUNT);
        self.kept.keys().filter(is_mount).count()
    }

    /// Starts a daemon, hands everything over and listens to it until it is gone.
    fn run_daemon(&mut self) -> io::Result<Ended> {
        let (ours, theirs) = sys::socket::pair()?;
        let spawned = Command::new(&self.program)
            .arg("daemon")
            .args(self.options.arguments())
            .stdin(Stdio::from(theirs))
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(program = %self.program.display(), %error, "the daemon cannot be started");
                return Ok(Ended::default());
            }
        };
        tracing::info!(pid = child.id(), "started the daemon");
        let socket = Arc::new(ours);
        self.current().process = process_of(child.id());
        let listened = self
            .hand_over(&socket)
            .and_then(|()| self.listen(Arc::clone(&socket)));
        end(&mut child, &self.current);
        match listened {
            // It died while it was being handed things.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Ended::default()),
            other => other,
        }
    }

    fn hand_over(&self, socket: &OwnedFd) -> io::Result<()> {
        for (name, descriptor) in &self.kept {
            Message::Put(name.clone(), descriptor.try_clone()?).send(socket)?;
        }
        Message::Complete.send(socket)
    }

    /// Keeps what the daemon wants kept until it is gone.
    fn listen(&mut self, socket: Arc<OwnedFd>) -> io::Result<Ended> {
        let mut ended = Ended::default();
        {
            let mut current = self.current();
            current.socket = Some(Arc::clone(&socket));
            if current.stopping {
                let _ = Message::Stop.send(&socket);
            }
        }
        while let Some(message) = Message::receive(&socket)? {
            match message {
                Message::Put(name, descriptor) => {
                    self.kept.insert(name, descriptor);
                }
                Message::Remove(name) => {
                    self.kept.remove(&name);
                }
                Message::Program(path) => self.program = path.into(),
                Message::Ready(process) => {
                    ended.ready = true;
                    self.current().process = process_of(process);
                }
                Message::Over => ended.over = true,
                Message::Complete | Message::Stop | Message::Unknown => (),
            }
        }
        let mut current = self.current();
        current.socket = None;
        current.process = None;
        Ok(ended)
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SIGHUP starts the daemon anew, from what lies at its path now. SIGTERM and SIGINT take the mounts away, each with its
    /// last user; a second one ends everything at once.
    fn take_signals(&self, mut signals: Signals) -> io::Result<()> {
        let current = Arc::clone(&self.current);
        let socket_path = self.options.socket.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
                    if signal == SIGHUP {
                        kill(&current);
                    } else if current.stopping {
                        tracing::warn!(
                            "a second signal: whoever still uses a mount gets errors from now on"
                        );
                        kill(&current);
                        let _ = fs::remove_file(&socket_path);
                        std::process::exit(1);
                    } else {
                        current.stopping = true;
                        if let Some(socket) = &current.socket {
                            let _ = Message::Stop.send(socket);
                        }
                    }
                }
            })?;
        Ok(())
    }
}

/// The kernel sends again what the daemon had read, so there is nothing to be done in an order.
fn kill(current: &Current) {
    if let Some(process) = current.process {
        let _ = kill_process(process, Signal::KILL);
    }
}

fn process_of(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

fn end(child: &mut Child, current: &Mutex<Current>) {
    // Its socket is closed. A daemon that was stopped in a debugger would answer the same requests as the next one.
    let _ = child.wait();
    current
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .process = None;
}

fn private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Reads a memory file whole.
pub(super) fn read_memory(file: OwnedFd) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = File::from(file);
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
