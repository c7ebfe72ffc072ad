//! The partitions of a store: where each one is, which there are, and the key that stands beside each file.

use std::sync::Arc;

use cache_core::{Blob, Context, Edit, Error, ErrorKind, PartitionKey, Result, Version};

use crate::NAME;
use crate::inner::{Home, Inner};
use crate::layout::{Place, key_file, name_of_key_file};
use crate::look::at_path;
use crate::notes::Notes;
use crate::platform::Dir;
use crate::replace::Temporary;
use crate::writing::OwnKey;

/// Partitions of which the keys are read at a time.
const PAGE: usize = 256;

impl Inner {
    /// The stamp of the partition by one stat; `None`: where it is, is not known without further I/O. `InvalidInput`:
    /// the store cannot hold it.
    pub(crate) fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        match &self.home {
            Home::File(place) => Some(only_shared(partition).and_then(|()| self.stamp_at(place))),
            Home::Folder(folder) => Some(folder.place(partition).transpose()?.and_then(|place| self.stamp_at(&place))),
        }
    }

    /// The place of the partition and its open folder; `None` if there is no folder, so that there is no cache either.
    pub(crate) fn find(&self, partition: &PartitionKey, notes: &Notes) -> Result<Option<(Arc<Place>, Dir)>> {
        match &self.home {
            Home::File(place) => {
                only_shared(partition)?;
                Ok(self.open_dir(&place.dir, notes)?.map(|dir| (Arc::clone(place), dir)))
            }
            Home::Folder(folder) => {
                let Some(dir) = self.open_dir(&folder.path, notes)? else { return Ok(None) };
                if !self.learn_names(folder, &dir, notes)? {
                    return Ok(None);
                }
                Ok(folder.place(partition)?.map(|place| (place, dir)))
            }
        }
    }

    /// The same for a write: makes what is missing. `Denied`: the store is read-only.
    pub(crate) fn find_or_make(&self, partition: &PartitionKey, notes: &Notes) -> Result<(Arc<Place>, Dir)> {
        self.check_writable()?;
        let (folder, dir) = match &self.home {
            Home::File(place) => {
                only_shared(partition)?;
                return Ok((Arc::clone(place), self.make_dir(&place.dir, notes)?));
            }
            Home::Folder(folder) => (folder, self.make_dir(&folder.path, notes)?),
        };
        if !self.learn_names(folder, &dir, notes)? {
            self.make_names(folder, &dir, notes)?;
        }
        let place = folder.place(partition)?.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, format!("{} was removed meanwhile; try again", folder.path.display()))
        })?;
        Ok((place, dir))
    }

    /// At most `limit` partitions that hold something, by file name, those after `after`.
    pub(crate) fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        let notes = Notes::default();
        let folder = match &self.home {
            Home::File(place) => {
                let holds_something = after.is_none()
                    && limit > 0
                    && self.find(&PartitionKey::Shared, &notes)?.is_some()
                    && place.stat()?.is_some_and(|stat| self.holds_something(&stat));
                return Ok(holds_something.then_some(PartitionKey::Shared).into_iter().collect());
            }
            Home::Folder(folder) => folder,
        };
        // Any partition does to learn the names of the folder.
        let Some((after_place, dir)) = self.find(after.unwrap_or(&PartitionKey::Shared), &notes)? else {
            return Ok(Vec::new());
        };
        let failed = |error| Error::io(format_args!("cannot list the folder {}", folder.path.display()), error);
        let files = dir.names().map_err(failed)?;
        let mut names: Vec<&str> = files.iter().filter_map(|file| name_of_key_file(file)).collect();
        if after.is_some() {
            names.retain(|&name| name > after_place.file.to_str().unwrap_or_default());
        }
        names.sort_unstable();
        let mut page = Vec::new();
        for name in names {
            if page.len() == limit {
                break;
            }
            let cache = dir.stat(name.as_ref()).map_err(failed)?;
            if !cache.is_some_and(|stat| self.holds_something(&stat)) {
                continue;
            }
            let key_file = key_file(name);
            if let Some(raw) = self.read_file(&dir, &folder.path, &key_file, &notes)? {
                page.push(self.open_key(&raw.bytes).map_err(|error| at_path(&error, &folder.path.join(&key_file)))?);
            }
        }
        Ok(page)
    }

    /// Protects everything anew, and answers how many partitions there are.
    pub(crate) fn reprotect(&self) -> Result<usize> {
        self.check_writable()?;
        if !self.protection.is_protected() {
            return Err(Error::new(ErrorKind::InvalidInput, "a plaintext store has nothing to protect anew"));
        }
        if let Home::Folder(folder) = &self.home {
            let notes = Notes::default();
            let Some(dir) = self.open_dir(&folder.path, &notes)? else { return Ok(0) };
            self.learn_names(folder, &dir, &notes)?;
            self.reprotect_names(folder, &dir, &notes)?;
        }
        let mut count = 0;
        let mut page: Vec<PartitionKey> = self.partitions(None, PAGE)?;
        while let Some(last) = page.last() {
            for partition in &page {
                let again = |document: Option<&Blob>| Ok(document.cloned().map_or(Edit::Keep, Edit::Replace));
                self.modify(partition, OwnKey::Renewed, Box::new(again))?;
            }
            count += page.len();
            page = self.partitions(Some(last), PAGE)?;
        }
        Ok(count)
    }

    /// Whether the file of the partition's own key is right, as far as that can be said without the lock. A wrong one
    /// is written anew at the next write: what must be in it is known.
    pub(crate) fn key_is_right(
        &self,
        dir: &Dir,
        place: &Place,
        partition: &PartitionKey,
        notes: &Notes,
    ) -> Result<bool> {
        let Some(key_file) = place.key_file.as_ref().filter(|_| !place.memory().key_is_kept) else { return Ok(true) };
        let Some(raw) = self.read_file(dir, &place.dir, key_file, notes)? else { return Ok(false) };
        match self.open_key(&raw.bytes) {
            Ok(kept) => Ok(kept == *partition),
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => Ok(false),
            Err(error) => Err(at_path(&error, &place.dir.join(key_file))),
        }
    }

    /// Sees to it, under the lock, that the partition's own key stands beside its file.
    pub(crate) fn keep_key(&self, dir: &Dir, place: &Place, partition: &PartitionKey, is_right: bool) -> Result<()> {
        let Some(key_file) = &place.key_file else { return Ok(()) };
        let failed = |error| Error::io(format_args!("cannot write {}", place.dir.join(key_file).display()), error);
        if !is_right || dir.stat(key_file).map_err(failed)?.is_none() {
            let key = partition.to_bytes().into();
            let bytes = self.seal(&key, &Context::name(NAME))?;
            let placed = Temporary::write(dir, key_file, &bytes)
                .and_then(|temporary| temporary.put_in_place(key_file, None))
                .map_err(failed)?;
            if placed.is_none() {
                let path = place.dir.join(key_file);
                let message = format!("{} was swept away while it was written; try again", path.display());
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
        }
        place.remember(|memory| memory.key_is_kept = true);
        Ok(())
    }

    fn open_key(&self, bytes: &Blob) -> Result<PartitionKey> {
        PartitionKey::from_bytes(self.open_sealed(bytes, &Context::name(NAME))?.expose())
    }
}

fn only_shared(partition: &PartitionKey) -> Result<()> {
    if *partition == PartitionKey::Shared {
        return Ok(());
    }
    let message = format!(
        "a store of one file holds the shared partition only, not one of kind {}; use `FileStore::in_dir`",
        partition.kind()
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}
