//! Writing: the exclusive section over threads, processes and the libraries of other languages.

use std::path::PathBuf;
use std::time::Instant;

use cache_core::{
    Blob, Context, Edit, EditFn, Error, ErrorKind, Modified, PartitionKey, ReapplyJournal, Result, Version,
};

use crate::damage;
use crate::inner::{Home, Inner};
use crate::journal::{self, Consulted};
use crate::layout::Place;
use crate::lock::{Lock, deadline};
use crate::look::{Found, Keys, Sight, wait_before_next_look};
use crate::notes::{Note, Notes};
use crate::platform::{Dir, Opened};
use crate::replace::{Placed, Temporary};
use crate::stamp::{FileTime, Stat};

/// How an exclusive section has ended.
enum Outcome {
    /// The stamp of what is there now; `None`: nothing is.
    Done(Option<Version>),
    /// Somebody wrote in spite of the lock, or removed it. Nothing was done.
    Disturbed,
}

/// The exclusive section of one cache file, while it lasts.
struct Section<'a> {
    inner: &'a Inner,
    dir: &'a Dir,
    place: &'a Place,
    partition: &'a PartitionKey,
    notes: &'a Notes,
    lock: Lock<'a>,
    /// The file that the edit was made on.
    seen: Option<Stat>,
    is_damaged: bool,
    /// What a shared file's journal says after the edit.
    journal: Option<ReapplyJournal>,
    /// Whether the document holds more than the edit has made, so that no caller may take its own view for it.
    has_more: bool,
    /// Whether the file of the partition's own key is known to be right, if it is there.
    key_is_right: bool,
}

/// What an edit is made on.
struct Given {
    document: Option<Blob>,
    is_damaged: bool,
    /// Whether it is another document than the one in the file, to be written even if the edit leaves it as it is.
    is_due: bool,
    journal: Option<ReapplyJournal>,
}

/// What becomes of the file of the partition's own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnKey {
    /// Written if it is missing or wrong.
    Kept,
    /// Written anew.
    Renewed,
}

/// So often a key is prepared that the file was found to need under the lock; then the protector is at fault.
const PREPARATIONS: u32 = 8;

impl Inner {
    /// Reads the document, calls `edit`, and puts its answer in the document's place; all of it again if somebody wrote
    /// in spite of the lock.
    pub(crate) fn modify(&self, partition: &PartitionKey, own_key: OwnKey, mut edit: EditFn) -> Result<Modified> {
        // Dropped last, when the lock is free.
        let notes = Notes::default();
        let deadline = deadline(self.lock_wait);
        let (place, dir) = self.find_or_make(partition, &notes)?;
        let key_is_right = own_key == OwnKey::Kept && self.key_is_right(&dir, &place, partition, &notes)?;
        let mut ahead = self.look_ahead(&dir, &place, partition, &notes)?;
        let (mut looks, mut preparations) = (0, 0);
        // Waiting for the lock is no waiting for a writer outside of it.
        let mut first_look = None;
        loop {
            let lock = Lock::take(&dir, &place.dir, place.lock_file(), deadline, &notes)?;
            self.last_sweep.sweep(&dir, matches!(self.home, Home::File(_)).then_some(&*place.file));
            let sight = match ahead.take() {
                Some(sight) if is_unchanged(&dir, &place, sight.stat.as_ref())? => Ok(sight),
                _ => self.look(&dir, &place, partition, Keys::AsTheyAre, &notes),
            };
            let looked = sight.and_then(|sight| {
                let consulted = self.consult_journal(&dir, &place, partition, &sight, Keys::AsTheyAre, &notes)?;
                Ok((sight, consulted))
            });
            let (sight, consulted) = match looked {
                // Somebody has protected the file with another key meanwhile. Keys are not fetched under a lock.
                Err(error) if error.kind() == ErrorKind::KeyUnavailable && preparations < PREPARATIONS => {
                    preparations += 1;
                    drop(lock);
                    ahead = self.look_ahead(&dir, &place, partition, &notes)?;
                    continue;
                }
                looked => looked?,
            };
            if sight.may_be_in_flight(*first_look.get_or_insert_with(Instant::now)) {
                drop(lock);
                wait_before_next_look(looks);
                looks += 1;
                continue;
            }
            let (seen, looked_at) = (sight.stat, sight.looked_at);
            let Given { document, is_damaged, is_due, mut journal } = self.give(&place, sight, consulted, &notes)?;
            let stamp = |stat: Stat| if is_due { stat.passing_version() } else { stat.version(looked_at) };
            let before = seen.filter(|_| document.is_some()).map(stamp);
            let mut answer = match (edit(document.as_ref())?, &document) {
                (Edit::Keep, Some(document)) if is_due => Edit::Replace(document.clone()),
                (answer, _) => answer,
            };
            let mut has_more = false;
            if let Some(journal) = &mut journal {
                let reapplied;
                (answer, reapplied) = journal::note(journal, document.as_ref(), answer);
                journal::tell(&place, &reapplied, &notes);
                has_more = reapplied.put_back > 0;
            }
            let section = Section {
                inner: self,
                dir: &dir,
                place: &place,
                partition,
                notes: &notes,
                lock,
                seen,
                is_damaged,
                journal,
                has_more,
                key_is_right,
            };
            if let Outcome::Done(after) = section.conclude(answer, before.as_ref())? {
                self.note_hazard(&place, document.as_ref(), &notes);
                return Ok(Modified { before, after });
            }
            notes.add(Note::Disturbed { path: place.path.clone() });
            if Instant::now() >= deadline {
                let message =
                    format!("other programs write {} in spite of its lock; try again later", place.path.display());
                return Err(Error::new(ErrorKind::Busy, message));
            }
        }
    }

    /// Moves whatever is at the partition's path aside, so that the next write begins anew.
    pub(crate) fn move_aside(&self, partition: &PartitionKey) -> Result<Option<PathBuf>> {
        self.check_writable()?;
        let notes = Notes::default();
        let Some((place, dir)) = self.find(partition, &notes)? else { return Ok(None) };
        let _lock = Lock::take(&dir, &place.dir, place.lock_file(), deadline(self.lock_wait), &notes)?;
        if self.read_file(&dir, &place.dir, &place.file, &notes)?.is_none() {
            return Ok(None);
        }
        let failed = |error| Error::io(format_args!("cannot move {} aside", place.path.display()), error);
        let aside = damage::set_aside(&dir, &place).map_err(failed)?;
        // What is begun anew is not made of what was there before.
        journal::keep(&dir, &place, None)?;
        dir.remove(&place.file).and_then(|()| dir.sync()).map_err(failed)?;
        place.remember(|memory| memory.had_content = false);
        Ok(Some(place.dir.join(aside)))
    }

    /// What an edit is made on: what was seen, or what the journal of a shared file makes of it.
    fn give(&self, place: &Place, sight: Sight, consulted: Option<Consulted>, notes: &Notes) -> Result<Given> {
        let (mut journal, reapplied) = consulted.map(|consulted| (consulted.journal, consulted.reapplied)).unzip();
        let mut shown = |document: Blob| match &mut journal {
            Some(journal) => journal.shown(&document),
            None => self.shown(document),
        };
        if let Some((document, reapplied)) = reapplied.and_then(|done| Some((done.document.clone()?, done))) {
            let is_damaged = matches!(sight.found, Found::Damaged(_) | Found::Foreign { .. });
            place.remember(|memory| memory.sound = None);
            journal::tell(place, &reapplied, notes);
            return Ok(Given { document: Some(shown(document)), is_damaged, is_due: true, journal });
        }
        let (document, is_damaged) = self.accept(place, sight)?;
        Ok(Given { document: document.map(shown), is_damaged, is_due: false, journal })
    }

    /// What can be done before the lock: what is read and opened here need not be again if the file is still the same
    /// under the lock. `None`: there is nothing to be had ahead.
    fn look_ahead(&self, dir: &Dir, place: &Place, partition: &PartitionKey, notes: &Notes) -> Result<Option<Sight>> {
        let mut ahead = self.look_back(dir, place)?;
        if ahead.is_none() && self.protection.is_protected() {
            let sight = self.look(dir, place, partition, Keys::Prepare, notes)?;
            self.consult_journal(dir, place, partition, &sight, Keys::Prepare, notes)?;
            ahead = Some(sight);
        }
        self.prepare_to_seal()?;
        let is_settled = |sight: &Sight| sight.stat.is_none_or(|stat| stat.is_settled(sight.looked_at));
        Ok(ahead.filter(|sight| is_settled(sight) && !sight.needs_the_lock()))
    }

    /// The document that this process has written last, if its file stands there unchanged.
    fn look_back(&self, dir: &Dir, place: &Place) -> Result<Option<Sight>> {
        let Some((written, document)) = self.last.take(place) else { return Ok(None) };
        let looked_at = FileTime::now();
        let is_unchanged = is_unchanged(dir, place, Some(&written))?;
        Ok(is_unchanged.then_some(Sight { found: Found::Document(document), stat: Some(written), looked_at }))
    }
}

impl Section<'_> {
    /// Does what the edit answered.
    fn conclude(self, answer: Edit, before: Option<&Version>) -> Result<Outcome> {
        match answer {
            Edit::Keep => self.keep_journal().map(|()| Outcome::Done(before.cloned())),
            Edit::Replace(document) => self.replace(&document),
            Edit::Remove if self.seen.is_none() => self.keep_journal().map(|()| Outcome::Done(None)),
            Edit::Remove => self.remove(),
        }
    }

    /// Keeps what the journal of a shared file says, where the file stays as it is.
    fn keep_journal(&self) -> Result<()> {
        match self.journal.as_ref().filter(|journal| journal.is_changed()) {
            Some(_) => journal::keep(self.dir, self.place, self.write_journal()?),
            None => Ok(()),
        }
    }

    fn write_journal(&self) -> Result<Option<Temporary<'_>>> {
        match &self.journal {
            Some(journal) => self.inner.write_journal(self.dir, self.place, self.partition, journal),
            None => Ok(None),
        }
    }

    fn replace(&self, document: &Blob) -> Result<Outcome> {
        let bytes = self.inner.seal(document, &Context::document(crate::NAME, self.partition))?;
        self.inner.keep_key(self.dir, self.place, self.partition, self.key_is_right)?;
        let failed = |error| Error::io(format_args!("cannot write {}", self.place.path.display()), error);
        let journal = self.write_journal()?;
        let temporary = Temporary::write(self.dir, &self.place.file, &bytes).map_err(failed)?;
        // The journal first: should this process end in between, it waits for what was never said to be written. That
        // is put back or let go of as any other entry is; the other way round, an acknowledged one could be lost.
        if !self.is_undisturbed()? || !self.is_undisturbed_with(journal)? {
            return Ok(Outcome::Disturbed);
        }
        self.set_aside_if_damaged()?;
        let placed = temporary.put_in_place(&self.place.file, self.seen.as_ref()).map_err(failed)?;
        let (sound, stamp) = match placed {
            None => return Ok(Outcome::Disturbed),
            Some(Placed::Ours(stat)) if self.has_more => (Some(stat), stat.passing_version()),
            Some(Placed::Ours(stat)) => (Some(stat), stat.version(FileTime::now())),
            Some(Placed::Unsure(stat)) => (None, stat.passing_version()),
        };
        let is_plaintext = !self.inner.protection.is_protected();
        self.place.remember(|memory| {
            memory.had_content = true;
            memory.sound = sound.filter(|_| is_plaintext);
        });
        if let Some(stat) = sound {
            self.inner.last.keep(self.place, stat, document);
        }
        Ok(Outcome::Done(Some(stamp)))
    }

    fn remove(&self) -> Result<Outcome> {
        if !self.is_undisturbed()? || !self.is_undisturbed_with(self.write_journal()?)? {
            return Ok(Outcome::Disturbed);
        }
        self.set_aside_if_damaged()?;
        let failed = |error| Error::io(format_args!("cannot remove {}", self.place.path.display()), error);
        self.dir.remove(&self.place.file).map_err(failed)?;
        if let Some(key_file) = &self.place.key_file {
            self.dir.remove(key_file).map_err(failed)?;
        }
        self.dir.sync().map_err(failed)?;
        self.place.remember(|memory| *memory = crate::layout::Memory::default());
        Ok(Outcome::Done(None))
    }

    /// The last look before anything is put in place: whoever entered beside this process has written, or has removed
    /// the lock file.
    fn is_undisturbed(&self) -> Result<bool> {
        Ok(self.lock.is_held() && is_unchanged(self.dir, self.place, self.seen.as_ref())?)
    }

    /// Puts the journal of a shared file in its place, which takes as long as a disk does, and looks again.
    fn is_undisturbed_with(&self, journal: Option<Temporary<'_>>) -> Result<bool> {
        if self.journal.is_none() {
            return Ok(true);
        }
        journal::keep(self.dir, self.place, journal)?;
        self.is_undisturbed()
    }

    fn set_aside_if_damaged(&self) -> Result<()> {
        if !self.is_damaged {
            return Ok(());
        }
        let aside = damage::set_aside(self.dir, self.place).map_err(|error| {
            Error::io(format_args!("cannot move the damaged file {} aside", self.place.path.display()), error)
        })?;
        self.notes.add(Note::SetAside { path: self.place.path.clone(), aside: self.place.dir.join(aside) });
        Ok(())
    }
}

/// Whether the cache file is the one that `seen` is the stat of.
fn is_unchanged(dir: &Dir, place: &Place, seen: Option<&Stat>) -> Result<bool> {
    let failed = |error| Error::io(format_args!("cannot look at {}", place.path.display()), error);
    // Opened, since network file systems ask the server then, and answer a mere stat from memory.
    Ok(match dir.open_file(&place.file, false).map_err(failed)? {
        Opened::File(_, stat) => seen == Some(&stat),
        Opened::Absent => seen.is_none(),
        Opened::Unusable(_) => false,
    })
}
