//! One file that is being written: hidden under a temporary name, then synced and renamed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use flate2::write::GzEncoder;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression as ParquetCompression, ZstdLevel},
    file::properties::WriterProperties,
};

use super::{
    Compression, leftovers,
    patient::{Patience, Patient},
};
use crate::{
    batch::Epoch,
    format::{Encoded, Encoder},
};

type Disk = Patient<File>;

/// An open file.
pub(super) struct Output {
    body: Option<Body>,
    temporary: PathBuf,
    path: PathBuf,
    patience: Patience,
    rows: u64,
    /// The epoch of its first row.
    pub(super) first_epoch: Epoch,
    /// When it was begun: monotonic.
    pub(super) begun: Duration,
    /// Greater for a file that was written to later.
    pub(super) used: u64,
}

enum Body {
    Plain(BufWriter<Disk>),
    Gzip(GzEncoder<BufWriter<Disk>>),
    Zstd(zstd::Encoder<'static, BufWriter<Disk>>),
    Rows(Box<ArrowWriter<Disk>>),
}

/// What a file is made of.
pub(super) enum Kind<'a> {
    /// Lines, with a first one if there is a header.
    Lines { header: Option<Vec<u8>>, compression: Compression },
    /// Parquet.
    Rows(&'a SchemaRef),
}

impl Output {
    /// Begins a file that will have this path. `mark` tells the sink's unfinished files from those of others.
    pub(super) fn begin(path: PathBuf, mark: &str, kind: Kind<'_>, patience: &Patience) -> io::Result<Self> {
        let temporary = temporary(&path, mark)?;
        let file = patience.with(|| create(&temporary))?;
        let disk = Patient::new(file, patience.clone());
        let mut output = Self {
            body: None,
            temporary,
            path,
            patience: patience.clone(),
            rows: 0,
            first_epoch: 0,
            begun: Duration::ZERO,
            used: 0,
        };
        match kind {
            Kind::Rows(schema) => {
                let level = ZstdLevel::try_new(3).map_err(io::Error::other)?;
                let properties = WriterProperties::builder().set_compression(ParquetCompression::ZSTD(level));
                let writer = ArrowWriter::try_new(disk, schema.clone(), Some(properties.build()));
                output.body = Some(Body::Rows(Box::new(writer.map_err(io::Error::other)?)));
            }
            Kind::Lines { header, compression } => {
                let out = BufWriter::with_capacity(256 << 10, disk);
                output.body = Some(match compression {
                    Compression::None => Body::Plain(out),
                    Compression::Gzip => Body::Gzip(GzEncoder::new(out, flate2::Compression::default())),
                    Compression::Zstd => Body::Zstd(zstd::Encoder::new(out, 3)?),
                });
                if let Some(header) = header {
                    output.lines()?.write_all(&header)?;
                    output.lines()?.write_all(b"\n")?;
                }
            }
        }
        Ok(output)
    }

    fn lines(&mut self) -> io::Result<&mut dyn Write> {
        match &mut self.body {
            Some(Body::Plain(out)) => Ok(out),
            Some(Body::Gzip(out)) => Ok(out),
            Some(Body::Zstd(out)) => Ok(out),
            Some(Body::Rows(_)) | None => Err(io::Error::other("rows are not written as lines here")),
        }
    }

    /// Writes rows.
    pub(super) fn write(
        &mut self,
        rows: &RecordBatch,
        encoder: Option<&mut dyn Encoder>,
        encoded: &mut Encoded,
    ) -> io::Result<()> {
        self.rows += rows.num_rows() as u64;
        if let Some(Body::Rows(writer)) = &mut self.body {
            return writer.write(rows).map_err(io::Error::other);
        }
        encoded.clear();
        let encoder = encoder.ok_or_else(|| io::Error::other("lines are written by an encoder"))?;
        encoder.encode(rows, encoded);
        let out = self.lines()?;
        for row in 0..encoded.len() {
            out.write_all(encoded.row(row))?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// The rows in it.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// About how many bytes the file would have if it ended here.
    pub(super) fn size(&self) -> u64 {
        let buffered = |out: &BufWriter<Disk>| out.get_ref().written() + out.buffer().len() as u64;
        match &self.body {
            Some(Body::Plain(out)) => buffered(out),
            Some(Body::Gzip(out)) => buffered(out.get_ref()),
            Some(Body::Zstd(out)) => buffered(out.get_ref()),
            Some(Body::Rows(writer)) => (writer.bytes_written() + writer.in_progress_size()) as u64,
            None => 0,
        }
    }

    /// Bytes held in memory until there are enough for a row group.
    pub(super) fn in_memory(&self) -> usize {
        match &self.body {
            Some(Body::Rows(writer)) => writer.memory_size(),
            _ => 0,
        }
    }

    /// Writes out what is held in memory.
    pub(super) fn spill(&mut self) -> io::Result<()> {
        match &mut self.body {
            Some(Body::Rows(writer)) => writer.flush().map_err(io::Error::other),
            _ => Ok(()),
        }
    }

    /// Makes the file durable and gives it its name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let file = match self.body.take() {
            Some(Body::Plain(out)) => into_file(out)?,
            Some(Body::Gzip(out)) => into_file(out.finish()?)?,
            Some(Body::Zstd(out)) => into_file(out.finish()?)?,
            Some(Body::Rows(writer)) => writer.into_inner().map_err(io::Error::other)?.into_inner(),
            None => return Err(io::Error::other("a file is finished once")),
        };
        file.sync_all()?;
        self.patience.with(|| fs::rename(&self.temporary, &self.path))?;
        sync_folder(&self.path)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Finished or not: under its temporary name nobody will want it. After a rename there is none.
        if self.body.is_some() {
            // What is dropped unfinished writes what it has buffered, but must not wait for a full disk.
            self.patience.give_up_after(Duration::ZERO);
        }
        self.body = None;
        let _ = fs::remove_file(&self.temporary);
    }
}

fn into_file(out: BufWriter<Disk>) -> io::Result<File> {
    out.into_inner().map(Patient::into_inner).map_err(io::IntoInnerError::into_error)
}

fn temporary(path: &Path, mark: &str) -> io::Result<PathBuf> {
    let name =
        path.file_name().and_then(|name| name.to_str()).ok_or_else(|| io::Error::other("the path has no name"))?;
    Ok(path.with_file_name(format!(".{name}{}", leftovers::ending(mark))))
}

/// Makes a file that did not exist and locks it, with its folder.
fn create(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        make_folders(folder)?;
    }
    loop {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        // Between making and locking it somebody may have taken it for a leftover.
        if file.try_lock().is_ok() && file.metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// Makes a folder and those above it that are not there yet, durably; which were made. A file in a folder whose own name
/// is lost in a power failure is lost too.
fn make_folders(folder: &Path) -> io::Result<Vec<&Path>> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(folder)?;
    for made in &missing {
        sync_folder(made)?;
    }
    Ok(missing)
}

/// A name is durable when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_that_is_made_is_synced_in_the_one_above() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path();
        let folder = base.join("a/b/c");
        assert_eq!(make_folders(&folder).unwrap(), [base.join("a/b/c"), base.join("a/b"), base.join("a")]);
        assert!(folder.is_dir());
        assert_eq!(make_folders(&base.join("a/b/d")).unwrap(), [base.join("a/b/d")]);
        assert_eq!(make_folders(&folder).unwrap(), [] as [&Path; 0]);
        assert_eq!(make_folders(Path::new("")).unwrap(), [] as [&Path; 0]);
    }
}
