//! Extended access tokens beside MSAL Node, which keys them in a way of its own. Once one has expired it stores its own
//! new token beside it, and from then on finds two and fails. So expired ones are dropped, and of twins one is kept.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use super::Peer;
use super::objection::{Notes, Reason};
use crate::document::{Part, UnifiedDocument};
use crate::entry::EntryId;
use crate::environment::Environments;
use crate::schema::{AccessToken, Entity as _, ExtendedKey, section};
use crate::time::UnixSeconds;

/// The keys of extended access tokens that are too many.
pub(super) struct Superfluous(HashSet<EntryId>);

impl Superfluous {
    pub(super) fn contains(&self, part: Part<'_>) -> bool {
        match part {
            Part::Entry { section, key, .. } if section == section::ACCESS_TOKEN && !self.0.is_empty() => {
                self.0.contains(&EntryId::new(section, key))
            }
            _ => false,
        }
    }
}

/// Those that have expired at `now`, and those that are older than another one of the same meaning.
pub(super) fn superfluous(document: &UnifiedDocument, now: UnixSeconds) -> Superfluous {
    let mut superfluous = HashSet::new();
    let mut newest: HashMap<Meaning, (Rank, &str)> = HashMap::new();
    let environments = Environments::default();
    for (key, token) in extended_tokens(document) {
        let mut drop = |key: &str| superfluous.insert(EntryId::new(section::ACCESS_TOKEN, key));
        if token.expires_on.is_none_or(|end| end <= now) {
            drop(key);
            continue;
        }
        let ranked = (rank(key, &token), key);
        match newest.entry(meaning(&token, &environments)) {
            Entry::Vacant(place) => {
                place.insert(ranked);
            }
            Entry::Occupied(mut place) => {
                let older = if ranked >= *place.get() { place.insert(ranked) } else { ranked };
                drop(older.1);
            }
        }
    }
    Superfluous(superfluous)
}

/// Notes the twins.
pub(super) fn note(document: &UnifiedDocument, notes: &mut Notes) {
    if !notes.asks(Peer::Node) {
        return;
    }
    notes.enter(section::ACCESS_TOKEN);
    let environments = Environments::default();
    let mut seen = HashSet::new();
    for (_, token) in extended_tokens(document) {
        if !seen.insert(meaning(&token, &environments)) {
            notes.note(Peer::Node, Reason::ExtendedTwins);
        }
    }
}

/// Those of which it is known by what they are extended, with their keys.
fn extended_tokens(document: &UnifiedDocument) -> impl Iterator<Item = (&str, AccessToken)> {
    document.parts().filter_map(|part| match part {
        Part::Entry { section: section::ACCESS_TOKEN, key, json, .. } => {
            let token = AccessToken::read(key, json)?;
            let known = token.extended.as_ref().is_some_and(|extended| !extended.hash().is_empty());
            known.then_some((key, token))
        }
        _ => None,
    })
}

/// Of twins the one with the greatest rank stays.
type Rank = (Option<UnixSeconds>, Option<UnixSeconds>, bool);

fn rank(key: &str, token: &AccessToken) -> Rank {
    // MSAL Go 1.0 left stale entries under keys with capitals.
    (token.expires_on, token.cached_at, !key.chars().any(char::is_uppercase))
}

/// Equal for tokens that answer the same requests. A digest, since the key of a session is a secret.
fn meaning(token: &AccessToken, environments: &Environments) -> Meaning {
    let mut scopes: Vec<String> = token.scopes().map(str::to_lowercase).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let hash = token.assertion_hash.as_ref().map_or("", |hash| hash.expose().trim_end_matches('='));
    let (home, key_id) = (token.home_account_id.as_deref(), token.key_id.as_deref());
    let extended = token.extended.as_ref().map_or("", ExtendedKey::hash);
    let environment = environments.preferred(&token.environment);
    let ignoring_case = [environment, &token.client_id, &token.realm, token.scheme(), extended].map(str::to_lowercase);
    let mut digest = Sha256::new();
    let as_spelled = [home.unwrap_or_default(), key_id.unwrap_or_default(), hash].into_iter();
    for part in as_spelled.chain(ignoring_case.iter().chain(&scopes).map(String::as_str)) {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

type Meaning = [u8; 32];
