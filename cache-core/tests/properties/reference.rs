//! What the documentation says that lookups answer: scans over the fields of all entities, one sentence after the other.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use cache_core::schema::{AccessToken, AppMetadata, Entity, ExtendedKey, RefreshToken};
use cache_core::{AccessTokenQuery, EntryId, RefreshTokenQuery, TokenCache, UnixSeconds};

use super::alphabet::CLOUDS;

/// A question for access tokens.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) owner: Owner,
    pub(crate) client_id: String,
    pub(crate) realm: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) scopes: Vec<String>,
    /// Whether the scopes are given as a list, not as a text.
    pub(crate) listed: bool,
    /// The scheme and the key.
    pub(crate) scheme: Option<(String, Option<String>)>,
    pub(crate) extended: Option<ExtendedKey>,
    pub(crate) resource: Option<String>,
    pub(crate) margin: Option<i64>,
    pub(crate) now: UnixSeconds,
}

/// Whose tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    User(String),
    App,
    Assertion(String),
}

impl Question {
    /// Asks for this token, every id that may be spelled in another case spelled so.
    pub(crate) fn of(token: &AccessToken, now: UnixSeconds) -> Self {
        Self {
            owner: match (&token.assertion_hash, &token.home_account_id) {
                (Some(hash), _) => Owner::Assertion(hash.expose().trim_end_matches('=').into()),
                (None, Some(home_account_id)) => Owner::User(home_account_id.as_ref().into()),
                (None, None) => Owner::App,
            },
            client_id: other_case(&token.client_id),
            realm: Some(other_case(&token.realm)),
            environment: Some(other_case(&token.environment)),
            scopes: token.target.split_whitespace().map(other_case).collect(),
            listed: true,
            scheme: Some((other_case(scheme(token)), token.key_id.as_deref().map(Into::into))),
            extended: token.extended.clone(),
            resource: token.resource.as_deref().map(Into::into),
            margin: None,
            now,
        }
    }

    /// Puts the question to `answer`.
    pub(crate) fn ask<R>(&self, answer: impl FnOnce(&AccessTokenQuery<'_>) -> R) -> R {
        let (list, text): (Vec<&str>, _) = (self.scopes.iter().map(|scope| &**scope).collect(), self.scopes.join(" "));
        let scopes = || if self.listed { list.as_slice().into() } else { cache_core::Scopes::from(&text) };
        let mut query = match &self.owner {
            Owner::User(home_account_id) => AccessTokenQuery::user(home_account_id, &self.client_id, scopes()),
            Owner::App => AccessTokenQuery::app(&self.client_id, scopes()),
            Owner::Assertion(hash) => AccessTokenQuery::on_behalf_of(hash, &self.client_id, scopes()),
        };
        if let Some(environment) = &self.environment {
            query = query.with_environment(environment);
        }
        if let Some(realm) = &self.realm {
            query = query.with_realm(realm);
        }
        if let Some((scheme, key_id)) = &self.scheme {
            query = query.with_token_type(scheme, key_id.as_deref());
        }
        if let Some(extended) = &self.extended {
            query = query.with_extended(extended);
        }
        if let Some(resource) = &self.resource {
            query = query.with_resource(resource);
        }
        if let Some(seconds) = self.margin {
            query = query.with_margin(seconds);
        }
        answer(&query)
    }

    /// Whether the token answers.
    fn fits(&self, token: &AccessToken) -> bool {
        let owned = match (&self.owner, &token.assertion_hash) {
            (Owner::User(id), None) => token.home_account_id.as_deref() == Some(id),
            (Owner::App, None) => token.home_account_id.is_none(),
            (Owner::Assertion(asked), Some(have)) => same_hash(asked, have.expose()),
            _ => false,
        };
        let (asked, have) = (scopes(self.scopes.iter().map(|scope| &**scope)), scopes(token.target.split_whitespace()));
        let (asked_scheme, asked_key) = match &self.scheme {
            Some((scheme, key_id)) => (&**scheme, key_id.as_deref()),
            None => ("Bearer", None),
        };
        owned
            && same_text(&token.client_id, &self.client_id)
            && self.realm.as_ref().is_none_or(|realm| same_text(&token.realm, realm))
            && self.environment.as_ref().is_none_or(|environment| same_cloud(&token.environment, environment))
            // Who asks for no scope at all asks for nothing.
            && !asked.is_empty()
            && significant(&asked).is_subset(&have)
            && same_text(scheme(token), asked_scheme)
            && token.key_id.as_deref() == asked_key
            && same_extended(token.extended.as_ref(), self.extended.as_ref())
            && self.resource.as_ref().is_none_or(|resource| token.resource.as_deref() == Some(resource))
            && token.expires_on.is_some_and(|end| end.0 >= self.now.0 + self.margin.unwrap_or(300))
            && token.cached_at.is_none_or(|received| received.0 <= self.now.0 + 300)
    }

    /// Every token that answers, with the rank that it has among them.
    pub(crate) fn answers<'c>(&self, cache: &'c TokenCache) -> Vec<(EntryId, &'c Arc<AccessToken>, impl Ord + use<>)> {
        let ranked = |(id, token): (EntryId, &'c Arc<AccessToken>)| {
            let rank = (standing(&id, &token.environment), token.expires_on, token.cached_at);
            (id, token, rank)
        };
        cache.access_tokens().filter(|(_, token)| self.fits(token)).map(ranked).collect()
    }
}

/// Whether a new access token takes the place of another one: of the same identity, with scopes in common.
pub(crate) fn replaces(new: &AccessToken, old: &AccessToken) -> bool {
    let same_owner = match (&new.assertion_hash, &old.assertion_hash) {
        (Some(new), Some(old)) => same_hash(new.expose(), old.expose()),
        (None, None) => true,
        _ => false,
    };
    let (mine, theirs) = (scopes(new.target.split_whitespace()), scopes(old.target.split_whitespace()));
    let resources = |scopes: &BTreeSet<String>| -> BTreeSet<String> { scopes.difference(&oidc()).cloned().collect() };
    same_owner
        && new.home_account_id == old.home_account_id
        && same_text(&new.client_id, &old.client_id)
        && same_text(&new.realm, &old.realm)
        && same_cloud(&new.environment, &old.environment)
        && same_text(scheme(new), scheme(old))
        && new.key_id == old.key_id
        && new.resource == old.resource
        && same_extended(old.extended.as_ref(), new.extended.as_ref())
        && (mine == theirs || !resources(&mine).is_disjoint(&resources(&theirs)))
}

/// The refresh tokens of a user for a client: those of the family, those of the client's own; in no order.
pub(crate) fn refresh_tokens(
    cache: &TokenCache,
    owner: &Owner,
    client_id: &str,
    environment: &str,
    extended: Option<&ExtendedKey>,
    family: Option<&str>,
) -> (BTreeSet<EntryId>, BTreeSet<EntryId>) {
    let owned = |token: &RefreshToken| match (owner, &token.assertion_hash) {
        (Owner::User(id), None) => *token.home_account_id == **id,
        (Owner::Assertion(asked), Some(have)) => same_hash(asked, have.expose()),
        _ => false,
    };
    let mut found = (BTreeSet::new(), BTreeSet::new());
    for (id, token) in cache.all_refresh_tokens() {
        if !owned(token) || !same_cloud(&token.environment, environment) {
            continue;
        }
        if family.is_some() && token.family_id.as_deref() == family && token.extended.is_none() {
            found.0.insert(id);
        } else if same_text(&token.client_id, client_id) && same_extended(token.extended.as_ref(), extended) {
            found.1.insert(id);
        }
    }
    found
}

/// The query for them.
pub(crate) fn refresh_query<'a>(owner: &'a Owner, client_id: &'a str, environment: &'a str) -> RefreshTokenQuery<'a> {
    match owner {
        Owner::User(id) => RefreshTokenQuery::user(id, client_id, environment),
        Owner::Assertion(hash) => RefreshTokenQuery::on_behalf_of(hash, client_id, environment),
        Owner::App => unreachable!("applications have no refresh tokens"),
    }
}

/// The hosts, by their texts, of the newest access tokens of a user and client.
pub(crate) fn newest_hosts(
    cache: &TokenCache,
    home_account_id: &str,
    client_id: &str,
    environment: &str,
) -> BTreeSet<String> {
    let of_client: Vec<&AccessToken> = cache
        .access_tokens()
        .map(|(_, token)| &**token)
        .filter(|token| token.home_account_id.as_deref() == Some(home_account_id))
        .filter(|token| same_text(&token.client_id, client_id) && same_cloud(&token.environment, environment))
        .collect();
    let newest = of_client.iter().map(|token| token.cached_at).max();
    let newest = of_client.iter().filter(|token| Some(token.cached_at) == newest);
    newest.map(|token| token.environment.to_lowercase()).collect()
}

/// The rank of a refresh token among those of its family, or of its client, the least best: first the one under the host
/// of the newest access token, then the newer one, then the greater key text.
pub(crate) fn refresh_rank(newest_hosts: &BTreeSet<String>, id: &EntryId, token: &RefreshToken) -> impl Ord + use<> {
    let current = newest_hosts.contains(&token.environment.to_lowercase());
    Reverse((current, token.last_modification_time.map(|time| time.0), id.key().to_owned()))
}

/// Those that stand highest among the entities of one meaning.
pub(crate) fn best<'c, E: Entity>(found: impl Iterator<Item = (EntryId, &'c Arc<E>)>) -> Vec<Arc<E>> {
    let found: Vec<_> = found.collect();
    let rank = |(id, entity): &(EntryId, &Arc<E>)| (standing(id, entity.environment()), entity.written_at());
    let best = found.iter().map(rank).max();
    found.iter().filter(|one| Some(rank(one)) == best).map(|(_, entity)| Arc::clone(entity)).collect()
}

/// What is known of an application.
pub(crate) fn metadata(cache: &TokenCache, environment: &str, client_id: &str) -> Vec<Arc<AppMetadata>> {
    let is_asked =
        |known: &AppMetadata| same_text(&known.client_id, client_id) && same_cloud(&known.environment, environment);
    best(cache.all_app_metadata().filter(|(_, known)| is_asked(known)))
}

/// Of several entities of one meaning: one under a lower-case key, then one under the cloud's preferred host.
fn standing(id: &EntryId, environment: &str) -> (bool, bool) {
    // By its text, as the libraries that read it first compare it: with a port it is another.
    (id.key() == id.key().to_lowercase(), environment.to_lowercase() == cloud(environment))
}

/// The scopes that name a resource, or all if none does.
fn significant(scopes: &BTreeSet<String>) -> BTreeSet<String> {
    let resources: BTreeSet<String> = scopes.difference(&oidc()).cloned().collect();
    if resources.is_empty() { scopes.clone() } else { resources }
}

fn oidc() -> BTreeSet<String> {
    ["openid", "profile", "offline_access", "email"].map(String::from).into()
}

fn scopes<'a>(scopes: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    scopes.map(str::to_lowercase).collect()
}

fn scheme(token: &AccessToken) -> &str {
    token.token_type.as_deref().unwrap_or("Bearer")
}

fn same_extended(have: Option<&ExtendedKey>, asked: Option<&ExtendedKey>) -> bool {
    match (have, asked) {
        (None, None) => true,
        (Some(have), Some(asked)) if have.components().is_empty() || asked.components().is_empty() => {
            !have.hash().is_empty() && same_text(have.hash(), asked.hash())
        }
        (Some(have), Some(asked)) => have.components() == asked.components(),
        _ => false,
    }
}

fn same_hash(a: &str, b: &str) -> bool {
    a.trim_end_matches('=') == b.trim_end_matches('=')
}

pub(crate) fn same_text(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

pub(crate) fn same_cloud(a: &str, b: &str) -> bool {
    cloud(a) == cloud(b)
}

/// The preferred host of the cloud.
pub(crate) fn cloud(environment: &str) -> String {
    let host = host(environment);
    CLOUDS.iter().find(|hosts| hosts.contains(&&*host)).map_or(host, |hosts| hosts[0].into())
}

/// The host in lower case, without its port.
fn host(environment: &str) -> String {
    environment.split(':').next().unwrap_or_default().to_lowercase()
}

/// The text in another case, by its least usual letters.
fn other_case(text: &str) -> String {
    let other = |letter: char| match letter {
        'k' => '\u{212a}',
        'å' => '\u{212b}',
        '\u{212b}' => 'å',
        letter if letter.is_ascii_lowercase() => letter.to_ascii_uppercase(),
        letter => letter.to_ascii_lowercase(),
    };
    text.chars().map(other).collect()
}
