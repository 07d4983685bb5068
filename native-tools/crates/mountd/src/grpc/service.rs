//! One handler a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::{Request, Response, Status};

use super::convert::stat_response;
use super::status::{refused, status_of};
use crate::error::Error;
use crate::node::Node;
use crate::proto::mount_service_server::MountService;
use crate::proto::{
    DrainRequest, DrainResponse, EvictRequest, EvictResponse, ListRequest, ListResponse,
    MountRequest, MountResponse, PrefetchRequest, PrefetchResponse, ReplaceRequest,
    ReplaceResponse, StatRequest, StatResponse, TraceRequest, TraceResponse, UnmountRequest,
    UnmountResponse, VerifyCacheRequest, VerifyCacheResponse,
};

#[derive(Debug)]
pub(super) struct Service {
    node: Arc<Node>,
}

impl Service {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Runs work that waits on a thread of its own. It goes on when the caller leaves.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Node) -> Result<T, Error> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let node = Arc::clone(&self.node);
        let done = tokio::task::spawn_blocking(move || {
            let Some(_asked) = node.ask() else {
                return Err(Status::unavailable("the daemon is ending"));
            };
            work(&node).map_err(|error| status_of(&error))
        });
        match done.await {
            Ok(result) => result.map(Response::new),
            Err(error) => Err(refused(&error)),
        }
    }
}

/// Who waits for a mount. Dropped with the call: when that is before the answer, nobody would know of the mount.
#[derive(Debug, Default)]
struct Caller {
    left: Arc<AtomicBool>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.left.store(true, Ordering::Release);
    }
}

#[tonic::async_trait]
impl MountService for Service {
    async fn mount(
        &self,
        request: Request<MountRequest>,
    ) -> Result<Response<MountResponse>, Status> {
        let caller = Caller::default();
        let left = Arc::clone(&caller.left);
        let answer = self.run(move |node| {
            let (mounted, took) = node.mount(request.into_inner())?;
            if left.load(Ordering::Acquire) {
                node.take_away(&mounted);
                return Err(Error::CallerLeft);
            }
            let took_ms = took.as_secs_f64() * 1000.0;
            tracing::info!(id = mounted.describe().id, took_ms, "mounted");
            Ok(MountResponse {
                mount: Some(mounted.describe()),
                mount_ms: took_ms,
                daemon_options: node.options(),
            })
        });
        answer.await
    }

    async fn unmount(
        &self,
        request: Request<UnmountRequest>,
    ) -> Result<Response<UnmountResponse>, Status> {
        self.run(move |node| {
            let mounted = node.unmount(&request.get_ref().mountpoint)?;
            Ok(UnmountResponse {
                stat: Some(stat_response(node.report(&mounted))),
            })
        })
        .await
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        self.run(|node| {
            let mounts = node.list();
            Ok(ListResponse {
                mounts: mounts.iter().map(|mounted| mounted.describe()).collect(),
            })
        })
        .await
    }

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<StatResponse>, Status> {
        self.run(move |node| {
            let mounted = node.mount_at(&request.get_ref().mountpoint)?;
            Ok(stat_response(node.report(&mounted)))
        })
        .await
    }

    async fn prefetch(
        &self,
        request: Request<PrefetchRequest>,
    ) -> Result<Response<PrefetchResponse>, Status> {
        self.run(move |node| {
            let mounted = node.mount_at(&request.get_ref().mountpoint)?;
            Ok(PrefetchResponse {
                plain_bytes: node.prefetch(&mounted),
            })
        })
        .await
    }

    async fn trace(
        &self,
        request: Request<TraceRequest>,
    ) -> Result<Response<TraceResponse>, Status> {
        self.run(move |node| {
            let mounted = node.mount_at(&request.get_ref().mountpoint)?;
            let trace = mounted.trace();
            Ok(TraceResponse {
                trace: trace.map_err(|error| Error::io("write the trace", error))?,
            })
        })
        .await
    }

    async fn evict(
        &self,
        request: Request<EvictRequest>,
    ) -> Result<Response<EvictResponse>, Status> {
        self.run(move |node| {
            let EvictRequest {
                cache_dir,
                keep_bytes,
                dry_run,
            } = request.get_ref();
            let evicted = node.evict(cache_dir, *keep_bytes, *dry_run)?;
            Ok(EvictResponse {
                freed_bytes: evicted.bytes,
                layers: evicted.layers,
                left_bytes: evicted.left_bytes,
                archives: evicted.archives,
            })
        })
        .await
    }

    async fn verify_cache(
        &self,
        request: Request<VerifyCacheRequest>,
    ) -> Result<Response<VerifyCacheResponse>, Status> {
        self.run(move |node| {
            let verified = node.verify_cache(&request.get_ref().cache_dir)?;
            Ok(VerifyCacheResponse {
                chunks: verified.chunks,
                bytes: verified.bytes,
                damaged: verified.damaged,
                unknown_layers: verified.unknown_layers,
                archives: verified.archives,
                damaged_archives: verified.damaged_archives,
                unknown_archives: verified.unknown_archives,
            })
        })
        .await
    }

    async fn drain(&self, _: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        self.run(|node| {
            Ok(DrainResponse {
                mounts: u32::try_from(node.drain()).unwrap_or(u32::MAX),
            })
        })
        .await
    }

    async fn replace(
        &self,
        request: Request<ReplaceRequest>,
    ) -> Result<Response<ReplaceResponse>, Status> {
        self.run(move |node| {
            node.next_program(&request.get_ref().program)?;
            node.hand_over();
            Ok(ReplaceResponse {})
        })
        .await
    }
}
