//! From the messages of the service to what the rest of this crate works with.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::options::{Options, PageCache};
use crate::proto::{self, MountRequest, blob_store::Place, credentials::Login};
use crate::request::{BlobsRequest, EngineRequest, RegistryRequest, SourceRequest};
use crate::secret::Secret;
use crate::source::registry::{Credentials, Keys};

/// Where a mount's image is.
pub(super) fn source_request(
    request: &MountRequest,
    cache_dir: &Path,
    options: &Options,
) -> Result<SourceRequest, Error> {
    let registry = request
        .registry
        .as_ref()
        .ok_or_else(|| Error::Request("no registry".to_owned()))?;
    let path = |text: &str| Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
    Ok(SourceRequest {
        archive: path(&request.archive).ok_or_else(|| Error::Request("no archive".to_owned()))?,
        archive_url: Some(request.archive_url.clone())
            .filter(|url| !url.is_empty())
            .map(Secret::new),
        cache_dir: cache_dir.to_owned(),
        registry: RegistryRequest {
            base_url: registry.base_url.clone(),
            repository: registry.repository.clone(),
        },
        mirrors: request.mirrors.clone(),
        credentials: request.credentials.as_ref().and_then(credentials),
        ca_file: path(&request.ca_file),
        local_layers: request
            .local_layers
            .iter()
            .map(|(diff_id, path)| (diff_id.clone(), PathBuf::from(path)))
            .collect(),
        max_requests: 0, // the node's fetcher is shared
        mount_requests: usize::try_from(request.max_requests).unwrap_or(usize::MAX),
        mount_bytes_per_second: request.bytes_per_second,
        mount_memory_bytes: request.memory_bytes,
        blobs: request.blobs.as_ref().and_then(blobs).transpose()?,
        hedge_percent: options.fetch.hedge_percent,
        read_timeout_ms: if request.read_timeout_ms == 0 {
            options.read_timeout_ms
        } else {
            request.read_timeout_ms
        },
        deadline_ms: options.deadline_ms,
    })
}

fn blobs(message: &proto::BlobStore) -> Option<Result<BlobsRequest, Error>> {
    Some(match message.place.as_ref()? {
        Place::Directory(path) if Path::new(path).is_absolute() => Ok(BlobsRequest::Directory {
            path: PathBuf::from(path),
        }),
        Place::Directory(_) => Err(Error::Request("blobs: no absolute path".to_owned())),
        Place::S3(store) => Ok(BlobsRequest::S3 {
            base_url: store.base_url.clone(),
            path: store.path.clone(),
            region: store.region.clone(),
            keys: store.keys.as_ref().map(|keys| Keys {
                access_key_id: keys.access_key_id.clone(),
                secret_access_key: Secret::new(keys.secret_access_key.clone()),
                session_token: Some(keys.session_token.clone())
                    .filter(|token| !token.is_empty())
                    .map(Secret::new),
            }),
        }),
    })
}

fn credentials(message: &proto::Credentials) -> Option<Credentials> {
    Some(match message.login.as_ref()? {
        Login::Password(login) => Credentials::Password {
            username: login.username.clone(),
            password: Secret::new(login.password.clone()),
        },
        Login::IdentityToken(token) => Credentials::Identity {
            identity_token: Secret::new(token.clone()),
        },
        Login::RegistryToken(token) => Credentials::Registry {
            registry_token: Secret::new(token.clone()),
        },
    })
}

/// The engine that a mount asks for.
pub(super) fn engine_request(request: &MountRequest) -> Result<EngineRequest, Error> {
    match request.engine.as_str() {
        "" | "auto" => Ok(EngineRequest::Auto),
        "erofs" => Ok(EngineRequest::Erofs),
        "fuse" => Ok(EngineRequest::Fuse),
        other => Err(Error::Request(format!("no engine {other}"))),
    }
}

/// How a mount wants its data kept, where it says so.
pub(super) fn page_cache_request(request: &MountRequest) -> Result<Option<PageCache>, Error> {
    let name = request.page_cache.as_str();
    let wanted = Some(name).filter(|name| !name.is_empty());
    let known = wanted.map(|name| {
        PageCache::parse(name).ok_or_else(|| Error::Request(format!("no page cache {name}")))
    });
    known.transpose()
}

/// Ids are names of folders and of what the holder keeps.
pub(super) fn check_id(id: &str) -> Result<(), Error> {
    let fits = (1..=32).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if fits {
        return Ok(());
    }
    Err(Error::Request(
        "a mount's id is 1 to 32 of a-z and 0-9".to_owned(),
    ))
}
