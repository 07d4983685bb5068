//! `clipyard-mountd daemon`: serves what the holder on stdin keeps, until there is nothing left to serve.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use crate::grpc;
use crate::hold::{Store, names};
use crate::node::Node;
use crate::options::Options;

/// Serves until the node is over.
///
/// # Errors
/// The system's, where nothing can be served at all.
pub fn run(options: Options) -> io::Result<()> {
    sys::process::raise_file_limit();
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let (store, mut taken) = Store::connect(socket, options.clone())?;
    let listener = taken
        .remove(names::LISTENER)
        .ok_or_else(|| io::Error::other("the holder has no socket to listen at"))?;
    let node = Node::start(options, store, taken)?;
    node.watch()?;
    node.seal_layers()?;
    listen_to_holder(&node)?;
    grpc::serve(&node, listener)?;
    node.store().over();
    Ok(())
}

fn listen_to_holder(node: &Arc<Node>) -> io::Result<()> {
    let node = Arc::clone(node);
    thread::Builder::new()
        .name("holder".to_owned())
        .spawn(move || {
            loop {
                match node.store().wait() {
                    Ok(true) => node.stop(),
                    Ok(false) => (),
                    Err(error) => {
                        tracing::error!(%error, "no holder: when this process dies, its mounts die with it");
                        return;
                    }
                }
            }
        })?;
    Ok(())
}
