//! The limits of stores in files: one stat, and the parts of a commit.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cache_core::{Context, Protector, TokenCache};

use crate::PARTITION;

/// One stat of the file: the cheapest way to learn that it has not changed.
pub fn stat(path: &Path) -> fs::Metadata {
    fs::metadata(path).expect("the file is there")
}

/// The parts of a commit, done by hand, with nothing of a store between them.
#[derive(Debug)]
pub struct CommitParts<'a> {
    protector: Option<&'a dyn Protector>,
    temporary: PathBuf,
    target: PathBuf,
}

impl<'a> CommitParts<'a> {
    /// Commits into `directory`, sealed by `protector`, if there is one.
    pub fn new(directory: &Path, protector: Option<&'a dyn Protector>) -> Self {
        Self { protector, temporary: directory.join("parts.tmp"), target: directory.join("parts") }
    }

    /// Serializes the cache, seals it, writes it to a new file, makes that durable and renames it.
    pub fn run(&self, cache: &TokenCache) {
        let document = cache.serialize();
        let sealed = self.protector.map(|protector| {
            protector.protect(document.expose(), &Context::document("file", &PARTITION)).expect("the key is at hand")
        });
        let bytes = sealed.as_deref().unwrap_or(document.expose());
        let mut file = File::create(&self.temporary).expect("the directory takes a file");
        file.write_all(bytes).expect("the disk has room");
        file.sync_all().expect("the disk works");
        fs::rename(&self.temporary, &self.target).expect("both names are in one directory");
    }
}
