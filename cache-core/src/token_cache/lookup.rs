//! Lookups. The hot one, [`TokenCache::access_token`], hashes the query's parts, probes the index once per scope and
//! compares the few rows under the rarest one: no allocation, and no dependence on the size of the cache.

use std::cmp::Ordering;
use std::sync::Arc;

use super::TokenCache;
use super::hashed::Hashed;
use super::index::{Bound, Hash, Hashing};
use super::query::{AccessTokenQuery, Owner, RefreshTokenQuery};
use super::row::Row;
use crate::entry::EntryId;
use crate::schema::{AccessToken, Account, AppMetadata, IdToken, RefreshToken};
use crate::text::eq_ignore_case;
use crate::time::UnixSeconds;

impl TokenCache {
    /// The access token that answers the query best, if there is one that is usable at `now`.
    ///
    /// Among several: one under a lower-case key before its stale twin, one under the cloud's preferred host, the one
    /// that expires last, the one received last. [`refresh_on`](AccessToken::refresh_on) is for the caller to look at.
    pub fn access_token(&self, query: &AccessTokenQuery<'_>, now: UnixSeconds) -> Option<&Arc<AccessToken>> {
        let best = match self.places(query) {
            // Nearly always: one token has this identity and scope, or none.
            Some([]) => None,
            Some([one]) => self.access_tokens.row(*one).filter(|row| self.answers(row, query, now)),
            _ => self.matching(query, now).max_by(|a, b| self.rank(a, b)),
        };
        best.map(|row| &row.entity)
    }

    /// Every access token that answers the query and is usable at `now`, in no particular order.
    pub fn matching_access_tokens<'c, 'q>(
        &'c self,
        query: &'q AccessTokenQuery<'q>,
        now: UnixSeconds,
    ) -> impl Iterator<Item = (EntryId, &'c Arc<AccessToken>)> + use<'c, 'q> {
        self.matching(query, now).map(|row| (row.id(), &row.entity))
    }

    /// The refresh tokens that can answer for this user and client, best first; try the next one only if the
    /// identity provider refuses the one before.
    ///
    /// The client's family first, if the client is known to be in one or nothing is known of it (then family `1`),
    /// its own after that. Twins under several key texts all stay: first the one whose environment is that of the
    /// newest access token of this user and client, then the newer one, then the greater key text.
    pub fn refresh_tokens(&self, query: &RefreshTokenQuery<'_>) -> Vec<(EntryId, Arc<RefreshToken>)> {
        let family = match self.app_metadata(query.environment, query.client_id) {
            Some(metadata) => metadata.family_id.as_deref(),
            None => Some("1"),
        };
        let owner = match (query.assertion_hash, query.home_account_id) {
            (Some(hash), _) => hash.trim_end_matches('='),
            (None, Some(home_account_id)) => home_account_id,
            (None, None) => return Vec::new(),
        };
        let suits = |row: &&Row<RefreshToken>| {
            let token = &row.entity;
            let owned = match (query.assertion_hash, &token.assertion_hash) {
                (Some(asked), Some(have)) => same_hash(asked, have.expose()),
                (None, None) => query.home_account_id == Some(&*token.home_account_id),
                _ => false,
            };
            owned && self.environments.same(&token.environment, query.environment)
        };
        let own = |row: &&Row<RefreshToken>| {
            let divided = match (&row.entity.extended, query.extended) {
                (None, None) => true,
                (Some(have), Some(asked)) => have.matches(asked),
                _ => false,
            };
            divided && eq_ignore_case(&row.entity.client_id, query.client_id)
        };
        let rows = |name: &str| self.refresh_tokens.under(self.hashing.pair(owner, name)).filter(suits);

        let mut of_family: Vec<_> = family
            .into_iter()
            .flat_map(rows)
            .filter(|row| row.entity.family_id.as_deref() == family && row.entity.extended.is_none())
            .collect();
        let mut of_client: Vec<_> = rows(query.client_id).filter(own).collect();
        of_client.retain(|row| !of_family.iter().any(|other| std::ptr::eq(*other, *row)));
        self.sort_refresh_tokens(&mut of_family, query);
        self.sort_refresh_tokens(&mut of_client, query);
        of_family.into_iter().chain(of_client).map(|row| (row.id(), Arc::clone(&row.entity))).collect()
    }

    /// The ID token of a user for a client in a tenant, under any host of the cloud.
    pub fn id_token(
        &self,
        home_account_id: &str,
        environment: &str,
        client_id: &str,
        realm: &str,
    ) -> Option<&Arc<IdToken>> {
        let wanted = |row: &&Row<IdToken>| {
            let token = &row.entity;
            *token.home_account_id == *home_account_id
                && eq_ignore_case(&token.client_id, client_id)
                && eq_ignore_case(&token.realm, realm)
                && self.environments.same(&token.environment, environment)
        };
        let rows = self.id_tokens.under(self.hashing.pair(home_account_id, client_id)).filter(wanted);
        rows.max_by(|a, b| self.rank_rows(a, b)).map(|row| &row.entity)
    }

    /// What is known of an application, under any host of the cloud.
    pub fn app_metadata(&self, environment: &str, client_id: &str) -> Option<&Arc<AppMetadata>> {
        let wanted = |row: &&Row<AppMetadata>| {
            eq_ignore_case(&row.entity.client_id, client_id)
                && self.environments.same(&row.entity.environment, environment)
        };
        let rows = self.app_metadata.under(self.hashing.pair("", client_id)).filter(wanted);
        rows.max_by(|a, b| self.rank_rows(a, b)).map(|row| &row.entity)
    }

    fn matching<'c, 'q>(
        &'c self,
        query: &'q AccessTokenQuery<'q>,
        now: UnixSeconds,
    ) -> impl Iterator<Item = &'c Row<AccessToken>> + use<'c, 'q> {
        let (places, all): (&[u32], _) = match self.places(query) {
            Some(places) => (places, None),
            None => (&[], Some(self.access_tokens.iter())),
        };
        let indexed = places.iter().filter_map(|at| self.access_tokens.row(*at));
        indexed.chain(all.into_iter().flatten()).filter(move |row| self.answers(row, query, now))
    }

    /// The places of the tokens among which the answers are; `None`: they may be anywhere.
    fn places(&self, query: &AccessTokenQuery<'_>) -> Option<&[u32]> {
        /// So few are compared sooner than the index is asked again.
        const FEW: usize = 4;
        // An empty set of scopes asks for nothing.
        let Some(first) = query.scopes.most_telling() else { return Some(&[]) };
        if query.realm.is_none() && !matches!(query.owner, Owner::Assertion(_)) {
            return None;
        }
        let bound = Bound { key_id: query.key_id, extended: query.extended };
        let token = self.hashing.token(query.owner, query.client_id, query.realm.unwrap_or_default(), bound);
        let mut rarest = self.access_tokens.places(token.with_scope(first));
        if rarest.len() > FEW {
            for scope in query.scopes.significant() {
                let places = self.access_tokens.places(token.with_scope(scope));
                if places.len() < rarest.len() {
                    rarest = places;
                }
            }
        }
        Some(rarest)
    }

    fn answers(&self, row: &Row<AccessToken>, query: &AccessTokenQuery<'_>, now: UnixSeconds) -> bool {
        let token = &row.entity;
        let owned = match query.owner {
            Owner::User(id) => token.home_account_id.as_deref() == Some(id),
            Owner::App => token.home_account_id.is_none(),
            Owner::Assertion(_) => true,
        };
        owned
            && eq_ignore_case(&token.client_id, query.client_id)
            && query.realm.is_none_or(|realm| eq_ignore_case(&token.realm, realm))
            && query.scopes.are_in(&token.target)
            && query.environment.is_none_or(|environment| self.environments.same(&token.environment, environment))
            && token.is_usable(now, query.margin_seconds)
            && (row.is_ordinary() && query.is_ordinary() || is_bound_alike(token, query))
    }

    /// `Greater`: `a` answers better than `b`.
    fn rank(&self, a: &Row<AccessToken>, b: &Row<AccessToken>) -> Ordering {
        let times = |row: &Row<AccessToken>| (row.entity.expires_on, row.entity.cached_at);
        self.rank_twins(a, b).then_with(|| times(a).cmp(&times(b))).then_with(|| a.key().cmp(&b.key()))
    }

    /// Of several entities of one meaning without more times than their own.
    pub(super) fn rank_rows<E: Hashed>(&self, a: &Row<E>, b: &Row<E>) -> Ordering {
        self.rank_twins(a, b)
            .then_with(|| a.entity.written_at().cmp(&b.entity.written_at()))
            .then_with(|| a.key().cmp(&b.key()))
    }

    /// A key in lower case before one with capitals (MSAL Go 1.0 left such stale twins behind; MSAL.NET keeps capitals
    /// in account keys only), then the cloud's preferred host before its other names.
    fn rank_twins<E: Hashed>(&self, a: &Row<E>, b: &Row<E>) -> Ordering {
        let preferred = |row: &Row<E>| {
            let environment = row.entity.environment();
            eq_ignore_case(self.environments.preferred(environment), environment)
        };
        a.has_lower_case_key().cmp(&b.has_lower_case_key()).then_with(|| preferred(a).cmp(&preferred(b)))
    }

    fn sort_refresh_tokens(&self, rows: &mut [&Row<RefreshToken>], query: &RefreshTokenQuery<'_>) {
        if rows.len() < 2 {
            return;
        }
        let newest = self
            .access_tokens
            .iter()
            .map(|row| &row.entity)
            .filter(|token| {
                let owned = match (query.assertion_hash, &token.assertion_hash) {
                    (Some(asked), have) => have.as_ref().is_some_and(|have| same_hash(have.expose(), asked)),
                    (None, _) => token.home_account_id.as_deref() == query.home_account_id,
                };
                owned
                    && eq_ignore_case(&token.client_id, query.client_id)
                    && self.environments.same(&token.environment, query.environment)
            })
            .max_by_key(|token| token.cached_at)
            .map(|token| &token.environment);
        rows.sort_by(|a, b| {
            let rank = |row: &Row<RefreshToken>| {
                let current = newest.is_some_and(|environment| eq_ignore_case(environment, &row.entity.environment));
                let own = row.entity.family_id.is_none();
                (own, current, row.entity.last_modification_time, row.key())
            };
            rank(b).cmp(&rank(a))
        });
    }
}

/// Whether a token is bound to what the query names: an assertion, a scheme and key, further components, a resource.
fn is_bound_alike(token: &AccessToken, query: &AccessTokenQuery<'_>) -> bool {
    let assertion = match (&token.assertion_hash, query.owner) {
        (Some(have), Owner::Assertion(asked)) => same_hash(have.expose(), asked),
        (None, Owner::User(_) | Owner::App) => true,
        _ => false,
    };
    let extended = match (&token.extended, query.extended) {
        (None, None) => true,
        (Some(have), Some(asked)) => have.matches(asked),
        _ => false,
    };
    assertion
        && extended
        && eq_ignore_case(token.scheme(), query.token_type.unwrap_or(crate::schema::BEARER))
        && token.key_id.as_deref() == query.key_id
        && query.resource.is_none_or(|resource| token.resource.as_deref() == Some(resource))
}

/// Assertion hashes are base64, with padding in MSAL Go and without elsewhere.
pub(super) fn same_hash(a: &str, b: &str) -> bool {
    a.trim_end_matches('=') == b.trim_end_matches('=')
}

impl Hashed for AccessToken {
    fn hashes(&self, hashing: &Hashing, mut each: impl FnMut(Hash)) {
        let token = hashing.token(owner(self), &self.client_id, &self.realm, bound(self));
        self.scopes().for_each(|scope| each(token.with_scope(scope)));
    }

    fn is_extended(&self) -> bool {
        self.extended.is_some()
    }

    fn is_ordinary(&self) -> bool {
        let unbound = self.assertion_hash.is_none() && self.extended.is_none() && self.key_id.is_none();
        unbound && self.resource.is_none() && self.is_bearer()
    }
}

/// What this token is bound to beside its scopes.
pub(super) fn bound(token: &AccessToken) -> Bound<'_> {
    Bound { key_id: token.key_id.as_deref(), extended: token.extended.as_ref() }
}

/// Whose refresh token this is: the session's or assertion's, else the user's.
pub(super) fn refresh_owner(token: &RefreshToken) -> &str {
    token.assertion_hash.as_ref().map_or(&*token.home_account_id, |hash| hash.expose().trim_end_matches('='))
}

/// Whose token this is.
pub(crate) fn owner(token: &AccessToken) -> Owner<'_> {
    match (&token.assertion_hash, token.home_account_id.as_deref()) {
        (Some(hash), _) => Owner::Assertion(hash.expose()),
        (None, Some(home_account_id)) => Owner::User(home_account_id),
        (None, None) => Owner::App,
    }
}

impl Hashed for RefreshToken {
    /// Under the client and under the family, of the user or of the assertion; and under the user alone.
    fn hashes(&self, hashing: &Hashing, mut each: impl FnMut(Hash)) {
        let owner = refresh_owner(self);
        each(hashing.pair(owner, &self.client_id));
        each(hashing.pair(&self.home_account_id, ""));
        if let Some(family) = &self.family_id {
            each(hashing.pair(owner, family));
        }
    }
}

impl Hashed for IdToken {
    fn hashes(&self, hashing: &Hashing, mut each: impl FnMut(Hash)) {
        each(hashing.pair(&self.home_account_id, &self.client_id));
    }
}

impl Hashed for Account {
    fn hashes(&self, hashing: &Hashing, mut each: impl FnMut(Hash)) {
        each(hashing.pair(&self.home_account_id, ""));
    }
}

impl Hashed for AppMetadata {
    fn hashes(&self, hashing: &Hashing, mut each: impl FnMut(Hash)) {
        each(hashing.pair("", &self.client_id));
    }
}
