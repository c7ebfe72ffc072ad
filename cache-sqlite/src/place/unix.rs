//! Owners, modes and identities of files on Unix systems.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

use super::*;

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

/// Whether the process can open no more files, which SQLite takes for a file that cannot be opened.
pub(super) fn has_no_descriptors(folder: &Path) -> bool {
    use rustix::io::Errno;
    let failed = File::open(folder).err().and_then(|error| error.raw_os_error());
    failed.is_some_and(|code| [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&code))
}

pub(super) fn has_one_name(metadata: &Metadata) -> bool {
    metadata.nlink() == 1
}

/// Whether this open file is still the one at the path.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = FileId::of(&file.metadata()?);
    match path.symlink_metadata() {
        Ok(there) => Ok(FileId::of(&there) == open),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Place {
    /// `Denied`: the file is another user's, or others can put a file in its place. Others lose their rights to it.
    pub(super) fn trust(&self, metadata: &Metadata) -> Result<()> {
        let denied = |message: String| Err(Error::new(ErrorKind::Denied, message));
        let user = rustix::process::geteuid().as_raw();
        if metadata.uid() != user {
            return denied(format!("{} belongs to another user", self.path.display()));
        }
        self.trust_folder()?;
        if metadata.mode() & 0o077 != 0 {
            warn!("the database could be opened by other users; it is for its owner alone now");
            for path in std::iter::once(self.path.clone()).chain(COMPANIONS.map(|name| self.beside(name))) {
                match std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::io(format!("closing {} to other users", path.display()), error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Makes the folder and those above it that are missing, for their owner alone.
    pub(super) fn make_folder(&self) -> Result<()> {
        make_all(&self.folder)
            .map_err(|error| Error::io(format!("making the folder {}", self.folder.display()), error))?;
        self.trust_folder()
    }

    /// `Denied`: others can put files into the folder.
    fn trust_folder(&self) -> Result<()> {
        let folder = self.folder.metadata();
        let folder = folder.map_err(|error| Error::io(format!("looking at {}", self.folder.display()), error))?;
        if folder.mode() & 0o002 != 0 || ![rustix::process::geteuid().as_raw(), 0].contains(&folder.uid()) {
            let message = format!(
                "{} can be written to by other users, who could put another database there; use a folder of your own",
                self.folder.display()
            );
            return Err(Error::new(ErrorKind::Denied, message));
        }
        if folder.mode() & 0o020 != 0 {
            warn!("the members of a group can put another database in the place of this one; close the folder to them");
        }
        Ok(())
    }
}

fn make_all(folder: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        // The umask may have taken even the owner's rights.
        Ok(()) => std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match folder.parent() {
            Some(parent) => make_all(parent).and_then(|()| make_all(folder)),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Gives a file its mode whatever the umask; SQLite gives that of the database to what it puts beside it.
pub(super) fn owners_alone(file: &File) -> io::Result<()> {
    if file.metadata()?.mode() & 0o777 == 0o600 {
        return Ok(());
    }
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

/// Makes the names in the folder durable.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
