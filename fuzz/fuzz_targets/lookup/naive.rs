//! The reference: entities as plain fields in plain lists, and lookups that scan them. Written from the documentation of
//! the queries and of `TokenCache`; nothing here is fast, and nothing is shared with what it judges.

use std::collections::{BTreeMap, BTreeSet};

use cache_core::schema::{self, extended_key_hash};
use cache_core::{TokenCache, UnixSeconds};

/// Everything that a cache holds, each list in the order of its key texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Whether `adfs.example` and `sts.example` are one cloud.
    pub grouped: bool,
    pub tokens: BTreeMap<String, Token>,
    pub refresh_tokens: BTreeMap<String, Refresh>,
    pub id_tokens: BTreeMap<String, Identity>,
    pub accounts: BTreeMap<String, Account>,
    pub metadata: BTreeMap<String, Metadata>,
    /// What is carried along, by section and key text: its JSON.
    pub foreign: BTreeMap<(String, String), String>,
}

/// An access token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Token {
    pub home: Option<String>,
    pub environment: String,
    pub client: String,
    pub realm: String,
    pub target: String,
    pub secret: String,
    pub cached_at: Option<i64>,
    pub expires_on: Option<i64>,
    pub extended_expires_on: Option<i64>,
    pub refresh_on: Option<i64>,
    pub token_type: Option<String>,
    pub key_id: Option<String>,
    pub assertion: Option<String>,
    pub extended: Extended,
    pub resource: Option<String>,
    pub client_info: Option<String>,
    /// The JSON of a field that no library knows.
    pub unknown: Option<String>,
}

/// By what a token is extended.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Extended {
    #[default]
    No,
    By(BTreeMap<String, String>),
    Hash(String),
    /// By something that the entity does not tell.
    Unknown,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refresh {
    pub home: String,
    pub environment: String,
    pub client: String,
    pub secret: String,
    pub family: Option<String>,
    pub modified_millis: Option<i64>,
    pub assertion: Option<String>,
    pub extended: Extended,
    pub unknown: Option<String>,
}

/// An ID token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    pub home: String,
    pub environment: String,
    pub client: String,
    pub realm: String,
    pub secret: String,
    pub unknown: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    pub home: String,
    pub environment: String,
    pub realm: String,
    pub username: String,
    pub unknown: Option<String>,
}

/// Application metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    pub client: String,
    pub environment: String,
    pub family: Option<String>,
    pub unknown: Option<String>,
}

/// Whose access token is asked for.
#[derive(Clone, Debug)]
pub enum Owner {
    User(String),
    App,
    Assertion(String),
}

/// A question for an access token.
#[derive(Clone, Debug)]
pub struct Question {
    pub owner: Owner,
    pub client: String,
    pub scopes: Vec<String>,
    pub environment: Option<String>,
    pub realm: Option<String>,
    pub token_type: Option<String>,
    pub key_id: Option<String>,
    pub extended: Extended,
    pub resource: Option<String>,
    pub margin: i64,
    pub now: i64,
}

/// A question for refresh tokens.
#[derive(Clone, Debug)]
pub struct RefreshQuestion {
    /// A user, or the assertion of an on-behalf-of process.
    pub owner: Result<String, String>,
    pub client: String,
    pub environment: String,
    pub extended: Extended,
}

impl Model {
    /// Whether the token answers the question.
    pub fn answers(&self, token: &Token, asked: &Question) -> bool {
        let owned = match &asked.owner {
            Owner::User(home) => token.assertion.is_none() && token.home.as_ref() == Some(home),
            Owner::App => token.assertion.is_none() && token.home.is_none(),
            Owner::Assertion(hash) => token.assertion.as_ref().is_some_and(|have| same_hash(have, hash)),
        };
        let requested: Vec<&str> = asked.scopes.iter().flat_map(|scopes| split(scopes)).collect();
        let names_a_resource = requested.iter().any(|scope| !is_oidc(scope));
        let needed = requested.iter().filter(|scope| !names_a_resource || !is_oidc(scope));
        let good_until = asked.now.saturating_add(asked.margin);
        owned
            && alike(&token.client, &asked.client)
            && asked.realm.as_ref().is_none_or(|realm| alike(&token.realm, realm))
            && asked.environment.as_ref().is_none_or(|host| self.same_cloud(&token.environment, host))
            && !requested.is_empty()
            && needed.copied().all(|scope| holds_scope(&token.target, scope))
            && alike(scheme(token.token_type.as_ref()), scheme(asked.token_type.as_ref()))
            && token.key_id == asked.key_id
            && answers_extended(&token.extended, &asked.extended)
            && asked.resource.as_ref().is_none_or(|resource| token.resource.as_ref() == Some(resource))
            && token.expires_on.is_some_and(|end| end >= good_until)
            && token.cached_at.is_none_or(|received| received <= asked.now.saturating_add(300))
    }

    /// The key texts of all tokens that answer.
    pub fn answering(&self, asked: &Question) -> BTreeSet<&str> {
        let answering = self.tokens.iter().filter(|(_, token)| self.answers(token, asked));
        answering.map(|(key, _)| &**key).collect()
    }

    /// How good an answer this token is, the greatest best: under a lower-case key, under the cloud's preferred host,
    /// by expiry, by time of receipt.
    pub fn rank(&self, key: &str) -> impl Ord + use<> {
        let token = &self.tokens[key];
        (is_lower(key), self.is_preferred(&token.environment), token.expires_on, token.cached_at)
    }

    /// The key texts of the refresh tokens that answer, best first, for each host that the user's newest access token
    /// may be of: several may be equally new.
    pub fn refresh_tokens(&self, asked: &RefreshQuestion, family: Option<&str>) -> Vec<Vec<&str>> {
        let owned = |token: &Refresh| match (&asked.owner, &token.assertion) {
            (Ok(home), None) => token.home == *home,
            (Err(hash), Some(have)) => same_hash(have, hash),
            _ => false,
        };
        let suits = self
            .refresh_tokens
            .iter()
            .filter(|(_, token)| owned(token) && self.same_cloud(&token.environment, &asked.environment));
        let is_of_family =
            |token: &Refresh| family.is_some() && token.family.as_deref() == family && token.extended == Extended::No;
        let is_of_client =
            |token: &Refresh| alike(&token.client, &asked.client) && answers_extended(&token.extended, &asked.extended);
        let (of_family, others): (Vec<_>, Vec<_>) = suits.partition(|(_, token)| is_of_family(token));
        let of_client: Vec<_> = others.into_iter().filter(|(_, token)| is_of_client(token)).collect();

        let order = |newest: Option<&str>| {
            let order = sorted(of_family.clone(), newest).chain(sorted(of_client.clone(), newest));
            order.map(|(key, _)| &**key).collect()
        };
        let hosts = self.hosts_of_newest(asked);
        if hosts.is_empty() { vec![order(None)] } else { hosts.into_iter().map(|host| order(Some(host))).collect() }
    }

    /// The family of the application as the best entries of its metadata tell it: nothing known is family 1.
    pub fn families(&self, client: &str, environment: &str) -> Vec<Option<&str>> {
        let known = self.metadata_of(client, environment);
        let families = known.into_iter().map(|key| self.metadata[key].family.as_deref());
        let families: Vec<_> = families.collect();
        if families.is_empty() { vec![Some("1")] } else { families }
    }

    /// The key texts of the ID tokens that answer equally well.
    pub fn id_tokens(&self, home: &str, environment: &str, client: &str, realm: &str) -> Vec<&str> {
        let suits = self.id_tokens.iter().filter(|(_, token)| {
            token.home == home
                && alike(&token.client, client)
                && alike(&token.realm, realm)
                && self.same_cloud(&token.environment, environment)
        });
        best(suits.map(|(key, token)| (&**key, (is_lower(key), self.is_preferred(&token.environment)))).collect())
    }

    /// The key texts of the metadata that answers equally well.
    pub fn metadata_of(&self, client: &str, environment: &str) -> Vec<&str> {
        let suits = self
            .metadata
            .iter()
            .filter(|(_, known)| alike(&known.client, client) && self.same_cloud(&known.environment, environment));
        best(suits.map(|(key, known)| (&**key, (is_lower(key), self.is_preferred(&known.environment)))).collect())
    }

    /// The key texts of the account's entities.
    pub fn account(&self, home: &str, environment: &str) -> BTreeSet<&str> {
        let suits = self
            .accounts
            .iter()
            .filter(|(_, account)| account.home == home && self.same_cloud(&account.environment, environment));
        suits.map(|(key, _)| &**key).collect()
    }

    pub fn same_cloud(&self, a: &str, b: &str) -> bool {
        alike(&self.preferred(a), &self.preferred(b))
    }

    /// The host that new entries of this cloud go under.
    pub fn preferred(&self, host: &str) -> String {
        let bare = without_port(host);
        let preferred = match bare.to_lowercase().as_str() {
            "login.windows.net" | "login.microsoftonline.com" | "login.microsoft.com" | "sts.windows.net" => {
                "login.windows.net"
            }
            "login.microsoftonline.us" | "login.usgovcloudapi.net" => "login.microsoftonline.us",
            "adfs.example" | "sts.example" if self.grouped => "adfs.example",
            _ => bare,
        };
        preferred.to_owned()
    }

    pub fn is_preferred(&self, host: &str) -> bool {
        alike(&self.preferred(host), host)
    }

    fn hosts_of_newest(&self, asked: &RefreshQuestion) -> Vec<&str> {
        let of_user = self.tokens.values().filter(|token| {
            let owned = match &asked.owner {
                Ok(home) => token.home.as_ref() == Some(home),
                Err(hash) => token.assertion.as_ref().is_some_and(|have| same_hash(have, hash)),
            };
            owned && alike(&token.client, &asked.client) && self.same_cloud(&token.environment, &asked.environment)
        });
        let newest = of_user.clone().map(|token| token.cached_at).max();
        of_user.filter(|token| Some(token.cached_at) == newest).map(|token| &*token.environment).collect()
    }
}

/// Best first: the client's own before those that it got as a member of another family, then the one whose host is that
/// of the newest access token, the newer one, the greater key text.
fn sorted<'m>(
    mut list: Vec<(&'m String, &'m Refresh)>,
    newest: Option<&str>,
) -> impl Iterator<Item = (&'m String, &'m Refresh)> {
    list.sort_by_key(|(key, token)| {
        let current = newest.is_some_and(|host| alike(host, &token.environment));
        std::cmp::Reverse((token.family.is_none(), current, token.modified_millis, *key))
    });
    list.into_iter()
}

/// Those with the greatest rank.
fn best<R: Ord + Copy>(ranked: Vec<(&str, R)>) -> Vec<&str> {
    let greatest = ranked.iter().map(|(_, rank)| *rank).max();
    ranked.into_iter().filter(|(_, rank)| Some(*rank) == greatest).map(|(key, _)| key).collect()
}

/// A plain request is answered by plain tokens only; an extended one by equal components, or by the hash of them where
/// only that is known.
pub fn answers_extended(have: &Extended, asked: &Extended) -> bool {
    match (have, asked) {
        (Extended::No, Extended::No) => true,
        (Extended::No | Extended::Unknown, _) | (_, Extended::No | Extended::Unknown) => false,
        (Extended::By(have), Extended::By(asked)) => have == asked,
        (have, asked) => alike(&have.hash(), &asked.hash()),
    }
}

impl Extended {
    pub fn hash(&self) -> String {
        match self {
            Self::No | Self::Unknown => String::new(),
            Self::Hash(hash) => hash.clone(),
            Self::By(components) => extended_key_hash(components.iter().map(|(name, value)| (&**name, &**value))),
        }
    }
}

/// Equal once lower-cased, character by character.
pub fn alike(a: &str, b: &str) -> bool {
    a == b || a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

pub fn same_hash(a: &str, b: &str) -> bool {
    a.trim_end_matches('=') == b.trim_end_matches('=')
}

pub fn scheme(token_type: Option<&String>) -> &str {
    token_type.map_or("Bearer", |name| name)
}

pub fn split(scopes: &str) -> impl Iterator<Item = &str> {
    scopes.split_ascii_whitespace()
}

pub fn is_oidc(scope: &str) -> bool {
    ["openid", "profile", "offline_access", "email"].iter().any(|known| alike(known, scope))
}

pub fn holds_scope(target: &str, scope: &str) -> bool {
    split(target).any(|have| alike(have, scope))
}

pub fn is_lower(key: &str) -> bool {
    !key.chars().any(char::is_uppercase)
}

pub fn without_port(host: &str) -> &str {
    host.split(':').next().unwrap_or_default()
}

impl Model {
    /// What the cache says that it holds.
    pub fn of(cache: &TokenCache, grouped: bool) -> Self {
        let key = |id: cache_core::EntryId| id.key().to_owned();
        Self {
            grouped,
            tokens: cache.access_tokens().map(|(id, token)| (key(id), Token::of(token))).collect(),
            refresh_tokens: cache.all_refresh_tokens().map(|(id, token)| (key(id), Refresh::of(token))).collect(),
            id_tokens: cache.id_tokens().map(|(id, token)| (key(id), Identity::of(token))).collect(),
            accounts: accounts(cache),
            metadata: cache.all_app_metadata().map(|(id, known)| (key(id), Metadata::of(known))).collect(),
            foreign: cache.foreign().map(|entry| (name(&entry.id), text(entry.json.expose()))).collect(),
        }
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
            + self.refresh_tokens.len()
            + self.id_tokens.len()
            + self.accounts.len()
            + self.metadata.len()
            + self.foreign.len()
    }
}

/// Accounts are listed in groups, without their key texts, which the entries tell.
fn accounts(cache: &TokenCache) -> BTreeMap<String, Account> {
    let listed: Vec<Account> =
        cache.accounts().iter().flat_map(|group| &group.entities).map(|entity| Account::of(entity)).collect();
    let foreign: BTreeSet<_> = cache.foreign().map(|entry| name(&entry.id)).collect();
    let entries = cache.entries().filter(|entry| entry.id.section() == schema::section::ACCOUNT);
    let read: BTreeMap<String, Account> = entries
        .filter(|entry| !foreign.contains(&name(&entry.id)))
        .map(|entry| {
            let entity = <schema::Account as schema::Entity>::read(entry.id.key(), &entry.json);
            (entry.id.key().to_owned(), Account::of(&entity.expect("the cache understands it")))
        })
        .collect();
    assert_eq!(listed.len(), read.len(), "each account is in one group");
    assert!(listed.iter().all(|account| read.values().any(|other| other == account)));
    read
}

fn name(id: &cache_core::EntryId) -> (String, String) {
    (id.section().to_owned(), id.key().to_owned())
}

fn text(json: &[u8]) -> String {
    String::from_utf8(json.to_vec()).expect("made of text")
}

fn unknown(fields: &schema::AdditionalFields) -> Option<String> {
    fields.raw("x-unknown").map(|json| text(json.expose()))
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn seconds(time: Option<UnixSeconds>) -> Option<i64> {
    time.map(|time| time.0)
}

impl Token {
    pub fn of(token: &schema::AccessToken) -> Self {
        Self {
            home: owned(token.home_account_id.as_deref()),
            environment: token.environment.to_string(),
            client: token.client_id.to_string(),
            realm: token.realm.to_string(),
            target: token.target.to_string(),
            secret: token.secret.expose().to_owned(),
            cached_at: seconds(token.cached_at),
            expires_on: seconds(token.expires_on),
            extended_expires_on: seconds(token.extended_expires_on),
            refresh_on: seconds(token.refresh_on),
            token_type: owned(token.token_type.as_deref()),
            key_id: owned(token.key_id.as_deref()),
            assertion: owned(token.assertion_hash.as_ref().map(cache_core::Secret::expose)),
            extended: Extended::of(token.extended.as_ref()),
            resource: owned(token.resource.as_deref()),
            client_info: owned(token.client_info.as_deref()),
            unknown: unknown(&token.additional_fields),
        }
    }
}

impl Extended {
    fn of(key: Option<&schema::ExtendedKey>) -> Self {
        let Some(key) = key else { return Self::No };
        let components = key.components().iter().map(|(name, value)| (name.to_string(), value.to_string()));
        match (components.collect::<BTreeMap<_, _>>(), key.hash()) {
            (components, _) if !components.is_empty() => Self::By(components),
            (_, "") => Self::Unknown,
            (_, hash) => Self::Hash(hash.to_owned()),
        }
    }
}

impl Refresh {
    pub fn of(token: &schema::RefreshToken) -> Self {
        Self {
            home: token.home_account_id.to_string(),
            environment: token.environment.to_string(),
            client: token.client_id.to_string(),
            secret: token.secret.expose().to_owned(),
            family: owned(token.family_id.as_deref()),
            modified_millis: token.last_modification_time.map(|time| time.0),
            assertion: owned(token.assertion_hash.as_ref().map(cache_core::Secret::expose)),
            extended: Extended::of(token.extended.as_ref()),
            unknown: unknown(&token.additional_fields),
        }
    }
}

impl Identity {
    pub fn of(token: &schema::IdToken) -> Self {
        Self {
            home: token.home_account_id.to_string(),
            environment: token.environment.to_string(),
            client: token.client_id.to_string(),
            realm: token.realm.to_string(),
            secret: token.secret.expose().to_owned(),
            unknown: unknown(&token.additional_fields),
        }
    }
}

impl Account {
    pub fn of(account: &schema::Account) -> Self {
        Self {
            home: account.home_account_id.to_string(),
            environment: account.environment.to_string(),
            realm: account.realm.to_string(),
            username: account.username.to_string(),
            unknown: unknown(&account.additional_fields),
        }
    }
}

impl Metadata {
    pub fn of(known: &schema::AppMetadata) -> Self {
        Self {
            client: known.client_id.to_string(),
            environment: known.environment.to_string(),
            family: owned(known.family_id.as_deref()),
            unknown: unknown(&known.additional_fields),
        }
    }
}
