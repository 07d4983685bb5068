//! The service on its socket. tokio runs on one thread and only here; mounting and waiting happen on threads of their own.

pub mod client;
mod convert;
mod service;
mod status;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::UnixListener as Listener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::node::Node;
use crate::proto::mount_service_server::MountServiceServer;
use service::Service;

/// What is being said when the daemon ends may be finished for this long.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves a listening socket until the node is over.
///
/// # Errors
/// The system's.
pub fn serve(node: &Arc<Node>, listener: OwnedFd) -> io::Result<()> {
    let listener = UnixListener::from(listener);
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let (over, is_over) = oneshot::channel::<()>();
    let watched = Arc::clone(node);
    thread::Builder::new()
        .name("over".to_owned())
        .spawn(move || {
            watched.wait_over();
            let _ = over.send(());
        })?;
    runtime.block_on(async {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<MountServiceServer<Service>>().await;
        let (told, everybody) = oneshot::channel::<()>();
        let server = Server::builder()
            .add_service(health)
            .add_service(MountServiceServer::new(Service::new(Arc::clone(node))))
            .serve_with_incoming_shutdown(
                UnixListenerStream::new(Listener::from_std(listener)?),
                async {
                    let _ = is_over.await;
                    let _ = told.send(());
                },
            );
        let too_long = async {
            let _ = everybody.await;
            tokio::time::sleep(GOODBYE).await;
        };
        tokio::select! {
            served = server => served.map_err(io::Error::other),
            () = too_long => Ok(()),
        }
    })
}
