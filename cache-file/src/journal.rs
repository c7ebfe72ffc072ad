//! Sharing with careless writers: the journal beside the cache file, and what it makes of each look.

use cache_core::{
    Blob, Clock as _, Context, Edit, Error, ErrorKind, Part, PartitionKey, Protection, Reapplied, ReapplyJournal,
    Result, Seen, SystemClock, UnifiedDocument,
};

use crate::inner::Inner;
use crate::layout::Place;
use crate::look::{Found, Keys, Sight, at_path, unseal};
use crate::notes::{Note, Notes};
use crate::platform::Dir;
use crate::replace::Temporary;
use crate::sharing::Sharing;

/// What a shared file and its journal say together.
pub(crate) struct Consulted {
    /// The journal as it must be kept.
    pub(crate) journal: ReapplyJournal,
    /// What is to be done.
    pub(crate) reapplied: Reapplied,
}

impl Consulted {
    /// Whether something must be written.
    pub(crate) fn is_due(&self) -> bool {
        self.reapplied.document.is_some() || self.journal.is_changed()
    }
}

impl Inner {
    /// Compares what was seen with the journal; `None`: the file is not shared, only waiting will tell, or it may be
    /// protected by another program.
    pub(crate) fn consult_journal(
        &self,
        dir: &Dir,
        place: &Place,
        partition: &PartitionKey,
        sight: &Sight,
        keys: Keys,
        notes: &Notes,
    ) -> Result<Option<Consulted>> {
        let Some(sharing) = self.sharing.filter(|_| !self.is_read_only) else { return Ok(None) };
        let salvage;
        let seen = match &sight.found {
            // What is no text may be under another program's protection: it is nobody's to replace.
            Found::Moving | Found::Foreign { is_text: false } => return Ok(None),
            Found::Document(document) => Seen::Document(document),
            Found::Damaged(left) => {
                salvage = left.render();
                Seen::Salvage(&salvage)
            }
            Found::Empty | Found::Emptied | Found::Foreign { is_text: true } => Seen::Wiped,
            // Our last look saw what MSAL.NET deletes a file for.
            Found::Nothing if place.memory().is_deleted_by_dotnet && !sharing.absence_is_sign_out => Seen::Wiped,
            Found::Nothing => Seen::Nothing,
        };
        let mut journal = self.read_journal(dir, place, partition, sharing, keys, notes)?;
        if matches!(seen, Seen::Nothing) && sharing.absence_is_sign_out {
            journal.clear();
        }
        let mut reapplied = journal.reconcile(seen, SystemClock.now());
        if matches!(sight.found, Found::Damaged(_)) && reapplied.document.is_none() {
            // What is left is written anew: other libraries cannot load the damaged document.
            if let Seen::Salvage(salvage) = seen {
                reapplied.document = Some(salvage.clone());
            }
        }
        reapplied.document = reapplied.document.map(|document| self.in_form(document));
        Ok(Some(Consulted { journal, reapplied }))
    }

    /// The document as it is shown.
    pub(crate) fn shown(&self, document: Blob) -> Blob {
        if self.sharing.is_some() { ReapplyJournal::unmark(&document) } else { document }
    }

    /// The document in the form that the libraries beside us can bear: what one of them has deleted it for must not come
    /// back.
    fn in_form(&self, document: Blob) -> Blob {
        let Ok(mut formed) = UnifiedDocument::parse(&document) else { return document };
        self.profile.apply(&mut formed, SystemClock.now().to_seconds());
        if formed.is_changed() { formed.render() } else { document }
    }

    fn read_journal(
        &self,
        dir: &Dir,
        place: &Place,
        partition: &PartitionKey,
        sharing: Sharing,
        keys: Keys,
        notes: &Notes,
    ) -> Result<ReapplyJournal> {
        let name = place.journal_file();
        let path = || place.dir.join(&name);
        let unreadable = |error| {
            notes.add(Note::JournalUnreadable { error, path: path() });
            Ok(ReapplyJournal::new(sharing.keeps_copy))
        };
        let raw = match self.read_file(dir, &place.dir, &name, notes) {
            Ok(Some(raw)) => raw,
            Ok(None) => return Ok(ReapplyJournal::new(sharing.keeps_copy)),
            // Something else than a journal of ours has its name.
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::TooLarge) => return unreadable(error),
            Err(error) => return Err(error),
        };
        let context = journal_context(partition);
        let opened = match &self.protection {
            Protection::Plaintext => Ok(raw.bytes),
            Protection::Protected(protector) => unseal(protector.as_ref(), &raw.bytes, &context, keys),
        };
        match opened {
            Ok(bytes) => Ok(ReapplyJournal::from_bytes(&bytes, sharing.keeps_copy)),
            Err(error) if error.kind() == ErrorKind::KeyUnavailable && keys == Keys::AsTheyAre => Err(error),
            Err(error) => unreadable(at_path(&error, &path())),
        }
    }

    /// The journal as a file in the making; `None`: it holds nothing, and no file is needed.
    pub(crate) fn write_journal<'d>(
        &self,
        dir: &'d Dir,
        place: &Place,
        partition: &PartitionKey,
        journal: &ReapplyJournal,
    ) -> Result<Option<Temporary<'d>>> {
        let Some(bytes) = journal.to_bytes() else { return Ok(None) };
        let sealed = self.seal(&bytes, &journal_context(partition))?;
        Temporary::write(dir, &place.journal_file(), &sealed).map(Some).map_err(|error| failed(place, error))
    }
}

/// Puts the journal in its place, or takes the one that is there away.
pub(crate) fn keep(dir: &Dir, place: &Place, journal: Option<Temporary<'_>>) -> Result<()> {
    let name = place.journal_file();
    match journal {
        // Swept away while this process stood still: what it was for is not worth failing the write.
        Some(temporary) => temporary.put_in_place(&name, None).map(|_| ()),
        None => dir.remove(&name),
    }
    .map_err(|error| failed(place, error))
}

/// Tells what was done.
pub(crate) fn tell(place: &Place, done: &Reapplied, notes: &Notes) {
    let path = || place.path.clone();
    if done.put_back > 0 {
        notes.add(Note::PutBack { path: path(), entries: done.put_back });
    }
    if done.restored > 0 {
        notes.add(Note::Restored { path: path(), entries: done.restored });
    }
    if done.removed_again > 0 {
        notes.add(Note::RemovedAgain { path: path(), entries: done.removed_again });
    }
}

/// Notes in the journal what becomes of the document, and answers that: where one begins anew, with what is waited for.
pub(crate) fn note(journal: &mut ReapplyJournal, document: Option<&Blob>, answer: Edit) -> (Edit, Reapplied) {
    let now = SystemClock.now();
    let mut reapplied = Reapplied::default();
    let answer = match answer {
        Edit::Replace(after) if document.is_none() => {
            reapplied = journal.reconcile(Seen::Begun(&after), now);
            Edit::Replace(reapplied.document.take().unwrap_or(after))
        }
        answer => answer,
    };
    let answer = match answer {
        Edit::Keep => Edit::Keep,
        Edit::Replace(after) => Edit::Replace(journal.note(document, Some(&after), now).unwrap_or(after)),
        Edit::Remove => {
            journal.note(document, None, now);
            Edit::Remove
        }
    };
    (answer, reapplied)
}

fn journal_context(partition: &PartitionKey) -> Context<'_> {
    Context::of(crate::NAME, partition, Part::Journal)
}

fn failed(place: &Place, error: std::io::Error) -> Error {
    Error::io(format_args!("cannot write {}", place.dir.join(place.journal_file()).display()), error)
}
