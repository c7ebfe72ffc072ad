//! Planted secrets: marked texts that stand where tokens and keys stand, and must not be found in anything that a
//! program shows.
//!
//! ```
//! use cache_core::{Secret, ErrorKind, Error};
//! use cache_testkit::secrets::{Planted, capture_traces, shown};
//!
//! let planted = Planted::new("refresh token");
//! let secret = Secret::from(planted.text());
//! planted.assert_absent_from(format!("{secret:?} {secret:#?}"));
//! planted.assert_absent_from(shown(&Error::new(ErrorKind::Corrupt, "an entry is damaged")));
//! planted.assert_absent_from(capture_traces(|| tracing::info!(?secret, "loaded")));
//! ```

mod exposure;
mod forms;
mod traces;

use std::error::Error;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

pub use self::exposure::Exposure;
pub use self::traces::{capture_traces, hear_every_trace};

/// A secret that is found wherever it leaks to.
///
/// It is looked for as text, ignoring ASCII case; in base64, standard and for URLs, wherever it stands in what was
/// encoded; in hex of either case; as a list of its bytes, in decimal and hex; in UTF-16 of either byte order; and with
/// the escapes of JSON.
#[derive(Clone)]
pub struct Planted {
    label: String,
    text: String,
}

impl Planted {
    /// A secret of its own. The label says in a failure which one leaked; it is part of the text.
    pub fn new(label: &str) -> Self {
        // Random, so that no two runs and no two secrets have a part in common that could be taken for a leak.
        let unique = RandomState::new().build_hasher().finish();
        Self { label: label.to_owned(), text: format!("PLANTED-{unique:016x}-{label}") }
    }

    /// The secret itself, to be put where a secret goes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The form in which the secret stands in `shown`; `None`: it does not.
    pub fn found_in(&self, shown: impl AsRef<[u8]>) -> Option<&'static str> {
        forms::find(&self.text, shown.as_ref())
    }

    /// Looks for the secret.
    ///
    /// # Panics
    /// If it is there, naming the form that it was found in.
    #[track_caller]
    pub fn assert_absent_from(&self, shown: impl AsRef<[u8]>) {
        if let Some(form) = self.found_in(&shown) {
            panic!("the planted secret \"{}\" leaks {form}:\n{}", self.label, String::from_utf8_lossy(shown.as_ref()));
        }
    }
}

impl std::fmt::Debug for Planted {
    /// Without the text: a planted secret must not be found because a test shows its own.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Planted({})", self.label)
    }
}

/// Everything that an error says of itself and of what caused it: `Display`, with the alternate form, and `Debug`, in
/// one line and in many.
pub fn shown(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{error}\n{error:#}\n{error:?}\n{error:#?}");
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_a_chain_is_shown() {
        let inner = std::io::Error::other("the innermost");
        let outer = cache_core::Error::new(cache_core::ErrorKind::Unavailable, "the outermost").with_source(inner);
        let shown = shown(&outer);
        assert!(shown.contains("the outermost") && shown.contains("the innermost"), "{shown}");
    }

    #[test]
    fn two_secrets_are_not_taken_for_each_other() {
        let (a, b) = (Planted::new("one"), Planted::new("one"));
        assert_eq!(a.found_in(b.text()), None);
        assert!(!format!("{a:?}").contains(a.text()));
    }

    #[test]
    #[should_panic(expected = "leaks as text")]
    fn a_leak_fails_the_test() {
        let planted = Planted::new("token");
        planted.assert_absent_from(format!("Error: bad token {}", planted.text()));
    }
}
