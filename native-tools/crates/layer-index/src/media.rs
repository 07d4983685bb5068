//! What a layer's media type says about its bytes.

use archive_format::tables::Codec;

use crate::error::IndexError;

/// How the blob of a layer with this media type is compressed. OCI and Docker types, non-distributable and foreign ones
/// too. A descriptor's media type has no parameters (OCI image-spec 1.1, descriptor.md).
///
/// # Errors
/// MEDIA_TYPE_UNSUPPORTED.
pub fn codec_of(media_type: &str) -> Result<Codec, IndexError> {
    Ok(match media_type {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar" => Codec::Plain,
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Codec::Gzip,
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Codec::Zstd,
        _ => return Err(IndexError::MediaType(media_type.to_owned())),
    })
}

/// The OCI media type of a layer that was packed with this codec.
#[must_use]
pub fn packed_media_type(codec: Codec) -> &'static str {
    match codec {
        Codec::Plain => "application/vnd.oci.image.layer.v1.tar",
        Codec::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Codec::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}
