//! Where a pipeline remembers how far it is: numbered manifests in an object store.
//!
//! A manifest is written whole, under a number nobody used before, and never changed: whoever finds its number taken has
//! lost a race with another process and stops. Only positions are in it yet; state will be named by it too.

mod manifest;

#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, local::LocalFileSystem, path::Path};
use parking_lot::Mutex;
use riverhook_connectors::{
    clock::Clock,
    position::{Partition, Positions},
};

pub use manifest::{FORMAT_VERSION, Manifest};

use crate::error::Error;

/// How many manifests are kept: one could do, two more let a person look at what happened.
const KEPT: u64 = 3;

/// The manifests of one pipeline.
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    folder: PathBuf,
    io: tokio::runtime::Handle,
    clock: Arc<dyn Clock>,
    newest: Mutex<Manifest>,
}

impl Store {
    /// Opens the store in `folder` and loads the newest manifest, if there is one.
    pub fn open(
        folder: PathBuf,
        pipeline: &str,
        io: tokio::runtime::Handle,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let trouble = |what: &str, error: &dyn std::fmt::Display| {
            Error::failed(format!("cannot {what} the checkpoint store {}: {error}", folder.display()))
        };
        std::fs::create_dir_all(&folder).map_err(|error| trouble("create", &error))?;
        let objects: Arc<dyn ObjectStore> =
            Arc::new(LocalFileSystem::new_with_prefix(&folder).map_err(|error| trouble("open", &error))?);
        let newest = io.block_on(newest(&*objects)).map_err(|error| trouble("read", &error))?;
        let newest = match newest {
            Some((number, bytes)) => {
                Manifest::from_bytes(number, &bytes).map_err(|error| trouble("understand", &error))?
            }
            None => Manifest::empty(pipeline),
        };
        if newest.pipeline != pipeline {
            let message = format!(
                "it belongs to the pipeline `{}`; give `{pipeline}` a `checkpoint.store` of its own",
                newest.pipeline
            );
            return Err(trouble("use", &message));
        }
        Ok(Self { objects, folder, io, clock, newest: Mutex::new(newest) })
    }

    /// Where each source of the newest manifest goes on.
    pub fn positions(&self, source: &str) -> Positions {
        self.newest.lock().positions.get(source).cloned().unwrap_or_default()
    }

    /// The newest manifest.
    pub fn manifest(&self) -> Manifest {
        self.newest.lock().clone()
    }

    /// Writes the next manifest, with these positions of `source` in place of its old ones; partitions not named stay.
    pub fn commit(&self, source: &str, positions: &Positions) -> Result<(), Error> {
        self.commit_and_forget(source, positions, &[])
    }

    /// The same, and forgets partitions that no longer exist, so that the manifest is bounded by those that do.
    pub fn commit_and_forget(&self, source: &str, positions: &Positions, gone: &[Partition]) -> Result<(), Error> {
        self.update(|manifest| {
            let kept = manifest.positions.entry(source.to_owned()).or_default();
            kept.extend(positions.clone());
            kept.retain(|partition, _| !gone.contains(partition));
        })
    }

    /// Forgets all positions of all sources.
    pub fn reset(&self) -> Result<(), Error> {
        self.update(|manifest| manifest.positions.clear())
    }

    /// The folder beside which connectors keep small files of their own.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    fn update(&self, change: impl FnOnce(&mut Manifest)) -> Result<(), Error> {
        // The lock is held while writing: manifests are few (one a barrier) and must be in order.
        let mut newest = self.newest.lock();
        let mut next = newest.clone();
        change(&mut next);
        if next == *newest {
            return Ok(());
        }
        next.number += 1;
        next.created = self.clock.now_micros();
        self.io.block_on(self.write(&next))?;
        *newest = next;
        Ok(())
    }

    async fn write(&self, manifest: &Manifest) -> Result<(), Error> {
        let path = path_of(manifest.number);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let trouble = |error: &dyn std::fmt::Display| {
            Error::failed(format!("cannot write a checkpoint to {}: {error}", self.folder.display()))
        };
        // A process that was held up for long finds its number free again: others have gone on and removed it.
        let listed = newest_number(&*self.objects).await.map_err(|error| trouble(&error))?;
        if listed.is_some_and(|listed| listed >= manifest.number) {
            return Err(self.overtaken(manifest));
        }
        let put = self.objects.put_opts(&path, PutPayload::from(manifest.to_bytes()), options).await;
        put.map_err(|error| match error {
            object_store::Error::AlreadyExists { .. } => self.overtaken(manifest),
            other => trouble(&other),
        })?;
        self.sync(manifest.number).map_err(|error| trouble(&error))?;
        if let Some(old) = manifest.number.checked_sub(KEPT) {
            // Best effort: a file left behind costs some bytes and is never read.
            let _ = self.objects.delete(&path_of(old)).await;
        }
        Ok(())
    }

    /// The store for folders does not wait for the disk; a manifest that power loss could take would move positions back.
    fn sync(&self, number: u64) -> std::io::Result<()> {
        let manifests = self.folder.join("manifest");
        std::fs::File::open(self.folder.join(path_of(number).as_ref()))?.sync_all()?;
        std::fs::File::open(manifests)?.sync_all()
    }

    fn overtaken(&self, manifest: &Manifest) -> Error {
        Error::failed(format!(
            "another process wrote checkpoint {} of `{}` in {}: stop it, or give this one a `name` of its own",
            manifest.number,
            manifest.pipeline,
            self.folder.display()
        ))
    }
}

fn path_of(number: u64) -> Path {
    Path::from(format!("manifest/{number:020}.json"))
}

async fn newest(objects: &dyn ObjectStore) -> Result<Option<(u64, Vec<u8>)>, object_store::Error> {
    let Some(number) = newest_number(objects).await? else { return Ok(None) };
    let bytes = objects.get(&path_of(number)).await?.bytes().await?;
    Ok(Some((number, bytes.to_vec())))
}

async fn newest_number(objects: &dyn ObjectStore) -> Result<Option<u64>, object_store::Error> {
    let listed: Vec<_> = objects.list(Some(&Path::from("manifest"))).try_collect().await?;
    let number = |path: &Path| path.filename()?.strip_suffix(".json")?.parse::<u64>().ok();
    Ok(listed.iter().filter_map(|object| number(&object.location)).max())
}
