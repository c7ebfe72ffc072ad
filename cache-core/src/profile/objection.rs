//! What a library does with a document that does not suit it.

use std::collections::BTreeMap;
use std::fmt;

use super::{Peer, Profile};
use crate::schema::section;

/// What one library does with a document, and for which reason. `Display` says it in a sentence, without content of the
/// document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Objection {
    peer: Peer,
    section: Option<&'static str>,
    reason: Reason,
    times: usize,
}

impl Objection {
    /// The library.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The section that it is about; `None`: one that the schema does not know, or the document as a whole.
    pub fn section(&self) -> Option<&'static str> {
        self.section
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// How many times the reason was met.
    pub fn times(&self) -> usize {
        self.times
    }

    /// What the library does.
    pub fn consequence(&self) -> Consequence {
        self.reason.consequence(self.peer)
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, section, reason, times } = self;
        let (section, s) = (section.unwrap_or("the document"), if *times == 1 { "" } else { "s" });
        write!(f, "{peer} {}: {section}, {times} time{s}: {reason}", self.consequence())
    }
}

/// What a library does, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Consequence {
    /// It deletes the whole cache as soon as it reads it.
    DeletesCache,
    /// It cannot read the cache at all.
    CannotRead,
    /// It drops entries when it writes the next time.
    Loses,
    /// It gives a token to a request that must not get it.
    Mistakes,
    /// It fails at a lookup or a sign-out that meets the entry.
    Fails,
    /// It does not find the entry.
    Misses,
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeletesCache => "deletes the cache",
            Self::CannotRead => "cannot read the cache",
            Self::Loses => "loses entries at its next write",
            Self::Mistakes => "takes a token for another one",
            Self::Fails => "fails at lookups",
            Self::Misses => "does not find an entry",
        })
    }
}

/// Why a document does not suit a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A section is no object.
    Section,
    /// An unknown section is called like a known one in another letter case.
    SectionName,
    /// Text is not UTF-8.
    NotUtf8,
    /// A text holds half of a surrogate pair.
    Surrogate,
    /// A value is nested deeper than MSAL.NET reads.
    Levels,
    /// An entry is no object.
    NotAnEntity,
    /// A field stands twice in one entry.
    RepeatedField,
    /// A field holds a value of another type than the library expects there.
    FieldType,
    /// A time lies so far away that the library cannot hold it.
    Time,
    /// A time is not spelled as the library reads it: as whole seconds.
    TimeSpelling,
    /// A home account id is null where the library expects a text, or the other way round.
    HomeAccountId,
    /// A field is null that the library expects to be absent.
    NullField,
    /// An account has no name.
    Username,
    /// An account does not say of which kind its authority is.
    AuthorityType,
    /// The tenant profiles of an account are not texts.
    TenantProfiles,
    /// The payload of an ID token is no JSON object.
    IdToken,
    /// Tokens of applications stand beside accounts or tokens of users.
    UsersBesideApplications,
    /// Entries that differ in nothing that their key is made of: only the last of them is kept.
    SameKey,
    /// The key id of a bound token is not in the library's own spelling.
    KeyId,
    /// An assertion hash is not in the library's own spelling.
    AssertionHash,
    /// An extended access token does not say so in the library's own spelling.
    TakenForPlain,
    /// An access token is of a type that the library does not expect: MSAL Node deletes it, and MSAL Python fails at
    /// every lookup of an access token once it has expired.
    CredentialType,
    /// There are several extended access tokens of one meaning.
    ExtendedTwins,
}

impl Reason {
    fn consequence(self, peer: Peer) -> Consequence {
        use Consequence::{CannotRead, DeletesCache, Fails, Loses, Misses, Mistakes};
        match (peer, self) {
            (
                Peer::DotNet,
                Self::Section
                | Self::Surrogate
                | Self::Levels
                | Self::RepeatedField
                | Self::FieldType
                | Self::Time
                | Self::HomeAccountId
                | Self::UsersBesideApplications,
            ) => DeletesCache,
            (Peer::Node, Self::Section | Self::TenantProfiles)
            | (Peer::Go, Self::Section | Self::NotAnEntity | Self::TimeSpelling)
            | (Peer::Python, Self::NotUtf8) => CannotRead,
            (Peer::DotNet, Self::NotAnEntity | Self::SectionName | Self::SameKey)
            | (Peer::Node, Self::CredentialType) => Loses,
            (Peer::DotNet, Self::AssertionHash) | (_, Self::TakenForPlain) => Mistakes,
            (Peer::DotNet, Self::TimeSpelling)
            | (Peer::Python | Peer::Node, Self::HomeAccountId)
            | (_, Self::KeyId | Self::AssertionHash) => Misses,
            _ => Fails,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Section => "a section that is no object",
            Self::SectionName => "an unknown section that is called like a known one in another letter case",
            Self::NotUtf8 => "text that is not UTF-8",
            Self::Surrogate => "a text with half of a surrogate pair",
            Self::Levels => "a value that is nested too deep",
            Self::NotAnEntity => "an entry that is no object",
            Self::RepeatedField => "a field that stands twice in one entry",
            Self::FieldType => "a field with a value of the wrong type",
            Self::Time => "a time outside of the years 1 to 9999",
            Self::TimeSpelling => "a time that is not spelled as whole seconds",
            Self::HomeAccountId => {
                "a home account id that is null, missing or empty where the library expects another form"
            }
            Self::NullField => "a null field that should be absent",
            Self::Username => "an account without a name",
            Self::AuthorityType => "an account without the kind of its authority",
            Self::TenantProfiles => "tenant profiles that are not texts",
            Self::IdToken => "an ID token whose payload is no JSON object",
            Self::UsersBesideApplications => "tokens of applications and of users in one document",
            Self::SameKey => "entries that fall together under one key",
            Self::KeyId => "a key id in another library's spelling",
            Self::AssertionHash => "an assertion hash in another library's spelling",
            Self::TakenForPlain => "an extended access token that does not say so to the library",
            Self::CredentialType => "an access token of a type that the library does not expect",
            Self::ExtendedTwins => "several extended access tokens of one meaning",
        })
    }
}

/// The reasons that the libraries of a profile have been met with, counted.
pub(super) struct Notes {
    profile: Profile,
    section: Option<&'static str>,
    counts: BTreeMap<(Consequence, Peer, Option<&'static str>, Reason), usize>,
}

impl Notes {
    pub(super) fn new(profile: Profile) -> Self {
        Self { profile, section: None, counts: BTreeMap::new() }
    }

    /// Whether this library shares the cache.
    pub(super) fn asks(&self, peer: Peer) -> bool {
        self.profile.names(peer)
    }

    /// What follows is about this section.
    pub(super) fn enter(&mut self, name: &str) {
        self.section = section::ALL.into_iter().find(|known| *known == name);
    }

    /// Counts the reason if this library shares the cache; answers whether it does.
    pub(super) fn note(&mut self, peer: Peer, reason: Reason) -> bool {
        let shares = self.profile.names(peer);
        if shares {
            *self.counts.entry((reason.consequence(peer), peer, self.section, reason)).or_default() += 1;
        }
        shares
    }

    pub(super) fn into_objections(self) -> Vec<Objection> {
        let objection = |((_, peer, section, reason), times)| Objection { peer, section, reason, times };
        self.counts.into_iter().map(objection).collect()
    }
}
