//! The program under test, started as the command line starts it; whatever happens, it and its mount are gone at the end.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A mount with its daemon.
pub(crate) struct Daemon {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) mountpoint: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) result: Value,
}

/// Starts `serve`; the error event where it says one.
pub(crate) fn serve(request: Value, directory: &Path) -> Result<Daemon, Value> {
    let program = Command::new(env!("CARGO_BIN_EXE_clipyard-mountd"));
    serve_with(program, request, directory)
}

/// The same with a copy of the program as a user without any privilege, who owns mount point, run and cache directory.
pub(crate) fn serve_as(user: u32, mut request: Value, directory: &Path) -> Result<Daemon, Value> {
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory, open_to_all).unwrap();
    for name in ["mnt", "run", "cache"] {
        let path = directory.join(name);
        fs::create_dir_all(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(user), Some(user)).unwrap();
    }
    // As udev sets it; where none runs, the device is root's alone.
    let usable = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions("/dev/fuse", usable).unwrap();
    let copy = directory.join("clipyard-mountd");
    copy_program(&copy);
    request["cacheDir"] = directory.join("cache").to_str().unwrap().into();
    let mut program = Command::new(copy);
    program.uid(user).gid(user);
    serve_with(program, request, directory)
}

fn serve_with(mut program: Command, mut request: Value, directory: &Path) -> Result<Daemon, Value> {
    let mountpoint = directory.join("mnt");
    let run_dir = directory.join("run");
    fs::create_dir_all(&mountpoint).unwrap();
    fs::create_dir_all(&run_dir).unwrap();
    if request.get("mountpoint").is_none() {
        request["mountpoint"] = mountpoint.to_str().unwrap().into();
    }
    request["runDir"] = run_dir.to_str().unwrap().into();
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join("mountd.log"))
        .unwrap();
    let mut child = program
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{request}").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
        panic!(
            "no event: {line:?}, log: {}",
            fs::read_to_string(directory.join("mountd.log")).unwrap()
        )
    });
    if event["event"] == "error" {
        assert!(!child.wait().unwrap().success());
        return Err(event);
    }
    let result = event["result"].clone();
    let mountpoint = PathBuf::from(result["mountpoint"].as_str().unwrap());
    Ok(Daemon {
        child,
        stdin: Some(stdin),
        mountpoint,
        run_dir,
        result,
    })
}

impl Daemon {
    /// Asks the control socket.
    pub(crate) fn ask(&self, op: &str) -> Value {
        let mut stream = UnixStream::connect(self.run_dir.join("control.sock")).unwrap();
        writeln!(stream, "{{\"op\":\"{op}\"}}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) fn read(&self, name: &str) -> std::io::Result<Vec<u8>> {
        fs::read(self.mountpoint.join(name))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(
            Command::new("kill")
                .arg(format!("-{name}"))
                .arg(self.pid().to_string())
                .status()
                .unwrap()
                .success()
        );
    }

    /// Whether the process ends by itself within ten seconds.
    pub(crate) fn ends(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Unmounts as a person would. Tests beside this one hold copies of all descriptors between fork and exec, so a mount
    /// may be busy for a moment.
    pub(crate) fn umount(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut umount = Command::new("umount");
        while !umount
            .arg(&self.mountpoint)
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
        {
            assert!(
                Instant::now() < deadline,
                "{} stays busy",
                self.mountpoint.display()
            );
            umount = Command::new("umount");
        }
    }

    /// Waits until the mount is out of the tree.
    pub(crate) fn wait_unmounted(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.is_mounted() {
            assert!(
                Instant::now() < deadline,
                "still mounted at {}",
                self.mountpoint.display()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn is_mounted(&self) -> bool {
        is_mounted(&self.mountpoint)
    }
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

/// Drops what the kernel keeps of file data, so that the next read asks the daemon again.
pub(crate) fn drop_page_cache() {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(&self.mountpoint)
            .stderr(Stdio::null())
            .status();
        if !self.ends() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
