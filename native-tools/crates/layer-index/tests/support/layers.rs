//! Running the pipeline on bytes in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use layer_index::index_file::IndexReader;
use layer_index::pack::{
    Action, Encoding, LayerFailure, LayerJob, LayerReport, LevelControl, Observer, Origin,
    PackOptions, SEEK_BYTES, pack_layers,
};
use layer_index::{IndexError, Limits, Stop};
use tempfile::TempDir;

pub const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
pub const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// A folder with layers in it.
pub struct Bench {
    pub folder: TempDir,
    pub options: PackOptions,
}

/// What came of one layer.
#[derive(Debug)]
pub struct Outcome {
    pub report: LayerReport,
    pub blob: Vec<u8>,
    pub index_bytes: Vec<u8>,
    pub index_path: PathBuf,
}

impl Outcome {
    pub fn index(&self) -> IndexReader {
        IndexReader::parse(self.index_bytes.clone(), "test".to_owned()).unwrap()
    }
}

/// Remembers the reports.
#[derive(Default)]
pub struct Reports(pub Mutex<Vec<(String, LayerReport)>>);

impl Observer for Reports {
    fn progress(&self, _id: &str, _done_bytes: u64, _total_bytes: Option<u64>) {}

    fn layer_done(&self, id: &str, report: &LayerReport) {
        self.0.lock().unwrap().push((id.to_owned(), report.clone()));
    }
}

impl Bench {
    pub fn new(chunk_bytes: u32) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            options: PackOptions {
                jobs: 2,
                chunk_bytes,
                seek_bytes: SEEK_BYTES,
                limits: Limits::default(),
                level: LevelControl::default(),
            },
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn job(
        &self,
        name: &str,
        blob: &[u8],
        media_type: &str,
        encoding: Option<Encoding>,
    ) -> LayerJob {
        fs::write(self.path(name), blob).unwrap();
        LayerJob {
            id: name.to_owned(),
            source: self.path(name).into(),
            media_type: media_type.to_owned(),
            diff_id: None,
            expected_digest: None,
            expected_size: None,
            action: encoding.map_or(Action::Keep, |encoding| Action::Pack {
                encoding,
                output: self.path(&format!("{name}.blob")),
            }),
            index: self.path(&format!("{name}.idx")),
        }
    }

    pub fn run(&self, job: &LayerJob) -> Result<Outcome, IndexError> {
        let reports = Reports::default();
        pack_layers(
            std::slice::from_ref(job),
            &self.options,
            &reports,
            &Stop::new(),
        )
        .map_err(|LayerFailure { error, .. }| error)?;
        let (_, report) = reports.0.into_inner().unwrap().pop().unwrap();
        let blob = match &job.action {
            Action::Pack { output, .. } => output.as_path(),
            Action::Keep => match &job.source {
                Origin::File(path) => path.as_path(),
                Origin::Socket(_) | Origin::Planned { .. } => Path::new("/dev/null"),
            },
        };
        Ok(Outcome {
            report,
            blob: fs::read(blob).unwrap(),
            index_bytes: fs::read(&job.index).unwrap(),
            index_path: job.index.clone(),
        })
    }

    pub fn pack(&self, tar: &[u8], encoding: Encoding) -> Outcome {
        self.run(&self.job("packed", tar, PLAIN, Some(encoding)))
            .unwrap()
    }

    pub fn keep(&self, blob: &[u8], media_type: &str) -> Result<Outcome, IndexError> {
        self.run(&self.job("kept", blob, media_type, None))
    }

    /// Names in the folder, to see that nothing was left behind.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Bytes that do not compress to nothing and are the same in every run.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // 16 different values: compressible like text
            (state >> 60) as u8 + b'a'
        })
        .collect()
}

pub fn read_file(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}
