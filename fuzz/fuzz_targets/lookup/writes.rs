//! The reference's writes: what an insertion replaces and evicts, what a removal takes along, over plain lists.

use std::collections::{BTreeMap, BTreeSet};

use cache_core::schema::section;

use super::naive::{
    Account, Extended, Identity, Metadata, Model, Refresh, Token, alike, answers_extended, holds_scope, is_lower,
    is_oidc, same_hash, scheme, split, without_port,
};

/// An entity that is kept once per meaning.
pub trait Kept: Clone + PartialEq + std::fmt::Debug {
    const SECTION: &'static str;

    fn list(model: &Model) -> &BTreeMap<String, Self>;
    fn list_mut(model: &mut Model) -> &mut BTreeMap<String, Self>;

    /// Whether everything is there that an entity must have to be put.
    fn is_writable(&self) -> bool;

    /// Whether both have one meaning, so that this one takes the other's place.
    fn is_twin(&self, other: &Self, model: &Model) -> bool;

    /// Whether the other one goes, though its meaning is another.
    fn evicts(&self, _other: &Self, _model: &Model) -> bool {
        false
    }

    /// The time by which twins are told apart.
    fn time(&self) -> Option<i64> {
        None
    }

    fn home(&self) -> Option<&str>;
    fn environment(&self) -> &str;
    fn set_environment(&mut self, host: &str);

    /// The entity as it is once it was written and read.
    fn written(self) -> Self {
        self
    }

    /// Takes over what the best twin knows and this one does not say.
    fn inherit(&mut self, twin: &Self);

    /// Takes over what a further twin knows.
    fn absorb(&mut self, _twin: &Self) {}
}

/// Puts an entity into the model as an insertion put it into the cache that now holds `actual`. The key text and the
/// host of a new entry are the cache's choice, within what is promised of them.
pub fn insert<E: Kept>(model: &mut Model, new: E, canonical: impl Fn(&str) -> String, actual: &Model) {
    let mut new = new.written();
    let rank =
        |(key, twin): &(String, E)| (is_lower(key), model.is_preferred(twin.environment()), twin.time(), key.clone());
    let (gone, rest): (Vec<_>, Vec<_>) = (E::list(model).clone().into_iter())
        .partition(|(_, other)| new.is_twin(other, model) || new.evicts(other, model));
    let mut rest: BTreeMap<String, E> = rest.into_iter().collect();
    let mut twins: Vec<_> = gone.into_iter().filter(|(_, other)| new.is_twin(other, model)).collect();
    twins.sort_by_key(|twin| std::cmp::Reverse(rank(twin)));

    let key = if let Some((key, twin)) = twins.first() {
        new.set_environment(twin.environment());
        new.inherit(twin);
        twins[1..].iter().for_each(|(_, twin)| new.absorb(twin));
        key.clone()
    } else {
        let added: Vec<_> = E::list(actual).iter().filter(|(key, _)| !rest.contains_key(*key)).collect();
        let [(key, put)] = added[..] else { panic!("one entry is new: {added:?}") };
        let hosts = hosts_for(model, new.home(), new.environment());
        assert!(hosts.iter().any(|host| host == put.environment()), "{} is none of {hosts:?}", put.environment());
        let canonical = canonical(put.environment());
        assert!(*key == canonical || rest.contains_key(&canonical), "the key is the canonical one where it is free");
        new.set_environment(put.environment());
        key.clone()
    };
    model.foreign.remove(&(E::SECTION.to_owned(), key.clone()));
    rest.insert(key, new);
    *E::list_mut(model) = rest;
}

/// The hosts that a new entry may go under: where the account's other entries stand, else the preferred one.
fn hosts_for(model: &Model, home: Option<&str>, environment: &str) -> BTreeSet<String> {
    let accounts = model.accounts.values().map(|account| (&account.home, &account.environment));
    let tokens = model.refresh_tokens.values().map(|token| (&token.home, &token.environment));
    let known =
        accounts.chain(tokens).filter(|(owner, host)| home == Some(&***owner) && model.same_cloud(host, environment));
    let known: BTreeSet<String> = known.map(|(_, host)| without_port(host).to_owned()).collect();
    if known.is_empty() { BTreeSet::from([model.preferred(environment)]) } else { known }
}

impl Model {
    /// Whether there is an account or a refresh token of this user in this cloud.
    pub fn knows(&self, home: &str, environment: &str) -> bool {
        let accounts = self.accounts.values().map(|account| (&account.home, &account.environment));
        let tokens = self.refresh_tokens.values().map(|token| (&token.home, &token.environment));
        accounts.chain(tokens).any(|(owner, host)| *owner == *home && self.same_cloud(host, environment))
    }

    /// Removes one entry; answers whether it was there.
    pub fn remove(&mut self, section: &str, key: &str) -> bool {
        let known = match section {
            section::ACCESS_TOKEN => self.tokens.remove(key).is_some(),
            section::REFRESH_TOKEN => self.refresh_tokens.remove(key).is_some(),
            section::ID_TOKEN => self.id_tokens.remove(key).is_some(),
            section::ACCOUNT => self.accounts.remove(key).is_some(),
            section::APP_METADATA => self.metadata.remove(key).is_some(),
            _ => false,
        };
        known | self.foreign.remove(&(section.to_owned(), key.to_owned())).is_some()
    }

    /// Removes everything of an account from its cloud, but for app metadata.
    pub fn remove_account(&mut self, home: &str, environment: &str) -> bool {
        let clouds = Self { grouped: self.grouped, ..Self::default() };
        let goes = |owner: &str, host: &str| owner == home && clouds.same_cloud(host, environment);
        let before = self.len();
        self.tokens.retain(|_, token| !token.home.as_ref().is_some_and(|owner| goes(owner, &token.environment)));
        self.refresh_tokens.retain(|_, token| !goes(&token.home, &token.environment));
        self.id_tokens.retain(|_, token| !goes(&token.home, &token.environment));
        self.accounts.retain(|_, account| !goes(&account.home, &account.environment));
        self.foreign.retain(|(section, _), json| {
            let field = |name: &str| {
                let value: serde_json::Value = serde_json::from_str(json).ok()?;
                Some(value.get(name)?.as_str()?.to_owned()).filter(|text| !text.is_empty())
            };
            let known = section::ALL.contains(&&**section) && section != section::APP_METADATA;
            let (owner, host) = (field("home_account_id"), field("environment"));
            // One that names no host goes with its user in any cloud.
            let of_account = owner.is_some_and(|owner| match host {
                Some(host) => goes(&owner, &host),
                None => owner == home,
            });
            !(known && of_account)
        });
        self.len() < before
    }

    /// Removes access tokens that have expired and do not serve during an outage either.
    pub fn remove_expired(&mut self, now: i64) -> usize {
        let before = self.tokens.len();
        self.tokens.retain(|_, token| token.expires_on.max(token.extended_expires_on).is_some_and(|end| end >= now));
        before - self.tokens.len()
    }

    /// Removes everything of a client but accounts and the refresh tokens of a family.
    pub fn remove_client(&mut self, client: &str) -> usize {
        let before = self.len();
        self.tokens.retain(|_, token| !alike(&token.client, client));
        self.refresh_tokens.retain(|_, token| token.family.is_some() || !alike(&token.client, client));
        self.id_tokens.retain(|_, token| !alike(&token.client, client));
        self.metadata.retain(|_, known| !alike(&known.client, client));
        before - self.len()
    }
}

impl Token {
    fn is_like(&self, other: &Self, model: &Model) -> bool {
        let same_assertion = match (&self.assertion, &other.assertion) {
            (Some(mine), Some(theirs)) => same_hash(mine, theirs),
            (mine, theirs) => mine == theirs,
        };
        self.home == other.home
            && same_assertion
            && model.same_cloud(&self.environment, &other.environment)
            && alike(&self.client, &other.client)
            && alike(&self.realm, &other.realm)
            && alike(scheme(self.token_type.as_ref()), scheme(other.token_type.as_ref()))
            && self.key_id == other.key_id
            && self.resource == other.resource
            && answers_extended(&other.extended, &self.extended)
    }
}

impl Kept for Token {
    const SECTION: &'static str = section::ACCESS_TOKEN;

    fn list(model: &Model) -> &BTreeMap<String, Self> {
        &model.tokens
    }

    fn list_mut(model: &mut Model) -> &mut BTreeMap<String, Self> {
        &mut model.tokens
    }

    fn is_writable(&self) -> bool {
        let named = [&self.environment, &self.client, &self.secret];
        named.iter().all(|text| !text.is_empty()) && split(&self.target).next().is_some() && self.expires_on.is_some()
    }

    fn is_twin(&self, other: &Self, model: &Model) -> bool {
        let same_scopes = split(&self.target).all(|scope| holds_scope(&other.target, scope))
            && split(&other.target).all(|scope| holds_scope(&self.target, scope));
        same_scopes && self.is_like(other, model)
    }

    fn evicts(&self, other: &Self, model: &Model) -> bool {
        let mut resources = split(&self.target).filter(|scope| !is_oidc(scope));
        resources.any(|scope| holds_scope(&other.target, scope)) && self.is_like(other, model)
    }

    fn time(&self) -> Option<i64> {
        self.cached_at
    }

    fn home(&self) -> Option<&str> {
        self.home.as_deref()
    }

    fn environment(&self) -> &str {
        &self.environment
    }

    fn set_environment(&mut self, host: &str) {
        host.clone_into(&mut self.environment);
    }

    fn written(mut self) -> Self {
        self.token_type = Some(scheme(self.token_type.as_ref()).to_owned());
        self.extended_expires_on = self.extended_expires_on.or(self.expires_on);
        self.assertion = self.assertion.map(|hash| unpadded(&hash));
        self
    }

    fn inherit(&mut self, twin: &Self) {
        self.unknown = self.unknown.take().or_else(|| twin.unknown.clone());
        self.client_info = self.client_info.take().or_else(|| twin.client_info.clone());
    }
}

impl Kept for Refresh {
    const SECTION: &'static str = section::REFRESH_TOKEN;

    fn list(model: &Model) -> &BTreeMap<String, Self> {
        &model.refresh_tokens
    }

    fn list_mut(model: &mut Model) -> &mut BTreeMap<String, Self> {
        &mut model.refresh_tokens
    }

    fn is_writable(&self) -> bool {
        [&self.home, &self.environment, &self.client, &self.secret].iter().all(|text| !text.is_empty())
    }

    /// Of the same user for the same client, or for the same family.
    fn is_twin(&self, other: &Self, model: &Model) -> bool {
        let same_assertion = match (&self.assertion, &other.assertion) {
            (Some(mine), Some(theirs)) => same_hash(mine, theirs),
            (mine, theirs) => mine == theirs,
        };
        let same_holder = match (&self.family, &other.family) {
            (None, None) => alike(&self.client, &other.client),
            (mine, theirs) => mine == theirs,
        };
        same_assertion
            && same_holder
            && self.home == other.home
            && model.same_cloud(&self.environment, &other.environment)
            && answers_extended(&other.extended, &self.extended)
    }

    fn time(&self) -> Option<i64> {
        self.modified_millis
    }

    fn home(&self) -> Option<&str> {
        Some(&self.home)
    }

    fn environment(&self) -> &str {
        &self.environment
    }

    fn set_environment(&mut self, host: &str) {
        host.clone_into(&mut self.environment);
    }

    fn written(mut self) -> Self {
        self.modified_millis = self.modified_millis.map(|millis| millis.div_euclid(1000) * 1000);
        self.assertion = self.assertion.map(|hash| unpadded(&hash));
        // A refresh token keeps components, and not the hash of none.
        if let Extended::Hash(_) = self.extended {
            self.extended = Extended::No;
        }
        self
    }

    fn inherit(&mut self, twin: &Self) {
        self.unknown = self.unknown.take().or_else(|| twin.unknown.clone());
    }
}

impl Kept for Identity {
    const SECTION: &'static str = section::ID_TOKEN;

    fn list(model: &Model) -> &BTreeMap<String, Self> {
        &model.id_tokens
    }

    fn list_mut(model: &mut Model) -> &mut BTreeMap<String, Self> {
        &mut model.id_tokens
    }

    fn is_writable(&self) -> bool {
        let named = [&self.home, &self.environment, &self.client].iter().all(|text| !text.is_empty());
        named && self.secret.starts_with("e30.e30.")
    }

    fn is_twin(&self, other: &Self, model: &Model) -> bool {
        self.home == other.home
            && alike(&self.client, &other.client)
            && alike(&self.realm, &other.realm)
            && model.same_cloud(&self.environment, &other.environment)
    }

    fn home(&self) -> Option<&str> {
        Some(&self.home)
    }

    fn environment(&self) -> &str {
        &self.environment
    }

    fn set_environment(&mut self, host: &str) {
        host.clone_into(&mut self.environment);
    }

    fn inherit(&mut self, twin: &Self) {
        self.unknown = self.unknown.take().or_else(|| twin.unknown.clone());
    }
}

impl Kept for Account {
    const SECTION: &'static str = section::ACCOUNT;

    fn list(model: &Model) -> &BTreeMap<String, Self> {
        &model.accounts
    }

    fn list_mut(model: &mut Model) -> &mut BTreeMap<String, Self> {
        &mut model.accounts
    }

    fn is_writable(&self) -> bool {
        !self.home.is_empty() && !self.environment.is_empty()
    }

    fn is_twin(&self, other: &Self, model: &Model) -> bool {
        self.home == other.home
            && alike(&self.realm, &other.realm)
            && model.same_cloud(&self.environment, &other.environment)
    }

    fn home(&self) -> Option<&str> {
        Some(&self.home)
    }

    fn environment(&self) -> &str {
        &self.environment
    }

    fn set_environment(&mut self, host: &str) {
        host.clone_into(&mut self.environment);
    }

    fn inherit(&mut self, twin: &Self) {
        self.unknown = self.unknown.take().or_else(|| twin.unknown.clone());
        if self.username.is_empty() {
            self.username.clone_from(&twin.username);
        }
    }

    fn absorb(&mut self, twin: &Self) {
        self.inherit(twin);
    }
}

impl Kept for Metadata {
    const SECTION: &'static str = section::APP_METADATA;

    fn list(model: &Model) -> &BTreeMap<String, Self> {
        &model.metadata
    }

    fn list_mut(model: &mut Model) -> &mut BTreeMap<String, Self> {
        &mut model.metadata
    }

    fn is_writable(&self) -> bool {
        !self.client.is_empty() && !self.environment.is_empty()
    }

    fn is_twin(&self, other: &Self, model: &Model) -> bool {
        alike(&self.client, &other.client) && model.same_cloud(&self.environment, &other.environment)
    }

    fn home(&self) -> Option<&str> {
        None
    }

    fn environment(&self) -> &str {
        &self.environment
    }

    fn set_environment(&mut self, host: &str) {
        host.clone_into(&mut self.environment);
    }

    fn inherit(&mut self, twin: &Self) {
        self.unknown = self.unknown.take().or_else(|| twin.unknown.clone());
    }
}

/// A SHA-256 in base64 is written without its padding; a session key stays as it is.
fn unpadded(hash: &str) -> String {
    if hash.len() == 44 { hash.strip_suffix('=').unwrap_or(hash) } else { hash }.to_owned()
}
