//! Section `layers`: which layers the devices are, how their blobs are decoded in parts and what each chunk's digest is.
//! `docs/formats/archive.md`, "Section `layers`".

use crate::FormatError;
use crate::digest::{Digest, Sha256};
use crate::wire::{Cursor, pad, u32_len};

/// Smallest and largest nominal chunk size.
const CHUNK_BYTES: std::ops::RangeInclusive<u32> = 4096..=16 << 20;
/// EROFS gives devices 16-bit numbers and the image itself is 0.
const MAX_RECORDS: usize = u16::MAX as usize;
/// Bytes of a record before its variable parts.
const RECORD_BYTES: usize = 112;

/// How a blob's spans are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Stored as it is.
    Plain,
    /// gzip members, or deflate blocks continued from a window.
    Gzip,
    /// zstd frames.
    Zstd,
}

/// What a device of the metadata image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A layer of the image: a blob in the registry.
    Layer,
    /// The archive's own section `extra`.
    Extra,
}

/// A part of the blob that can be decoded alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Length in the blob.
    pub stored: u64,
    /// Length in the plain stream.
    pub plain: u64,
}

/// The unit that is verified and cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Length in the plain stream, at most `chunk_bytes`.
    pub plain: u32,
    /// BLAKE3 of the plain bytes.
    pub digest: Digest,
}

/// Where the inflate windows of a foreign gzip layer lie; every column has one row a span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeekColumns {
    /// Bits (0 to 7) of the byte before the span that belong to it.
    pub bits: Vec<u8>,
    /// Offset of the stored window inside section `seek`.
    pub window_offset: Vec<u64>,
    /// Stored length of the window; 0 when the span starts with an empty window.
    pub window_stored: Vec<u32>,
    /// BLAKE3 of the stored window; zeros when it is empty.
    pub window_digest: Vec<Digest>,
}

/// One record: a device of the metadata image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerTable {
    /// SHA-256 of the blob as the registry stores it (extra: of the section's stored bytes).
    pub digest: Digest,
    /// SHA-256 of the plain stream.
    pub diff_id: Digest,
    /// Size of the blob.
    pub blob_bytes: u64,
    /// Size of the plain stream.
    pub plain_bytes: u64,
    /// How spans are decoded.
    pub codec: Codec,
    /// Layer or extra.
    pub kind: RecordKind,
    /// The blob's media type; empty for extra.
    pub media_type: String,
    /// Nominal chunk size, a power of two.
    pub chunk_bytes: u32,
    /// Offset of the first span in the blob.
    pub first_span: u64,
    /// Spans in blob order.
    pub spans: Vec<Span>,
    /// Chunks in plain order.
    pub chunks: Vec<Chunk>,
    /// Windows, when spans are not whole members or frames.
    pub seek: Option<SeekColumns>,
}

impl LayerTable {
    /// SHA-256 of the chunk columns as the section stores them, padding included: with the diffID the key of the
    /// runtime cache.
    #[must_use]
    pub fn chunk_table_digest(&self) -> Digest {
        let mut columns = Vec::with_capacity(self.chunks.len() * 36 + 8);
        write_chunks(&mut columns, &self.chunks);
        let mut hasher = Sha256::new();
        hasher.update(&columns);
        hasher.finish()
    }

    /// Checks what every record must hold: sums, chunk lengths, column lengths.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] with the first thing that is wrong.
    pub fn check(&self) -> Result<(), FormatError> {
        let name = crate::digest::hex(&self.diff_id);
        let fail = |what: String| Err(FormatError::corrupt(format!("layers: {name}: {what}")));
        if !CHUNK_BYTES.contains(&self.chunk_bytes) || !self.chunk_bytes.is_power_of_two() {
            return fail(format!("chunk size {}", self.chunk_bytes));
        }
        let mut chunk_sum = 0u64;
        for chunk in &self.chunks {
            if chunk.plain == 0 || chunk.plain > self.chunk_bytes {
                return fail(format!("a chunk of {} bytes", chunk.plain));
            }
            chunk_sum = chunk_sum.saturating_add(u64::from(chunk.plain));
        }
        let mut stored_sum = self.first_span;
        let mut plain_sum = 0u64;
        for span in &self.spans {
            if span.stored == 0 || self.codec == Codec::Plain && span.stored != span.plain {
                return fail(format!(
                    "a span of {} bytes for {}",
                    span.stored, span.plain
                ));
            }
            stored_sum = stored_sum.saturating_add(span.stored);
            plain_sum = plain_sum.saturating_add(span.plain);
        }
        if chunk_sum != self.plain_bytes || plain_sum != self.plain_bytes {
            return fail(format!(
                "{} plain bytes, chunks hold {chunk_sum}, spans {plain_sum}",
                self.plain_bytes
            ));
        }
        if stored_sum > self.blob_bytes {
            return fail(format!(
                "{} bytes of blob, spans end at {stored_sum}",
                self.blob_bytes
            ));
        }
        self.seek.as_ref().map_or(Ok(()), |seek| {
            let rows = self.spans.len();
            let columns = [
                seek.bits.len(),
                seek.window_offset.len(),
                seek.window_stored.len(),
                seek.window_digest.len(),
            ];
            if columns.iter().any(|column| *column != rows)
                || seek.bits.iter().any(|bits| *bits > 7)
            {
                return fail(format!(
                    "seek columns of {columns:?} rows for {rows} spans, or more than 7 bits"
                ));
            }
            Ok(())
        })
    }
}

/// Writes the plain bytes of section `layers`.
///
/// # Errors
/// When a record breaks its own rules or has more rows than the format counts.
pub fn encode(tables: &[LayerTable]) -> Result<Vec<u8>, FormatError> {
    if tables.len() > MAX_RECORDS {
        return Err(FormatError::limit(format!(
            "{} layers, at most {MAX_RECORDS}",
            tables.len()
        )));
    }
    let mut out = Vec::new();
    out.extend(u32_len(tables.len(), "layers")?.to_le_bytes());
    out.extend([0; 4]);
    for table in tables {
        encode_record(&mut out, table)?;
    }
    Ok(out)
}

fn encode_record(out: &mut Vec<u8>, table: &LayerTable) -> Result<(), FormatError> {
    table.check()?;
    out.extend(table.digest);
    out.extend(table.diff_id);
    out.extend(table.blob_bytes.to_le_bytes());
    out.extend(table.plain_bytes.to_le_bytes());
    out.extend([
        codec_number(table.codec),
        u8::from(table.kind == RecordKind::Extra),
        u8::from(table.seek.is_some()),
        0,
    ]);
    out.extend(table.chunk_bytes.to_le_bytes());
    out.extend(table.first_span.to_le_bytes());
    out.extend(u32_len(table.media_type.len(), "media type")?.to_le_bytes());
    out.extend(u32_len(table.spans.len(), "spans")?.to_le_bytes());
    out.extend(u32_len(table.chunks.len(), "chunks")?.to_le_bytes());
    out.extend([0; 4]);
    out.extend(table.media_type.as_bytes());
    pad(out, 8);
    for span in &table.spans {
        out.extend(span.stored.to_le_bytes());
    }
    for span in &table.spans {
        out.extend(span.plain.to_le_bytes());
    }
    if let Some(seek) = &table.seek {
        out.extend(&seek.bits);
        pad(out, 8);
        for offset in &seek.window_offset {
            out.extend(offset.to_le_bytes());
        }
        for stored in &seek.window_stored {
            out.extend(stored.to_le_bytes());
        }
        pad(out, 8);
        for digest in &seek.window_digest {
            out.extend(digest);
        }
    }
    write_chunks(out, &table.chunks);
    Ok(())
}

fn write_chunks(out: &mut Vec<u8>, chunks: &[Chunk]) {
    for chunk in chunks {
        out.extend(chunk.plain.to_le_bytes());
    }
    pad(out, 8);
    for chunk in chunks {
        out.extend(chunk.digest);
    }
}

/// Reads the plain bytes of section `layers`; every rule of [`LayerTable::check`] holds afterwards, and `extra` is the last record.
///
/// # Errors
/// [`FormatError::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<Vec<LayerTable>, FormatError> {
    let mut cursor = Cursor::new(bytes, "layers");
    let count = cursor.u32()? as usize;
    cursor.zeros(4)?;
    if count > MAX_RECORDS || count.saturating_mul(RECORD_BYTES) > cursor.remaining() {
        return Err(FormatError::corrupt(format!("layers: {count} records")));
    }
    let mut tables: Vec<LayerTable> = Vec::with_capacity(count);
    for _ in 0..count {
        if tables
            .last()
            .is_some_and(|last| last.kind == RecordKind::Extra)
        {
            return Err(FormatError::corrupt("layers: a record after extra"));
        }
        let table = decode_record(&mut cursor)?;
        table.check()?;
        tables.push(table);
    }
    cursor.end()?;
    Ok(tables)
}

fn decode_record(cursor: &mut Cursor<'_>) -> Result<LayerTable, FormatError> {
    let digest = cursor.digest()?;
    let diff_id = cursor.digest()?;
    let blob_bytes = cursor.u64()?;
    let plain_bytes = cursor.u64()?;
    let codec = codec_of(cursor.u8()?)?;
    let kind = match cursor.u8()? {
        0 => RecordKind::Layer,
        1 => RecordKind::Extra,
        other => return Err(FormatError::corrupt(format!("layers: kind {other}"))),
    };
    let has_seek = match cursor.u8()? {
        0 => false,
        1 => true,
        other => return Err(FormatError::corrupt(format!("layers: hasSeek {other}"))),
    };
    cursor.zeros(1)?;
    let chunk_bytes = cursor.u32()?;
    let first_span = cursor.u64()?;
    let media_type_length = cursor.count(1)?;
    let span_count = cursor.count(16)?;
    let chunk_count = cursor.count(36)?;
    cursor.zeros(4)?;
    let media_type = std::str::from_utf8(cursor.take(media_type_length)?)
        .map_err(|_| FormatError::corrupt("layers: the media type is not UTF-8"))?
        .to_owned();
    cursor.align(8)?;
    let stored = column(cursor, span_count, Cursor::u64)?;
    let plain = column(cursor, span_count, Cursor::u64)?;
    let spans = stored
        .into_iter()
        .zip(plain)
        .map(|(stored, plain)| Span { stored, plain })
        .collect();
    let seek = has_seek
        .then(|| decode_seek(cursor, span_count))
        .transpose()?;
    let chunk_plain = column(cursor, chunk_count, Cursor::u32)?;
    cursor.align(8)?;
    let chunk_digest = column(cursor, chunk_count, Cursor::digest)?;
    let chunks = chunk_plain
        .into_iter()
        .zip(chunk_digest)
        .map(|(plain, digest)| Chunk { plain, digest })
        .collect();
    Ok(LayerTable {
        digest,
        diff_id,
        blob_bytes,
        plain_bytes,
        codec,
        kind,
        media_type,
        chunk_bytes,
        first_span,
        spans,
        chunks,
        seek,
    })
}

fn decode_seek(cursor: &mut Cursor<'_>, rows: usize) -> Result<SeekColumns, FormatError> {
    let bits = column(cursor, rows, Cursor::u8)?;
    cursor.align(8)?;
    let window_offset = column(cursor, rows, Cursor::u64)?;
    let window_stored = column(cursor, rows, Cursor::u32)?;
    cursor.align(8)?;
    let window_digest = column(cursor, rows, Cursor::digest)?;
    Ok(SeekColumns {
        bits,
        window_offset,
        window_stored,
        window_digest,
    })
}

fn column<'a, T>(
    cursor: &mut Cursor<'a>,
    rows: usize,
    read: impl Fn(&mut Cursor<'a>) -> Result<T, FormatError>,
) -> Result<Vec<T>, FormatError> {
    (0..rows).map(|_| read(cursor)).collect()
}

fn codec_number(codec: Codec) -> u8 {
    match codec {
        Codec::Plain => 0,
        Codec::Gzip => 1,
        Codec::Zstd => 2,
    }
}

fn codec_of(number: u8) -> Result<Codec, FormatError> {
    match number {
        0 => Ok(Codec::Plain),
        1 => Ok(Codec::Gzip),
        2 => Ok(Codec::Zstd),
        other => Err(FormatError::corrupt(format!("layers: codec {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::{blake3, sha256};

    fn table(kind: RecordKind, codec: Codec, lengths: &[u16], windows: bool) -> LayerTable {
        let spans: Vec<Span> = lengths
            .iter()
            .map(|length| {
                let plain = u64::from(*length) + 1;
                Span {
                    stored: if codec == Codec::Plain {
                        plain
                    } else {
                        plain / 2 + 1
                    },
                    plain,
                }
            })
            .collect();
        let plain_bytes = spans.iter().map(|span| span.plain).sum();
        let rows = spans.len();
        let chunks = spans
            .iter()
            .flat_map(|span| {
                let whole = usize::try_from(span.plain / 4096).unwrap();
                let rest = u32::try_from(span.plain % 4096).unwrap();
                std::iter::repeat_n(4096, whole).chain((rest > 0).then_some(rest))
            })
            .map(|plain| Chunk {
                plain,
                digest: blake3(&plain.to_le_bytes()),
            })
            .collect();
        LayerTable {
            digest: sha256(b"blob"),
            diff_id: sha256(b"plain"),
            blob_bytes: spans.iter().map(|span| span.stored).sum::<u64>() + 7,
            plain_bytes,
            codec,
            kind,
            media_type: "application/x".repeat(lengths.len() % 4),
            chunk_bytes: 4096,
            first_span: 3,
            spans,
            chunks,
            seek: windows.then(|| SeekColumns {
                bits: vec![7; rows],
                window_offset: vec![1 << 40; rows],
                window_stored: vec![9; rows],
                window_digest: vec![blake3(b"window"); rows],
            }),
        }
    }

    #[test]
    fn records_that_break_a_rule_are_corrupt() {
        type Break = fn(&mut LayerTable);
        let breaks: [Break; 10] = [
            |table| table.chunk_bytes = 4097,
            |table| table.chunk_bytes = 2048,
            |table| table.plain_bytes += 1,
            |table| table.blob_bytes = 0,
            |table| table.chunks[0].plain = 0,
            |table| table.chunks[0].plain = 4097,
            |table| table.spans[0].stored = 0,
            |table| table.spans[0].plain = u64::MAX,
            |table| table.seek.as_mut().unwrap().bits[0] = 8,
            |table| table.seek.as_mut().unwrap().window_stored.clear(),
        ];
        let good = table(RecordKind::Layer, Codec::Gzip, &[5000, 10], true);
        assert!(good.check().is_ok());
        for (index, change) in breaks.iter().enumerate() {
            let mut broken = good.clone();
            change(&mut broken);
            assert!(
                matches!(encode(&[broken]), Err(FormatError::Corrupt(_))),
                "break {index}"
            );
        }
    }

    #[test]
    fn extra_is_the_last_record() {
        let layer = table(RecordKind::Layer, Codec::Zstd, &[1], false);
        let extra = table(RecordKind::Extra, Codec::Zstd, &[2], false);
        let bytes = encode(&[extra.clone(), layer.clone()]).unwrap();
        assert!(decode(&bytes).is_err());
        assert!(decode(&encode(&[layer, extra]).unwrap()).is_ok());
    }

    #[test]
    fn the_chunk_table_digest_is_that_of_the_stored_columns() {
        let layer = table(RecordKind::Layer, Codec::Zstd, &[5000], false);
        let bytes = encode(std::slice::from_ref(&layer)).unwrap();
        let columns = layer.chunks.len() * 32 + (layer.chunks.len() * 4).next_multiple_of(8);
        assert_eq!(
            layer.chunk_table_digest(),
            sha256(&bytes[bytes.len() - columns..])
        );
    }

    proptest! {
        #[test]
        fn tables_are_read_as_they_were_written_and_every_cut_is_corrupt(
            lengths in proptest::collection::vec(proptest::collection::vec(any::<u16>(), 0..8), 0..5),
            windows in any::<bool>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let codecs = [Codec::Plain, Codec::Gzip, Codec::Zstd];
            let tables: Vec<LayerTable> = lengths
                .iter()
                .zip(codecs.iter().cycle())
                .map(|(lengths, codec)| table(RecordKind::Layer, *codec, lengths, windows && *codec == Codec::Gzip))
                .collect();
            let bytes = encode(&tables).unwrap();
            prop_assert_eq!(decode(&bytes).unwrap(), tables);
            prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_tables_or_corrupt(bytes in proptest::collection::vec(any::<u8>(), 0..600), count in 0u8..4) {
            let framed = [&[count, 0, 0, 0, 0, 0, 0, 0], bytes.as_slice()].concat();
            let _ = decode(&framed);
        }
    }
}
