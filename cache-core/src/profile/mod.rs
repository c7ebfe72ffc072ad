//! What we write into a document that MSAL libraries of other languages read and write too.
//!
//! The libraries share a format, not its reading: each has values that it cannot load, takes for something else, or
//! deletes. A [`Profile`] names the libraries that share a cache, and gives the document the form that all of them can
//! bear, at the moment it is written. Reading takes every form, whatever the profile.
//!
//! What each library does with what was found by giving documents to MSAL.NET 4.92, MSAL Python 1.39, MSAL Node 7.2 and
//! MSAL Go 1.9, and in the source of MSAL Java
//! (AzureAD/microsoft-authentication-library-for-java, `msal4j-sdk/src/main/java/com/microsoft/aad/msal4j`).

mod collisions;
mod context;
mod deletes;
mod extended;
mod fields;
mod form;
mod loadable;
mod objection;
mod spelling;
mod text;

use std::fmt;

use self::context::Context;
use self::objection::Notes;
use crate::changes::{Change, Changes};
use crate::document::{Form, Reformed, UnifiedDocument};
use crate::entry::{Entry, EntryId};
use crate::error::{Error, ErrorKind, Result};
use crate::time::UnixSeconds;

pub use self::deletes::dotnet_deletes;
pub use self::objection::{Consequence, Objection, Reason};

/// A library that reads and writes the same document as we do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// MSAL Python, and what stands on it: the Azure CLI, azure-identity for Python.
    Python,
    /// MSAL Node, and what stands on it: azure-identity for JavaScript.
    Node,
    /// MSAL Go, and what stands on it: the Azure Developer CLI, azidentity.
    Go,
    /// MSAL Java, and what stands on it: azure-identity for Java.
    Java,
    /// MSAL.NET, and what stands on it: Visual Studio, Azure PowerShell, Git Credential Manager.
    DotNet,
}

impl Peer {
    const ALL: [Self; 5] = [Self::Python, Self::Node, Self::Go, Self::Java, Self::DotNet];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Python => "MSAL Python",
            Self::Node => "MSAL Node",
            Self::Go => "MSAL Go",
            Self::Java => "MSAL Java",
            Self::DotNet => "MSAL.NET",
        })
    }
}

/// The form that documents are written in: what the libraries that share them can bear.
///
/// The default names no library: what others wrote stays as it is, value for value. Any other profile gives the *whole*
/// document its form, whenever a write changes something in it:
///
/// - For **MSAL.NET**, which deletes a cache that it cannot load. A field that it reads as a text is a text, and one
///   that it reads as an object is an object of texts; any other value there becomes its JSON text. Null home account
///   ids become empty; other nulls that it fails on are left out. A field stands once: the last of a repeated one.
///   Times lie in the years 1 to 9999. What is nested deeper than its 64 levels becomes its JSON text; half a
///   surrogate pair becomes U+FFFD. ID tokens whose payload is no JSON object are dropped: they end its calls, and
///   none is needed.
/// - For **MSAL Python**, which fails at every lookup when it meets one access token that it does not expect.
///   `expires_on` is in whole seconds, and `0` where it says nothing; what it makes keys of are texts; access tokens
///   are of the plain type, at the latest when they have expired. Text is UTF-8, and accounts have a `username`, for
///   MSAL.NET too.
/// - For **MSAL Go**, which fails on the whole document. Times are in whole seconds, or absent.
/// - For **MSAL Node**. Access tokens are of a type that it keeps. Extended ones are dropped when they have expired,
///   and of several of one meaning the newest stays: it would store a twin beside the expired one, and fail on both.
/// - For **all**. Extended access tokens say so, and key ids and assertion hashes stand, in the spelling of each
///   library that is named. An application's token without a home account id gets an empty one. A section that is no
///   object becomes an empty one, since every reader fails on it.
///
/// Every other value stays as it is, also where it looks odd. What no form can mend, [`objections`](Self::objections)
/// tells.
///
/// ```
/// use cache_core::{Blob, Peer, Profile, UnifiedDocument, UnixSeconds};
///
/// // An application's token as MSAL Python writes it, with a number where a text belongs.
/// let json = br#"{"AccessToken":{"k":{"home_account_id":null,"environment":"login.windows.net","client_id":"app",
///     "credential_type":"AccessToken","secret":"planted","target":"api","expires_on":1800003600}}}"#;
/// let mut document = UnifiedDocument::parse(&Blob::copy_of(json))?;
/// let profile = Profile::shared_with([Peer::DotNet, Peer::Node]);
///
/// let objection = profile.objections(&document).remove(0).to_string();
/// assert_eq!(objection, "MSAL.NET deletes the cache: AccessToken, 1 time: a field with a value of the wrong type");
///
/// let applied = profile.apply(&mut document, UnixSeconds(1_800_000_000));
/// assert_eq!(applied.rewritten.len(), 1);
/// assert!(applied.objections.is_empty());
/// # Ok::<(), cache_core::Error>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Profile {
    peers: u8,
    null_home_account_ids: bool,
}

/// What [`Profile::apply`] did.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Entries and unknown sections that have another content now.
    pub rewritten: Vec<EntryId>,
    /// Entries that are gone; sections that were no object, with an empty key.
    pub dropped: Vec<EntryId>,
    /// What no form can mend: the [objections](Profile::objections) to the document as it is now.
    pub objections: Vec<Objection>,
}

impl Profile {
    /// The profile of a cache that these libraries share with us.
    pub fn shared_with(peers: impl IntoIterator<Item = Peer>) -> Self {
        let peers = peers.into_iter().fold(0, |all, peer| all | peer.bit());
        Self { peers, null_home_account_ids: false }
    }

    /// The same profile, in which applications' tokens carry a null `home_account_id`: MSAL Python finds them by
    /// nothing else. MSAL Node finds them by an empty one only, so that no form serves both.
    ///
    /// `InvalidInput`: MSAL.NET shares the cache; it deletes a file with such a token.
    pub fn with_null_home_account_ids(self) -> Result<Self> {
        if self.names(Peer::DotNet) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "application tokens with a null home account id make MSAL.NET delete the cache that it shares; \
                 keep the tokens of Python applications in a cache of their own",
            ));
        }
        Ok(Self { null_home_account_ids: true, ..self })
    }

    /// The libraries that share the cache.
    pub fn peers(&self) -> impl Iterator<Item = Peer> + use<> {
        let profile = *self;
        Peer::ALL.into_iter().filter(move |peer| profile.names(*peer))
    }

    /// Whether this library shares the cache.
    pub fn names(&self, peer: Peer) -> bool {
        self.peers & peer.bit() != 0
    }

    /// Gives the document the form of this profile, at the time `now`. Applying it twice is the same as once.
    pub fn apply(&self, document: &mut UnifiedDocument, now: UnixSeconds) -> Applied {
        let Reformed { rewritten, dropped } = self.reform(document, now);
        Applied { rewritten, dropped, objections: self.objections(document) }
    }

    /// What these libraries do with the document as it stands, each reason once for a library and a section, the worst
    /// consequence first. [`apply`](Self::apply) mends all of it, except:
    ///
    /// - [`UsersBesideApplications`](Reason::UsersBesideApplications) and [`SameKey`](Reason::SameKey): only
    ///   documents of their own help, for applications and for each on-behalf-of assertion.
    /// - [`NotAnEntity`](Reason::NotAnEntity) and [`SectionName`](Reason::SectionName): the entry would have to go.
    /// - [`AuthorityType`](Reason::AuthorityType) and [`TenantProfiles`](Reason::TenantProfiles): the right value is
    ///   not known.
    /// - [`TakenForPlain`](Reason::TakenForPlain) and [`CredentialType`](Reason::CredentialType) of an access token
    ///   that is extended without saying by what; and the type of key-bound tokens that MSAL Node and Python share,
    ///   until they have expired.
    /// - [`HomeAccountId`](Reason::HomeAccountId) with others than MSAL.NET: an application's token is found either
    ///   by MSAL Python or by MSAL Node.
    /// - [`Levels`](Reason::Levels) of an entry that would grow beyond 16 MiB.
    pub fn objections(&self, document: &UnifiedDocument) -> Vec<Objection> {
        let mut notes = Notes::new(*self);
        for part in document.parts() {
            form::of(part, &mut Context { profile: *self, now: None, notes: &mut notes });
        }
        collisions::note(document, &mut notes);
        extended::note(document, &mut notes);
        notes.into_objections()
    }

    fn names_any(self) -> bool {
        self.peers != 0
    }

    pub(crate) fn reform(self, document: &mut UnifiedDocument, now: UnixSeconds) -> Reformed {
        let mut reformed = Reformed::default();
        if !self.names_any() {
            return reformed;
        }
        document.spell_keys_as_text();
        let mut notes = Notes::new(self);
        let mut add = |more: Reformed| {
            reformed.rewritten.extend(more.rewritten);
            reformed.dropped.extend(more.dropped);
        };
        let mut context = Context { profile: self, now: Some(now), notes: &mut notes };
        add(document.reform(|part| form::of(part, &mut context)));
        if self.names(Peer::Node) {
            let superfluous = extended::superfluous(document, now);
            add(document.reform(|part| if superfluous.contains(part) { Form::Gone } else { Form::Same }));
        }
        reformed
    }

    /// The changes with every put in the form that it will have in the store at the time `now`.
    pub(crate) fn changes(self, changes: &Changes, now: UnixSeconds) -> Changes {
        if !self.names_any() {
            return changes.clone();
        }
        let mut notes = Notes::new(self);
        let mut context = Context { profile: self, now: Some(now), notes: &mut notes };
        let mut formed = |entry: &Entry| {
            let json = form::of_entry(entry, &mut context);
            json.map_or_else(|| entry.clone(), |json| Entry { json, ..entry.clone() })
        };
        changes.map(|change| match change {
            Change::Put { entry, replaces, guard } => {
                Change::Put { entry: formed(entry), replaces: replaces.clone(), guard: guard.clone() }
            }
            other => other.clone(),
        })
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("peers", &self.peers().collect::<Vec<_>>())
            .field("null_home_account_ids", &self.null_home_account_ids)
            .finish()
    }
}

#[cfg(test)]
mod tests;
