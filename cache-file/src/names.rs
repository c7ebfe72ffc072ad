//! The random key that the names in a folder of partitions are made with.

use cache_core::{Blob, Context, Error, ErrorKind, Result};

use crate::NAME;
use crate::folder::Folder;
use crate::inner::Inner;
use crate::layout::{NAMES_KEY, NamesKey, name_of_key_file};
use crate::lock::{Lock, deadline};
use crate::look::at_path;
use crate::notes::Notes;
use crate::platform::Dir;
use crate::replace::Temporary;
use crate::stamp::Stat;

impl Inner {
    /// Reads the key of the folder's names if it is not the known one. `false`: the folder has none yet.
    pub(crate) fn learn_names(&self, folder: &Folder, dir: &Dir, notes: &Notes) -> Result<bool> {
        let path = folder.path.join(NAMES_KEY);
        let failed = |error| Error::io(format_args!("cannot look at {}", path.display()), error);
        if dir.stat(NAMES_KEY.as_ref()).map_err(failed)?.is_some_and(|stat| folder.is_known(&stat)) {
            return Ok(true);
        }
        let Some(raw) = self.read_file(dir, &folder.path, NAMES_KEY.as_ref(), notes)? else {
            // Without it no partition is found; to go on with a new one would make them all look empty.
            if dir.names().map_err(failed)?.iter().any(|name| name_of_key_file(name).is_some()) {
                if dir.stat(NAMES_KEY.as_ref()).map_err(failed)?.is_some() {
                    // Another process has just made both.
                    return self.learn_names(folder, dir, notes);
                }
                let message = format!(
                    "{} is missing, without which the caches beside it are not found; restore it",
                    path.display()
                );
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            return Ok(false);
        };
        let opened = self.open_sealed(&raw.bytes, &Context::name(NAME)).map_err(|error| at_path(&error, &path))?;
        let Some(names) = NamesKey::from_bytes(&opened) else {
            let message =
                format!("{} is damaged, without which the caches beside it are not found; restore it", path.display());
            return Err(Error::new(ErrorKind::Corrupt, message));
        };
        folder.learn(names, raw.stat);
        Ok(true)
    }

    /// Makes the key of the folder's names, unless another process does.
    pub(crate) fn make_names(&self, folder: &Folder, dir: &Dir, notes: &Notes) -> Result<()> {
        let names = NamesKey::random()?;
        self.put_names(folder, dir, names.as_bytes(), notes, |stat| stat.is_none())
    }

    /// Protects the key of the folder's names anew.
    pub(crate) fn reprotect_names(&self, folder: &Folder, dir: &Dir, notes: &Notes) -> Result<()> {
        match folder.stored_names() {
            Some(names) => {
                self.put_names(folder, dir, &names, notes, |stat| stat.is_some_and(|stat| folder.is_known(stat)))
            }
            None => Ok(()),
        }
    }

    /// Writes the key of the folder's names if the file that is there under the lock is one that may be replaced, and
    /// reads what is there then.
    fn put_names(
        &self,
        folder: &Folder,
        dir: &Dir,
        names: &Blob,
        notes: &Notes,
        may_replace: impl FnOnce(Option<&Stat>) -> bool,
    ) -> Result<()> {
        let failed = |error| Error::io(format_args!("cannot write {}", folder.path.join(NAMES_KEY).display()), error);
        self.prepare_to_seal()?;
        let sealed = self.seal(names, &Context::name(NAME))?;
        let lock_file = format!("{NAMES_KEY}.lockfile").into();
        let lock = Lock::take(dir, &folder.path, lock_file, deadline(self.lock_wait), notes)?;
        let present = dir.stat(NAMES_KEY.as_ref()).map_err(failed)?;
        if may_replace(present.as_ref()) {
            let temporary = Temporary::write(dir, NAMES_KEY.as_ref(), &sealed).map_err(failed)?;
            // Whoever has lost the lock must not replace the key that another process has made and used meanwhile.
            if lock.is_held() && dir.stat(NAMES_KEY.as_ref()).map_err(failed)? == present {
                temporary.put_in_place(NAMES_KEY.as_ref(), present.as_ref()).map_err(failed)?;
            }
        }
        drop(lock);
        self.learn_names(folder, dir, notes)?;
        Ok(())
    }
}
