//! Random entities over a small alphabet, so that they meet: as fields, as the library's types, and as the JSON of the
//! many libraries that write it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arbitrary::Arbitrary;
use cache_core::schema::{AccessToken, AppMetadata, ExtendedKey, IdToken, RefreshToken};
use cache_core::{Secret, UnixMillis, UnixSeconds, schema};
use serde_json::json;

use super::naive::{Account, Extended, Identity, Metadata, Refresh, Token};
use super::style::{Fields, Style, pick};

pub const NOW: i64 = 1_800_000_000;

pub const HOMES: [&str; 4] = ["u.t", "U.t", "v.t", ""];
pub const HOSTS: [&str; 7] = [
    "login.windows.net",
    "LOGIN.microsoftonline.com",
    "login.microsoftonline.com:443",
    "login.microsoftonline.us",
    "adfs.example",
    "STS.example:8443",
    "",
];
pub const CLIENTS: [&str; 5] = ["client", "CLIENT", "other", "\u{212a}lient", "klient"];
pub const REALMS: [&str; 4] = ["tenant", "Tenant", "other", ""];
/// A lower-cased Kelvin sign is an ASCII letter, and a lower-cased dotted I is two characters.
pub const SCOPES: [&str; 12] = [
    "User.Read",
    "user.read",
    "Mail.Read",
    "Files.Read",
    "openid",
    "OpenID",
    "profile",
    "offline_access",
    "email",
    "\u{212a}ey",
    "key",
    "\u{130}d",
];
pub const TOKEN_TYPES: [&str; 6] = ["", "Bearer", "bearer", "pop", "PoP", "ssh-cert"];
pub const KEY_IDS: [&str; 4] = ["", "", "kid", "KID"];
/// Hashes with and without padding, one of them as long as a real one, and a session key.
pub const ASSERTIONS: [&str; 8] = [
    "",
    "",
    "hash",
    "hash=",
    "HASH",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "session",
];
pub const RESOURCES: [&str; 4] = ["", "", "r", "R"];
pub const FAMILIES: [&str; 4] = ["", "1", "2", "client"];
const SECRETS: [&str; 4] = ["one", "two", "quo\"ted", "\u{e9}\u{1f600}"];

#[derive(Arbitrary, Clone, Debug)]
pub struct TokenSpec {
    home: u8,
    host: u8,
    client: u8,
    realm: u8,
    scopes: (u16, u16),
    cached_at: Option<i8>,
    expires_on: Option<i8>,
    extended_expires_on: Option<i8>,
    token_type: u8,
    key_id: u8,
    assertion: u8,
    extended: u8,
    resource: u8,
    secret: u8,
}

#[derive(Arbitrary, Clone, Debug)]
pub struct RefreshSpec {
    home: u8,
    host: u8,
    client: u8,
    family: u8,
    modified: Option<i8>,
    assertion: u8,
    extended: u8,
    secret: u8,
}

/// Of ID tokens, accounts and app metadata.
#[derive(Arbitrary, Clone, Debug)]
pub struct PlainSpec {
    home: u8,
    host: u8,
    client: u8,
    realm: u8,
    text: u8,
}

impl TokenSpec {
    pub fn fields(&self) -> Token {
        Token {
            home: given(&HOMES, self.home),
            environment: pick(&HOSTS, self.host).to_owned(),
            client: pick(&CLIENTS, self.client).to_owned(),
            realm: pick(&REALMS, self.realm).to_owned(),
            target: scopes(self.scopes).join(" "),
            secret: pick(&SECRETS, self.secret).to_owned(),
            cached_at: self.cached_at.map(time),
            expires_on: self.expires_on.map(time),
            extended_expires_on: self.extended_expires_on.map(time),
            token_type: given(&TOKEN_TYPES, self.token_type),
            key_id: given(&KEY_IDS, self.key_id),
            assertion: given(&ASSERTIONS, self.assertion),
            extended: extended(self.extended),
            resource: given(&RESOURCES, self.resource),
            ..Token::default()
        }
    }
}

impl TokenSpec {
    /// The same as far as a program can give it: components or none, never a bare hash but that of no component.
    pub fn given(&self) -> Token {
        let fields = self.fields();
        let extended = match fields.extended {
            Extended::Hash(_) => extended(EMPTY),
            Extended::Unknown => Extended::No,
            known => known,
        };
        Token { extended, ..fields }
    }
}

impl RefreshSpec {
    pub fn fields(&self) -> Refresh {
        Refresh {
            home: pick(&HOMES, self.home).to_owned(),
            environment: pick(&HOSTS, self.host).to_owned(),
            client: pick(&CLIENTS, self.client).to_owned(),
            secret: pick(&SECRETS, self.secret).to_owned(),
            family: given(&FAMILIES, self.family),
            modified_millis: self.modified.map(|modified| time(modified) * 1000 + 500),
            assertion: given(&ASSERTIONS, self.assertion),
            // Components, or none.
            extended: Some(extended(self.extended)).filter(|by| matches!(by, Extended::By(_))).unwrap_or_default(),
            unknown: None,
        }
    }
}

impl PlainSpec {
    pub fn id_token(&self) -> Identity {
        let secret = match self.text % 4 {
            0 => "no JSON web token".to_owned(),
            text => format!("e30.e30.{text}"),
        };
        Identity {
            home: pick(&HOMES, self.home).to_owned(),
            environment: pick(&HOSTS, self.host).to_owned(),
            client: pick(&CLIENTS, self.client).to_owned(),
            realm: pick(&REALMS, self.realm).to_owned(),
            secret,
            unknown: None,
        }
    }

    pub fn account(&self) -> Account {
        Account {
            home: pick(&HOMES, self.home).to_owned(),
            environment: pick(&HOSTS, self.host).to_owned(),
            realm: pick(&REALMS, self.realm).to_owned(),
            username: pick(&["", "alice", "bob"], self.text).to_owned(),
            unknown: None,
        }
    }

    pub fn metadata(&self) -> Metadata {
        Metadata {
            client: pick(&CLIENTS, self.client).to_owned(),
            environment: pick(&HOSTS, self.host).to_owned(),
            family: given(&FAMILIES, self.text),
            unknown: None,
        }
    }

    /// The JSON of an entity whose fields are of kinds that have no meaning there. Its account can be told all the same.
    pub fn unclassifiable(&self) -> String {
        let mut fields = json!({"secret": 5, "client_id": [], "realm": {}});
        for (name, text) in [("home_account_id", pick(&HOMES, self.home)), ("environment", pick(&HOSTS, self.host))] {
            if !text.is_empty() || self.text > 127 {
                fields[name] = text.into();
            }
        }
        fields.to_string()
    }
}

impl Token {
    /// The library's type. Components alone can be given, not the hash of unknown ones.
    pub fn typed(&self) -> AccessToken {
        AccessToken {
            home_account_id: shared(self.home.as_ref()),
            environment: (*self.environment).into(),
            client_id: (*self.client).into(),
            realm: (*self.realm).into(),
            target: (*self.target).into(),
            secret: (*self.secret).into(),
            cached_at: self.cached_at.map(UnixSeconds),
            expires_on: self.expires_on.map(UnixSeconds),
            extended_expires_on: self.extended_expires_on.map(UnixSeconds),
            refresh_on: self.refresh_on.map(UnixSeconds),
            token_type: shared(self.token_type.as_ref()),
            key_id: shared(self.key_id.as_ref()),
            assertion_hash: self.assertion.as_deref().map(Secret::new),
            extended: self.extended.typed(),
            resource: shared(self.resource.as_ref()),
            client_info: shared(self.client_info.as_ref()),
            ..AccessToken::default()
        }
    }

    /// As a library writes it under this key text; what it says there is what the fields are after the call.
    pub fn json(&mut self, style: Style) -> (String, String) {
        let key = style.key_text();
        let mut out = Fields::new(style);
        match (&self.home, style.is(0), style.is(1)) {
            (Some(home), ..) => out.text("home_account_id", home),
            (None, true, _) => out.raw("home_account_id", "null"),
            (None, _, true) => out.text("home_account_id", ""),
            (None, ..) => {}
        }
        out.text("environment", &self.environment);
        out.text("client_id", &self.client);
        out.text("secret", &self.secret);
        out.text("realm", &self.realm);
        if style.is(2) {
            self.target = format!(" {}", self.target.replace(' ', "\t "));
        }
        out.text("target", &self.target);
        out.time("cached_at", self.cached_at);
        out.time("expires_on", self.expires_on);
        out.time("extended_expires_on", self.extended_expires_on);
        if let Some(name) = &self.token_type {
            out.text("token_type", name);
            out.text("credential_type", if style.is(3) { "AccessToken_With_AuthScheme" } else { "accesstoken" });
        } else if self.extended == Extended::Unknown {
            out.text("credential_type", if style.is(3) { "ATExt" } else { "AText" });
        } else if style.is(3) {
            out.text("credential_type", "AccessToken");
        }
        if let Some(id) = &self.key_id {
            out.text(pick(&["key_id", "kid", "keyid"], style.key), id);
        }
        if let Some(hash) = &self.assertion {
            out.text(if style.is(4) { "userAssertionHash" } else { "user_assertion_hash" }, hash);
        }
        match &self.extended {
            Extended::By(components) => {
                let components = json!(components).to_string();
                if style.is(5) {
                    out.raw("ext", &components);
                }
                if style.is(4) || !style.is(5) {
                    out.raw("additionalCacheKeyComponents", &components);
                }
                if style.is(6) {
                    // The hash by another rule, as Node computes it, beside components that count.
                    out.text("ext_cache_key", "another hash");
                }
            }
            Extended::Hash(hash) if style.is(5) && style.is(4) => {
                out.raw("ext", &json!({ "ext_cache_key": hash }).to_string());
            }
            Extended::Hash(hash) => out.text(if style.is(5) { "ext_cache_key" } else { "ext_cache_key_hash" }, hash),
            Extended::Unknown | Extended::No => {}
        }
        if self.extended == Extended::Unknown && self.token_type.is_some() && !key.to_lowercase().contains("-atext-") {
            // Neither the type, which is said to be another, nor the key marks it.
            self.extended = Extended::No;
        }
        if self.extended == Extended::No && key.to_lowercase().contains("-atext-") {
            self.extended = Extended::Unknown;
        }
        if let Some(resource) = &self.resource {
            out.text("resource", resource);
        }
        self.unknown = out.unknown();
        (key, out.finish())
    }
}

impl Extended {
    pub fn typed(&self) -> Option<ExtendedKey> {
        match self {
            Self::By(components) => Some(ExtendedKey::new(components.iter().map(|(name, value)| (&**name, &**value)))),
            Self::Hash(_) => Some(ExtendedKey::new([])),
            Self::No | Self::Unknown => None,
        }
    }
}

impl Refresh {
    pub fn typed(&self) -> RefreshToken {
        RefreshToken {
            home_account_id: (*self.home).into(),
            environment: (*self.environment).into(),
            client_id: (*self.client).into(),
            secret: (*self.secret).into(),
            family_id: shared(self.family.as_ref()),
            last_modification_time: self.modified_millis.map(UnixMillis),
            assertion_hash: self.assertion.as_deref().map(Secret::new),
            extended: self.extended.typed(),
            ..RefreshToken::default()
        }
    }

    pub fn json(&mut self, style: Style) -> (String, String) {
        let mut out = Fields::new(style);
        out.text("home_account_id", &self.home);
        out.text("environment", &self.environment);
        out.text("client_id", &self.client);
        out.text("secret", &self.secret);
        match &self.family {
            Some(family) => out.text("family_id", family),
            None if style.is(2) => out.raw("family_id", "null"),
            None => {}
        }
        if let Some(millis) = self.modified_millis {
            out.text("last_modification_time", &format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000)));
        }
        if let Some(hash) = &self.assertion {
            out.text("user_assertion_hash", hash);
        }
        if let Extended::By(components) = &self.extended {
            out.raw("ext", &json!(components).to_string());
        }
        self.unknown = out.unknown();
        (style.key_text(), out.finish())
    }
}

impl Identity {
    pub fn typed(&self) -> IdToken {
        IdToken {
            home_account_id: (*self.home).into(),
            environment: (*self.environment).into(),
            client_id: (*self.client).into(),
            realm: (*self.realm).into(),
            secret: (*self.secret).into(),
            ..IdToken::default()
        }
    }

    pub fn json(&mut self, style: Style) -> (String, String) {
        let mut out = Fields::new(style);
        out.text("home_account_id", &self.home);
        out.text("environment", &self.environment);
        out.text("client_id", &self.client);
        out.text("realm", &self.realm);
        out.text("secret", &self.secret);
        self.unknown = out.unknown();
        (style.key_text(), out.finish())
    }
}

impl Account {
    pub fn typed(&self) -> schema::Account {
        schema::Account {
            home_account_id: (*self.home).into(),
            environment: (*self.environment).into(),
            realm: (*self.realm).into(),
            username: (*self.username).into(),
            ..schema::Account::default()
        }
    }

    pub fn json(&mut self, style: Style) -> (String, String) {
        let mut out = Fields::new(style);
        out.text("home_account_id", &self.home);
        out.text("environment", &self.environment);
        out.text("realm", &self.realm);
        out.text("username", &self.username);
        self.unknown = out.unknown();
        (style.key_text(), out.finish())
    }
}

impl Metadata {
    pub fn typed(&self) -> AppMetadata {
        AppMetadata {
            client_id: (*self.client).into(),
            environment: (*self.environment).into(),
            family_id: shared(self.family.as_ref()),
            ..AppMetadata::default()
        }
    }

    pub fn json(&mut self, style: Style) -> (String, String) {
        let mut out = Fields::new(style);
        out.text("client_id", &self.client);
        out.text("environment", &self.environment);
        if let Some(family) = &self.family {
            out.text("family_id", family);
        }
        self.unknown = out.unknown();
        (style.key_text(), out.finish())
    }
}

/// A few seconds from now, in steps that reach over margins and clock differences.
pub fn time(steps: i8) -> i64 {
    NOW + i64::from(steps) * 50
}

pub fn scopes((some, of_them): (u16, u16)) -> Vec<&'static str> {
    let mask = some & of_them;
    SCOPES.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, scope)| *scope).collect()
}

/// Where [`extended`] has the hash of no component.
const EMPTY: u8 = 8;

pub fn extended(at: u8) -> Extended {
    let by = |components: &[(&str, &str)]| {
        let components: BTreeMap<_, _> =
            components.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Extended::By(components)
    };
    match at % 10 {
        5 => by(&[("fmi_path", "a")]),
        6 => by(&[("fmi_path", "a"), ("client_claims", "{}")]),
        7 => Extended::Hash(by(&[("fmi_path", "a")]).hash().to_lowercase()),
        EMPTY => Extended::Hash(ExtendedKey::new([]).hash().to_owned()),
        9 => Extended::Unknown,
        _ => Extended::No,
    }
}

/// The text at this place; the empty one means none.
pub fn given(list: &[&str], at: u8) -> Option<String> {
    Some(pick(list, at)).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn shared(text: Option<&String>) -> Option<Arc<str>> {
    text.map(|text| (**text).into())
}
