//! The request loop: a few threads on one connection.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::io::Errno;
use sys::fuse::FuseDevice;

use super::counts::RequestCounts;
use super::filesystem::{FileSystem, FsError, Seek};
use super::message::{
    InitReply, InitRequest, Reply, Request, attribute_name, attribute_room, first_string, handle,
    init_flags, opcode, read_range, seek_place,
};
use super::waiting::WaitingRoom;

/// The kernel asks for at least 8 KiB; a read-only server gets nothing longer.
const REQUEST_BYTES: usize = 16 << 10;
/// 1 MiB, the most the kernel puts into one read by default (fs.fuse.max_pages_limit).
const MAX_READ_PAGES: u16 = 256;
const MAX_READ_BYTES: u32 = 1 << 20;
/// Reads ahead of need that the kernel keeps in flight (its default is 12).
const MAX_BACKGROUND: u16 = 64;

/// What kernel and server agreed on. INIT comes once a connection: a process that takes one over must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// Minor protocol version.
    pub minor: u32,
    /// Accepted flags, second word in the high half.
    pub flags: u64,
    /// Longest write the kernel sends: decides the size of the request buffer.
    pub max_write: u32,
}

/// What is behind a connection: decides what the kernel is asked to do for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// A flat directory of files that only we reach, and that come and go.
    Files,
    /// A whole tree that programs walk. It never changes.
    Tree,
}

/// A connection that is past INIT.
#[derive(Debug)]
pub struct Session {
    device: FuseDevice,
    negotiated: Negotiated,
    contents: Contents,
}

impl Session {
    /// Answers INIT on a freshly mounted connection.
    ///
    /// # Errors
    /// The system's, or a kernel whose protocol is too old.
    pub fn handshake(device: FuseDevice, contents: Contents) -> io::Result<Self> {
        let mut buffer = vec![0; REQUEST_BYTES];
        let mut reply = Reply::default();
        loop {
            let length = match device.receive(&mut buffer) {
                Ok(length) => length,
                Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let request = Request::parse(buffer.get(..length).unwrap_or_default())
                .filter(|request| request.opcode == opcode::INIT);
            let offer = request.and_then(|request| InitRequest::parse(request.body));
            let (Some(request), Some(offer)) = (request, offer) else {
                return Err(io::Error::other(
                    "the kernel's first FUSE request is not INIT",
                ));
            };
            if offer.major != 7 || offer.minor < 31 {
                device.send(reply.failure(request.unique, Errno::PROTO))?;
                return Err(io::Error::other(format!(
                    "the kernel speaks FUSE {}.{}, 7.31 is needed",
                    offer.major, offer.minor
                )));
            }
            let answer = answer_init(offer, contents);
            reply.clear();
            answer.encode(&mut reply);
            device.send(reply.finish(request.unique))?;
            let negotiated = Negotiated {
                minor: answer.minor,
                flags: u64::from(answer.flags2) << 32 | u64::from(answer.flags),
                max_write: answer.max_write,
            };
            return Ok(Self {
                device,
                negotiated,
                contents,
            });
        }
    }

    /// Goes on with a connection whose INIT another process answered. What that process has read and not answered comes
    /// again, so call it when everything is in place that the answers need.
    ///
    /// # Errors
    /// The system's.
    pub fn resume(
        device: FuseDevice,
        negotiated: Negotiated,
        contents: Contents,
    ) -> io::Result<Self> {
        let knows_resend = u64::from(init_flags::HAS_RESEND) << 32;
        if negotiated.flags & knows_resend == 0 {
            tracing::warn!("the kernel does not resend: reads that were under way wait for ever");
        } else {
            device.resend()?;
        }
        Ok(Self {
            device,
            negotiated,
            contents,
        })
    }

    /// What was agreed.
    #[must_use]
    pub fn negotiated(&self) -> Negotiated {
        self.negotiated
    }
}

fn answer_init(offer: InitRequest, contents: Contents) -> InitReply {
    let for_trees = init_flags::NO_OPEN
        | init_flags::DO_READDIRPLUS
        | init_flags::READDIRPLUS_AUTO
        | init_flags::POSIX_ACL
        | init_flags::CACHE_SYMLINKS;
    let wanted = init_flags::ASYNC_READ
        | init_flags::PARALLEL_DIROPS
        | init_flags::MAX_PAGES
        | init_flags::NO_OPENDIR
        | init_flags::EXPLICIT_INVAL_DATA
        | init_flags::INIT_EXT
        | match contents {
            Contents::Files => 0,
            Contents::Tree => for_trees,
        };
    let flags = offer.flags & wanted;
    let extended = flags & init_flags::INIT_EXT != 0;
    InitReply {
        minor: offer.minor.min(45),
        max_readahead: offer.max_readahead.max(MAX_READ_BYTES),
        flags,
        flags2: if extended {
            offer.flags2 & init_flags::HAS_RESEND
        } else {
            0
        },
        max_background: MAX_BACKGROUND,
        max_write: 4096,
        max_pages: MAX_READ_PAGES,
    }
}

/// A running server. It ends when the last user of the mount is gone.
#[derive(Debug)]
pub struct Server {
    threads: Vec<JoinHandle<()>>,
    requests: Arc<RequestCounts>,
}

impl Server {
    /// Starts `threads` threads (at least one).
    ///
    /// # Errors
    /// The system's, when threads cannot be made.
    pub fn start(session: Session, files: Arc<dyn FileSystem>, threads: usize) -> io::Result<Self> {
        let queue = Arc::new(session.device);
        let waiting = WaitingRoom::default();
        let requests = Arc::new(RequestCounts::default());
        let threads = (0..threads.max(1))
            .map(|_| {
                let worker = Worker {
                    queue: Arc::clone(&queue),
                    files: Arc::clone(&files),
                    waiting: waiting.clone(),
                    contents: session.contents,
                    requests: Arc::clone(&requests),
                };
                thread::Builder::new()
                    .name("fuse".to_owned())
                    .spawn(move || worker.serve())
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self { threads, requests })
    }

    /// What the kernel has asked. Outlives the server.
    #[must_use]
    pub fn request_counts(&self) -> Arc<RequestCounts> {
        Arc::clone(&self.requests)
    }

    /// Waits until the connection ends.
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

struct Worker {
    queue: Arc<FuseDevice>,
    files: Arc<dyn FileSystem>,
    waiting: WaitingRoom,
    contents: Contents,
    requests: Arc<RequestCounts>,
}

impl Worker {
    fn serve(&self) {
        // The two buffers of this thread; no other memory is taken for a request that is answered at once.
        let mut buffer = vec![0; REQUEST_BYTES];
        let mut reply = Reply::default();
        loop {
            match self.queue.receive(&mut buffer) {
                Ok(length) => {
                    if let Some(request) = Request::parse(buffer.get(..length).unwrap_or_default())
                    {
                        self.requests.add(request.opcode);
                        self.answer(request, &mut reply);
                    }
                }
                Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => (),
                Err(Errno::NODEV) => return,
                Err(errno) => {
                    tracing::error!(%errno, "reading the FUSE device failed");
                    return;
                }
            }
        }
    }

    fn answer(&self, request: Request<'_>, reply: &mut Reply) {
        if matches!(request.opcode, opcode::FORGET | opcode::BATCH_FORGET) {
            return; // nothing is counted, and the kernel expects no reply
        }
        if request.opcode == opcode::READ {
            self.answer_read(request, reply);
            return;
        }
        reply.clear();
        let result = match request.opcode {
            opcode::LOOKUP => self.lookup(request, reply),
            opcode::GETATTR => self
                .files
                .attributes(request.node)
                .map(|attributes| reply.attributes_out(&attributes)),
            opcode::OPEN => self
                .files
                .open(request.node)
                .map(|handle| reply.open(handle)),
            opcode::RELEASE => {
                if let Some(handle) = handle(request.body) {
                    self.files.release(handle);
                }
                Ok(())
            }
            opcode::READDIR => self.list(request, reply, false),
            opcode::READDIRPLUS => self.list(request, reply, true),
            opcode::READLINK => self
                .files
                .target(request.node)
                .map(|target| reply.bytes(&target)),
            opcode::GETXATTR => self.attribute(request, reply),
            opcode::LISTXATTR => self.attribute_names(request, reply),
            opcode::LSEEK => self.seek(request, reply),
            opcode::STATFS => {
                let usage = self.files.usage();
                reply.statfs(usage.bytes, usage.nodes);
                Ok(())
            }
            opcode::DESTROY => Ok(()),
            _ => Err(FsError::Unsupported),
        };
        send(&self.queue, request.unique, result, reply);
    }

    fn lookup(&self, request: Request<'_>, reply: &mut Reply) -> Result<(), FsError> {
        match self.files.lookup(request.node, first_string(request.body)) {
            Ok(attributes) => reply.entry(&attributes),
            Err(FsError::NotFound) if self.contents == Contents::Tree => reply.no_entry(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn list(&self, request: Request<'_>, reply: &mut Reply, plus: bool) -> Result<(), FsError> {
        let (mut position, limit) = read_range(request.body).ok_or(FsError::Invalid)?;
        while let Some(entry) = self.files.entry(request.node, position)? {
            let attributes = if plus && entry.node != 0 {
                self.files.attributes(entry.node).ok()
            } else {
                None
            };
            position = entry.next;
            if !reply.dirent(&entry, plus.then_some(attributes.as_ref()), limit) {
                break;
            }
        }
        Ok(())
    }

    fn attribute(&self, request: Request<'_>, reply: &mut Reply) -> Result<(), FsError> {
        let value = self
            .files
            .attribute(request.node, attribute_name(request.body))?;
        answer_sized(request, reply, &value)
    }

    /// `trusted.` names are shown to root alone, as other filesystems do (xattr(7)).
    fn attribute_names(&self, request: Request<'_>, reply: &mut Reply) -> Result<(), FsError> {
        let mut list = vec![];
        for name in self.files.attribute_names(request.node)? {
            if request.uid == 0 || !name.starts_with(b"trusted.") {
                list.extend(name);
                list.push(0);
            }
        }
        answer_sized(request, reply, &list)
    }

    fn seek(&self, request: Request<'_>, reply: &mut Reply) -> Result<(), FsError> {
        let (offset, whence) = seek_place(request.body).ok_or(FsError::Invalid)?;
        // lseek(2): SEEK_DATA is 3, SEEK_HOLE 4; the kernel answers the others by itself.
        let what = match whence {
            3 => Seek::Data,
            4 => Seek::Hole,
            _ => return Err(FsError::Invalid),
        };
        reply.seek_out(self.files.seek(request.node, offset, what)?);
        Ok(())
    }

    fn answer_read(&self, request: Request<'_>, reply: &mut Reply) {
        let range = read_range(request.body).ok_or(FsError::Invalid);
        let read = range.and_then(|(offset, length)| self.cut(request.node, offset, length));
        let (offset, length) = match read {
            Ok(read) => read,
            Err(error) => return send(&self.queue, request.unique, Err(error), reply),
        };
        let (node, unique) = (request.node, request.unique);
        let handle = handle(request.body).unwrap_or_default();
        if self.files.is_ready(node, offset, length) {
            reply.clear();
            let result = self.files.read(node, handle, offset, reply.data(length));
            return send(&self.queue, unique, result, reply);
        }
        let queue = Arc::clone(&self.queue);
        let files = Arc::clone(&self.files);
        self.waiting.run(move || {
            let mut reply = Reply::default();
            reply.clear();
            let result = files.read(node, handle, offset, reply.data(length));
            send(&queue, unique, result, &mut reply);
        });
    }

    /// Cuts a read at the end of the file and at what one reply may hold.
    fn cut(&self, node: u64, offset: u64, length: usize) -> Result<(u64, usize), FsError> {
        let left = self.files.attributes(node)?.size.saturating_sub(offset);
        let most = left.min(u64::from(MAX_READ_BYTES));
        Ok((
            offset,
            length.min(usize::try_from(most).unwrap_or(usize::MAX)),
        ))
    }
}

/// The answer, or its length alone for a caller without a buffer.
fn answer_sized(request: Request<'_>, reply: &mut Reply, bytes: &[u8]) -> Result<(), FsError> {
    match attribute_room(request.body).ok_or(FsError::Invalid)? {
        0 => reply.size_out(bytes.len()),
        room if room < bytes.len() => return Err(FsError::Range),
        _ => reply.bytes(bytes),
    }
    Ok(())
}

fn send(queue: &FuseDevice, unique: u64, result: Result<(), FsError>, reply: &mut Reply) {
    let message = match result {
        Ok(()) => reply.finish(unique),
        Err(error) => reply.failure(unique, error.errno()),
    };
    match queue.send(message) {
        // The reader was killed, or the connection ended: nobody waits for the reply.
        Ok(()) | Err(Errno::NOENT | Errno::NODEV) => (),
        Err(errno) => tracing::error!(%errno, unique, "a FUSE reply was not taken"),
    }
}
