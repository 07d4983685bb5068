//! The parts of an image configuration and a manifest that the archive repeats or checks. image-spec 1.1, "config.md".

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::storage::ImageMetadata;
use super::time::Created;
use crate::FormatError;

/// An image configuration. What is absent or null is empty.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ImageConfig {
    created: Option<String>,
    author: Option<String>,
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
    docker_version: Option<String>,
    config: Option<Execution>,
    rootfs: Option<RootFs>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, Value>>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    volumes: Option<BTreeMap<String, Value>>,
    working_dir: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    stop_signal: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

impl ImageConfig {
    /// Reads the JSON.
    ///
    /// # Errors
    /// MANIFEST_INVALID.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(bytes)
            .map_err(|error| FormatError::Manifest(format!("the image configuration: {error}")))
    }

    /// `rootfs.diff_ids`, bottom first.
    #[must_use]
    pub fn diff_ids(&self) -> &[String] {
        self.rootfs
            .as_ref()
            .and_then(|rootfs| rootfs.diff_ids.as_deref())
            .unwrap_or_default()
    }

    /// The configuration as the storage info repeats it; names, digests and layers are the caller's.
    #[must_use]
    pub fn metadata(self) -> ImageMetadata {
        let run = self.config.unwrap_or_default();
        let keys = |map: Option<BTreeMap<String, Value>>| -> BTreeSet<String> {
            map.unwrap_or_default().into_keys().collect()
        };
        ImageMetadata {
            created: self.created.as_deref().and_then(Created::parse),
            docker_version: self.docker_version.unwrap_or_default(),
            labels: run.labels.unwrap_or_default(),
            architecture: self.architecture.unwrap_or_default(),
            os: self.os.unwrap_or_default(),
            variant: self.variant.unwrap_or_default(),
            author: self.author.unwrap_or_default(),
            env: run.env.unwrap_or_default(),
            cmd: run.cmd.unwrap_or_default(),
            entrypoint: run.entrypoint.unwrap_or_default(),
            user: run.user.unwrap_or_default(),
            working_dir: run.working_dir.unwrap_or_default(),
            exposed_ports: keys(run.exposed_ports),
            volumes: keys(run.volumes),
            stop_signal: run.stop_signal.unwrap_or_default(),
            ..ImageMetadata::default()
        }
    }
}

/// A manifest's config and layers.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    /// BuildKit writes null where there is none.
    #[serde(deserialize_with = "empty_if_null")]
    pub(crate) layers: Vec<Descriptor>,
}

fn empty_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Descriptor>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What the archive needs of a descriptor.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: i64,
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(bytes)
            .map_err(|error| FormatError::Manifest(format!("the manifest: {error}")))
    }
}
