//! Where an image is and what `cat` is asked, as it comes in on stdin.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::layer::FetchSettings;
use crate::secret::Secret;
use crate::source::registry::{Credentials, Keys};

/// Where an image is described and where its layers are: what a mount and `cat` have in common.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRequest {
    /// A complete archive, or a file of its length with footer, erofs, layers and extra in place.
    pub archive: PathBuf,
    /// Where the archive's windows of seek points are read from when they are not in that file: an address that needs no
    /// login, and that is one therefore.
    #[serde(default)]
    pub archive_url: Option<Secret>,
    /// The cache directory.
    pub cache_dir: PathBuf,
    /// The registry.
    pub registry: RegistryRequest,
    /// Servers to ask before the registry, in this order: `http://` or `https://`, host and port.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Where the blobs are instead of the registry.
    #[serde(default)]
    pub blobs: Option<BlobsRequest>,
    /// A login, if there is one.
    #[serde(default)]
    pub credentials: Option<Credentials>,
    /// Certificates to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Plain tars of layers by diffID, for layers that need no registry.
    #[serde(default)]
    pub local_layers: BTreeMap<String, PathBuf>,
    /// Most requests in flight.
    #[serde(default = "default_max_requests")]
    pub max_requests: usize,
    /// Second requests where an answer is late, in percent of all; 0: none.
    #[serde(default = "default_hedge_percent")]
    pub hedge_percent: u32,
    /// Requests in flight for this image; 0: as many as for all.
    #[serde(default)]
    pub mount_requests: usize,
    /// Bytes a second for this image; 0: any number.
    #[serde(default)]
    pub mount_bytes_per_second: u64,
    /// Bytes that requests in flight for this image may hold to decode them; 0: as many as for all.
    #[serde(default)]
    pub mount_memory_bytes: u64,
    /// How long a read from the registry may wait for a byte.
    #[serde(default = "default_read_timeout_ms")]
    pub read_timeout_ms: u64,
    /// How long to go on without progress before a reader gets an error; at least twice the read timeout.
    #[serde(default = "default_deadline_ms")]
    pub deadline_ms: u64,
}

/// How long a fetch goes on without progress where nobody says.
pub(crate) const DEADLINE_MS: u64 = 60_000;

/// A repository of a registry.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryRequest {
    /// `http://` or `https://`, host and port.
    pub base_url: String,
    /// The repository.
    pub repository: String,
}

/// A place of blobs under `blobs/sha256/<hex>`.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "kind"
)]
pub enum BlobsRequest {
    /// A folder of this machine.
    Directory {
        /// Absolute.
        path: PathBuf,
    },
    /// An object store that speaks S3, or anything that answers GET.
    S3 {
        /// `http://` or `https://`, host and port.
        base_url: String,
        /// What comes before `blobs/`; not encoded.
        path: String,
        /// The store's region.
        region: String,
        /// Nothing for a store that everybody may read.
        #[serde(default)]
        keys: Option<Keys>,
    },
}

/// Who shows the tree to programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EngineRequest {
    /// The best one that works here.
    #[default]
    Auto,
    /// The kernel's EROFS over layer files.
    Erofs,
    /// The daemon, through FUSE.
    Fuse,
}

/// `clipyard-mountd cat`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatRequest {
    /// The image.
    #[serde(flatten)]
    pub source: SourceRequest,
    /// The file to write out.
    #[serde(default)]
    pub path: Option<String>,
    /// Where to write it.
    #[serde(default)]
    pub output: Option<PathBuf>,
    /// Instead of a file: read and prove every layer.
    #[serde(default)]
    pub verify_all: bool,
}

fn default_max_requests() -> usize {
    8
}

fn default_hedge_percent() -> u32 {
    FetchSettings::default().hedge_percent
}

fn default_read_timeout_ms() -> u64 {
    30_000
}

fn default_deadline_ms() -> u64 {
    DEADLINE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_the_caller_writes_them() {
        let text = r#"{"v":1,"archive":"/a.clip","cacheDir":"/cache","registry":{"baseUrl":"http://127.0.0.1:5000","repository":"a/b"},
            "credentials":{"username":"u","password":"hunter2"},"path":"/etc/hosts","readTimeoutMs":500}"#;
        let request: CatRequest = serde_json::from_str(text).unwrap();
        assert_eq!(request.source.max_requests, 8);
        assert_eq!(request.source.read_timeout_ms, 500);
        assert!(matches!(
            request.source.credentials,
            Some(Credentials::Password { .. })
        ));
        assert!(!format!("{request:?}").contains("hunter2"));
        let token = text.replace(
            r#""username":"u","password":"hunter2""#,
            r#""identityToken":"hunter2""#,
        );
        let request: CatRequest = serde_json::from_str(&token).unwrap();
        assert!(matches!(
            request.source.credentials,
            Some(Credentials::Identity { .. })
        ));
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
