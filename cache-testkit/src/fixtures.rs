//! Cache documents that MSAL libraries wrote, and hostile ones, with the clock that they were written at.
//!
//! `fixtures/README.md` says who made each and what it shows. Tests must run at [`NOW`]: by the computer's clock the
//! tokens count as cached in the future, which some libraries refuse.

use std::path::{Path, PathBuf};
use std::sync::Once;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cache_core::{ManualClock, UnixSeconds};
use serde_json::Value;

/// The time at which the documents were written: 2027-01-15T08:00:00Z.
pub const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// A clock that stands at [`NOW`].
pub fn clock() -> ManualClock {
    ManualClock::at(NOW)
}

/// A unified cache document.
#[derive(Clone)]
pub struct Fixture {
    /// The file's name without its extension, for example `net-foci`.
    pub name: String,
    /// The document.
    pub bytes: Vec<u8>,
}

/// Documents, ordered by name.
#[derive(Debug, Clone)]
pub struct Fixtures(Vec<Fixture>);

impl Fixtures {
    /// The documents of this crate: written by MSAL Python, Node and .NET, and by two of them in turn.
    ///
    /// # Panics
    /// If the crate's folder `fixtures` cannot be read.
    pub fn own() -> Self {
        Self::of_folder(&own_folder(), &["py-", "node-", "net-", "cross-"]).expect("the crate has its fixtures")
    }

    /// Documents written by MSAL Go, and those of the libraries' own tests, which are not part of this project: read
    /// from `shared/fixtures` beside the checkout. None where that folder is not there, and then one line on standard
    /// error says so.
    pub fn beside() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
        Self::of_folder(&folder, &["go-", "up-"]).unwrap_or_else(|_| {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                say("no folder shared/fixtures beside the checkout: fixtures go-* and up-* are not tested");
            });
            Self(Vec::new())
        })
    }

    /// The document of this name.
    pub fn named(&self, name: &str) -> Option<&Fixture> {
        self.0.iter().find(|fixture| fixture.name == name)
    }

    /// The documents in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Fixture> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of_folder(folder: &Path, prefixes: &[&str]) -> std::io::Result<Self> {
        let mut fixtures = Vec::new();
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) else { continue };
            if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                fixtures.push(Fixture { name: name.to_owned(), bytes: std::fs::read(&path)? });
            }
        }
        fixtures.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self(fixtures))
    }
}

impl<'a> IntoIterator for &'a Fixtures {
    type Item = &'a Fixture;
    type IntoIter = std::slice::Iter<'a, Fixture>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Fixtures {
    type Item = Fixture;
    type IntoIter = std::vec::IntoIter<Fixture>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fixture({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// A document that is odd or hostile: damaged, of the wrong types, or at the edge of what the format allows.
#[derive(Clone)]
pub struct OddDocument {
    /// What is odd about it.
    pub name: String,
    /// The document. Not always JSON, nor text.
    pub bytes: Vec<u8>,
    /// What MSAL.NET 4.92.0 answered: a fact to compare with, not a behaviour to imitate.
    pub net: String,
}

impl std::fmt::Debug for OddDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OddDocument({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// The odd and hostile documents, in the order of their file.
///
/// # Panics
/// If the crate's `fixtures/odd/documents.jsonl` cannot be read, or is not what its README says.
pub fn odd_documents() -> impl Iterator<Item = OddDocument> {
    let text = std::fs::read_to_string(own_folder().join("odd/documents.jsonl")).expect("the crate has its fixtures");
    let documents: Vec<OddDocument> = text.lines().map(odd_document).collect();
    documents.into_iter()
}

fn odd_document(line: &str) -> OddDocument {
    let line: Value = serde_json::from_str(line).expect("each line is JSON");
    let text = |name: &str| line[name].as_str();
    let bytes = match (text("text"), text("base64")) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(encoded)) => STANDARD.decode(encoded).expect("base64"),
        _ => panic!("an odd document has either text or base64"),
    };
    let required = |name: &str| text(name).unwrap_or_else(|| panic!("an odd document has a {name}")).to_owned();
    OddDocument { name: required("name"), bytes, net: required("net") }
}

fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Past the test harness, which keeps what `println!` writes to itself unless a test fails.
fn say(line: &str) {
    use std::io::Write as _;
    // Nobody to tell if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_documents_are_all_there() {
        let own = Fixtures::own();
        let count = |prefix: &str| own.iter().filter(|fixture| fixture.name.starts_with(prefix)).count();
        assert_eq!(["py-", "node-", "net-", "cross-"].map(count), [8, 7, 13, 3]);
        assert_eq!(own.named("py-empty").map(|fixture| &fixture.bytes[..]), Some(&b"{}"[..]));
        assert!(own.iter().is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn documents_beside_the_checkout_are_all_there_or_none() {
        let beside = Fixtures::beside();
        assert!(beside.is_empty() || beside.len() == 10, "{beside:?}");
    }

    #[test]
    fn odd_documents_are_all_there() {
        let odd: Vec<OddDocument> = odd_documents().collect();
        assert_eq!(odd.len(), 257);
        assert!(odd.iter().any(|document| std::str::from_utf8(&document.bytes).is_err()), "one is not text");
        assert!(odd[0].net.contains("load:"));
    }
}
