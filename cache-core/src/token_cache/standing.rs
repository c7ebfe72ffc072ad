//! Whether an entry that was written still stands, whatever other libraries have made of its key text.

use super::TokenCache;
use super::rivals::{Kept, Rivals};
use super::row::Row;
use super::table::{Hashed, Table};
use crate::entry::{Entry, EntryId};
use crate::json;
use crate::schema::{AccessToken, Account, AppMetadata, Entity, IdToken, RefreshToken, section};
use crate::secret::Secret;

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is there.
    Stands,
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
        let accounts = self.accounts.under(self.hashing.pair(home_account_id, ""));
        accounts.map(|row| &*row.entity).any(|account| {
            *account.home_account_id == *home_account_id && self.environments.same(&account.environment, environment)
        })
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
    fn standing_of<E: Kept + Credential>(&self, entry: &Entry, is_older: &dyn Fn(&Secret) -> bool) -> Option<Standing> {
        let mut ours = E::read(entry.id.key(), &entry.json)?;
        ours.normalize();
        let Rivals { twins, evicted } = ours.rivals(self);
        if twins.iter().any(|twin| twin.entity.secret() == ours.secret()) {
            return Some(Standing::Stands);
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
        let is_gone = ours.rivals(self).twins.is_empty();
        Some(if is_gone { Standing::Gone { stale: Vec::new() } } else { Standing::Stands })
    }

    /// Of what is not understood, the id is all that there is.
    fn standing_by_id(&self, entry: &Entry) -> Standing {
        match self.foreign.get(&entry.id) {
            Some(stored) if json::same_entity(stored.entry.json.expose(), entry.json.expose()) => Standing::Stands,
            Some(_) => Standing::Superseded,
            None => Standing::Gone { stale: Vec::new() },
        }
    }
}
