//! The storage info of an image: a function of manifest, configuration, layer tables and where the blobs are.

use super::config::{ImageConfig, Manifest};
use super::storage::{GzipIndex, ImageMetadata, LayerData, StorageInfo};
use crate::FormatError;
use crate::digest::{Digest, hex, oci, parse_oci, sha256};
use crate::tables::{Codec, LayerTable, RecordKind};

/// What the storage info is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) manifest: &'a [u8],
    pub(crate) config: &'a [u8],
    pub(crate) tables: &'a [LayerTable],
    pub(crate) registry: &'a str,
    pub(crate) repository: &'a str,
    pub(crate) reference: &'a str,
    pub(crate) image_name: &'a str,
}

/// A layer as manifest and configuration name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedLayer {
    pub(crate) digest: Digest,
    pub(crate) diff_id: Digest,
    pub(crate) data: LayerData,
}

impl NamedLayer {
    fn is_blob_of(&self, table: &LayerTable) -> bool {
        self.diff_id == table.diff_id
            && self.digest == table.digest
            && u64::try_from(self.data.size) == Ok(table.blob_bytes)
    }
}

/// The layers, bottom first, with the digests checked that tie reference, manifest, configuration and tables together.
pub(crate) fn layers(source: &Source<'_>) -> Result<(Vec<NamedLayer>, ImageConfig), FormatError> {
    let mismatch = |what: String| Err(FormatError::Mismatch(what));
    let found = oci(&sha256(source.manifest));
    if found != source.reference {
        return mismatch(format!(
            "the manifest is {found}, the reference {}",
            source.reference
        ));
    }
    let manifest = Manifest::parse(source.manifest)?;
    let found = oci(&sha256(source.config));
    if found != manifest.config.digest {
        return mismatch(format!(
            "the configuration is {found}, the manifest names {}",
            manifest.config.digest
        ));
    }
    let config = ImageConfig::parse(source.config)?;
    if config.diff_ids().len() != manifest.layers.len() {
        return mismatch(format!(
            "{} layers, {} diffIDs",
            manifest.layers.len(),
            config.diff_ids().len()
        ));
    }
    let digest = |text: &str| {
        parse_oci(text)
            .ok_or_else(|| FormatError::Manifest(format!("\"{text}\" is no sha256 digest")))
    };
    let layers = manifest
        .layers
        .into_iter()
        .zip(config.diff_ids())
        .map(|(descriptor, diff_id)| {
            Ok(NamedLayer {
                digest: digest(&descriptor.digest)?,
                diff_id: digest(diff_id)?,
                data: LayerData {
                    media_type: descriptor.media_type,
                    digest: descriptor.digest,
                    size: descriptor.size,
                    annotations: descriptor.annotations.unwrap_or_default(),
                },
            })
        })
        .collect::<Result<Vec<_>, FormatError>>()?;
    let mut distinct: Vec<Digest> = Vec::new();
    for layer in &layers {
        if !distinct.contains(&layer.diff_id) {
            distinct.push(layer.diff_id);
        }
    }
    let mut tables = source
        .tables
        .iter()
        .filter(|table| table.kind == RecordKind::Layer);
    if !tables.clone().map(|table| table.diff_id).eq(distinct) {
        return mismatch("the layer tables are not the image's distinct layers".to_owned());
    }
    if let Some(table) = tables.find(|table| !layers.iter().any(|layer| layer.is_blob_of(table))) {
        return mismatch(format!(
            "the layer table of {} is for the blob {} of {} bytes, which the manifest does not name",
            oci(&table.diff_id),
            oci(&table.digest),
            table.blob_bytes
        ));
    }
    Ok((layers, config))
}

/// The storage info.
pub(crate) fn storage_info(source: &Source<'_>) -> Result<StorageInfo, FormatError> {
    let (layers, config) = layers(source)?;
    let names: Vec<String> = layers.iter().map(|layer| oci(&layer.digest)).collect();
    let mut info = StorageInfo {
        registry: source.registry.to_owned(),
        repository: source.repository.to_owned(),
        reference: source.reference.to_owned(),
        layers: names.clone(),
        ..StorageInfo::default()
    };
    for (layer, name) in layers.iter().zip(&names) {
        info.plain_digests.insert(name.clone(), hex(&layer.diff_id));
        if let Some(table) = gzip_table(source.tables, layer) {
            let plain_bytes = i64::try_from(table.plain_bytes).map_err(|_| {
                FormatError::limit(format!("a layer of {} bytes", table.plain_bytes))
            })?;
            // Only the checkpoint at the end: a stock reader acts wrongly on one at the start of a member.
            let index = GzipIndex {
                layer: name.clone(),
                checkpoints: vec![(layer.data.size, plain_bytes)],
            };
            info.gzip_indexes.insert(name.clone(), index);
        }
    }
    info.metadata = Some(ImageMetadata {
        name: source.image_name.to_owned(),
        digest: source.reference.to_owned(),
        layers: names,
        layers_data: layers.into_iter().map(|layer| layer.data).collect(),
        ..config.metadata()
    });
    Ok(info)
}

/// The table of a layer whose blob is gzip. A second blob of the same diffID has no table of its own: its type decides.
fn gzip_table<'a>(tables: &'a [LayerTable], layer: &NamedLayer) -> Option<&'a LayerTable> {
    let table = tables.iter().find(|table| table.diff_id == layer.diff_id)?;
    let is_gzip = if table.digest == layer.digest {
        table.codec == Codec::Gzip
    } else {
        layer.data.media_type.ends_with("gzip")
    };
    is_gzip.then_some(table)
}
