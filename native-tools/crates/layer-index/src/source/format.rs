//! What kind of compressed blob a foreign layer is, told by its last bytes. It changes nothing about how the layer is read:
//! tables that others put into a blob are held against what was decoded, and never trusted.

use archive_format::tables::{Codec, Span};

use super::{Entrance, SpanList, Tail};
use crate::limits::Limits;

/// The kinds that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerFormat {
    /// A tar as it is.
    Tar,
    /// gzip members.
    Gzip,
    /// gzip with a table of contents as its last entry and a footer that points there (stargz-snapshotter, estargz.md).
    Estargz,
    /// zstd frames.
    Zstd,
    /// zstd frames and a seek table that is right (zstd, contrib/seekable_format).
    ZstdSeekable,
    /// zstd frames with a manifest in a skippable frame (containers/storage).
    ZstdChunked,
}

impl LayerFormat {
    /// The kind's name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Gzip => "gzip",
            Self::Estargz => "estargz",
            Self::Zstd => "zstd",
            Self::ZstdSeekable => "zstd-seekable",
            Self::ZstdChunked => "zstd:chunked",
        }
    }

    /// A blob without anything special.
    #[must_use]
    pub fn of(codec: Codec) -> Self {
        match codec {
            Codec::Plain => Self::Tar,
            Codec::Gzip => Self::Gzip,
            Codec::Zstd => Self::Zstd,
        }
    }
}

/// The kind of a blob, and whether a seek table had to be passed over because it does not fit the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recognised {
    /// The kind.
    pub format: LayerFormat,
    /// Whether there is a seek table that lies.
    pub ignored_seek_table: bool,
}

/// Looks at the end of a blob that was read to its end.
pub(crate) fn recognise(
    codec: Codec,
    tail: &Tail,
    found: &SpanList,
    limits: &Limits,
) -> Recognised {
    let plainly = Recognised {
        format: LayerFormat::of(codec),
        ignored_seek_table: false,
    };
    let format = |format, is_so: bool| {
        if is_so {
            Recognised { format, ..plainly }
        } else {
            plainly
        }
    };
    match codec {
        Codec::Plain => plainly,
        Codec::Gzip => format(
            LayerFormat::Estargz,
            is_estargz(tail, found).unwrap_or(false),
        ),
        Codec::Zstd => match seek_table(tail, limits) {
            Some(table) => Recognised {
                format: if table.as_ref() == Some(found) {
                    LayerFormat::ZstdSeekable
                } else {
                    plainly.format
                },
                ignored_seek_table: table.as_ref() != Some(found),
            },
            None => format(LayerFormat::ZstdChunked, is_chunked(tail).unwrap_or(false)),
        },
    }
}

/// An empty member whose extra field says where the member with the table of contents begins.
fn is_estargz(tail: &Tail, found: &SpanList) -> Option<bool> {
    let footer = tail.last::<51>()?;
    let offset = footer
        .strip_prefix(b"\x1f\x8b\x08\x04")?
        .get(6..)?
        .strip_prefix(b"\x1a\0SG\x16\0")?
        .split_first_chunk::<22>()
        .and_then(|(field, _)| field.strip_suffix(b"STARGZ"))?;
    let offset = u64::from_str_radix(std::str::from_utf8(offset).ok()?, 16).ok()?;
    let mut start = found.first;
    Some(found.spans.iter().any(|span| {
        let is_here = start == offset;
        start += span.stored;
        is_here
    }))
}

/// A skippable frame of a few numbers that ends with a magic; the first two are place and length of the manifest.
fn is_chunked(tail: &Tail) -> Option<bool> {
    tail.last::<8>().filter(|magic| magic == b"GnUlInUx")?;
    // versions differ in how many numbers there are
    for length in (40u64..=72).step_by(8) {
        let header = tail.at(tail.blob_bytes().checked_sub(length + 8)?, 24)?;
        if let Some(rest) = header.strip_prefix(b"\x50\x2a\x4d\x18") {
            let (size, places) = rest.split_first_chunk::<4>()?;
            let (offset, rest) = places.split_first_chunk::<8>()?;
            let end = u64::from_le_bytes(*offset)
                .checked_add(u64::from_le_bytes(*rest.first_chunk::<8>()?))?;
            return Some(
                u64::from(u32::from_le_bytes(*size)) == length && end <= tail.blob_bytes(),
            );
        }
    }
    None
}

/// Outer `None`: there is no seek table. Inner: it is none that could be right.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
fn seek_table(tail: &Tail, limits: &Limits) -> Option<Option<SpanList>> {
    let footer = tail.last::<9>()?;
    let (count, rest) = footer.split_first_chunk::<4>()?;
    let ([descriptor], magic) = rest.split_first_chunk::<1>()?;
    if *magic != 0x8f92_eab1u32.to_le_bytes() {
        return None;
    }
    Some(frames_of(
        tail,
        u32::from_le_bytes(*count),
        *descriptor,
        limits,
    ))
}

fn frames_of(tail: &Tail, count: u32, descriptor: u8, limits: &Limits) -> Option<SpanList> {
    let row_bytes: usize = if descriptor & 0x80 == 0 { 8 } else { 12 };
    if descriptor & 0x7c != 0 || u64::from(count) > limits.max_spans {
        return None;
    }
    let rows_bytes = usize::try_from(count).ok()?.checked_mul(row_bytes)?;
    let content = u32::try_from(rows_bytes).ok()?.checked_add(9)?;
    let start = tail.blob_bytes().checked_sub(u64::from(content) + 8)?;
    let header = tail.at(start, 8)?;
    let (magic, size) = header.split_first_chunk::<4>()?;
    if *magic != [0x5e, 0x2a, 0x4d, 0x18] || *size != content.to_le_bytes() {
        return None;
    }
    let rows = tail.at(start + 8, rows_bytes)?;
    let mut frames = SpanList::default();
    for row in rows.chunks_exact(row_bytes) {
        let (stored, rest) = row.split_first_chunk::<4>()?;
        let plain = u32::from_le_bytes(*rest.first_chunk::<4>()?);
        let span = Span {
            stored: u64::from(u32::from_le_bytes(*stored)),
            plain: u64::from(plain),
        };
        frames.push(span, Entrance::default(), limits).ok()?;
    }
    // the frame that holds the table has no content
    let table = Span {
        stored: u64::from(content) + 8,
        plain: 0,
    };
    frames.push(table, Entrance::default(), limits).ok()?;
    Some(frames)
}
