//! What lookups ask for, and the limit that they are measured against.

use std::sync::Arc;

use cache_core::schema::AccessToken;
use cache_core::{AccessTokenQuery, TokenCache, UnixSeconds};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::population::{CLIENT, EXPIRES_ON, HOST, Identity, NOW, Population, Random};

/// How many tokens are asked for in turn, drawn at random over the whole cache. They stay in the processor's caches.
const PROBES: usize = 2000;

/// How a lookup asks for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// By every scope that the token has.
    Exact,
    /// By one of its three scopes.
    Subset,
    /// By one of its scopes and one that was not granted: found nowhere.
    Miss,
    /// By every scope, when it has expired: found nowhere.
    Expired,
}

/// One token to ask for, with all texts at hand.
#[derive(Debug)]
pub struct Probe {
    home_account_id: Option<String>,
    assertion_hash: Option<String>,
    realm: String,
    target: String,
    scopes: String,
    now: UnixSeconds,
    is_of_even_account: bool,
}

/// The 2,000 tokens that a benchmark asks for in turn.
pub fn probes(population: Population, tokens: usize, asked: Asked) -> Vec<Probe> {
    let mut random = Random(2);
    (0..PROBES).map(|_| Probe::new(population.identity(tokens, random.below(tokens)), asked)).collect()
}

impl Probe {
    pub(crate) fn new(identity: Identity, asked: Asked) -> Self {
        let Identity { home_account_id, assertion_hash, realm, target, account, .. } = identity;
        let scope = |n: usize| target.split(' ').cycle().nth(n).expect("a token has scopes").to_owned();
        let scopes = match asked {
            Asked::Exact | Asked::Expired => target.clone(),
            Asked::Subset => scope(2),
            Asked::Miss => format!("{} https://absent.contoso.example/Notes.Read", scope(0)),
        };
        let now = if asked == Asked::Expired { EXPIRES_ON } else { NOW };
        let is_of_even_account = account % 2 == 0;
        Self { home_account_id, assertion_hash, realm, target, scopes, now, is_of_even_account }
    }

    /// The query: owner, client, tenant, cloud and scopes.
    pub fn query(&self) -> AccessTokenQuery<'_> {
        let query = match (&self.assertion_hash, &self.home_account_id) {
            (Some(hash), _) => AccessTokenQuery::on_behalf_of(hash, CLIENT, &self.scopes),
            (None, Some(home)) => AccessTokenQuery::user(home, CLIENT, &self.scopes),
            (None, None) => AccessTokenQuery::app(CLIENT, &self.scopes),
        };
        query.with_realm(&self.realm).with_environment(HOST)
    }

    /// What the cache answers: the lookup that every benchmark measures.
    pub fn look_up(&self, cache: &TokenCache) -> Option<Arc<AccessToken>> {
        cache.access_token(&self.query(), self.now).map(Arc::clone)
    }

    /// Parts the probes of users in two halves that have no token in common.
    pub fn is_of_even_account(&self) -> bool {
        self.is_of_even_account
    }

    fn key(&self) -> String {
        built_key(self.home_account_id.as_deref(), HOST, CLIENT, &self.realm, &self.target)
    }
}

/// The limit of lookups: build the key's text from its five parts, probe a hash map, clone the handle.
#[derive(Debug)]
pub struct BuiltKeyMap(HashMap<String, Arc<AccessToken>, RandomState>);

impl BuiltKeyMap {
    /// The access tokens of `cache` by key. They are copies, so that the limit and the cache do not warm each other's.
    pub fn of(cache: &TokenCache) -> Self {
        let entry = |token: &AccessToken| {
            let AccessToken { home_account_id, environment, client_id, realm, target, .. } = token;
            (built_key(home_account_id.as_deref(), environment, client_id, realm, target), Arc::new(token.clone()))
        };
        Self(cache.access_tokens().map(|(_, token)| entry(token)).collect())
    }

    /// What the map holds for the probe's token.
    pub fn look_up(&self, probe: &Probe) -> Option<Arc<AccessToken>> {
        self.0.get(&probe.key()).map(Arc::clone)
    }
}

fn built_key(home_account_id: Option<&str>, environment: &str, client_id: &str, realm: &str, target: &str) -> String {
    let home_account_id = home_account_id.unwrap_or_default();
    [home_account_id, "-", environment, "-accesstoken-", client_id, "-", realm, "-", target].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_find_their_tokens_and_misses_none() {
        use Population::{App, OnBehalfOf, OneAccount, OneTenant, Users};
        for population in [Users, OnBehalfOf, App, OneAccount, OneTenant] {
            let cache = population.cache(100);
            for (asked, found) in
                [(Asked::Exact, true), (Asked::Subset, true), (Asked::Miss, false), (Asked::Expired, false)]
            {
                let right = probes(population, 100, asked).iter().all(|probe| match probe.look_up(&cache) {
                    Some(token) => found && *token.target == *probe.target && *token.realm == *probe.realm,
                    None => !found,
                });
                assert!(right, "{population:?} {asked:?}");
            }
        }
    }

    #[test]
    fn the_limit_finds_what_the_cache_finds() {
        let cache = Population::Users.cache(100);
        let map = BuiltKeyMap::of(&cache);
        for probe in probes(Population::Users, 100, Asked::Exact) {
            assert_eq!(map.look_up(&probe).expect("is there"), probe.look_up(&cache).expect("is there"));
        }
    }
}
