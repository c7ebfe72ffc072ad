//! A product's cache on a machine.

use std::path::{Path, PathBuf};

use cache_core::{Environments, Peer, Profile, Result};

use super::participants::participants;
use super::paths;
use super::{Machine, Participant, Preset, Wrapper};

/// A product's cache on a machine: its path, what it is wrapped in, and which libraries take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductCache {
    preset: Preset,
    path: PathBuf,
    participants: Vec<Participant>,
}

impl ProductCache {
    pub(super) fn new(preset: Preset, machine: &Machine) -> Result<Self> {
        let path = paths::path(preset, machine)?;
        Ok(Self { preset, path, participants: participants(preset, machine.platform()) })
    }

    /// The preset.
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// The path of the cache file, or of the marker file where the tokens are elsewhere.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lock file of .NET, Go, Node and Python, and of this crate: `<path>.lockfile`.
    pub fn lock_file(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".lockfile");
        path.into()
    }

    /// The lock file of MSAL Java, `.lockfile` in the folder of the cache; `None` where Java takes no part. It keeps none
    /// of the others out, and they do not keep Java out.
    pub fn java_lock_file(&self) -> Option<PathBuf> {
        self.has(Peer::Java).then(|| self.path.with_file_name(".lockfile"))
    }

    /// The libraries that take part, each with the wrappers that it uses.
    pub fn participants(&self) -> &[Participant] {
        &self.participants
    }

    /// The libraries that take part, each once.
    pub fn libraries(&self) -> Vec<Peer> {
        self.participants.iter().map(|participant| participant.library).collect()
    }

    /// Whether a library takes part.
    pub fn has(&self, library: Peer) -> bool {
        self.participants.iter().any(|participant| participant.library == library)
    }

    /// The form that the libraries which take part can bear.
    pub fn profile(&self) -> Profile {
        Profile::shared_with(self.libraries())
    }

    /// The clouds with their hosts in the order that the libraries which take part prefer: new entries go under the first.
    ///
    /// MSAL Python writes under the host of its authority, `login.microsoftonline.com`, and lists accounts under that one
    /// or, only if there are none, under other names of the cloud (`msal/application.py`, `get_accounts`). The others
    /// look under all of them. So it is that host where Python takes part, else the one that all others prefer.
    pub fn environments(&self) -> Environments {
        /// The public cloud as MSAL Python's applications name it.
        const AUTHORITY_FIRST: [&str; 4] =
            ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"];
        let known = Environments::default();
        if self.has(Peer::Python) { known.with_group(AUTHORITY_FIRST) } else { known }
    }

    /// Whether the file can be a plaintext one, which [`store`](Self::store) opens.
    pub fn may_be_plaintext(&self) -> bool {
        self.wrappers().any(|wrapper| *wrapper == Wrapper::PlaintextFile)
    }

    /// Whether the file can be the marker of an item in a keychain or Secret Service, where the tokens are.
    pub fn may_be_marker(&self) -> bool {
        self.wrappers().any(Wrapper::leaves_marker)
    }

    /// Whether a file that is gone can have been deleted by MSAL.NET on data that it could not load, so that putting it
    /// back can be right. Never for Azure CLI: there, signing everybody out deletes the file.
    pub fn may_restore_missing(&self) -> bool {
        self.has(Peer::DotNet)
    }

    /// In what the libraries that take part keep the cache, for people.
    pub(crate) fn wrapped_in(&self) -> String {
        let mut wrappers: Vec<String> = self.wrappers().map(Wrapper::to_string).collect();
        wrappers.dedup();
        wrappers.join(" or ")
    }

    fn wrappers(&self) -> impl Iterator<Item = &Wrapper> {
        self.participants.iter().flat_map(|participant| &participant.wrappers)
    }
}
