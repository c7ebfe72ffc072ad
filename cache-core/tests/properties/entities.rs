//! Entities of a run: as this crate's types, and as other libraries write them.

use cache_core::schema::{AccessToken, Account, AppMetadata, IdToken, RefreshToken, section};
use cache_core::{Blob, Entry, UnifiedDocument};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::alphabet::{Alphabet, MOMENTS, NOW, TOKEN_TYPES, components, extended};

/// A JWT without claims, for what must be one.
const JWT: &str = "e30.e30.e30";

/// An access token, its texts by their places in the alphabet.
#[derive(Debug, Clone)]
pub(crate) struct TokenSpec {
    pub(crate) home: Option<u8>,
    client: u8,
    realm: Option<u8>,
    pub(crate) host: u8,
    scopes: Vec<u8>,
    spaces: usize,
    received: Option<i64>,
    expires: i64,
    extended_expires: Option<i64>,
    token_type: Option<&'static str>,
    key_id: Option<u8>,
    assertion: Option<u8>,
    extended: Option<u8>,
    resource: Option<u8>,
}

/// An entity of another section.
#[derive(Debug, Clone)]
pub(crate) struct OtherSpec {
    pub(crate) section: &'static str,
    home: u8,
    client: u8,
    realm: Option<u8>,
    host: u8,
    family: Option<&'static str>,
    assertion: Option<u8>,
    extended: Option<u8>,
    time: Option<i64>,
}

/// How another library writes an entity.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    key: &'static str,
    /// Chooses among the spellings of fields.
    spelling: usize,
}

/// Key texts: twins of each other in lower case and with capitals, and one that marks extended tokens.
const KEYS: [&str; 6] = ["key 0", "Key 0", "key 1", "KEY 1", "key 2", "key-atext-3"];

/// Any access token of one of these owners.
pub(crate) fn tokens(home: impl Strategy<Value = Option<u8>>) -> impl Strategy<Value = TokenSpec> {
    // Out of bytes, since these are made quickly, and each shrinks by itself.
    (home, any::<[u8; 16]>()).prop_map(|(home, bytes)| {
        let [client, realm, host, a, b, c, how_many, spaces, received, expires, extended_expires, bound @ ..] = bytes;
        let [token_type, key_id, assertion, extended, resource] = bound;
        TokenSpec {
            home,
            client,
            realm: rarely_not(realm),
            host,
            scopes: [a, b, c][..=usize::from(how_many) % 3].into(),
            spaces: 1 + usize::from(spaces) % 2,
            received: rarely_not(received).map(moment),
            expires: moment(expires),
            extended_expires: rarely(extended_expires).map(moment),
            token_type: rarely(token_type).map(|n| TOKEN_TYPES[usize::from(n) % TOKEN_TYPES.len()]),
            key_id: rarely(key_id),
            assertion: rarely(assertion),
            extended: rarely(extended),
            resource: rarely(resource),
        }
    })
}

/// Any entity of one of these sections and users.
pub(crate) fn others(
    sections: &'static [&'static str],
    home: impl Strategy<Value = u8>,
) -> impl Strategy<Value = OtherSpec> {
    (home, any::<[u8; 8]>()).prop_map(|(home, [section, client, realm, host, family, assertion, extended, time])| {
        OtherSpec {
            section: sections[usize::from(section) % sections.len()],
            home,
            client,
            realm: rarely_not(realm),
            host,
            family: (family % 2 == 1).then(|| ["1", "1", "2"][usize::from(family / 2) % 3]),
            assertion: rarely(assertion),
            extended: rarely(extended),
            time: rarely_not(time).map(moment),
        }
    })
}

/// One in eight.
fn rarely(byte: u8) -> Option<u8> {
    (byte % 8 == 7).then_some(byte / 8)
}

/// All but one in eight.
fn rarely_not(byte: u8) -> Option<u8> {
    (!byte.is_multiple_of(8)).then_some(byte / 8)
}

fn moment(byte: u8) -> i64 {
    MOMENTS[usize::from(byte) % MOMENTS.len()]
}

pub(crate) fn styles() -> impl Strategy<Value = Style> {
    any::<[u8; 2]>().prop_map(|[key, spelling]| Style {
        key: KEYS[usize::from(key) % KEYS.len()],
        spelling: usize::from(spelling) % 12,
    })
}

impl TokenSpec {
    /// A good plain token of the first user with one scope.
    pub(crate) fn plain(scope: u8) -> Self {
        Self {
            home: Some(0),
            client: 0,
            realm: None,
            host: 0,
            scopes: vec![scope],
            spaces: 1,
            received: Some(0),
            expires: 3600,
            extended_expires: None,
            token_type: None,
            key_id: None,
            assertion: None,
            extended: None,
            resource: None,
        }
    }

    /// The n-th of many tokens that are nearly one: with a scope, a host and times of its own.
    pub(crate) fn varied(&self, n: u8) -> Self {
        Self {
            scopes: self.scopes.iter().copied().chain([n]).collect(),
            host: self.host.wrapping_add(n),
            received: Some(-i64::from(n % 3)),
            expires: self.expires + i64::from(n % 2),
            ..self.clone()
        }
    }

    /// The token, its secret told apart by `number`.
    pub(crate) fn entity(&self, texts: &Alphabet, number: usize) -> AccessToken {
        let id = |n: u8| texts.id(n).into();
        AccessToken {
            home_account_id: self.home.map(id),
            environment: texts.host(self.host).into(),
            client_id: id(self.client),
            realm: self.realm.map(id).unwrap_or_default(),
            target: texts.target(&self.scopes, self.spaces).into(),
            cached_at: self.received.map(|moment| NOW.plus(moment)),
            expires_on: Some(NOW.plus(self.expires)),
            secret: format!("AT {number}").into(),
            extended_expires_on: self.extended_expires.map(|moment| NOW.plus(moment)),
            token_type: self.token_type.map(Into::into),
            key_id: self.key_id.map(id),
            assertion_hash: self.assertion.map(|n| texts.hash(n).into()),
            extended: self.extended.map(extended),
            resource: self.resource.map(id),
            ..AccessToken::default()
        }
    }

    /// The token as another library might have written it, under a key of its own making.
    pub(crate) fn entry(&self, texts: &Alphabet, number: usize, style: &Style) -> Entry {
        let spelled = |names: &[&'static str]| names[style.spelling % names.len()];
        let mut fields = Map::new();
        let mut set = |name: &str, value: Value| drop(fields.insert(name.into(), value));
        match self.home {
            Some(home) => set("home_account_id", texts.id(home).into()),
            None => match style.spelling % 3 {
                0 => set("home_account_id", "".into()),
                1 => set("home_account_id", Value::Null),
                _ => {}
            },
        }
        set("environment", texts.host(self.host).into());
        set("client_id", texts.id(self.client).into());
        set("target", texts.target(&self.scopes, self.spaces).into());
        set("secret", format!("AT {number}").into());
        set("expires_on", NOW.plus(self.expires).to_string().into());
        self.realm.into_iter().for_each(|n| set("realm", texts.id(n).into()));
        self.received.into_iter().for_each(|moment| set("cached_at", NOW.plus(moment).0.into()));
        let later = spelled(&["extended_expires_on", "ext_expires_on"]);
        self.extended_expires.into_iter().for_each(|moment| set(later, NOW.plus(moment).to_string().into()));
        self.token_type.into_iter().for_each(|kind| set("token_type", kind.into()));
        self.key_id.into_iter().for_each(|n| set(spelled(&["key_id", "kid", "keyid"]), texts.id(n).into()));
        let hash = spelled(&["user_assertion_hash", "userAssertionHash"]);
        self.assertion.into_iter().for_each(|n| set(hash, texts.hash(n).into()));
        self.resource.into_iter().for_each(|n| set("resource", texts.id(n).into()));
        if let Some(n) = self.extended {
            match spelled(&["ext_cache_key", "ext", "additionalCacheKeyComponents"]) {
                name @ "ext_cache_key" => set(name, extended(n).hash().to_uppercase().into()),
                name => set(name, map(n)),
            }
        }
        let kind = if style.spelling == 11 { "ATExt" } else { "AccessToken" };
        set("credential_type", kind.into());
        entry(section::ACCESS_TOKEN, &style.key(texts, self.home), &fields.into())
    }
}

impl OtherSpec {
    /// A plain entity of the first user.
    pub(crate) fn plain(section: &'static str) -> Self {
        Self {
            section,
            home: 0,
            client: 0,
            realm: None,
            host: 0,
            family: None,
            assertion: None,
            extended: None,
            time: Some(0),
        }
    }

    /// The same of this user in this cloud.
    pub(crate) fn of(&self, home: u8, host: u8) -> Self {
        Self { home, host, ..self.clone() }
    }

    /// The n-th of many entities that are nearly one: with a host and a time of its own.
    pub(crate) fn varied(&self, n: u8) -> Self {
        Self { host: self.host.wrapping_add(n), time: Some(i64::from(n / 2)), ..self.clone() }
    }

    pub(crate) fn refresh_token(&self, texts: &Alphabet, number: usize) -> RefreshToken {
        RefreshToken {
            home_account_id: texts.id(self.home).into(),
            environment: texts.host(self.host).into(),
            client_id: texts.id(self.client).into(),
            secret: format!("RT {number}").into(),
            family_id: self.family.map(Into::into),
            last_modification_time: self.time.map(|moment| NOW.plus(moment).to_millis()),
            assertion_hash: self.assertion.map(|n| texts.hash(n).into()),
            extended: self.extended.map(extended),
            ..RefreshToken::default()
        }
    }

    pub(crate) fn id_token(&self, texts: &Alphabet) -> IdToken {
        IdToken {
            home_account_id: texts.id(self.home).into(),
            environment: texts.host(self.host).into(),
            client_id: texts.id(self.client).into(),
            realm: self.realm(texts).into(),
            secret: JWT.into(),
            ..IdToken::default()
        }
    }

    pub(crate) fn account(&self, texts: &Alphabet, number: usize) -> Account {
        Account {
            home_account_id: texts.id(self.home).into(),
            environment: texts.host(self.host).into(),
            realm: self.realm(texts).into(),
            local_account_id: format!("local {number}").into(),
            username: "alice".into(),
            ..Account::default()
        }
    }

    pub(crate) fn metadata(&self, texts: &Alphabet) -> AppMetadata {
        AppMetadata {
            client_id: texts.id(self.client).into(),
            environment: texts.host(self.host).into(),
            family_id: self.family.map(Into::into),
            ..AppMetadata::default()
        }
    }

    /// The entity as another library might have written it, with a field that is not known here.
    pub(crate) fn entry(&self, texts: &Alphabet, number: usize, style: &Style) -> Entry {
        let (home, client) = (texts.id(self.home), texts.id(self.client));
        let mut fields = json!({"environment": texts.host(self.host), "unknown": {"deep": [1.50, null]}});
        let whose = if self.section == section::APP_METADATA { None } else { Some(self.home) };
        if whose.is_some() {
            fields["home_account_id"] = home.into();
        }
        if self.section != section::ACCOUNT {
            fields["client_id"] = client.into();
        }
        match self.section {
            section::REFRESH_TOKEN => {
                fields["secret"] = format!("RT {number}").into();
                // As this crate writes it: a token without a time is written anew with one.
                fields["credential_type"] = self.section.into();
                if let Some(family) = self.family {
                    fields["family_id"] = family.into();
                }
                if let Some(moment) = self.time {
                    fields["last_modification_time"] = NOW.plus(moment).to_string().into();
                }
                if let Some(n) = self.assertion {
                    fields["user_assertion_hash"] = texts.id(n).into();
                }
                if let Some(n) = self.extended {
                    fields["ext"] = map(n);
                }
            }
            section::APP_METADATA => fields["family_id"] = self.family.into(),
            _ => {
                fields["realm"] = self.realm(texts).into();
                fields["secret"] = JWT.into();
                fields["local_account_id"] = format!("local {number}").into();
            }
        }
        entry(self.section, &style.key(texts, whose), &fields)
    }

    fn realm(&self, texts: &Alphabet) -> String {
        self.realm.map(|n| texts.id(n)).unwrap_or_default()
    }
}

impl Style {
    /// The style of one of many.
    pub(crate) fn numbered(n: u8) -> Self {
        const MANY: [&str; 8] = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
        Self { key: MANY[usize::from(n) % MANY.len()], spelling: 0 }
    }

    /// The key text; of each user's entries another.
    fn key(&self, texts: &Alphabet, home: Option<u8>) -> String {
        home.map_or_else(|| self.key.to_owned(), |home| format!("{} of {}", self.key, texts.id(home)))
    }
}

/// An entity that cannot be classified, of a user.
pub(crate) fn strange(texts: &Alphabet, home: u8, host: &str, number: usize) -> Entry {
    let fields =
        json!({"home_account_id": texts.id(home), "environment": host, "credential_type": "Strange", "n": number});
    entry(section::ACCESS_TOKEN, &format!("strange of {}", texts.id(home)), &fields)
}

/// A section that is not known.
pub(crate) fn unknown(number: usize) -> Entry {
    read(&json!({"Unknown": [number, {"home_account_id": null}]}))
}

fn entry(section: &str, key: &str, fields: &Value) -> Entry {
    read(&json!({section: {key: fields}}))
}

/// The one entry of a document.
fn read(document: &Value) -> Entry {
    let document = UnifiedDocument::parse(&Blob::new(document.to_string().into_bytes())).expect("JSON");
    document.into_entries().next().expect("it holds one")
}

fn map(n: u8) -> Value {
    components(n).iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect::<Map<_, _>>().into()
}
