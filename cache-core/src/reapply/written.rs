//! What one write of our own has changed.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::facts::{Holder, secret_hash};
use crate::document::UnifiedDocument;
use crate::entry::{AccountRef, Entry};
use crate::environment::Environments;
use crate::merge::Entries as _;
use crate::schema::section;
use crate::token_cache::TokenCache;

/// What one write of our own has changed.
pub(super) struct Written {
    environments: Environments,
    /// The document as it is written.
    pub(super) after: UnifiedDocument,
    /// Its accounts and app metadata alone.
    pub(super) accounts: TokenCache,
    /// All of it, once somebody asks.
    cache: OnceCell<TokenCache>,
    put: Vec<Entry>,
    /// Accounts of which an entry has gone, or was replaced.
    gone: Vec<AccountRef>,
    /// Hashes of the secrets that have gone, by home account id and section.
    replaced: HashMap<(Arc<str>, String), Vec<String>>,
}

impl Written {
    pub(super) fn new(before: &UnifiedDocument, after: UnifiedDocument, environments: Environments) -> Self {
        let mut small = UnifiedDocument::default();
        for entry in after.entries_of(section::ACCOUNT).chain(after.entries_of(section::APP_METADATA)) {
            small.put(&entry);
        }
        let accounts = TokenCache::of_document(small, environments.clone());
        let (mut gone, mut replaced) = (Vec::new(), HashMap::<_, Vec<String>>::new());
        for entry in before.beyond(&after) {
            let Some(account) = &entry.account else { continue };
            if entry.id.section() == section::ACCOUNT && !gone.contains(account) {
                gone.push(account.clone());
            }
            let place = (Arc::clone(&account.home_account_id), entry.id.section().to_owned());
            replaced.entry(place).or_default().extend(secret_hash(&entry));
        }
        let put = after.beyond(before).collect();
        Self { environments, accounts, cache: OnceCell::new(), put, gone, replaced, after }
    }

    /// The entries that are new or say something new.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.put.iter()
    }

    /// Those that can be waited for: of a user without an account entry, a sign-out could not be told.
    pub(super) fn lasting(&self) -> impl Iterator<Item = &Entry> {
        let is_here =
            |account: &AccountRef| self.accounts.holds_account(&account.home_account_id, &account.environment);
        self.put.iter().filter(move |entry| entry.account.as_ref().is_none_or(is_here))
    }

    /// Hashes of the secrets that this entry took the place of, or may have.
    pub(super) fn replaced_by(&self, entry: &Entry) -> Vec<String> {
        let place = entry.account.as_ref().map(|of| (Arc::clone(&of.home_account_id), entry.id.section().to_owned()));
        place.and_then(|place| self.replaced.get(&place)).cloned().unwrap_or_default()
    }

    /// The accounts that may have been removed, with the hashes of their secrets that are gone.
    pub(super) fn signed_out(&self) -> impl Iterator<Item = (&AccountRef, Vec<String>)> {
        self.gone.iter().map(|account| {
            let of_account = self.replaced.iter().filter(|((owner, _), _)| *owner == account.home_account_id);
            (account, of_account.flat_map(|(_, secrets)| secrets).cloned().collect())
        })
    }

    /// What the new entries are of no use without, or cannot be judged without: account, refresh and ID tokens, app
    /// metadata.
    pub(super) fn context(&self) -> impl Iterator<Item = Entry> {
        let mut clients: HashMap<&AccountRef, HashSet<Option<Arc<str>>>> = HashMap::new();
        for entry in self.lasting() {
            let Some(account) = &entry.account else { continue };
            clients.entry(account).or_default().insert(Holder::of(entry).client_id);
        }
        let sections = if clients.is_empty() {
            &[][..]
        } else {
            &[section::ACCOUNT, section::REFRESH_TOKEN, section::ID_TOKEN, section::APP_METADATA]
        };
        let candidates = sections.iter().flat_map(|section| self.after.entries_of(section));
        candidates.filter(move |entry| match (&entry.account, Holder::of(entry)) {
            (Some(account), holder) => {
                clients.get(account).is_some_and(|of| entry.id.section() == section::ACCOUNT || holder.serves(of))
            }
            (None, holder) => clients.values().any(|of| of.contains(&holder.client_id)),
        })
    }

    pub(super) fn cache(&self) -> &TokenCache {
        self.cache.get_or_init(|| TokenCache::of_document(self.after.clone(), self.environments.clone()))
    }
}
