//! Whether an entry that was written still stands, whatever other libraries have made of its key text.

use super::TokenCache;
use super::hashed::Hashed;
use super::rivals::{Kept, Rivals};
use super::row::Row;
use super::table::{Section, Table};
use crate::entry::{Entry, EntryId};
use crate::json;
use crate::schema::{AccessToken, Account, AppMetadata, Entity, IdToken, RefreshToken, section};
use crate::secret::Secret;

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is there, under this id.
    Stands(EntryId),
    /// Another one has taken its place, and is not known to be older.
    Superseded,
    /// It is gone. In its place stand at most these, which are older.
    Gone { stale: Vec<EntryId> },
}

/// An entity that holds a secret: what tells two of one meaning apart.
pub(crate) trait Credential: Entity {
    /// The token.
    fn secret(&self) -> &Secret;
}

impl Credential for AccessToken {
    fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl Credential for RefreshToken {
    fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl Credential for IdToken {
    fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl TokenCache {
    /// What became of an entry. `is_older` says whether a secret in its place is one that it replaced.
    pub(crate) fn standing(&self, entry: &Entry, is_older: &dyn Fn(&Secret) -> bool) -> Standing {
        let known = match entry.id.section() {
            section::ACCESS_TOKEN => self.standing_of::<AccessToken>(entry, is_older),
            section::REFRESH_TOKEN => self.standing_of::<RefreshToken>(entry, is_older),
            section::ID_TOKEN => self.standing_of::<IdToken>(entry, is_older),
            section::ACCOUNT => self.stands::<Account>(entry),
            section::APP_METADATA => self.stands::<AppMetadata>(entry),
            _ => None,
        };
        known.unwrap_or_else(|| self.standing_by_id(entry))
    }

    /// Whether there is an `Account` entry of this account in this cloud.
    pub(crate) fn holds_account(&self, home_account_id: &str, environment: &str) -> bool {
        self.accounts_of(home_account_id, environment).next().is_some()
    }

    /// The `Account` entries of this account in this cloud: one per tenant, and twins.
    pub(crate) fn accounts_of(&self, home_account_id: &str, environment: &str) -> impl Iterator<Item = EntryId> {
        let rows = self.accounts.under(self.hashing.pair(home_account_id, "")).filter(move |row| {
            *row.entity.home_account_id == *home_account_id
                && self.environments.same(&row.entity.environment, environment)
        });
        rows.map(Row::id)
    }

    /// The secrets of what stands in the place of an entry: those that go when it is put.
    pub(crate) fn secrets_in_place_of(&self, entry: &Entry) -> Vec<Secret> {
        let found = match entry.id.section() {
            section::ACCESS_TOKEN => self.secrets_of_rivals::<AccessToken>(entry),
            section::REFRESH_TOKEN => self.secrets_of_rivals::<RefreshToken>(entry),
            section::ID_TOKEN => self.secrets_of_rivals::<IdToken>(entry),
            _ => None,
        };
        found.unwrap_or_default()
    }

    /// The access, refresh and ID tokens of an account, with their secrets.
    pub(crate) fn credentials_of(&self, home_account_id: &str, environment: &str) -> Vec<(EntryId, &Secret)> {
        let mut found = Vec::new();
        self.credentials_in(&self.access_tokens, home_account_id, environment, &mut found);
        self.credentials_in(&self.refresh_tokens, home_account_id, environment, &mut found);
        self.credentials_in(&self.id_tokens, home_account_id, environment, &mut found);
        found
    }

    fn credentials_in<'c, E: Credential + Hashed>(
        &'c self,
        table: &'c Table<E>,
        home_account_id: &str,
        environment: &str,
        found: &mut Vec<(EntryId, &'c Secret)>,
    ) {
        let of_account = table.iter().filter(|row| {
            row.entity.home_account_id() == Some(home_account_id)
                && self.environments.same(row.entity.environment(), environment)
        });
        found.extend(of_account.map(|row| (row.id(), row.entity.secret())));
    }

    /// `None`: the entry is not one that is understood.
    fn secrets_of_rivals<E: Kept + Credential>(&self, entry: &Entry) -> Option<Vec<Secret>> {
        let mut ours = E::read(entry.id.key(), &entry.json)?;
        ours.normalize();
        let Rivals { twins, evicted } = ours.rivals(self);
        Some(twins.iter().chain(&evicted).map(|rival| rival.entity.secret().clone()).collect())
    }

    /// `None`: the entry is not one that is understood.
    fn standing_of<E: Kept + Credential>(&self, entry: &Entry, is_older: &dyn Fn(&Secret) -> bool) -> Option<Standing> {
        let mut ours = E::read(entry.id.key(), &entry.json)?;
        ours.normalize();
        let Rivals { twins, evicted } = ours.rivals(self);
        let same = twins.iter().filter(|twin| twin.entity.secret() == ours.secret()).map(Row::id);
        if let Some(id) = own_or_first(same, &entry.id) {
            return Some(Standing::Stands(id));
        }
        let written_before =
            |theirs: &E| matches!((theirs.written_at(), ours.written_at()), (Some(a), Some(b)) if a < b);
        let mut rivals = twins.iter().chain(&evicted);
        if rivals.any(|rival| !is_older(rival.entity.secret()) && !written_before(&rival.entity)) {
            return Some(Standing::Superseded);
        }
        Some(Standing::Gone { stale: twins.iter().chain(&evicted).map(Row::id).collect() })
    }

    /// Of an entity without a secret, any twin will do. `None`: the entry is not one that is understood.
    fn stands<E: Kept>(&self, entry: &Entry) -> Option<Standing> {
        let mut ours = E::read(entry.id.key(), &entry.json)?;
        ours.normalize();
        let twins = ours.rivals(self).twins;
        let stands = own_or_first(twins.iter().map(Row::id), &entry.id);
        Some(stands.map_or(Standing::Gone { stale: Vec::new() }, Standing::Stands))
    }

    /// Of what is not understood, the id is all that there is.
    fn standing_by_id(&self, entry: &Entry) -> Standing {
        let is_understood = |section: &dyn Section| section.presence(&self.hashing, entry.id.key()).is_here();
        match self.foreign.get(&entry.id) {
            Some(stored) if json::same_entity(stored.entry.json.expose(), entry.json.expose()) => {
                Standing::Stands(entry.id.clone())
            }
            Some(_) => Standing::Superseded,
            None if self.section(entry.id.section()).is_some_and(is_understood) => Standing::Superseded,
            None => Standing::Gone { stale: Vec::new() },
        }
    }
}

/// Of ids, `own` if it is among them, else the first.
fn own_or_first(mut ids: impl Iterator<Item = EntryId>, own: &EntryId) -> Option<EntryId> {
    let first = ids.next()?;
    Some(if first == *own || ids.any(|id| id == *own) { own.clone() } else { first })
}
