//! The storage info: where the layers are and what the image configuration says.

use std::collections::{BTreeMap, BTreeSet};

use super::time::Created;
use super::types::{OCI_STORAGE, OCI_TYPES, WRAPPER, WRAPPER_TYPES};
use crate::FormatError;
use crate::gob::decode::{Reader, Types, first_value};
use crate::gob::encode::{self, Fields};

/// `Type` of the wrapper of an OCI archive.
const OCI: &[u8] = b"oci";

/// Storage info of an OCI archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageInfo {
    /// Host and port.
    pub registry: String,
    /// Repository in the registry.
    pub repository: String,
    /// Digest of the platform manifest.
    pub reference: String,
    /// Blob digests, bottom first.
    pub layers: Vec<String>,
    /// Checkpoints of gzip layers by blob digest.
    pub gzip_indexes: BTreeMap<String, GzipIndex>,
    /// Hex diffIDs by blob digest.
    pub plain_digests: BTreeMap<String, String>,
    /// What the image configuration says.
    pub metadata: Option<ImageMetadata>,
}

/// Checkpoints of a gzip layer: (offset in the blob, offset in the plain tar).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GzipIndex {
    /// Blob digest.
    pub layer: String,
    /// Pairs of offsets.
    pub checkpoints: Vec<(i64, i64)>,
}

/// What a worker needs to start a container without asking the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the names are those of the OCI image configuration"
)]
pub struct ImageMetadata {
    /// The name the image was indexed under.
    pub name: String,
    /// Digest of the platform manifest.
    pub digest: String,
    pub repo_tags: Vec<String>,
    pub created: Option<Created>,
    pub docker_version: String,
    pub labels: BTreeMap<String, String>,
    pub architecture: String,
    pub os: String,
    pub variant: String,
    pub author: String,
    pub env: Vec<String>,
    pub cmd: Vec<String>,
    pub entrypoint: Vec<String>,
    pub user: String,
    pub working_dir: String,
    pub exposed_ports: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    pub stop_signal: String,
    /// Blob digests, bottom first.
    pub layers: Vec<String>,
    pub layers_data: Vec<LayerData>,
}

/// A layer's descriptor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerData {
    /// Media type.
    pub media_type: String,
    /// Blob digest.
    pub digest: String,
    /// Size of the blob.
    pub size: i64,
    /// The descriptor's annotations.
    pub annotations: BTreeMap<String, String>,
}

impl StorageInfo {
    /// The whole stream: the wrapper and in it the storage info.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut data = Vec::new();
        encode::definitions(&mut data, OCI_TYPES);
        encode::message(&mut data, |out| {
            encode::int(out, OCI_STORAGE);
            self.write(out);
        });
        let mut out = Vec::new();
        encode::definitions(&mut out, WRAPPER_TYPES);
        encode::message(&mut out, |out| {
            encode::int(out, WRAPPER);
            let mut fields = Fields::new(out);
            fields.bytes(0, OCI);
            fields.bytes(1, &data);
            fields.end();
        });
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut fields = Fields::new(out);
        fields.bytes(0, self.registry.as_bytes());
        fields.bytes(1, self.repository.as_bytes());
        fields.bytes(2, self.reference.as_bytes());
        fields.strings(3, &self.layers);
        fields.map(4, self.gzip_indexes.iter(), |out, index| index.write(out));
        fields.map(6, self.plain_digests.iter(), |out, digest| {
            encode::bytes(out, digest.as_bytes());
        });
        if let Some(metadata) = &self.metadata {
            metadata.write(fields.field(7));
        }
        fields.end();
    }

    /// Reads the storage info of an archive of any writer; `None` when it is of another type than `oci` (V1 on S3).
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, FormatError> {
        let (types, id, mut value) = first_value(&mut Reader::new(bytes))?;
        let (mut kind, mut data) = (b"".as_slice(), b"".as_slice());
        types.each_field(id, &mut value, |name, id, reader| {
            match name {
                b"Type" => kind = types.bytes(id, reader)?,
                b"Data" => data = types.bytes(id, reader)?,
                _ => types.skip(id, reader)?,
            }
            Ok(())
        })?;
        match kind {
            OCI => {
                let (types, id, mut value) = first_value(&mut Reader::new(data))?;
                Self::read(&types, id, &mut value).map(Some)
            }
            b"s3" => Ok(None),
            other => Err(FormatError::corrupt(format!(
                "storage type \"{}\"",
                other.escape_ascii()
            ))),
        }
    }

    fn read<'a>(types: &Types<'a>, id: i64, reader: &mut Reader<'a>) -> Result<Self, FormatError> {
        let mut info = Self::default();
        types.each_field(id, reader, |name, id, reader| {
            match name {
                b"RegistryURL" => info.registry = types.text(id, reader)?,
                b"Repository" => info.repository = types.text(id, reader)?,
                b"Reference" => info.reference = types.text(id, reader)?,
                b"Layers" => info.layers = types.texts(id, reader)?,
                b"GzipIdxByLayer" => types.each_entry(id, reader, |key, id, reader| {
                    info.gzip_indexes
                        .insert(key, GzipIndex::read(types, id, reader)?);
                    Ok(())
                })?,
                b"DecompressedHashByLayer" => info.plain_digests = read_strings(types, id, reader)?,
                b"ImageMetadata" => info.metadata = Some(ImageMetadata::read(types, id, reader)?),
                _ => types.skip(id, reader)?,
            }
            Ok(())
        })?;
        Ok(info)
    }
}

impl GzipIndex {
    fn write(&self, out: &mut Vec<u8>) {
        let mut fields = Fields::new(out);
        fields.bytes(0, self.layer.as_bytes());
        if !self.checkpoints.is_empty() {
            let out = fields.field(1);
            encode::uint(out, self.checkpoints.len() as u64);
            for (stored, plain) in &self.checkpoints {
                let mut inner = Fields::new(out);
                inner.int(0, *stored);
                inner.int(1, *plain);
                inner.end();
            }
        }
        fields.end();
    }

    fn read<'a>(types: &Types<'a>, id: i64, reader: &mut Reader<'a>) -> Result<Self, FormatError> {
        let mut index = Self::default();
        types.each_field(id, reader, |name, id, reader| {
            match name {
                b"LayerDigest" => index.layer = types.text(id, reader)?,
                b"Checkpoints" => types.each_item(id, reader, |id, reader| {
                    let mut pair = (0, 0);
                    types.each_field(id, reader, |name, id, reader| {
                        match name {
                            b"COff" => pair.0 = types.int(id, reader)?,
                            b"UOff" => pair.1 = types.int(id, reader)?,
                            _ => types.skip(id, reader)?,
                        }
                        Ok(())
                    })?;
                    index.checkpoints.push(pair);
                    Ok(())
                })?,
                _ => types.skip(id, reader)?,
            }
            Ok(())
        })?;
        Ok(index)
    }
}

impl ImageMetadata {
    fn write(&self, out: &mut Vec<u8>) {
        let mut fields = Fields::new(out);
        fields.bytes(0, self.name.as_bytes());
        fields.bytes(1, self.digest.as_bytes());
        fields.strings(2, &self.repo_tags);
        if let Some(created) = &self.created {
            encode::bytes(fields.field(3), &created.encode());
        }
        fields.bytes(4, self.docker_version.as_bytes());
        if !self.labels.is_empty() {
            write_strings(&mut fields, 5, &self.labels);
        }
        fields.bytes(6, self.architecture.as_bytes());
        fields.bytes(7, self.os.as_bytes());
        fields.bytes(8, self.variant.as_bytes());
        fields.bytes(9, self.author.as_bytes());
        fields.strings(10, &self.env);
        fields.strings(11, &self.cmd);
        fields.strings(12, &self.entrypoint);
        fields.bytes(13, self.user.as_bytes());
        fields.bytes(14, self.working_dir.as_bytes());
        // The stock writer makes both maps even when they are empty, and an empty map is sent.
        for (number, set) in [(15, &self.exposed_ports), (16, &self.volumes)] {
            fields.map(number, set.iter().map(|key| (key, ())), |out, ()| {
                out.push(0)
            });
        }
        fields.bytes(17, self.stop_signal.as_bytes());
        fields.strings(18, &self.layers);
        if !self.layers_data.is_empty() {
            let out = fields.field(19);
            encode::uint(out, self.layers_data.len() as u64);
            for layer in &self.layers_data {
                layer.write(out);
            }
        }
        fields.end();
    }

    fn read<'a>(types: &Types<'a>, id: i64, reader: &mut Reader<'a>) -> Result<Self, FormatError> {
        let mut metadata = Self::default();
        types.each_field(id, reader, |name, id, reader| {
            match name {
                b"Name" => metadata.name = types.text(id, reader)?,
                b"Digest" => metadata.digest = types.text(id, reader)?,
                b"RepoTags" => metadata.repo_tags = types.texts(id, reader)?,
                b"Created" => metadata.created = Created::decode(types.bytes(id, reader)?),
                b"DockerVersion" => metadata.docker_version = types.text(id, reader)?,
                b"Labels" => metadata.labels = read_strings(types, id, reader)?,
                b"Architecture" => metadata.architecture = types.text(id, reader)?,
                b"Os" => metadata.os = types.text(id, reader)?,
                b"Variant" => metadata.variant = types.text(id, reader)?,
                b"Author" => metadata.author = types.text(id, reader)?,
                b"Env" => metadata.env = types.texts(id, reader)?,
                b"Cmd" => metadata.cmd = types.texts(id, reader)?,
                b"Entrypoint" => metadata.entrypoint = types.texts(id, reader)?,
                b"User" => metadata.user = types.text(id, reader)?,
                b"WorkingDir" => metadata.working_dir = types.text(id, reader)?,
                b"ExposedPorts" => metadata.exposed_ports = read_set(types, id, reader)?,
                b"Volumes" => metadata.volumes = read_set(types, id, reader)?,
                b"StopSignal" => metadata.stop_signal = types.text(id, reader)?,
                b"Layers" => metadata.layers = types.texts(id, reader)?,
                b"LayersData" => types.each_item(id, reader, |id, reader| {
                    metadata
                        .layers_data
                        .push(LayerData::read(types, id, reader)?);
                    Ok(())
                })?,
                _ => types.skip(id, reader)?,
            }
            Ok(())
        })?;
        Ok(metadata)
    }
}

impl LayerData {
    fn write(&self, out: &mut Vec<u8>) {
        let mut fields = Fields::new(out);
        fields.bytes(0, self.media_type.as_bytes());
        fields.bytes(1, self.digest.as_bytes());
        fields.int(2, self.size);
        if !self.annotations.is_empty() {
            write_strings(&mut fields, 3, &self.annotations);
        }
        fields.end();
    }

    fn read<'a>(types: &Types<'a>, id: i64, reader: &mut Reader<'a>) -> Result<Self, FormatError> {
        let mut layer = Self::default();
        types.each_field(id, reader, |name, id, reader| {
            match name {
                b"MIMEType" => layer.media_type = types.text(id, reader)?,
                b"Digest" => layer.digest = types.text(id, reader)?,
                b"Size" => layer.size = types.int(id, reader)?,
                b"Annotations" => layer.annotations = read_strings(types, id, reader)?,
                _ => types.skip(id, reader)?,
            }
            Ok(())
        })?;
        Ok(layer)
    }
}

fn write_strings(fields: &mut Fields<'_>, number: u64, map: &BTreeMap<String, String>) {
    fields.map(number, map.iter(), |out, value| {
        encode::bytes(out, value.as_bytes());
    });
}

fn read_strings<'a>(
    types: &Types<'a>,
    id: i64,
    reader: &mut Reader<'a>,
) -> Result<BTreeMap<String, String>, FormatError> {
    let mut map = BTreeMap::new();
    types.each_entry(id, reader, |key, id, reader| {
        map.insert(key, types.text(id, reader)?);
        Ok(())
    })?;
    Ok(map)
}

fn read_set<'a>(
    types: &Types<'a>,
    id: i64,
    reader: &mut Reader<'a>,
) -> Result<BTreeSet<String>, FormatError> {
    let mut set = BTreeSet::new();
    types.each_entry(id, reader, |key, id, reader| {
        set.insert(key);
        types.skip(id, reader)
    })?;
    Ok(set)
}
