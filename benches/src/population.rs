//! Caches of any size: deterministic, with tokens of realistic length.
//!
//! The document of 1,000 user tokens takes 3.25 MB: per access token 3.25 KB of JSON, of which 2.17 KB are secrets.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cache_core::schema::AccessToken;
use cache_core::{TokenCache, UnixSeconds};

/// The clock of lookups without a store. Every token is good then.
pub const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
/// When every token expires.
pub(crate) const EXPIRES_ON: UnixSeconds = UnixSeconds(4_000_000_000);
/// The client of every token.
pub const CLIENT: &str = "c4b61b3a-ba11-4eec-9d3a-f12c515e48f6";
/// The host of every token.
pub const HOST: &str = "login.microsoftonline.com";

/// When every token was received.
const CACHED_AT: UnixSeconds = UnixSeconds(1_760_000_000);
/// Lengths of secrets, in characters.
const ACCESS_TOKEN_LENGTH: usize = 1800;
const REFRESH_TOKEN_LENGTH: usize = 1300;
const ID_TOKEN_LENGTH: usize = 1200;
/// Base64url characters of a 256-byte signature.
const SIGNATURE_LENGTH: usize = 342;

/// Whose tokens a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Population {
    /// Users with ten tokens each: two tenants, five resources; beside them a refresh token per user, an ID token and an
    /// account per user and tenant.
    Users,
    /// The same, each user's access tokens got on behalf of an assertion.
    OnBehalfOf,
    /// One application, a tenant per token.
    App,
    /// One user with all tokens, a resource each.
    OneAccount,
    /// One application in one tenant, a resource per token.
    OneTenant,
}

/// What one access token of a population is known by.
pub(crate) struct Identity {
    pub(crate) home_account_id: Option<String>,
    pub(crate) assertion_hash: Option<String>,
    pub(crate) realm: String,
    pub(crate) target: String,
    pub(crate) account: usize,
    tenant: usize,
    resource: usize,
}

impl Population {
    /// The cache of this population with `tokens` access tokens.
    pub fn cache(self, tokens: usize) -> TokenCache {
        TokenCache::deserialize(&self.document(tokens)).expect("the benchmark's own document is sound")
    }

    /// The unified document of this population with `tokens` access tokens, as MSAL Python keys and orders it, compact.
    pub fn document(self, tokens: usize) -> Vec<u8> {
        let mut out = Document { json: String::with_capacity((tokens + 10) * 3300), random: Random(1) };
        out.json.push('{');
        out.section("AccessToken", tokens, |out, n| self.access_token(out, &self.identity(tokens, n)));
        if self.has_users() {
            let (tenants, resources) = self.layout(tokens);
            let accounts = tokens.div_ceil(tenants * resources);
            let profiles = accounts * tenants;
            out.section("Account", profiles, |out, n| account(out, n / tenants, tenants, n % tenants));
            out.section("IdToken", profiles, |out, n| id_token(out, n / tenants, tenants, n % tenants));
            out.section("RefreshToken", accounts, |out, n| refresh_token(out, n, tenants));
        }
        out.section("AppMetadata", 1, |out, _| {
            let key = format!("appmetadata-{HOST}-{CLIENT}");
            out.entry(&key, &[("client_id", Some(CLIENT)), ("environment", Some(HOST))]);
        });
        // The last section needs no comma.
        out.json.pop();
        out.json.push('}');
        out.json.into_bytes()
    }

    /// Access token `n` of `tokens` as it is after a refresh: a new secret, received `serial` seconds after the first.
    pub fn renewed(self, tokens: usize, n: usize, serial: i64) -> AccessToken {
        let Identity { home_account_id, assertion_hash, realm, target, .. } = self.identity(tokens, n);
        let mut secret = String::with_capacity(ACCESS_TOKEN_LENGTH);
        Random(seed("renewed", n).wrapping_add_signed(serial)).text(ACCESS_TOKEN_LENGTH, &mut secret);
        AccessToken {
            home_account_id: home_account_id.map(Into::into),
            environment: HOST.into(),
            client_id: CLIENT.into(),
            realm: realm.into(),
            target: target.into(),
            secret: secret.into(),
            cached_at: Some(CACHED_AT.plus(1 + serial)),
            expires_on: Some(EXPIRES_ON),
            assertion_hash: assertion_hash.map(Into::into),
            ..AccessToken::default()
        }
    }

    /// The identity of access token `n` of `tokens`.
    pub(crate) fn identity(self, tokens: usize, n: usize) -> Identity {
        let (tenants, resources) = self.layout(tokens);
        let (account, tenant, resource) = (n / (tenants * resources), n / resources % tenants, n % resources);
        Identity {
            home_account_id: self.has_users().then(|| home_account_id(account, tenants)),
            assertion_hash: (self == Self::OnBehalfOf).then(|| assertion_hash(account)),
            realm: tenant_id(tenant),
            target: match self {
                Self::App => "https://graph.microsoft.com/.default".to_owned(),
                Self::OneTenant => format!("https://api{resource}.contoso.example/.default"),
                _ => user_scopes(resource),
            },
            account,
            tenant,
            resource,
        }
    }

    fn has_users(self) -> bool {
        matches!(self, Self::Users | Self::OnBehalfOf | Self::OneAccount)
    }

    /// Tenants of an account, and resources of an account in one tenant.
    fn layout(self, tokens: usize) -> (usize, usize) {
        match self {
            Self::Users | Self::OnBehalfOf => (2, 5),
            Self::App => (tokens, 1),
            Self::OneAccount | Self::OneTenant => (1, tokens),
        }
    }

    fn access_token(self, out: &mut Document, token: &Identity) {
        let (home, realm) = (token.home_account_id.as_deref(), &token.realm);
        let object = if self.has_users() { object_id(token.account) } else { guid("service principal", token.tenant) };
        let audience = match self {
            Self::App => "https://graph.microsoft.com".to_owned(),
            _ => format!("https://api{}.contoso.example", token.resource),
        };
        let claims = format!(
            r#"{{"aud":"{audience}","iss":"https://sts.windows.net/{realm}/","iat":{},"exp":{},"appid":"{CLIENT}","oid":"{object}","tid":"{realm}","ver":"2.0""#,
            CACHED_AT.0, EXPIRES_ON.0
        );
        let secret = out.random.jwt(claims, ACCESS_TOKEN_LENGTH);
        let (cached_at, expires_on) = (CACHED_AT.0.to_string(), EXPIRES_ON.0.to_string());
        let mut key =
            format!("{}-{HOST}-accesstoken-{CLIENT}-{realm}-{}", home.unwrap_or_default(), token.target).to_lowercase();
        if let Some(hash) = &token.assertion_hash {
            key.push('-');
            key.push_str(hash);
        }
        let fields = [
            ("credential_type", Some("AccessToken")),
            ("secret", Some(&*secret)),
            ("home_account_id", home),
            ("environment", Some(HOST)),
            ("client_id", Some(CLIENT)),
            ("target", Some(&*token.target)),
            ("realm", Some(&**realm)),
            ("token_type", Some("Bearer")),
            ("cached_at", Some(&*cached_at)),
            ("expires_on", Some(&*expires_on)),
            ("extended_expires_on", Some(&*expires_on)),
            ("user_assertion_hash", token.assertion_hash.as_deref()),
        ];
        let length = fields.len() - usize::from(token.assertion_hash.is_none());
        out.entry(&key, &fields[..length]);
    }
}

fn account(out: &mut Document, account: usize, tenants: usize, tenant: usize) {
    let (home, realm) = (home_account_id(account, tenants), tenant_id(tenant));
    let fields = [
        ("home_account_id", Some(&*home)),
        ("environment", Some(HOST)),
        ("realm", Some(&*realm)),
        ("local_account_id", Some(&object_id(account))),
        ("username", Some(&user_name(account))),
        ("authority_type", Some("MSSTS")),
        ("account_source", Some("authorization_code")),
    ];
    out.entry(&format!("{home}-{HOST}-{realm}"), &fields);
}

fn id_token(out: &mut Document, account: usize, tenants: usize, tenant: usize) {
    let (home, realm) = (home_account_id(account, tenants), tenant_id(tenant));
    let claims = format!(
        r#"{{"aud":"{CLIENT}","iss":"https://{HOST}/{realm}/v2.0","exp":{},"name":"User {account}","oid":"{}","preferred_username":"{}","sub":"{}","tid":"{realm}","ver":"2.0""#,
        EXPIRES_ON.0,
        object_id(account),
        user_name(account),
        guid("subject", account),
    );
    let fields = [
        ("credential_type", Some("IdToken")),
        ("secret", Some(&*out.random.jwt(claims, ID_TOKEN_LENGTH))),
        ("home_account_id", Some(&*home)),
        ("environment", Some(HOST)),
        ("realm", Some(&*realm)),
        ("client_id", Some(CLIENT)),
    ];
    out.entry(&format!("{home}-{HOST}-idtoken-{CLIENT}-{realm}-"), &fields);
}

fn refresh_token(out: &mut Document, account: usize, tenants: usize) {
    let (home, target) = (home_account_id(account, tenants), user_scopes(0));
    let mut secret = "1.AXkA".to_owned();
    out.random.text(REFRESH_TOKEN_LENGTH - secret.len(), &mut secret);
    let fields = [
        ("credential_type", Some("RefreshToken")),
        ("secret", Some(&*secret)),
        ("home_account_id", Some(&*home)),
        ("environment", Some(HOST)),
        ("client_id", Some(CLIENT)),
        ("last_modification_time", Some(&CACHED_AT.0.to_string())),
        ("target", Some(&*target)),
    ];
    out.entry(&format!("{home}-{HOST}-refreshtoken-{CLIENT}--{target}").to_lowercase(), &fields);
}

/// The account's home tenant is one of its tenants.
fn home_account_id(account: usize, tenants: usize) -> String {
    format!("{}.{}", object_id(account), tenant_id(account % tenants))
}

fn object_id(account: usize) -> String {
    guid("object", account)
}

fn tenant_id(tenant: usize) -> String {
    guid("tenant", tenant)
}

fn user_name(account: usize) -> String {
    format!("user{account:07}@contoso.example")
}

/// As long as the base64 of a SHA-256 hash.
fn assertion_hash(account: usize) -> String {
    let mut hash = String::with_capacity(43);
    Random(seed("assertion", account)).text(43, &mut hash);
    hash
}

fn user_scopes(resource: usize) -> String {
    let scope = |name| format!("https://api{resource}.contoso.example/{name}");
    ["Files.Read", "Mail.Send", "User.Read"].map(scope).join(" ")
}

fn guid(kind: &str, index: usize) -> String {
    let mut random = Random(seed(kind, index));
    let (high, low) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

/// FNV-1a of the kind, with the index: good enough to tell a million ids apart, and the same in every run.
fn seed(kind: &str, index: usize) -> u64 {
    let hash = kind
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^ (index as u64).wrapping_mul(0xd605_bbb5_8c8a_bd9d)
}

/// A compact JSON document in the making. Nothing in it needs escaping.
struct Document {
    json: String,
    random: Random,
}

impl Document {
    fn section(&mut self, name: &str, entries: usize, mut entry: impl FnMut(&mut Self, usize)) {
        write!(self.json, r#""{name}":{{"#).expect("a string grows");
        (0..entries).for_each(|n| entry(self, n));
        self.json.pop();
        self.json.push_str("},");
    }

    /// One entry and a comma; `None` is null.
    fn entry(&mut self, key: &str, fields: &[(&str, Option<&str>)]) {
        write!(self.json, r#""{key}":{{"#).expect("a string grows");
        for (name, value) in fields {
            match value {
                Some(value) => write!(self.json, r#""{name}":"{value}","#),
                None => write!(self.json, r#""{name}":null,"#),
            }
            .expect("a string grows");
        }
        self.json.pop();
        self.json.push_str("},");
    }
}

/// Random numbers by `SplitMix64`, from a seed: fast, and the same in every run.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Appends `length` characters of base64url.
    fn text(&mut self, length: usize, out: &mut String) {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        /// Six bits make a character.
        const PER_DRAW: usize = 10;
        for drawn in (0..length).step_by(PER_DRAW) {
            let mut bits = self.next();
            for _ in drawn..length.min(drawn + PER_DRAW) {
                out.push(char::from(ALPHABET[(bits & 63) as usize]));
                bits >>= 6;
            }
        }
    }

    /// A token of `length` characters in the form of a JWT; `claims` is an object without its end, filled up by a claim.
    fn jwt(&mut self, mut claims: String, length: usize) -> String {
        let header = format!(
            r#"{{"typ": "JWT", "alg": "RS256", "kid": "{0:027x}", "x5t": "{1:027x}"}}"#,
            0xa88c_u64, 0xb085_u64
        );
        let mut token = BASE64_URL_SAFE_NO_PAD.encode(header);
        token.reserve_exact(length - token.len());
        token.push('.');
        let room = length - token.len() - 1 - SIGNATURE_LENGTH;
        claims.push_str(r#","x":""#);
        let filler = room * 3 / 4 - claims.len() - 2;
        self.text(filler, &mut claims);
        claims.push_str("\"}");
        BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        token.push('.');
        self.text(SIGNATURE_LENGTH, &mut token);
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_that_of_real_caches() {
        let document = Population::Users.document(1000);
        let cache = TokenCache::deserialize(&document).expect("sound");
        assert_eq!(cache.len(), 1000 + 200 + 200 + 100 + 1);
        assert_eq!(cache.foreign().count(), 0);
        assert!((3_200_000..3_300_000).contains(&document.len()), "{} bytes", document.len());
        let secrets: usize = (cache.access_tokens().map(|(_, token)| token.secret.expose().len()))
            .chain(cache.id_tokens().map(|(_, token)| token.secret.expose().len()))
            .chain(cache.all_refresh_tokens().map(|(_, token)| token.secret.expose().len()))
            .sum();
        assert_eq!(secrets, 2_170_000);
    }

    #[test]
    fn every_population_is_understood() {
        use Population::{App, OnBehalfOf, OneAccount, OneTenant, Users};
        for population in [Users, OnBehalfOf, App, OneAccount, OneTenant] {
            let cache = population.cache(50);
            assert_eq!((cache.access_tokens().count(), cache.foreign().count()), (50, 0), "{population:?}");
        }
    }
}
