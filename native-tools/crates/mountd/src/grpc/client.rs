//! Calls to a daemon that runs, for programs that do one thing.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::proto::mount_service_client::MountServiceClient;

/// An answer that is on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    calls: MountServiceClient<Channel>,
}

impl Client {
    /// Connects to a daemon's socket.
    ///
    /// # Errors
    /// UNAVAILABLE when nobody answers there.
    pub fn connect(socket: &Path) -> Result<Self, Status> {
        let unavailable = |why: &dyn std::fmt::Display| {
            Status::unavailable(format!("no mount daemon at {}: {why}", socket.display()))
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| unavailable(&error))?;
        let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))
            .map_err(|error| unavailable(&error))?;
        let channel = runtime
            .block_on(endpoint.connect())
            .map_err(|error| unavailable(&error))?;
        let calls = MountServiceClient::new(channel);
        Ok(Self { runtime, calls })
    }

    /// Makes a call and waits for the answer.
    ///
    /// # Errors
    /// The daemon's.
    pub fn call<T>(
        &mut self,
        call: impl for<'a> FnOnce(&'a mut MountServiceClient<Channel>) -> Answer<'a, T>,
    ) -> Result<T, Status> {
        let Self { runtime, calls } = self;
        runtime.block_on(call(calls)).map(Response::into_inner)
    }
}
