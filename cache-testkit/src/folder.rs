//! Temporary folders for the files of a store, and what lies in a folder.

use std::fs;
use std::path::Path;

/// A folder that is gone at the end of the test.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// A new folder on the disk.
    ///
    /// # Panics
    /// If none can be made.
    #[expect(clippy::new_without_default, reason = "each is another folder: none is the default")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary folder"))
    }

    /// A new folder in memory, where there is such a place: for tests that write much and do not ask what the disk has.
    ///
    /// # Panics
    /// If none can be made.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self(tempfile::tempdir_in(parent).expect("temporary folder"))
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The names in the folder, sorted.
    ///
    /// # Panics
    /// As [`names`].
    pub fn names(&self) -> Vec<String> {
        names(self.path())
    }
}

/// The names in a folder, sorted.
///
/// # Panics
/// If it cannot be listed, or has a name that is not Unicode.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("listed").file_name().into_string().expect("an ordinary name")).collect();
    names.sort();
    names
}

/// The path as text, for the arguments of a worker.
///
/// # Panics
/// If it is not Unicode.
pub fn text(path: &Path) -> String {
    path.to_str().expect("an ordinary path").to_owned()
}

#[cfg(unix)]
pub use self::unix::{Mount, mode, modes_below, set_mode};

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::names;
    use crate::promises::say;

    /// The mode of what lies at `path`, without the bits that tell its type. A symbolic link is not followed.
    ///
    /// # Panics
    /// If nothing is there.
    pub fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("it is there").mode() & 0o7777
    }

    /// Sets the mode of what lies at `path`.
    ///
    /// # Panics
    /// If it cannot be set.
    pub fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode can be set");
    }

    /// A line `<mode> <name>` for everything below the folder, however deep: `0600 msal.cache`.
    ///
    /// # Panics
    /// As [`names`](super::names), and if something goes meanwhile.
    pub fn modes_below(folder: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        for name in names(folder) {
            let path = folder.join(&name);
            lines.push(format!("{:04o} {name}", mode(&path)));
            if path.is_dir() {
                lines.extend(modes_below(&path));
            }
        }
        lines
    }

    /// A file system in memory, with a size and a mode of its own. It is unmounted when the test ends, however it does.
    #[derive(Debug)]
    pub struct Mount(PathBuf);

    impl Mount {
        /// Makes the folder and mounts there, with the options of `mount -o`. `None`, and said aloud, where this process
        /// may not mount: the test then has nothing to show.
        ///
        /// # Panics
        /// If the folder cannot be made.
        pub fn new(path: PathBuf, options: &str) -> Option<Self> {
            fs::create_dir(&path).expect("made");
            let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).status();
            if status.is_ok_and(|status| status.success()) {
                return Some(Self(path));
            }
            say("cannot mount here: the part of this test that needs a mount is left out");
            None
        }

        /// Where it is mounted.
        pub fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(&self.0).status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lists_its_names_in_order_and_goes() {
        for folder in [Folder::new(), Folder::in_memory()] {
            for name in ["b", "a", "c"] {
                fs::write(folder.path().join(name), name).expect("written");
            }
            assert_eq!(folder.names(), ["a", "b", "c"]);
            let path = folder.path().to_owned();
            drop(folder);
            assert!(!path.exists());
        }
    }

    #[cfg(unix)]
    #[test]
    fn modes_are_told_of_everything_below() {
        let folder = Folder::new();
        fs::create_dir(folder.path().join("deep")).expect("made");
        fs::write(folder.path().join("deep/file"), "").expect("written");
        set_mode(&folder.path().join("deep"), 0o1770);
        set_mode(&folder.path().join("deep/file"), 0o604);
        assert_eq!(modes_below(folder.path()), ["1770 deep", "0604 file"]);
    }
}
