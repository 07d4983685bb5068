//! The program under test, started as the command line starts it; whatever happens, it and its mounts are gone at the end.

use std::fs;
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mountd::grpc::client::{Answer, Client};
use mountd::proto;
use mountd::proto::mount_service_client::MountServiceClient;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use super::TestImage;
use super::testing::{Stored, assert_same};

/// The calls of one connection.
pub(crate) type Calls = MountServiceClient<Channel>;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A holder with its daemon.
pub(crate) struct Node {
    holder: Mutex<Child>,
    pub(crate) socket: PathBuf,
    pub(crate) state: PathBuf,
    log: PathBuf,
}

impl Node {
    pub(crate) fn start(directory: &Path, more: &[&str]) -> Self {
        Self::start_with(
            &mut Command::new(env!("CARGO_BIN_EXE_clipyard-mountd")),
            directory,
            more,
        )
    }

    /// Starts `command` with the arguments of a holder.
    pub(crate) fn start_with(command: &mut Command, directory: &Path, more: &[&str]) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let socket = directory.join(format!("s{number}"));
        let state = directory.join(format!("mounts{number}"));
        let log = directory.join("mountd.log");
        let log_file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let holder = command
            .arg("hold")
            .arg("--socket")
            .arg(&socket)
            .arg("--state")
            .arg(&state)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .unwrap();
        let node = Self {
            holder: Mutex::new(holder),
            socket,
            state,
            log,
        };
        wait_until("the socket is there", || {
            UnixStream::connect(&node.socket).is_ok()
        });
        node
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket).unwrap()
    }

    pub(crate) fn call<T>(
        &self,
        call: impl for<'a> FnOnce(&'a mut Calls) -> Answer<'a, T>,
    ) -> Result<T, Value> {
        self.client().call(call).map_err(|status| coded(&status))
    }

    /// Mounts, with the fields of `TestImage::request` and a mount point.
    pub(crate) fn mount(
        &self,
        id: &str,
        request: &Value,
        mountpoint: &Path,
    ) -> Result<proto::MountResponse, Value> {
        let request = message(id, request, mountpoint);
        self.call(|calls| Box::pin(calls.mount(request)))
    }

    pub(crate) fn unmount(&self, mountpoint: &Path) -> Result<Value, Value> {
        let request = proto::UnmountRequest {
            mountpoint: text(mountpoint),
        };
        let answer = self.call(|calls| Box::pin(calls.unmount(request)))?;
        Ok(stat_json(&answer.stat.unwrap()))
    }

    pub(crate) fn stat(&self, mountpoint: &Path) -> Result<Value, Value> {
        let request = proto::StatRequest {
            mountpoint: text(mountpoint),
        };
        self.call(|calls| Box::pin(calls.stat(request)))
            .map(|stat| stat_json(&stat))
    }

    pub(crate) fn list(&self) -> Vec<proto::Mount> {
        self.call(|calls| Box::pin(calls.list(proto::ListRequest {})))
            .unwrap()
            .mounts
    }

    pub(crate) fn holder_pid(&self) -> u32 {
        self.holder.lock().unwrap().id()
    }

    /// Whether the first holder ends by itself within ten seconds.
    pub(crate) fn ends(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.holder.lock().unwrap().try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Kills holder and daemon, so that neither starts the other again.
    pub(crate) fn kill(&self) {
        let daemon = self.daemon_pid();
        signal("STOP", &[daemon]);
        signal("KILL", &[self.holder_pid(), daemon]);
        wait_until("both are gone", || {
            self.ends() && self.processes().is_empty()
        });
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The processes that have this node's socket on their command line.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let mut found = vec![];
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<_> = line
                .split(|byte| *byte == 0)
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            if words.iter().any(|word| *word == text(&self.socket)) {
                found.push((pid, words[1].clone()));
            }
        }
        found
    }

    /// The process of the daemon now; waits for one to be there.
    pub(crate) fn daemon_pid(&self) -> u32 {
        let mut found = None;
        wait_until("a daemon runs", || {
            found = self
                .processes()
                .into_iter()
                .find(|(_, command)| command == "daemon");
            found.is_some()
        });
        found.unwrap().0
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for mount in self.state.read_dir().into_iter().flatten().flatten() {
            let record = fs::read(mount.path().join("mount.json")).unwrap_or_default();
            let record: Value = serde_json::from_slice(&record).unwrap_or_default();
            if let Some(mountpoint) = record["mountpoint"].as_str() {
                let _ = Command::new("umount")
                    .arg("-l")
                    .arg(mountpoint)
                    .stderr(Stdio::null())
                    .status();
            }
        }
        // A holder that is killed first is not replaced by a daemon that is killed right after.
        for _ in 0..50 {
            let mut left = self.processes();
            left.sort_by_key(|(_, command)| command == "daemon");
            if left.is_empty() {
                break;
            }
            let _ = Command::new("kill")
                .arg("-9")
                .args(left.iter().map(|(pid, _)| pid.to_string()))
                .stderr(Stdio::null())
                .status();
            let _ = self.holder.lock().unwrap().try_wait();
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.holder.lock().unwrap().wait();
    }
}

/// A folder to mount at.
pub(crate) fn folder(directory: &Path, name: &str) -> PathBuf {
    let path = directory.join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

/// A node for one mount.
pub(crate) struct Daemon {
    pub(crate) node: Node,
    pub(crate) mountpoint: PathBuf,
    /// What the caller was told.
    pub(crate) result: proto::Mount,
}

/// An image and its mount, which needs nothing else; all of it goes with this value, the mount first.
pub(crate) struct Mounted {
    daemon: Daemon,
    pub(crate) image: TestImage,
    _directory: TempDir,
}

impl Mounted {
    /// Makes an image of these layers and mounts it; `engine` as in a request.
    pub(crate) fn of(layers: &[(Stored, &[usize])], engine: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = TestImage::make(directory.path(), layers);
        let mut request = image.request(&directory.path().join("cache"));
        request["engine"] = engine.into();
        let daemon = serve(request, directory.path()).unwrap();
        Self {
            daemon,
            image,
            _directory: directory,
        }
    }

    /// Every file is as it was stored.
    pub(crate) fn assert_reads_all(&self) {
        for (name, bytes) in &self.image.files {
            assert_same(self.read(name).unwrap(), bytes, name.as_str());
        }
    }
}

impl Deref for Mounted {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

/// Starts a node that ends with its last mount, and mounts; the error where it says one.
pub(crate) fn serve(request: Value, directory: &Path) -> Result<Daemon, Value> {
    let node = Node::start(directory, &["--idle-exit"]);
    serve_on(node, &request, directory)
}

/// The same with a copy of the program as a user without any privilege, who owns mount point, state and cache directory.
pub(crate) fn serve_as(user: u32, mut request: Value, directory: &Path) -> Result<Daemon, Value> {
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory, open_to_all).unwrap();
    for name in ["mnt", "run", "cache"] {
        let path = folder(directory, name);
        std::os::unix::fs::chown(&path, Some(user), Some(user)).unwrap();
    }
    // As udev sets it; where none runs, the device is root's alone.
    let usable = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions("/dev/fuse", usable).unwrap();
    let copy = directory.join("clipyard-mountd");
    copy_program(&copy);
    request["cacheDir"] = text(&directory.join("cache")).into();
    if request.get("mountpoint").is_none() {
        request["mountpoint"] = text(&directory.join("mnt")).into();
    }
    let mut program = Command::new(copy);
    program.uid(user).gid(user);
    let run = directory.join("run");
    let node = Node::start_with(&mut program, &run, &["--idle-exit"]);
    serve_on(node, &request, directory)
}

fn serve_on(node: Node, request: &Value, directory: &Path) -> Result<Daemon, Value> {
    let mountpoint = match request.get("mountpoint") {
        Some(path) => PathBuf::from(path.as_str().unwrap()),
        None => folder(directory, "mnt"),
    };
    let mounted = node.mount("m1", request, &mountpoint);
    if mounted.is_err() {
        assert!(node.ends(), "a node without a mount");
    }
    let result = mounted?.mount.unwrap();
    let mountpoint = PathBuf::from(&result.mountpoint);
    Ok(Daemon {
        node,
        mountpoint,
        result,
    })
}

impl Daemon {
    /// `stat` or `unmount`, errors as their JSON.
    pub(crate) fn ask(&self, op: &str) -> Value {
        let answer = match op {
            "stat" => self.node.stat(&self.mountpoint),
            _ => self
                .node
                .unmount(&self.mountpoint)
                .map(|_| json!({ "ok": true })),
        };
        answer.unwrap_or_else(|error| error)
    }

    pub(crate) fn read(&self, name: &str) -> std::io::Result<Vec<u8>> {
        fs::read(self.mountpoint.join(name))
    }

    /// A signal to the holder.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, &[self.node.holder_pid()]);
    }

    pub(crate) fn ends(&self) -> bool {
        self.node.ends()
    }

    /// Kills holder and daemon.
    pub(crate) fn kill(&self) {
        self.node.kill();
    }

    pub(crate) fn umount(&self) {
        umount(&self.mountpoint);
    }

    pub(crate) fn wait_unmounted(&self) {
        wait_until("unmounted", || !self.is_mounted());
    }

    pub(crate) fn is_mounted(&self) -> bool {
        is_mounted(&self.mountpoint)
    }
}

/// Unmounts as a person would. Tests beside this one hold copies of all descriptors between fork and exec, so a mount may be
/// busy for a moment.
pub(crate) fn umount(mountpoint: &Path) {
    wait_until("it can be unmounted", || {
        Command::new("umount")
            .arg(mountpoint)
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    });
}

/// Sends one signal to several processes, as near together as can be.
pub(crate) fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    assert!(
        Command::new("kill")
            .arg(format!("-{name}"))
            .args(pids)
            .status()
            .unwrap()
            .success()
    );
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A request with the fields of `TestImage::request`.
pub(crate) fn message(id: &str, request: &Value, mountpoint: &Path) -> proto::MountRequest {
    let field = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
    let local = request["localLayers"].as_object();
    let mirrors = request["mirrors"].as_array();
    proto::MountRequest {
        id: id.to_owned(),
        archive: field("archive"),
        mountpoint: text(mountpoint),
        cache_dir: field("cacheDir"),
        registry: Some(proto::Registry {
            base_url: request["registry"]["baseUrl"].as_str().unwrap().to_owned(),
            repository: request["registry"]["repository"]
                .as_str()
                .unwrap()
                .to_owned(),
        }),
        credentials: request["credentials"]
            .as_object()
            .map(|login| proto::Credentials {
                login: Some(proto::credentials::Login::Password(proto::Password {
                    username: login["username"].as_str().unwrap().to_owned(),
                    password: login["password"].as_str().unwrap().to_owned(),
                })),
            }),
        local_layers: local
            .into_iter()
            .flatten()
            .map(|(diff_id, path)| (diff_id.clone(), path.as_str().unwrap().to_owned()))
            .collect(),
        mirrors: mirrors
            .into_iter()
            .flatten()
            .map(|url| url.as_str().unwrap().to_owned())
            .collect(),
        max_requests: u32::try_from(request["mountRequests"].as_u64().unwrap_or_default()).unwrap(),
        memory_bytes: request["mountMemory"].as_u64().unwrap_or_default(),
        bytes_per_second: request["mountBandwidth"].as_u64().unwrap_or_default(),
        engine: field("engine"),
        pin: request["pin"].as_bool().unwrap_or_default(),
        page_cache: field("pageCache"),
        read_timeout_ms: request["readTimeoutMs"].as_u64().unwrap_or_default(),
        source: "team/app".to_owned(),
        storage_ref: "127.0.0.1:5000/team/app:latest".to_owned(),
        started_at: format!("2026-01-01T00:00:00.000Z {id}"),
        ..Default::default()
    }
}

fn coded(status: &Status) -> Value {
    let info = status.get_details_error_info();
    json!({
        "code": info.as_ref().map_or_else(|| format!("{:?}", status.code()), |info| info.reason.clone()),
        "message": status.message(),
        "details": info.map(|info| info.metadata),
    })
}

fn stat_json(stat: &proto::StatResponse) -> Value {
    let failures = stat
        .failures
        .iter()
        .map(|f| json!({ "code": f.code, "message": f.message, "count": f.count }));
    let layers = stat.layers.iter().map(|layer| json!({ "mode": layer.mode, "reason": layer.reason, "mounts": layer.mounts, "proven": layer.proven, "chunks": layer.chunks }));
    json!({
        "wantedBytes": stat.wanted_bytes,
        "fetchedBytes": stat.fetched_bytes,
        "requests": stat.requests,
        "retries": stat.retries,
        "chunksVerified": stat.chunks_verified,
        "cacheHits": stat.cache_hits,
        "cacheDamaged": stat.cache_damaged,
        "notKept": stat.not_kept,
        "kernelRequests": stat.kernel_requests,
        "failures": failures.collect::<Vec<_>>(),
        "layers": layers.collect::<Vec<_>>(),
    })
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A copy of the program that anybody may run. Written by another process: a test beside this one that forks while we had
/// it open for writing would make it "busy".
pub(crate) fn copy_program(to: &Path) {
    assert!(
        Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_clipyard-mountd"))
            .arg(to)
            .status()
            .unwrap()
            .success()
    );
}

/// Whether the mount table names a path.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let wanted = format!(" {} ", path.display());
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .any(|line| line.contains(&wanted))
}

/// Waits until `go_through` sends the daemon nothing: pages and entries that the kernel dropped meanwhile, of itself or for a
/// test beside this one, are asked for once more.
pub(crate) fn wait_until_quiet(daemon: &Daemon, go_through: impl Fn()) {
    let requests = || daemon.ask("stat")["kernelRequests"].clone();
    wait_until("the kernel asks nothing", || {
        let before = requests();
        go_through();
        requests() == before
    });
}

/// Drops what the kernel keeps of file data, so that the next read asks the daemon again.
pub(crate) fn drop_page_cache() {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}
