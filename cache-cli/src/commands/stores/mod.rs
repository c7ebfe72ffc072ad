//! `stores`: the token caches of other products on this machine, and what each is.

mod report;
mod warnings;

use std::fs::Metadata;
use std::io;
use std::path::PathBuf;

use cache_core::{DocumentStore as _, Error, ErrorKind, PartitionKey, TokenCache, UnixSeconds};
use cache_file::presets::{Machine, Preset, ProductCache, Wrapper};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Failure;

/// Lists the caches, without secrets and without the names of users.
pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    context.output.print(&Stores::on(&Machine::here(), context.now())?)
}

/// The caches of all presets, each file once.
#[derive(Debug, Serialize)]
struct Stores {
    now: i64,
    stores: Vec<StoreRow>,
}

#[derive(Debug, Serialize)]
struct StoreRow {
    presets: Vec<&'static str>,
    path: PathBuf,
    lock_file: PathBuf,
    libraries: Vec<LibraryRow>,
    exists: bool,
    bytes: Option<u64>,
    mode: Option<String>,
    modified: Option<i64>,
    content: Content,
    accounts: Option<usize>,
    entries: Option<usize>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LibraryRow {
    library: String,
    wrappers: Vec<&'static str>,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    /// There is no file.
    Nothing,
    /// Entries, in plaintext.
    Plaintext,
    /// Nothing yet; or the tokens are elsewhere, and the file is their marker.
    Empty,
    /// The tokens are in a keychain; the file is their marker.
    Marker,
    /// Something that needs a key of the product.
    Protected,
    /// It could not be read; the warnings say why.
    Unreadable,
}

impl Stores {
    fn on(machine: &Machine, now: UnixSeconds) -> Result<Self, Failure> {
        let mut stores: Vec<StoreRow> = Vec::new();
        for preset in Preset::all() {
            let cache = preset.on(machine)?;
            match stores.iter_mut().find(|row| row.path == cache.path()) {
                Some(row) => row.presets.push(preset.name()),
                None => stores.push(StoreRow::of(&cache)),
            }
        }
        Ok(Self { now: now.0, stores })
    }
}

impl StoreRow {
    fn of(cache: &ProductCache) -> Self {
        let mut row = Self {
            presets: vec![cache.preset().name()],
            path: cache.path().to_owned(),
            lock_file: cache.lock_file(),
            libraries: (cache.participants().iter())
                .map(|participant| LibraryRow {
                    library: participant.library.to_string(),
                    wrappers: participant.wrappers.iter().map(Wrapper::name).collect(),
                })
                .collect(),
            exists: true,
            bytes: None,
            mode: None,
            modified: None,
            content: Content::Nothing,
            accounts: None,
            entries: None,
            warnings: Vec::new(),
        };
        match cache.path().symlink_metadata() {
            Ok(metadata) => row.look(cache, &metadata),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                row.exists = false;
            }
            Err(error) => row.is_unreadable(error.to_string()),
        }
        row
    }

    /// Looks at what stands at the path, and reads it if it may be plaintext.
    fn look(&mut self, cache: &ProductCache, metadata: &Metadata) {
        if metadata.is_file() {
            self.bytes = Some(metadata.len());
            self.mode = mode(metadata);
            self.modified = modified(metadata);
        }
        if !cache.may_be_plaintext() {
            self.content = if cache.may_be_marker() { Content::Marker } else { Content::Protected };
            return;
        }
        let (read, warnings) = warnings::of(|| read(cache));
        self.warnings = warnings;
        match read {
            Ok(Some(tokens)) if !tokens.is_empty() => {
                self.content = Content::Plaintext;
                self.accounts = Some(tokens.accounts().len());
                self.entries = Some(tokens.len());
            }
            Ok(_) => {
                self.content = Content::Empty;
                if cache.may_be_marker() {
                    self.warnings.push(
                        "nothing is in the file: the tokens may be in a keychain or Secret Service, of which it is the \
                         marker"
                            .to_owned(),
                    );
                }
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => self.content = Content::Protected,
            Err(error) => self.is_unreadable(error.message().to_owned()),
        }
    }

    fn is_unreadable(&mut self, why: String) {
        self.content = Content::Unreadable;
        self.warnings.push(why);
    }
}

/// What the cache holds; `None`: it has no byte, or went away meanwhile. Writes nothing: the store is read-only.
fn read(cache: &ProductCache) -> Result<Option<TokenCache>, Error> {
    let store = cache.store()?.build()?;
    let document = pollster::block_on(store.read(&PartitionKey::Shared))?;
    document.map(|document| TokenCache::deserialize(document.bytes.expose())).transpose()
}

/// The permission bits in octal digits, where there are such.
#[cfg_attr(unix, allow(clippy::unnecessary_wraps))] // elsewhere there are none
fn mode(metadata: &Metadata) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        Some(format!("{:04o}", metadata.permissions().mode() & 0o7777))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

fn modified(metadata: &Metadata) -> Option<i64> {
    let since = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}
