//! Manifest, configuration and layers must speak of the same image.

use super::config::{ImageConfig, Manifest};
use crate::FormatError;
use crate::digest::{Digest, oci, sha256};

/// A layer by both its digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerIds {
    pub(crate) digest: Digest,
    pub(crate) diff_id: Digest,
}

/// Parses both and checks the digests that tie reference, manifest, configuration and layers (bottom first) together.
pub(crate) fn check(
    manifest: &[u8],
    config: &[u8],
    reference: &str,
    layers: &[LayerIds],
) -> Result<(Manifest, ImageConfig), FormatError> {
    let found = oci(&sha256(manifest));
    if found != reference {
        return Err(FormatError::Mismatch(format!(
            "the manifest is {found}, the reference {reference}"
        )));
    }
    let manifest = Manifest::parse(manifest)?;
    let found = oci(&sha256(config));
    if found != manifest.config.digest {
        return Err(FormatError::Mismatch(format!(
            "the configuration is {found}, the manifest names {}",
            manifest.config.digest
        )));
    }
    let config = ImageConfig::parse(config)?;
    let named = manifest.layers.iter().map(|layer| layer.digest.clone());
    compare(
        "blobs",
        named,
        layers.iter().map(|layer| oci(&layer.digest)),
    )?;
    let named = config.diff_ids().iter().cloned();
    compare(
        "diffIDs",
        named,
        layers.iter().map(|layer| oci(&layer.diff_id)),
    )?;
    Ok((manifest, config))
}

fn compare(
    what: &str,
    named: impl Iterator<Item = String>,
    given: impl Iterator<Item = String>,
) -> Result<(), FormatError> {
    let (named, given): (Vec<_>, Vec<_>) = (named.collect(), given.collect());
    if named == given {
        return Ok(());
    }
    Err(FormatError::Mismatch(format!(
        "the image's {what} are {named:?}, the archive's {given:?}"
    )))
}
