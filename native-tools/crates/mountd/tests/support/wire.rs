//! A line between client and server that turns one byte over.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Which way a byte goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server.
    Request,
    /// From the server.
    Response,
}

/// The byte that is changed: the one after `left` others that go this way from now on, over all connections.
#[derive(Debug, Clone, Copy)]
struct Flip {
    way: Way,
    left: u64,
    mask: u8,
}

/// Forwards connections; its threads end with the process.
#[derive(Debug)]
pub(crate) struct Wire {
    flip: Arc<Mutex<Option<Flip>>>,
    /// `http://127.0.0.1:port`.
    pub(crate) url: String,
}

impl Wire {
    /// To a server at `http://host:port`.
    pub(crate) fn to(server: &str) -> Self {
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let flip: Arc<Mutex<Option<Flip>>> = Arc::default();
        let shared = Arc::clone(&flip);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(&server) else {
                    continue;
                };
                let ends = [client.try_clone(), upstream.try_clone()];
                let [Ok(client_end), Ok(upstream_end)] = ends else {
                    continue;
                };
                let flips = [Arc::clone(&shared), Arc::clone(&shared)];
                let [out, back] = flips;
                thread::spawn(move || forward(client, upstream_end, Way::Request, &out));
                thread::spawn(move || forward(upstream, client_end, Way::Response, &back));
            }
        });
        Self { flip, url }
    }

    /// From now on the byte at `at` is changed.
    pub(crate) fn flip(&self, way: Way, at: u64, mask: u8) {
        let left = at;
        *self.flip.lock().unwrap() = Some(Flip { way, left, mask });
    }

    /// Changes nothing more; true when the byte went by.
    pub(crate) fn rest(&self) -> bool {
        self.flip.lock().unwrap().take().is_none()
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, way: Way, flip: &Mutex<Option<Flip>>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 {
            break;
        }
        change(&mut buffer[..length], way, &mut flip.lock().unwrap());
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

fn change(bytes: &mut [u8], way: Way, flip: &mut Option<Flip>) {
    let Some(armed) = flip.as_mut().filter(|armed| armed.way == way) else {
        return;
    };
    let at = usize::try_from(armed.left).unwrap();
    match bytes.get_mut(at) {
        Some(byte) => {
            *byte ^= armed.mask;
            *flip = None;
        }
        None => armed.left -= bytes.len() as u64,
    }
}
