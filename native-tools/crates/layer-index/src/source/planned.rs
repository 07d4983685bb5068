//! A stream that is put together: some of its bytes are given, the others are stretches of a file.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use archive_format::FormatError;
use archive_format::digest::{Digest, Sha256};

use crate::error::IndexError;

const GIVEN: u8 = 0;
const COPIED: u8 = 1;
const PROVEN: u8 = 2;

/// Reads the stream that a plan describes. A plan is a list of records, numbers little-endian:
///
/// - `0`, u32 length, the bytes: these bytes;
/// - `1`, u64 offset, u64 length: a stretch of the data file;
/// - `2`, u64 offset, u64 length, 32 bytes: the same, and its SHA-256.
///
/// A stretch is proven when its last byte was given: nothing of the stream may be used before its end.
pub(crate) struct Planned {
    plan: BufReader<File>,
    data: File,
    step: Step,
}

enum Step {
    Between,
    Given {
        left: u64,
    },
    Copied {
        at: u64,
        left: u64,
        proof: Option<Box<Proof>>,
    },
}

struct Proof {
    hasher: Sha256,
    expected: Digest,
}

impl Planned {
    pub(crate) fn open(plan: &Path, data: &Path) -> std::io::Result<Self> {
        Ok(Self {
            plan: BufReader::new(File::open(plan)?),
            data: File::open(data)?,
            step: Step::Between,
        })
    }

    /// The next bytes; 0 at the end.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, IndexError> {
        loop {
            match &mut self.step {
                Step::Between => {
                    let Some(step) = self.next_step()? else {
                        return Ok(0);
                    };
                    self.step = step;
                }
                Step::Given { left: 0 } => self.step = Step::Between,
                Step::Given { left } => {
                    let part = up_to(out, *left);
                    self.plan.read_exact(part).map_err(bad_plan)?;
                    *left -= part.len() as u64;
                    return Ok(part.len());
                }
                Step::Copied { left: 0, at, proof } => {
                    if let Some(proof) = proof.take()
                        && proof.hasher.finish() != proof.expected
                    {
                        return Err(FormatError::Corrupt(format!(
                            "the bytes of the file before byte {at} do not have their digest"
                        ))
                        .into());
                    }
                    self.step = Step::Between;
                }
                Step::Copied { at, left, proof } => {
                    let part = up_to(out, *left);
                    let length = read_at(&self.data, part, *at)?;
                    if let Some(proof) = proof {
                        proof.hasher.update(part.get(..length).unwrap_or_default());
                    }
                    *at += length as u64;
                    *left -= length as u64;
                    return Ok(length);
                }
            }
        }
    }

    fn next_step(&mut self) -> Result<Option<Step>, IndexError> {
        let mut kind = [0];
        if self.plan.read(&mut kind).map_err(bad_plan)? == 0 {
            return Ok(None);
        }
        if kind == [GIVEN] {
            let mut length = [0; 4];
            self.plan.read_exact(&mut length).map_err(bad_plan)?;
            let left = u32::from_le_bytes(length).into();
            return Ok(Some(Step::Given { left }));
        }
        let (at, left) = (self.number()?, self.number()?);
        let proof = match kind {
            [COPIED] => None,
            [PROVEN] => {
                let mut expected = [0; 32];
                self.plan.read_exact(&mut expected).map_err(bad_plan)?;
                let hasher = Sha256::new();
                Some(Box::new(Proof { hasher, expected }))
            }
            _ => return Err(IndexError::Usage("no plan of a stream".to_owned())),
        };
        Ok(Some(Step::Copied { at, left, proof }))
    }

    fn number(&mut self) -> Result<u64, IndexError> {
        let mut bytes = [0; 8];
        self.plan.read_exact(&mut bytes).map_err(bad_plan)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

fn up_to(out: &mut [u8], left: u64) -> &mut [u8] {
    let length = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    out.get_mut(..length).unwrap_or_default()
}

/// At least a byte, where some is wanted.
fn read_at(data: &File, out: &mut [u8], at: u64) -> Result<usize, IndexError> {
    loop {
        match data.read_at(out, at) {
            Ok(0) if !out.is_empty() => {
                let message = format!("no byte {at}, where a file has some");
                return Err(FormatError::Truncated(message).into());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(IndexError::io("read the archive's files", error)),
            Ok(length) => return Ok(length),
        }
    }
}

fn bad_plan(error: std::io::Error) -> IndexError {
    match error.kind() {
        ErrorKind::UnexpectedEof => IndexError::Usage("the plan of a stream is cut".to_owned()),
        _ => IndexError::io("read the plan of a stream", error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use archive_format::digest::sha256;
    use tool_protocol::Coded;

    use super::*;

    fn stretch(kind: u8, at: u64, length: u64) -> Vec<u8> {
        [
            vec![kind],
            at.to_le_bytes().into(),
            length.to_le_bytes().into(),
        ]
        .concat()
    }

    fn read(plan: &[u8], step: usize) -> Result<Vec<u8>, IndexError> {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("plan"), plan).unwrap();
        fs::write(path("data"), b"0123456789").unwrap();
        let mut planned = Planned::open(&path("plan"), &path("data")).unwrap();
        let mut all = vec![];
        let mut buffer = vec![0; step];
        loop {
            match planned.read(&mut buffer)? {
                0 => return Ok(all),
                length => all.extend(&buffer[..length]),
            }
        }
    }

    #[test]
    fn a_plan_puts_given_bytes_and_proven_stretches_together() {
        let plan = [
            vec![GIVEN, 3, 0, 0, 0],
            b"abc".to_vec(),
            stretch(COPIED, 8, 2),
            vec![GIVEN, 0, 0, 0, 0],
            stretch(COPIED, 0, 0),
            stretch(PROVEN, 1, 4),
            sha256(b"1234").to_vec(),
        ]
        .concat();
        for step in [1, 2, 100] {
            assert_eq!(read(&plan, step).unwrap(), b"abc891234");
        }
    }

    #[test]
    fn bytes_without_their_digest_a_short_file_and_what_is_no_plan_are_refused() {
        let wrong = [stretch(PROVEN, 1, 4), sha256(b"1235").to_vec()].concat();
        for (plan, code) in [
            (wrong, "ARCHIVE_CORRUPT"),
            (stretch(COPIED, 8, 3), "ARCHIVE_TRUNCATED"),
            (stretch(COPIED, u64::MAX, 1), "IO_FAILED"),
            (vec![GIVEN, 9, 0, 0, 0, 1], "USAGE"),
            (vec![PROVEN, 1], "USAGE"),
            (stretch(7, 0, 1), "USAGE"),
        ] {
            assert_eq!(read(&plan, 4).unwrap_err().code(), code);
        }
    }
}
