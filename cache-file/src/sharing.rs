//! The choices about a file that careless writers share.

/// How a file is shared with careless writers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sharing {
    /// Whether the journal holds a copy of the last good document.
    pub(crate) keeps_copy: bool,
    /// Whether a missing file is a sign-out of everybody.
    pub(crate) absence_is_sign_out: bool,
}

impl Default for Sharing {
    fn default() -> Self {
        Self { keeps_copy: true, absence_is_sign_out: false }
    }
}
