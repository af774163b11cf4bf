//! The sink: its settings, and what can be said of it without writing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use arrow_schema::Schema;
use riverhook_config::{MapReader, Reading};

use super::{FileSinkSettings, FileSource, leftovers, names::Names, template::Template, writer::FileWriter};
use crate::{
    error::Error,
    format::{Format, Framing},
    registry::Setup,
    sink::{ReadBack, Sink, WriteContext, Writer},
};

/// Files as a sink.
#[derive(Clone)]
pub struct FileSink {
    pub(super) settings: FileSinkSettings,
    pub(super) template: Template,
    pub(super) base: PathBuf,
    pub(super) format: Format,
}

impl FileSink {
    /// From the node's settings.
    pub(super) fn read(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Box<dyn Sink>> {
        Self::configured(map, cx, setup).map(|sink| Box::new(sink) as Box<dyn Sink>)
    }

    pub(super) fn configured(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Self> {
        let settings = FileSinkSettings::read_fields(map, cx)?;
        if settings.path.split('/').any(|part| part == "..") {
            let problem = settings.path.error("a sink's path cannot lead out of its folder by `..`");
            cx.push(problem.help("write the whole path, such as `/var/lib/archive/`"));
            return None;
        }
        match Template::parse(&settings.path) {
            Ok(template) => Some(Self { settings, template, base: setup.base.clone(), format: setup.format.clone() }),
            Err(problem) => {
                cx.push(settings.path.error(problem).help("such as `out/day={ts:%Y-%m-%d}/`"));
                None
            }
        }
    }

    /// The folder that all files are in.
    fn root(&self) -> PathBuf {
        self.base.join(self.template.root())
    }

    /// What the temporary names of this sink's files hold, and those of no other.
    pub(super) fn mark(&self, context: &WriteContext) -> String {
        let name = format!("{}\0{}", context.pipeline, context.sink);
        format!("{:08x}", xxhash_rust::xxh3::xxh3_64(name.as_bytes()) >> 32)
    }
}

impl Sink for FileSink {
    fn check(&self, schema: &Schema) -> Result<(), Vec<String>> {
        let mut problems = self.template.check(schema);
        if self.format.framing() == Framing::Whole {
            problems.push("format bytes has no end of a record: use json, csv, text or parquet".into());
        } else if let Err(more) = self.format.check_write(schema) {
            problems.extend(more);
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn probe(&self, _timeout: Duration) -> Result<String, Error> {
        let root = self.root();
        let there = root.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        let test = there.join(format!(".{}.riverhook-probe", uuid::Uuid::new_v4()));
        let tried = fs::File::create_new(&test).and_then(|_| fs::remove_file(&test));
        match tried {
            Ok(()) => Ok(format!("{} can be written to", there.display())),
            Err(error) => Err(Error::config(format!("{} cannot be written to", there.display())).caused_by(error)),
        }
    }

    fn open(&self, context: WriteContext) -> Result<Box<dyn Writer>, Error> {
        let root = self.root();
        fs::create_dir_all(&root).map_err(|error| {
            Error::config(format!("sink `{}`: cannot make the folder {}", context.sink, root.display()))
                .caused_by(error)
        })?;
        let leftovers = leftovers::remove(&root, self.template.depth(), &self.mark(&context));
        if leftovers > 0 {
            tracing::info!(sink = %context.sink, leftovers, "removed the unfinished files of a run that crashed");
        }
        context.status.up();
        Ok(Box::new(FileWriter::new(self.clone(), context)?))
    }

    fn read_back(&self) -> Option<ReadBack> {
        // Files that are being written are hidden, which no pattern matches: what is found is whole.
        let names = Names::new(&self.base, &[self.template.pattern()]).ok()?;
        let source = Box::new(FileSource::once(names, &self.format));
        Some(ReadBack { source, format: self.format.clone() })
    }
}
