//! How the files of a store are protected.

use std::sync::Arc;

use cache_core::Protector;

/// How the files of a store are protected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Protection {
    /// Not at all, beyond the mode of the files: whoever can read them has the tokens. The MSAL libraries can share
    /// the file.
    Plaintext,
    /// By this protector: the files are of no use without its key.
    Protected(Arc<dyn Protector>),
}

impl Protection {
    /// `plaintext` or `protected`, for people to read.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Protected(_) => "protected",
        }
    }

    /// Whether a key is needed to read the files.
    pub fn is_protected(&self) -> bool {
        matches!(self, Self::Protected(_))
    }
}
