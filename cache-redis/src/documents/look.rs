//! One look at a document: what is stored, what of our writes others have dropped from it, and what of it is shown.

use cache_core::merge::merge;
use cache_core::schema::{AccessToken, Entity as _, section};
use cache_core::{
    Blob, Edit, Error, ErrorKind, PartitionKey, ReapplyJournal, Result, Seen, UnifiedDocument, UnixMillis, Version,
};
use cache_core::{Change, Changes, Entry, UnixSeconds};
use cache_crypto::rows::random;
use redis::Value;

use super::belonging::own;
use crate::error::unexpected;
use crate::reading::texts;

/// What is stored, at one moment.
pub(crate) struct Found {
    /// Its bytes as they are; `None`: there is no document.
    pub(crate) document: Option<Blob>,
    /// SHA-1 in hexadecimal digits; empty: there is no document.
    pub(crate) digest: Vec<u8>,
    /// Whether the document was not asked for, since it is large.
    pub(crate) is_left_out: bool,
    /// Of the document that we have written last.
    ours: Vec<u8>,
    stamp: Vec<u8>,
    /// Changes with what stands beside the document.
    pub(crate) revision: Vec<u8>,
    journal: Blob,
}

impl Found {
    /// As the script that reads answers it.
    pub(crate) fn new(answer: Value) -> Result<Self> {
        let mut answer = texts(answer)?;
        match &mut answer[..] {
            [verb] if verb == b"type" => Err(Error::new(
                ErrorKind::Unsupported,
                "the partition's key holds a value of another type; another program uses it, or another version of the library",
            )),
            [verb, is_there, document, digest, is_left_out, ours, stamp, revision, journal] if verb == b"ok" => {
                let [document, digest, ours, stamp, revision, journal] =
                    [document, digest, ours, stamp, revision, journal].map(std::mem::take);
                Ok(Self {
                    document: (!is_there.is_empty()).then(|| Blob::new(document)),
                    digest,
                    is_left_out: !is_left_out.is_empty(),
                    ours,
                    stamp,
                    revision,
                    journal: Blob::new(journal),
                })
            }
            _ => Err(unexpected()),
        }
    }

    /// The stamp of the document; `None`: there is none.
    pub(crate) fn stamp(&self) -> Result<Option<Version>> {
        stamp(&self.digest, &self.stamp)
    }
}

/// The stamp of a document with this digest, which we have written with these random bytes, or others without.
pub(crate) fn stamp(digest: &[u8], random: &[u8]) -> Result<Option<Version>> {
    if digest.is_empty() {
        return Ok(None);
    }
    let byte = |pair: &[u8; 2]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    let (pairs, _) = digest.as_chunks::<2>();
    let mut bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>().ok_or_else(unexpected)?;
    bytes.extend_from_slice(random);
    Ok(Some(Version::new(&bytes)))
}

/// A stamp that no document has: what was answered under it is not relied upon.
pub(crate) fn passing() -> Result<Version> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(Version::new(&bytes))
}

/// A document as it is shown, and the journal that tells what became of ours.
pub(crate) struct Look {
    pub(crate) found: Found,
    pub(crate) journal: ReapplyJournal,
    /// Without what is another's; `None`: it holds nothing.
    pub(crate) shown: Option<Blob>,
    /// Whether something is shown that is not stored: it must be written.
    pub(crate) is_due: bool,
    pub(crate) did: Did,
}

/// What a look, or a write after it, has done to the entries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Did {
    /// Entries of others that were left out.
    pub(crate) foreign: usize,
    /// Entries of ours that others had dropped.
    pub(crate) put_back: usize,
    /// Entries that were signed out and that others had brought back.
    pub(crate) removed_again: usize,
}

/// What is to be written.
pub(crate) enum Written {
    /// The document, with the mark of the journal.
    Put(Blob),
    Delete,
    /// Only what stands beside it.
    Keep,
}

impl Look {
    /// Looks at what was found. `is_thorough`: also if it is what we have written last.
    ///
    /// `Corrupt`: it is no cache document; `Unsupported`: it is under .NET's protection.
    pub(crate) fn new(partition: &PartitionKey, found: Found, now: UnixMillis, is_thorough: bool) -> Result<Self> {
        let mut journal = ReapplyJournal::from_bytes(&found.journal, false);
        let mut look = Did::default();
        // MSAL Node stores an empty text where there is nothing, .NET takes one for it.
        let document = found.document.as_ref().filter(|document| !document.expose().trim_ascii().is_empty());
        let Some(document) = document else {
            // Whoever signs a user out by .NET deletes the document. An application's is only ever deleted by its age.
            if !matches!(partition, PartitionKey::App(_)) {
                journal.clear();
            }
            return Ok(Self { found, journal, shown: None, is_due: false, did: look });
        };
        check(document)?;
        let (mut shown, mut is_due) = (ReapplyJournal::unmark(document), false);
        if is_thorough || found.ours != found.digest {
            let reapplied = journal.reconcile(Seen::Document(document), now);
            look = Did { foreign: 0, put_back: reapplied.put_back, removed_again: reapplied.removed_again };
            is_due = reapplied.document.is_some();
            shown = journal.shown(reapplied.document.as_ref().unwrap_or(document));
        }
        let (shown, foreign) = own(partition, shown)?;
        look.foreign = foreign;
        let shown = (!UnifiedDocument::parse(&shown)?.is_empty()).then_some(shown);
        Ok(Self { found, journal, shown, is_due, did: look })
    }

    /// The stamp of what is shown; `None`: nothing is.
    pub(crate) fn stamp(&self) -> Result<Option<Version>> {
        match &self.shown {
            None => Ok(None),
            Some(_) if self.is_due => passing().map(Some),
            Some(_) => self.found.stamp(),
        }
    }

    /// What follows from an edit of what is shown; `None`: nothing need be written.
    pub(crate) fn conclude(&mut self, answer: Edit, now: UnixMillis) -> Result<Option<Written>> {
        let answer = match (answer, &self.shown) {
            (Edit::Keep, Some(shown)) if self.is_due => Edit::Replace(shown.clone()),
            (Edit::Keep, None) if self.is_due => Edit::Remove,
            (answer, _) => answer,
        };
        let written = match answer {
            Edit::Keep => Written::Keep,
            Edit::Replace(after) => {
                let mut after = after;
                if self.shown.is_none() {
                    let reapplied = self.journal.reconcile(Seen::Begun(&after), now);
                    self.did.put_back += reapplied.put_back;
                    after = reapplied.document.unwrap_or(after);
                }
                match self.journal.note(self.shown.as_ref(), Some(&after), now) {
                    Some(marked) => Written::Put(with_aged_mark(marked)?),
                    None => Written::Put(after),
                }
            }
            Edit::Remove => {
                self.journal.note(self.shown.as_ref(), None, now);
                if self.found.document.is_some() { Written::Delete } else { Written::Keep }
            }
        };
        Ok(match written {
            Written::Keep if !self.journal.is_changed() => None,
            written => Some(written),
        })
    }
}

/// The marked document, with a mark that has long expired. As a token that is still good, it would keep Microsoft.Identity.Web from
/// deleting a partition that nothing else is left of, and would tell it how long to keep one without refresh tokens. Neither
/// MSAL.NET nor MSAL Node takes an expired token out that it was not asked for.
fn with_aged_mark(marked: Blob) -> Result<Blob> {
    let plain = UnifiedDocument::parse(&ReapplyJournal::unmark(&marked))?;
    let mut document = UnifiedDocument::parse(&marked)?;
    let is_mark = |entry: &Entry| entry.id.section() == section::ACCESS_TOKEN && plain.entry(&entry.id).is_none();
    let mark = document.clone().into_entries().find(is_mark);
    let aged = mark.and_then(|mark| {
        let token = AccessToken::read(mark.id.key(), &mark.json)?;
        let long_ago = Some(UnixSeconds(1));
        let json = AccessToken { expires_on: long_ago, extended_expires_on: long_ago, ..token }.write();
        Some([Change::remove(mark.id.clone()), Change::put(Entry { json, ..mark })])
    });
    let Some(aged) = aged else { return Ok(marked) };
    let Ok(_) = merge(&mut document, &Changes::new(aged.into()), UnixMillis(i64::MAX));
    Ok(document.render())
}

/// Whether the bytes are a document that may be written over.
fn check(document: &Blob) -> Result<()> {
    /// What ASP.NET Core's Data Protection begins with (dotnet/aspnetcore,
    /// src/DataProtection/DataProtection/src/KeyManagement/KeyRingBasedDataProtector.cs).
    const DATA_PROTECTION: [u8; 4] = [0x09, 0xf0, 0xc9, 0xf0];
    if document.expose().starts_with(&DATA_PROTECTION) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the partition is encrypted by ASP.NET Core's Data Protection, which only .NET opens; set `Encrypt = false` in the \
             MsalDistributedTokenCacheAdapterOptions of the application that writes it",
        ));
    }
    UnifiedDocument::parse(document).map(drop)
}
