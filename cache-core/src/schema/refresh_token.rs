//! Refresh tokens of users and of application families.

use std::sync::Arc;

use super::access_token::capitals;
use super::extended::ExtendedKey;
use super::fields::{AdditionalFields, Components, Unfit, Writer, read};
use super::varying::varying;
use super::{Entity, key_suffix, section, written_hash};
use crate::secret::{Blob, Secret};
use crate::time::UnixMillis;

/// A refresh token. It serves every tenant, so it has no realm.
///
/// Make one with the fields that are known and `..RefreshToken::default()` for the others. Required for
/// [`TokenCache::insert`](crate::TokenCache::insert): `home_account_id`, `environment`, `client_id`, `secret`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefreshToken {
    /// The account's id over all tenants.
    pub home_account_id: Arc<str>,
    /// The authority's host.
    pub environment: Arc<str>,
    /// The client that the token was issued to.
    pub client_id: Arc<str>,
    /// The token.
    pub secret: Secret,
    /// The family of applications that may use it, `1` in practice; `None`: this client only.
    pub family_id: Option<Arc<str>>,
    /// The scopes that it was issued with; only MSAL Python writes them.
    pub target: Option<Arc<str>>,
    /// When the token was received.
    pub last_modification_time: Option<UnixMillis>,
    /// As [`AccessToken::assertion_hash`](super::AccessToken::assertion_hash), of a long-running on-behalf-of process.
    pub assertion_hash: Option<Secret>,
    /// Components that divide refresh tokens of one user (MSAL.NET's `WithCachePartitionKey`).
    pub extended: Option<ExtendedKey>,
    /// The server's `client_info`, base64url as received.
    pub client_info: Option<Arc<str>>,
    /// Fields that are not known here.
    pub additional_fields: AdditionalFields,
}

impl Entity for RefreshToken {
    const SECTION: &'static str = section::REFRESH_TOKEN;

    fn read(_key: &str, json: &Blob) -> Option<Self> {
        let mut token = Self::default();
        let mut hash = [None, None];
        read(json, |name, value| {
            match &*name {
                "home_account_id" => token.home_account_id = value.text()?.unwrap_or_default(),
                "environment" => token.environment = value.text()?.unwrap_or_default(),
                "client_id" => token.client_id = value.text()?.unwrap_or_default(),
                "secret" => token.secret = value.secret()?.ok_or(Unfit)?,
                "credential_type" => {}
                "family_id" => token.family_id = value.some_text()?,
                "target" => token.target = value.some_text()?,
                "last_modification_time" => token.last_modification_time = value.millis(),
                "user_assertion_hash" => hash[0] = value.secret()?,
                "userAssertionHash" => hash[1] = value.secret()?,
                "ext" => token.extended = value.map()?.map(ExtendedKey::of),
                "client_info" => token.client_info = value.some_text()?,
                _ => token.additional_fields.push(&name, value.raw()),
            }
            Ok(())
        })
        .ok()?;
        token.additional_fields = std::mem::take(&mut token.additional_fields).unrepeated();
        token.assertion_hash = hash.into_iter().flatten().next();
        token.is_complete().then_some(token)
    }

    fn write(&self) -> Blob {
        let mut out = Writer::new();
        out.text("home_account_id", &self.home_account_id);
        out.text("environment", &self.environment);
        out.text("credential_type", "RefreshToken");
        out.text("client_id", &self.client_id);
        out.text("secret", self.secret.expose());
        out.optional("family_id", self.family_id.as_deref());
        out.optional("target", self.target.as_deref());
        // Whole seconds: MSAL Python sorts by an integer parse.
        out.seconds("last_modification_time", self.last_modification_time.map(UnixMillis::to_seconds));
        out.optional("user_assertion_hash", self.assertion_hash.as_ref().map(written_hash));
        out.map("ext", self.extended.as_ref().map_or(&Components::default(), ExtendedKey::components));
        out.optional("client_info", self.client_info.as_deref());
        out.finish(&self.additional_fields)
    }

    fn key(&self) -> String {
        let owner = self.family_id.as_deref().unwrap_or(&self.client_id);
        let mut key = [&self.home_account_id, &*self.environment, "refreshtoken", owner, "", ""].join("-");
        if let Some(extended) = &self.extended {
            key.push('-');
            key.push_str(extended.hash());
        }
        let hash = self.assertion_hash.as_ref().map(written_hash);
        key_suffix(key.to_lowercase(), [capitals(&self.home_account_id), hash, None])
    }

    fn is_complete(&self) -> bool {
        let named = [&self.home_account_id, &self.environment, &self.client_id];
        named.iter().all(|text| !text.is_empty()) && !self.secret.is_empty()
    }

    fn normalize(&mut self) {
        self.family_id.take_if(|family| family.is_empty());
        self.assertion_hash.take_if(|hash| hash.is_empty());
        // As it is written, so that a store that keeps documents and one that keeps entries agree.
        self.last_modification_time = self.last_modification_time.map(|time| time.to_seconds().to_millis());
    }

    fn inherit(&mut self, older: &Self) {
        self.additional_fields.inherit(&older.additional_fields);
        if self.target.is_none() {
            self.target.clone_from(&older.target);
        }
        if self.client_info.is_none() {
            self.client_info.clone_from(&older.client_info);
        }
    }

    fn home_account_id(&self) -> Option<&str> {
        Some(&self.home_account_id)
    }

    fn environment(&self) -> &str {
        &self.environment
    }

    fn environment_mut(&mut self) -> &mut Arc<str> {
        &mut self.environment
    }

    fn written_at(&self) -> Option<UnixMillis> {
        self.last_modification_time
    }
}

varying! {
    RefreshToken {
        0 "secret" secret;
        1 "home_account_id" home_account_id;
        2 "environment" environment;
        3 "client_id" client_id;
        4 "target" target;
        5 "last_modification_time" last_modification_time;
        6 "user_assertion_hash" assertion_hash;
        7 "client_info" client_info;
    }
    in keys: [1, 2, 3, 4], fixed: ["credential_type", "family_id"]
}
