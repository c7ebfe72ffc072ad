//! Access tokens of users and applications.

use std::sync::Arc;

use super::extended::ExtendedKey;
use super::fields::{AdditionalFields, Components, Unfit, Writer, read};
use super::layout::says_extended;
use super::varying::varying;
use super::{Entity, key_suffix, section, written_hash};
use crate::secret::{Blob, Secret};
use crate::text::eq_ignore_case;
use crate::time::{UnixMillis, UnixSeconds};

/// An access token.
///
/// Make one with the fields that are known and `..AccessToken::default()` for the others; later versions may add
/// fields. Times are seconds since 1970. Required for [`TokenCache::insert`](crate::TokenCache::insert):
/// `environment`, `client_id`, `secret`, `target`, `expires_on`.
// In this order in memory: what a lookup compares stands in two cache lines together with the counts of the handle.
#[repr(C)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessToken {
    /// The account's id over all tenants; `None` for an application's own token.
    pub home_account_id: Option<Arc<str>>,
    /// The authority's host.
    pub environment: Arc<str>,
    /// The client that the token was issued to.
    pub client_id: Arc<str>,
    /// The tenant; empty with authorities that know none.
    pub realm: Arc<str>,
    /// The scopes, separated by spaces, in the server's order and letter case.
    pub target: Arc<str>,
    /// When the token was received.
    pub cached_at: Option<UnixSeconds>,
    /// When the token expires; `None`: not known, so taken for expired.
    pub expires_on: Option<UnixSeconds>,
    /// The token.
    pub secret: Secret,
    /// Until when the token serves during an outage of the identity provider.
    pub extended_expires_on: Option<UnixSeconds>,
    /// When to refresh ahead of expiry.
    pub refresh_on: Option<UnixSeconds>,
    /// The scheme: `None` means Bearer; else for example `pop`, `ssh-cert`.
    pub token_type: Option<Arc<str>>,
    /// The id of the key that the token is bound to.
    pub key_id: Option<Arc<str>>,
    /// The hash of the user assertion, or the session key of a long-running process, that the token was got on behalf
    /// of. A session key is a capability, hence a secret.
    pub assertion_hash: Option<Secret>,
    /// Further components that the token was asked for with; such a token never answers a plain request.
    pub extended: Option<ExtendedKey>,
    /// The resource of a request by resource.
    pub resource: Option<Arc<str>>,
    /// The server's `client_info`, base64url as received.
    pub client_info: Option<Arc<str>>,
    /// Further fields of the response that the caller asked to keep (MSAL.NET).
    pub persisted_cache_parameters: Components,
    /// Fields that are not known here.
    pub additional_fields: AdditionalFields,
}

impl AccessToken {
    /// The scheme, `Bearer` where none is named.
    pub fn scheme(&self) -> &str {
        self.token_type.as_deref().unwrap_or(BEARER)
    }

    /// Whether the scheme is Bearer, ignoring case.
    pub fn is_bearer(&self) -> bool {
        eq_ignore_case(self.scheme(), BEARER)
    }

    /// The scopes in their order.
    pub fn scopes(&self) -> impl Iterator<Item = &str> + Clone {
        crate::scopes::split(&self.target)
    }

    /// Whether the token is good for at least `margin_seconds` more, and was not received in the future (300 s of
    /// clock difference let pass).
    pub fn is_usable(&self, now: UnixSeconds, margin_seconds: i64) -> bool {
        self.expires_on.is_some_and(|end| end >= now.plus(margin_seconds))
            && self.cached_at.is_none_or(|received| received <= now.plus(CLOCK_DIFFERENCE))
    }
}

pub(crate) const BEARER: &str = "Bearer";

/// Seconds that another machine's clock may be ahead.
const CLOCK_DIFFERENCE: i64 = 300;

/// Seconds by which MSAL.NET spreads refreshes, on either side; seen with 4.92.
const SPREAD: i64 = 300;

impl Entity for AccessToken {
    const SECTION: &'static str = section::ACCESS_TOKEN;

    fn read(key: &str, json: &Blob) -> Option<Self> {
        let mut token = Self::default();
        let mut key_id = [None, None, None];
        let mut hash = [None, None];
        let mut extended_hash = [None, None];
        let (mut ext, mut components) = (None, None);
        let mut ext_expires_on = None;
        let mut credential_type = None;
        read(json, |name, value| {
            match &*name {
                "home_account_id" => {
                    token.home_account_id = value.some_text()?;
                    if value.is_null() {
                        // MSAL Python finds its app tokens by a null that is there.
                        token.additional_fields.push(&name, value.raw());
                    }
                }
                "environment" => token.environment = value.text()?.unwrap_or_default(),
                "client_id" => token.client_id = value.text()?.unwrap_or_default(),
                "realm" => token.realm = value.text()?.unwrap_or_default(),
                "target" => token.target = value.text()?.unwrap_or_default(),
                "secret" => token.secret = value.secret()?.ok_or(Unfit)?,
                "credential_type" => credential_type = value.some_text()?,
                "cached_at" => token.cached_at = value.seconds(),
                "expires_on" => token.expires_on = value.seconds(),
                "extended_expires_on" => token.extended_expires_on = value.seconds(),
                "ext_expires_on" => ext_expires_on = value.seconds(),
                "refresh_on" => token.refresh_on = value.seconds(),
                "token_type" => token.token_type = value.some_text()?,
                "key_id" => key_id[0] = value.some_text()?,
                "kid" => key_id[1] = value.some_text()?,
                "keyid" => key_id[2] = value.some_text()?,
                "user_assertion_hash" => hash[0] = value.secret()?,
                "userAssertionHash" => hash[1] = value.secret()?,
                "ext_cache_key" => extended_hash[0] = value.some_text()?,
                "ext_cache_key_hash" => extended_hash[1] = value.some_text()?,
                "ext" => ext = value.map()?,
                "additionalCacheKeyComponents" => components = value.map()?,
                "resource" => token.resource = value.some_text()?,
                "client_info" => token.client_info = value.some_text()?,
                "persisted_cache_parameters" => token.persisted_cache_parameters = value.map()?.unwrap_or_default(),
                _ => token.additional_fields.push(&name, value.raw()),
            }
            Ok(())
        })
        .ok()?;
        token.additional_fields = std::mem::take(&mut token.additional_fields).unrepeated();

        token.extended_expires_on = token.extended_expires_on.filter(|time| time.0 != 0).or(ext_expires_on);
        token.key_id = key_id.into_iter().flatten().next();
        token.assertion_hash = hash.into_iter().flatten().next();
        let extended_type = match credential_type.as_deref() {
            None => false,
            // Of another scheme than Bearer, and it does not say of which.
            Some(kind) if eq_ignore_case(kind, WITH_SCHEME) && token.token_type.is_none() => return None,
            Some(kind) if [PLAIN, WITH_SCHEME].iter().any(|known| eq_ignore_case(kind, known)) => false,
            Some(kind) if eq_ignore_case(kind, EXTENDED) => true,
            // A kind of token that is not known here must not be handed out as an ordinary one.
            Some(_) => return None,
        };
        let hash_only = |map: &Components| map.len() == 1 && map.contains_key("ext_cache_key");
        token.extended = match (ext, components, extended_hash.into_iter().flatten().next()) {
            (Some(ext), None, hash) if hash_only(&ext) => {
                ext.get("ext_cache_key").map(|ext| ExtendedKey::of_hash(hash.as_deref().unwrap_or(ext)))
            }
            (Some(ext), Some(components), _) if hash_only(&ext) => Some(ExtendedKey::of(components)),
            (Some(components), _, _) | (None, Some(components), _) => Some(ExtendedKey::of(components)),
            (None, None, Some(hash)) => Some(ExtendedKey::of_hash(&hash)),
            (None, None, None) if extended_type || says_extended(key) => Some(ExtendedKey::unknown()),
            (None, None, None) => None,
        };
        token.is_complete().then_some(token)
    }

    fn write(&self) -> Blob {
        let mut out = Writer::new();
        // MSAL Python writes and finds null, Node the empty text; what was null stays null.
        if self.home_account_id.is_some() || self.additional_fields.raw("home_account_id").is_none() {
            out.text("home_account_id", self.home_account_id.as_deref().unwrap_or_default());
        }
        out.text("environment", &self.environment);
        out.text("credential_type", if self.is_bearer() { PLAIN } else { WITH_SCHEME });
        out.text("client_id", &self.client_id);
        out.text("secret", self.secret.expose());
        out.text("realm", &self.realm);
        out.text("target", &self.target);
        out.seconds("cached_at", self.cached_at);
        out.seconds("expires_on", self.expires_on);
        out.seconds("extended_expires_on", self.extended_expires_on.or(self.expires_on));
        // MSAL.NET spreads refreshes over some minutes around it, and fails where that leaves the years that it knows.
        let spread = |time: UnixSeconds| {
            time.clamp(UnixSeconds::MIN_PORTABLE.plus(SPREAD), UnixSeconds::MAX_PORTABLE.plus(-SPREAD))
        };
        out.seconds("refresh_on", self.refresh_on.map(spread));
        out.text("token_type", self.scheme());
        if let Some(key_id) = &self.key_id {
            // MSAL.NET never finds a Bearer entry with a `kid`; without any, the binding would be lost.
            let names: &[&str] = if self.is_bearer() { &["key_id"] } else { &["key_id", "kid", "keyid"] };
            for name in names {
                out.text(name, key_id);
            }
        }
        out.optional("user_assertion_hash", self.assertion_hash.as_ref().map(written_hash));
        if let Some(extended) = &self.extended {
            out.optional("ext_cache_key", Some(extended.hash()).filter(|hash| !hash.is_empty()));
            out.map("additionalCacheKeyComponents", extended.components());
            out.map("ext", extended.components());
        }
        out.optional("resource", self.resource.as_deref());
        out.optional("client_info", self.client_info.as_deref());
        out.map("persisted_cache_parameters", &self.persisted_cache_parameters);
        out.finish(&self.additional_fields)
    }

    fn key(&self) -> String {
        let home = self.home_account_id.as_deref().unwrap_or_default();
        let scheme = if self.is_bearer() { None } else { Some(self.scheme()) };
        let kind = match (&self.extended, scheme) {
            (Some(_), _) => "atext",
            (None, Some(_)) => "accesstoken_with_authscheme",
            (None, None) => "accesstoken",
        };
        let mut key = [home, &self.environment, kind, &self.client_id, &self.realm, &self.target].join("-");
        for part in [scheme, self.extended.as_ref().map(ExtendedKey::hash)].into_iter().flatten() {
            key.push('-');
            key.push_str(part);
        }
        let hash = self.assertion_hash.as_ref().map(written_hash);
        key_suffix(key.to_lowercase(), [capitals(home), self.key_id.as_deref(), hash])
    }

    fn is_complete(&self) -> bool {
        !(self.environment.is_empty() || self.client_id.is_empty() || self.secret.is_empty())
    }

    fn is_writable(&self) -> bool {
        self.is_complete() && self.scopes().next().is_some() && self.expires_on.is_some()
    }

    fn normalize(&mut self) {
        for text in [&mut self.home_account_id, &mut self.token_type, &mut self.key_id, &mut self.resource] {
            text.take_if(|text| text.is_empty());
        }
        self.assertion_hash.take_if(|hash| hash.is_empty());
    }

    fn inherit(&mut self, older: &Self) {
        self.additional_fields.inherit(&older.additional_fields);
        if self.persisted_cache_parameters.is_empty() {
            self.persisted_cache_parameters.clone_from(&older.persisted_cache_parameters);
        }
        if self.client_info.is_none() {
            self.client_info.clone_from(&older.client_info);
        }
    }

    fn home_account_id(&self) -> Option<&str> {
        self.home_account_id.as_deref()
    }

    fn environment(&self) -> &str {
        &self.environment
    }

    fn environment_mut(&mut self) -> &mut Arc<str> {
        &mut self.environment
    }

    fn written_at(&self) -> Option<UnixMillis> {
        self.cached_at.map(UnixSeconds::to_millis)
    }

    fn expires_on(&self) -> Option<UnixSeconds> {
        self.expires_on.max(self.extended_expires_on).filter(|_| self.expires_on.is_some())
    }
}

varying! {
    AccessToken {
        0 "secret" secret;
        1 "home_account_id" home_account_id;
        2 "environment" environment;
        3 "client_id" client_id;
        4 "realm" realm;
        5 "target" target;
        6 "cached_at" cached_at;
        7 "expires_on" expires_on;
        8 "extended_expires_on" extended_expires_on;
        9 "refresh_on" refresh_on;
        10 "user_assertion_hash" assertion_hash;
        11 "client_info" client_info;
    }
    in keys: [1, 2, 3, 4, 5], fixed: ["credential_type", "token_type"]
}

const PLAIN: &str = "AccessToken";
const WITH_SCHEME: &str = "AccessToken_With_AuthScheme";
/// `ATExt` in MSAL.NET, `AText` in MSAL Java.
const EXTENDED: &str = "atext";

/// The home account id where lower-casing the key would lose a difference.
pub(super) fn capitals(home_account_id: &str) -> Option<&str> {
    (home_account_id.to_lowercase() != home_account_id).then_some(home_account_id)
}
