//! ID tokens.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::access_token::capitals;
use super::fields::{AdditionalFields, Unfit, Writer, read};
use super::varying::varying;
use super::{Entity, key_suffix, section};
use crate::secret::{Blob, Secret};
use crate::time::UnixMillis;

/// An ID token.
///
/// Make one with the fields that are known and `..IdToken::default()` for the others. Required for
/// [`TokenCache::insert`](crate::TokenCache::insert): `home_account_id`, `environment`, `client_id`, and a `secret`
/// that is a JWT, since MSAL.NET fails on any other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdToken {
    /// The account's id over all tenants.
    pub home_account_id: Arc<str>,
    /// The authority's host.
    pub environment: Arc<str>,
    /// The client that the token was issued to.
    pub client_id: Arc<str>,
    /// The tenant; empty with authorities that know none.
    pub realm: Arc<str>,
    /// The raw JWT.
    pub secret: Secret,
    /// The server's `client_info`, base64url as received.
    pub client_info: Option<Arc<str>>,
    /// Fields that are not known here.
    pub additional_fields: AdditionalFields,
}

impl IdToken {
    /// The claims as JSON, not validated: they were when the token was received. `None` if this is not a JWT.
    pub fn claims(&self) -> Option<Blob> {
        let mut parts = self.secret.expose().split('.');
        let (_, middle, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let claims = Blob::new(BASE64.decode(middle).ok()?);
        serde_json::from_slice::<serde::de::IgnoredAny>(claims.expose()).is_ok().then_some(claims)
    }
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Entity for IdToken {
    const SECTION: &'static str = section::ID_TOKEN;

    fn read(_key: &str, json: &Blob) -> Option<Self> {
        let mut token = Self::default();
        read(json, |name, value| {
            match &*name {
                "home_account_id" => token.home_account_id = value.text()?.unwrap_or_default(),
                "environment" => token.environment = value.text()?.unwrap_or_default(),
                "client_id" => token.client_id = value.text()?.unwrap_or_default(),
                "realm" => token.realm = value.text()?.unwrap_or_default(),
                "secret" => token.secret = value.secret()?.ok_or(Unfit)?,
                "credential_type" => {}
                "client_info" => token.client_info = value.some_text()?,
                _ => token.additional_fields.push(&name, value.raw()),
            }
            Ok(())
        })
        .ok()?;
        token.additional_fields = std::mem::take(&mut token.additional_fields).unrepeated();
        token.is_complete().then_some(token)
    }

    fn write(&self) -> Blob {
        let mut out = Writer::new();
        out.text("home_account_id", &self.home_account_id);
        out.text("environment", &self.environment);
        out.text("credential_type", "IdToken");
        out.text("client_id", &self.client_id);
        out.text("secret", self.secret.expose());
        out.text("realm", &self.realm);
        out.optional("client_info", self.client_info.as_deref());
        out.finish(&self.additional_fields)
    }

    fn key(&self) -> String {
        let parts = [&self.home_account_id, &*self.environment, "idtoken", &self.client_id, &self.realm, ""];
        key_suffix(parts.join("-").to_lowercase(), [capitals(&self.home_account_id), None, None])
    }

    fn is_complete(&self) -> bool {
        let named = [&self.home_account_id, &self.environment, &self.client_id];
        named.iter().all(|text| !text.is_empty()) && !self.secret.is_empty()
    }

    fn is_writable(&self) -> bool {
        self.is_complete() && self.claims().is_some()
    }

    fn inherit(&mut self, older: &Self) {
        self.additional_fields.inherit(&older.additional_fields);
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
        None
    }
}

varying! {
    IdToken {
        0 "secret" secret;
        1 "home_account_id" home_account_id;
        2 "environment" environment;
        3 "client_id" client_id;
        4 "realm" realm;
        5 "client_info" client_info;
    }
    in keys: [1, 2, 3, 4], fixed: ["credential_type"]
}
