//! Messages with a descriptor, between two processes of this program.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// A pair of connected sockets that keep the borders of messages.
///
/// # Errors
/// The system's.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message whole. Once this returns, the receiver has the descriptor even if this process dies.
///
/// # Errors
/// The system's; `EPIPE` when the other side is gone.
pub fn send(socket: impl AsFd, message: &[u8], descriptor: Option<&OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.map(AsFd::as_fd);
    if let Some(descriptor) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(
            descriptor,
        )));
    }
    let parts = [IoSlice::new(message)];
    loop {
        match sendmsg(&socket, &parts, &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => (),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Receives one message of at most `limit` bytes; `None` when the other side is gone.
///
/// # Errors
/// The system's.
pub fn receive(socket: impl AsFd, limit: usize) -> io::Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
    let mut bytes = vec![0; limit];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC);
        let length = match received {
            Ok(received) => received.bytes,
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::CONNRESET) => 0,
            Err(errno) => return Err(errno.into()),
        };
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        if length == 0 {
            return Ok(None);
        }
        bytes.truncate(length);
        return Ok(Some((bytes, descriptor)));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn a_descriptor_arrives_after_its_sender_is_gone() {
        let (ours, theirs) = pair().unwrap();
        let mut file: File = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC)
            .unwrap()
            .into();
        file.write_all(b"kept").unwrap();
        send(&ours, b"name", Some(&file.into())).unwrap();
        send(&ours, b"none", None).unwrap();
        drop(ours);
        let (message, descriptor) = receive(&theirs, 64).unwrap().unwrap();
        assert_eq!(message, b"name");
        let mut file = File::from(descriptor.unwrap());
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept");
        let (message, descriptor) = receive(&theirs, 64).unwrap().unwrap();
        assert!(message == b"none" && descriptor.is_none());
        assert!(receive(&theirs, 64).unwrap().is_none());
    }
}
