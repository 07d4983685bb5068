//! `clipyard-mountd serve`: mounts an image and lives until the mount is gone.

mod choice;
mod control;
mod devices;
mod engine;
mod fusermount;
mod mountpoint;
mod prepare;
mod tree;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sys::mount::Unmount;
use sys::mountinfo::MountTable;

use crate::device_files::DeviceFiles;
use crate::error::Error;
use crate::fuse::Server;
use crate::image::Image;
use crate::layer::Layer;
use crate::request::ServeRequest;
use crate::stats::{Mode, Report, Stats};
use choice::Choice;
use control::Controlled;
use devices::Device;
use mountpoint::{AttachedMount, MountPoint};
use prepare::{Parts, Served, prepare};

/// How often the mount table is read even when the kernel reports no change.
const TABLE_INTERVAL: Duration = Duration::from_secs(60);
const CONTROL_SOCKET: &str = "control.sock";

/// What the caller is told once the image is mounted.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MountedResult {
    pid: u32,
    mountpoint: PathBuf,
    device: String,
    mount_ms: f64,
    engine: &'static str,
    engine_reason: String,
}

/// An image that is mounted and served by this process.
#[derive(Debug)]
pub struct Mounted {
    state: Arc<State>,
    /// Holds the layers' files reachable until the image is unmounted, where the kernel reads them.
    files: Option<OwnedFd>,
    server: Server,
    /// Taken over before the mount is visible: a signal that comes right then must not end the process halfway.
    signals: Signals,
    run_dir: PathBuf,
    mount_ms: f64,
    choice: Choice,
}

/// Decides between a caller that goes away and a mount that becomes visible: the first one wins.
#[derive(Debug, Default)]
pub struct StartGate(Mutex<bool>);

impl StartGate {
    /// The caller went away: ends the process if nothing is visible yet. Both halves of a mount are attached to no path
    /// until then, so the kernel takes them away with it.
    pub fn caller_left(&self) {
        let passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !*passed {
            tracing::warn!(
                code = "CANCELED",
                "the caller went away before the image was mounted"
            );
            std::process::exit(1);
        }
    }

    /// From here on the caller may go.
    fn pass(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// What the control socket may look at and do.
#[derive(Debug)]
struct State {
    mount: AttachedMount,
    layers: Vec<Arc<Layer>>,
    local: Vec<bool>,
    stats: Arc<Stats>,
    requests: Arc<AtomicU64>,
    answering: RwLock<()>,
}

enum Event {
    /// The mount is no longer in the mount table.
    Gone,
    /// No user of the layers' files is left.
    Ended,
    /// SIGTERM or SIGINT.
    Signal,
}

impl Mounted {
    /// Mounts. `gate` is passed right before the mount becomes visible; until then the process may simply end. On an
    /// error nothing stays mounted and no file of this mount is left.
    ///
    /// # Errors
    /// The archive's codes, the mount point's, `PRIVILEGE_REQUIRED`, `FUSE_UNAVAILABLE`, `MOUNT_FAILED`,
    /// `CACHE_FILESYSTEM_UNSUPPORTED`, `DISK_FULL`, `IO_FAILED`.
    pub fn start(request: &ServeRequest, gate: &StartGate) -> Result<Self, Error> {
        let started = Instant::now();
        let choice = choice::choose(request.engine)?;
        let mountpoint = MountPoint::check(&request.mountpoint)?;
        let run_dir = absolute(&request.run_dir)?;
        let image = Image::open(&request.source)?;
        let layers = image.layers(&request.source.cache_dir, request.source.max_requests)?;
        let cache_dir = absolute(&request.source.cache_dir)?;
        let files = Arc::new(DeviceFiles::new(&layers));
        let devices = devices::choose(&files, &image.tables, &request.source.local_layers)?;
        let local = devices
            .iter()
            .map(|device| matches!(device, Device::Local(_)))
            .collect();
        let stats = Arc::clone(&image.stats);
        let parts = Parts {
            image,
            layers: &layers,
            files,
            devices,
            cache_dir: &cache_dir,
            run_dir: &run_dir,
        };
        let (prepared, choice) = prepare(choice, parts)?;
        tracing::info!(
            engine = choice.engine.name(),
            reason = choice.reason,
            "engine chosen"
        );
        gate.pass();
        let signals = watched_signals()?;
        let Served {
            mount,
            files,
            server,
        } = prepared.attach(mountpoint)?;
        let state = Arc::new(State {
            mount,
            local,
            layers,
            stats,
            requests: server.request_counter(),
            answering: RwLock::default(),
        });
        let socket = run_dir.join(CONTROL_SOCKET);
        if let Err(error) = control::listen(&socket, Arc::clone(&state) as Arc<dyn Controlled>) {
            let _ = state.mount.unmount(Unmount::Lazily);
            return Err(Error::io_at("listen at", &socket, error));
        }
        let mount_ms = started.elapsed().as_secs_f64() * 1000.0;
        Ok(Self {
            state,
            files,
            server,
            signals,
            run_dir,
            mount_ms,
            choice,
        })
    }

    /// What the caller is told.
    #[must_use]
    pub fn result(&self) -> MountedResult {
        let (major, minor) = self.state.mount.identity.device;
        MountedResult {
            pid: std::process::id(),
            mountpoint: self.state.mount.path.clone(),
            device: format!("{major}:{minor}"),
            mount_ms: self.mount_ms,
            engine: self.choice.engine.name(),
            engine_reason: self.choice.reason.clone(),
        }
    }

    /// Serves until nobody uses the mount any more, and leaves the statistics in the run directory. The mount ends when
    /// somebody unmounts it, the control socket asks for it, or on SIGTERM or SIGINT: then it is taken out of the tree at
    /// once and goes on until its last user is gone; a second signal ends the process all the same.
    ///
    /// # Errors
    /// When signals or the mount table cannot be watched.
    pub fn wait(self) -> Result<(), Error> {
        let Self {
            state,
            files,
            server,
            signals,
            run_dir,
            ..
        } = self;
        let (events, happened) = mpsc::channel();
        watch_signals(signals, events.clone())
            .map_err(|error| Error::io("watch signals", error))?;
        watch_mount(&state.mount, events.clone())
            .map_err(|error| Error::io("watch the mount table", error))?;
        thread::spawn(move || {
            server.join();
            let _ = events.send(Event::Ended);
        });
        let mut files = files;
        let mut signaled = false;
        for event in happened {
            match event {
                Event::Signal if signaled => {
                    tracing::warn!(
                        "a second signal: whoever still uses the mount gets errors from now on"
                    );
                    break;
                }
                Event::Signal => {
                    signaled = true;
                    state.leave();
                }
                // With this, the last user of the layers' files is the EROFS that may still be in use somewhere.
                Event::Gone => drop(files.take()),
                Event::Ended => {
                    if files.is_some() || state.mount.is_attached() {
                        tracing::error!("the FUSE connection was cut; unmounting");
                        state.leave();
                    }
                    break;
                }
            }
        }
        let _ = fs::remove_file(run_dir.join(CONTROL_SOCKET));
        let _all_answered = state
            .answering
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = write_stats(&run_dir, &state.report()) {
            tracing::warn!(%error, "the statistics were not written");
        }
        Ok(())
    }
}

impl State {
    /// Takes the mount out of the tree, whoever uses it.
    fn leave(&self) {
        let tried = self.mount.unmount(Unmount::WhenUnused).or_else(|error| {
            tracing::warn!(%error, "the mount goes with its last user");
            self.mount.unmount(Unmount::Lazily)
        });
        if let Err(error) = tried {
            tracing::error!(%error, "the mount stays");
        }
    }
}

impl Controlled for State {
    fn report(&self) -> Report {
        let layers = self.layers.iter().zip(&self.local).map(|(layer, local)| {
            let mut stat = layer.stat();
            if *local {
                stat.mode = Mode::Local;
                stat.reason = Some("the kernel reads the local file".to_owned());
            }
            stat
        });
        self.stats
            .report(self.requests.load(Ordering::Relaxed), layers.collect())
    }

    fn unmount(&self) -> Result<(), Error> {
        self.mount.unmount(Unmount::WhenUnused)
    }

    fn answering(&self) -> &RwLock<()> {
        &self.answering
    }
}

fn watched_signals() -> Result<Signals, Error> {
    Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| Error::io("watch signals", error))
}

fn watch_signals(mut signals: Signals, events: Sender<Event>) -> io::Result<()> {
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            // The end of a terminal (SIGHUP) is taken and does nothing.
            for _ in signals.forever().filter(|signal| *signal != SIGHUP) {
                if events.send(Event::Signal).is_err() {
                    return;
                }
            }
        })?;
    Ok(())
}

fn watch_mount(mount: &AttachedMount, events: Sender<Event>) -> io::Result<()> {
    let mut table = MountTable::open()?;
    let id = mount.identity.id;
    thread::Builder::new()
        .name("mounts".to_owned())
        .spawn(move || {
            while table.has(id).unwrap_or(true) {
                if let Err(error) = table.wait_for_change(TABLE_INTERVAL) {
                    tracing::warn!(%error, "waiting for the mount table failed");
                    thread::sleep(TABLE_INTERVAL);
                }
            }
            let _ = events.send(Event::Gone);
        })?;
    Ok(())
}

fn write_stats(run_dir: &Path, report: &Report) -> io::Result<()> {
    let temporary = run_dir.join("stats.json.tmp");
    let mut text = serde_json::to_vec(report)?;
    text.push(b'\n');
    fs::write(&temporary, text)?;
    fs::rename(&temporary, run_dir.join("stats.json"))
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize()
        .map_err(|error| Error::io_at("find", path, error))
}
