"""Reads a tree in the ways Node cannot: mmap, O_DIRECT, sendfile, splice, copy_file_range, SEEK_HOLE, telldir, small
getdents buffers, file handles. Usage: probe.py ROOT FILE SPARSE FOLDER; one JSON document on stdout."""
import ctypes, hashlib, json, mmap, os, sys, tempfile

root, name, sparse, folder = (os.fsencode(argument) for argument in sys.argv[1:])
path, sparse, folder = (os.path.join(root, part) for part in (name, sparse, folder))
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype, libc.munmap.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_size_t)
libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
size = os.stat(path).st_size
sha = lambda data: hashlib.sha256(data).hexdigest()


def with_fd(act, at=path, flags=os.O_RDONLY):
    fd = os.open(at, flags)
    try:
        return act(fd)
    finally:
        os.close(fd)


def direct(fd):
    buffer, out, at = mmap.mmap(-1, 1 << 20), b"", 0
    while (count := os.preadv(fd, [buffer], at)) > 0:
        out, at = out + buffer[:count], at + count
    return sha(out)


def or_refused(act, flags=os.O_RDONLY):
    """The result, or why the kernel does not do this on this filesystem at all."""
    try:
        return with_fd(act, flags=flags)
    except OSError as error:
        return error.strerror


def copied(by):
    def act(fd):
        with tempfile.TemporaryFile() as target:
            left = size
            while left > 0 and (count := by(fd, target.fileno(), left)) > 0:
                left -= count
            target.seek(0)
            return sha(target.read())
    return act


def spliced(fd, target, count):
    reader, writer = os.pipe()
    try:
        moved = os.splice(fd, writer, min(count, 65536))
        done = 0
        while done < moved:
            done += os.splice(reader, target, moved - done)
        return moved
    finally:
        os.close(reader), os.close(writer)


def holes(fd):
    """Data stretches, and whether everything outside them reads as zeros."""
    end, at, data, zeros = os.fstat(fd).st_size, 0, [], True
    while at < end:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            start = end
        zeros = zeros and not any(os.pread(fd, start - at, at))
        if start == end:
            break
        at = os.lseek(fd, start, os.SEEK_HOLE)
        data.append([start, at])
    return {"data": data, "zeros": zeros, "ordered": all(a < b for a, b in data)}


def getdents(fd, length):
    """Names by getdents64 with a buffer of so many bytes, and the offset each call ended at."""
    buffer, names, offsets = ctypes.create_string_buffer(length), [], []
    while (count := libc.syscall(217 if os.uname().machine == "x86_64" else 61, fd, buffer, length)) > 0:
        at = 0
        while at < count:
            step = int.from_bytes(buffer.raw[at + 16:at + 18], "little")
            names.append(buffer.raw[at + 19:at + step].split(b"\0")[0])
            last = int.from_bytes(buffer.raw[at + 8:at + 16], "little", signed=True)
            at += step
        offsets.append((last, len(names)))
    if count < 0:
        raise OSError(ctypes.get_errno(), "getdents64")
    return names, offsets


def listing(fd):
    whole, _ = getdents(fd, 1 << 20)
    os.lseek(fd, 0, os.SEEK_SET)
    small, offsets = getdents(fd, 512)
    sought = True
    for offset, index in offsets[::max(1, len(offsets) // 20)]:
        os.lseek(fd, offset, os.SEEK_SET)
        sought = sought and getdents(fd, 4096)[0] == whole[index:]
    names = [name for name in whole if name not in (b".", b"..")]
    return {"names": len(names), "sorted": names == sorted(names), "unique": len(set(whole)) == len(whole), "small": small == whole, "sought": sought}


def handle(at):
    class Handle(ctypes.Structure):
        _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]
    found, mount = Handle(128), ctypes.c_int()
    if libc.name_to_handle_at(-100, at, ctypes.byref(found), ctypes.byref(mount), 0) != 0:
        return os.strerror(ctypes.get_errno())
    def act(fd):
        opened = libc.open_by_handle_at(fd, ctypes.byref(found), os.O_RDONLY)
        if opened < 0:
            return os.strerror(ctypes.get_errno())
        try:
            return os.fstat(opened).st_ino == os.stat(at).st_ino
        finally:
            os.close(opened)
    return with_fd(act, root)


def mapped(access):
    return lambda fd: sha(mmap.mmap(fd, size, access=access)[:])


def tail(flags):
    """What a mapping shows of the last page behind the end of the file."""
    def act(fd):
        length = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        at = libc.mmap(None, length, mmap.PROT_READ, flags, fd, 0)
        rest = ctypes.string_at(at + size, length - size)
        libc.munmap(at, length)
        return {"some": len(rest) > 0, "zeros": not any(rest)}
    return act


def written(fd):
    """Whether a private mapping takes a write, and the file does not."""
    with mmap.mmap(fd, size, access=mmap.ACCESS_COPY) as mapping:
        mapping[0] ^= 0xFF
        return os.pread(fd, 1, 0)[0] == mapping[0] ^ 0xFF


def code(act):
    try:
        act()
        return "none"
    except OSError as error:
        return error.strerror


stats = os.statvfs(root)
print(json.dumps({
    "read": with_fd(lambda fd: sha(os.pread(fd, size + 1, 0))),
    "shared": with_fd(mapped(mmap.ACCESS_READ)),
    "private": with_fd(mapped(mmap.ACCESS_COPY)),
    "tails": [with_fd(tail(flags)) for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE)],
    "written": with_fd(written),
    "direct": or_refused(direct, os.O_RDONLY | os.O_DIRECT),
    "sendfile": with_fd(copied(lambda fd, to, count: os.sendfile(to, fd, None, count))),
    "splice": with_fd(copied(spliced)),
    "copyFileRange": or_refused(copied(lambda fd, to, count: os.copy_file_range(fd, to, count))),
    "pastEnd": with_fd(lambda fd: len(os.pread(fd, 10, size + 5))),
    "holes": with_fd(holes, sparse),
    "listing": with_fd(listing, folder),
    "handle": handle(path),
    "missing": [code(lambda: os.lstat(os.path.join(folder, b"nothing"))) for _ in range(2)],
    "tooLong": code(lambda: os.lstat(os.path.join(root, b"n" * 256))),
    "notFolder": code(lambda: os.lstat(os.path.join(path, b"x"))),
    "statfs": {"free": stats.f_bfree, "readOnly": stats.f_flag & os.ST_RDONLY != 0, "block": stats.f_bsize, "nameMax": stats.f_namemax, "files": stats.f_files, "blocks": stats.f_blocks},
}))
