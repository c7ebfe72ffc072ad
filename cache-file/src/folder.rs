//! A folder of partitions, as far as one handle knows it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use cache_core::{Blob, PartitionKey, Result};

use crate::layout::{NAMES_KEY, NamesKey, Place, key_file};
use crate::stamp::Stat;

/// So many partitions' places are remembered; what is forgotten is only what the last look at them showed.
const REMEMBERED: usize = 4096;

/// A folder of partitions, as far as one handle knows it.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// The key of the names, and the file that it was read from.
    names: Option<(NamesKey, Stat)>,
    places: HashMap<PartitionKey, Arc<Place>>,
}

impl Folder {
    /// The folder `path`, which must be absolute. `InvalidInput`: no folder can have this path.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        // A place in it has a path that a file can have exactly if the folder's path is sound.
        Place::new(&path.join(NAMES_KEY), None)?;
        Ok(Self { path: path.to_owned(), known: RwLock::default() })
    }

    /// The place of a partition; `None` while the key of the names has not been read.
    pub(crate) fn place(&self, partition: &PartitionKey) -> Result<Option<Arc<Place>>> {
        if let Some(place) = self.known.read().unwrap_or_else(PoisonError::into_inner).places.get(partition) {
            return Ok(Some(Arc::clone(place)));
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Some((names, _)) = &known.names else { return Ok(None) };
        let name = names.name_of(partition);
        let place = Arc::new(Place::new(&self.path.join(&name), Some(key_file(&name)))?);
        if known.places.len() >= REMEMBERED {
            known.places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        Ok(Some(Arc::clone(known.places.entry(partition.clone()).or_insert(place))))
    }

    pub(crate) fn is_known(&self, stat: &Stat) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.names.as_ref().is_some_and(|(_, known)| known == stat)
    }

    pub(crate) fn learn(&self, names: NamesKey, stat: Stat) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.names.as_ref().is_none_or(|(known, _)| known.as_bytes() != names.as_bytes()) {
            known.places.clear();
        }
        known.names = Some((names, stat));
    }

    pub(crate) fn stored_names(&self) -> Option<Blob> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.names.as_ref().map(|(names, _)| names.as_bytes().clone())
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder").field("path", &self.path).finish_non_exhaustive()
    }
}
