//! Reading, without the lock as long as what is seen is plain.

use std::time::Instant;

use cache_core::{Blob, Edit, Error, ErrorKind, PartitionKey, Result, StoredDocument, Version};

use crate::inner::Inner;
use crate::layout::Place;
use crate::lock::{Lock, NotHad, deadline};
use crate::look::{Found, Keys, Sight, wait_before_next_look};
use crate::notes::{Note, Notes};
use crate::platform::Dir;
use crate::stamp::Stat;
use crate::writing::OwnKey;

impl Inner {
    /// The document of the partition and its stamp.
    pub(crate) fn read(&self, partition: &PartitionKey) -> Result<Option<StoredDocument>> {
        let notes = Notes::default();
        let Some((place, dir)) = self.find(partition, &notes)? else { return Ok(None) };
        let started = Instant::now();
        let mut sight = self.look(&dir, &place, partition, Keys::Prepare, &notes)?;
        let mut looks = 0;
        while sight.may_be_in_flight(started) {
            wait_before_next_look(looks);
            looks += 1;
            sight = self.look(&dir, &place, partition, Keys::Prepare, &notes)?;
        }
        let mut stamp: fn(&Stat, &Sight) -> Version = |stat, sight| stat.version(sight.looked_at);
        match self.reapply(&dir, &place, partition, &sight, &notes) {
            Ok(false) => {}
            Ok(true) => sight = self.look(&dir, &place, partition, Keys::Prepare, &notes)?,
            Err(error) => {
                // Of what may pass, the next look tries again.
                if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Unavailable) {
                    stamp = |stat, _| stat.passing_version();
                }
                notes.add(Note::NotPutBack { path: place.path.clone(), error });
            }
        }
        // The lock file is a write too.
        if sight.needs_the_lock() && !self.is_read_only {
            match Lock::take(&dir, &place.dir, place.lock_file(), deadline(self.lock_wait), &notes) {
                Ok(lock) => {
                    let locked = self.look(&dir, &place, partition, Keys::AsTheyAre, &notes);
                    drop(lock);
                    sight = match locked {
                        Err(error) if error.kind() == ErrorKind::KeyUnavailable => {
                            self.look(&dir, &place, partition, Keys::Prepare, &notes)?
                        }
                        locked => locked?,
                    };
                }
                // Who cannot write the folder cannot lock; what was seen for long enough counts.
                Err(NotHad::ReadOnly(_)) => {}
                Err(NotHad::Failed(error)) => return Err(error),
            }
        }
        let stamp = sight.stat.map(|stat| stamp(&stat, &sight));
        let (document, damage) = self.accept(&place, sight)?;
        self.note_hazard(&place, document.as_ref(), &notes);
        if damage {
            notes.add(Note::Salvaged { path: place.path.clone() });
        }
        Ok(document.zip(stamp).map(|(bytes, stamp)| StoredDocument { bytes: self.shown(bytes), stamp }))
    }

    /// Puts back what careless writers of a shared file have dropped; answers whether anything was written.
    fn reapply(
        &self,
        dir: &Dir,
        place: &Place,
        partition: &PartitionKey,
        sight: &Sight,
        notes: &Notes,
    ) -> Result<bool> {
        let consulted = self.consult_journal(dir, place, partition, sight, Keys::Prepare, notes)?;
        if !consulted.is_some_and(|consulted| consulted.is_due()) {
            return Ok(false);
        }
        // Looked at again under the lock, and written there.
        self.modify(partition, OwnKey::Kept, Box::new(|_| Ok(Edit::Keep))).map(|_| true)
    }

    /// The document that was seen, `None` if there is none, and whether it is what is left of a damaged one. Remembers
    /// the look. An error for what is no document.
    pub(crate) fn accept(&self, place: &Place, sight: Sight) -> Result<(Option<Blob>, bool)> {
        let had_content = match sight.found {
            Found::Nothing | Found::Empty | Found::Emptied => false,
            Found::Document(_) | Found::Damaged(_) | Found::Foreign { .. } | Found::Moving => true,
        };
        let is_sound = matches!(sight.found, Found::Document(_)) && !self.protection.is_protected();
        place.remember(|memory| {
            memory.had_content = had_content;
            memory.sound = sight.stat.filter(|stat| is_sound && stat.is_settled(sight.looked_at));
        });
        let path = place.path.display();
        match sight.found {
            Found::Nothing | Found::Empty => Ok((None, false)),
            Found::Document(document) => Ok((Some(document), false)),
            Found::Damaged(salvage) => Ok((Some(salvage.render()), true)),
            Found::Emptied => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{path} has no byte in it any more: another program has emptied it; from now on it counts as a new cache"
                ),
            )),
            Found::Foreign { .. } => {
                let next = match &self.product {
                    Some(product) => format!("{} protects it, and can open it", product.preset().product()),
                    None => "if it is a protected one, give its key, else move it away".to_owned(),
                };
                Err(Error::new(ErrorKind::Unsupported, format!("{path} is no plaintext token cache; {next}")))
            }
            Found::Moving => Err(Error::new(
                ErrorKind::Unavailable,
                format!("{path} is written to all the time by a program that does not lock it; try again later"),
            )),
        }
    }
}
