//! What the paths of presets depend on.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variables that products look at.
const VARIABLES: [&str; 4] = ["AZURE_CONFIG_DIR", "XDG_DATA_HOME", "LOCALAPPDATA", "APPDATA"];

/// An operating system, as far as products keep their caches differently on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Platform {
    /// Linux, and every other Unix but macOS.
    Linux,
    /// macOS.
    Macos,
    /// Windows.
    Windows,
}

impl Platform {
    /// The platform that this program was built for.
    pub fn here() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::Macos
        } else {
            Self::Linux
        }
    }
}

/// What the paths of presets depend on: platform, home folder, working directory and environment variables.
///
/// [`here`](Self::here) is this machine and user. A machine made by [`new`](Self::new) answers as another one would,
/// for tests, or for a home folder that is not the user's own.
#[derive(Debug, Clone)]
pub struct Machine {
    platform: Platform,
    pub(super) home: Option<PathBuf>,
    working_dir: PathBuf,
    variables: HashMap<&'static str, OsString>,
}

impl Machine {
    /// A machine with this home folder, on which no variable is set and whose working directory is the home folder.
    pub fn new(platform: Platform, home: impl Into<PathBuf>) -> Self {
        let home = home.into();
        Self { platform, working_dir: home.clone(), home: Some(home), variables: HashMap::new() }
    }

    /// This machine, as this process sees it now.
    pub fn here() -> Self {
        let variables = VARIABLES.iter().filter_map(|&name| Some((name, std::env::var_os(name)?)));
        Self {
            platform: Platform::here(),
            home: std::env::home_dir().filter(|home| !home.as_os_str().is_empty()),
            // Without one, a path that is relative to it stays relative.
            working_dir: std::env::current_dir().unwrap_or_default(),
            variables: variables.collect(),
        }
    }

    /// The same machine with an environment variable set: `AZURE_CONFIG_DIR`, `XDG_DATA_HOME`, `LOCALAPPDATA` or
    /// `APPDATA`. Others change no path.
    #[must_use]
    pub fn with_variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name, value.into());
        self
    }

    /// The same machine with this working directory.
    #[must_use]
    pub fn with_working_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.working_dir = dir.into();
        self
    }

    /// The platform.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// The user's home folder; `None` if it is not known.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The working directory.
    pub(super) fn working_dir(&self) -> &Path {
        &self.working_dir
    }

    /// The path in an environment variable; an empty one counts as not set.
    pub(super) fn variable(&self, name: &str) -> Option<&Path> {
        self.variables.get(name).filter(|value| !value.is_empty()).map(Path::new)
    }
}
