//! The same where there are no owners and modes: files inherit the access list of their folder.

use super::*;

impl FileId {
    /// A database that is open cannot be replaced here.
    pub(super) fn of(_: &Metadata) -> Self {
        Self(0, 0)
    }
}

impl Place {
    /// Files inherit the access list of their folder.
    pub(super) fn trust(&self, _: &Metadata) -> Result<()> {
        Ok(())
    }

    pub(super) fn make_folder(&self) -> Result<()> {
        let made = std::fs::create_dir_all(&self.folder);
        made.map_err(|error| Error::io(format!("making the folder {}", self.folder.display()), error))
    }
}

pub(super) fn owners_alone(_: &File) -> io::Result<()> {
    Ok(())
}

/// Nothing tells here.
pub(super) fn has_no_descriptors(_: &Path) -> bool {
    false
}

pub(super) fn has_one_name(_: &Metadata) -> bool {
    true
}

/// An open file cannot be deleted here.
pub(super) fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

pub(super) fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}
