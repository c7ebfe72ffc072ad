//! Accounts.

use std::sync::Arc;

use super::access_token::capitals;
use super::fields::{AdditionalFields, Components, Writer, read};
use super::varying::varying;
use super::{Entity, key_suffix, section};
use crate::secret::Blob;
use crate::time::UnixMillis;

/// An account in one tenant. MSAL Node keeps one entity per user, with the other tenants in `tenant_profiles`; the
/// other libraries keep one per tenant. [`TokenCache::accounts`](crate::TokenCache::accounts) groups both alike.
///
/// Make one with the fields that are known and `..Account::default()` for the others. Required for
/// [`TokenCache::insert`](crate::TokenCache::insert): `home_account_id`, `environment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's id over all tenants.
    pub home_account_id: Arc<str>,
    /// The authority's host.
    pub environment: Arc<str>,
    /// The tenant; empty with authorities that know none.
    pub realm: Arc<str>,
    /// The account's id in this tenant.
    pub local_account_id: Arc<str>,
    /// The name to sign in with; empty if unknown, never null: readers break on null.
    pub username: Arc<str>,
    /// `MSSTS` (Microsoft Entra ID, Microsoft account, B2C), `ADFS`, `Generic`.
    pub authority_type: Arc<str>,
    /// The display name.
    pub name: Option<Arc<str>>,
    /// The given name.
    pub given_name: Option<Arc<str>>,
    /// The family name.
    pub family_name: Option<Arc<str>>,
    /// The middle name.
    pub middle_name: Option<Arc<str>>,
    /// Another id of the account.
    pub alternative_account_id: Option<Arc<str>>,
    /// The server's `client_info`, base64url as received.
    pub client_info: Option<Arc<str>>,
    /// The flow that the account came from, for example `device_code_flow`, `broker`; vocabularies differ.
    pub account_source: Option<Arc<str>>,
    /// Account ids of the Windows Web Account Manager by client id.
    pub wam_account_ids: Components,
    /// MSAL Node's tenant profiles, each a JSON text.
    pub tenant_profiles: Vec<Arc<str>>,
    /// When the entity was written; only the Objective-C library writes it.
    pub last_modification_time: Option<UnixMillis>,
    /// Fields that are not known here.
    pub additional_fields: AdditionalFields,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            home_account_id: Arc::default(),
            environment: Arc::default(),
            realm: Arc::default(),
            local_account_id: Arc::default(),
            username: Arc::default(),
            authority_type: "MSSTS".into(),
            name: None,
            given_name: None,
            family_name: None,
            middle_name: None,
            alternative_account_id: None,
            client_info: None,
            account_source: None,
            wam_account_ids: Components::default(),
            tenant_profiles: Vec::new(),
            last_modification_time: None,
            additional_fields: AdditionalFields::default(),
        }
    }
}

impl Entity for Account {
    const SECTION: &'static str = section::ACCOUNT;

    fn read(_key: &str, json: &Blob) -> Option<Self> {
        let mut account = Self::default();
        read(json, |name, value| {
            match &*name {
                "home_account_id" => account.home_account_id = value.text()?.unwrap_or_default(),
                "environment" => account.environment = value.text()?.unwrap_or_default(),
                "realm" => account.realm = value.text()?.unwrap_or_default(),
                "local_account_id" => account.local_account_id = value.text()?.unwrap_or_default(),
                "username" => account.username = value.text()?.unwrap_or_default(),
                "authority_type" => {
                    account.authority_type = value.some_text()?.unwrap_or(account.authority_type.clone());
                }
                "name" => account.name = value.some_text()?,
                "given_name" => account.given_name = value.some_text()?,
                "family_name" => account.family_name = value.some_text()?,
                "middle_name" => account.middle_name = value.some_text()?,
                "alternative_account_id" => account.alternative_account_id = value.some_text()?,
                "client_info" => account.client_info = value.some_text()?,
                "account_source" => account.account_source = value.some_text()?,
                // Of another shape, these two say nothing about the account itself: kept as they are.
                "wam_account_ids" => match value.map() {
                    Ok(ids) => account.wam_account_ids = ids.unwrap_or_default(),
                    Err(_) => account.additional_fields.push(&name, value.raw()),
                },
                "tenantProfiles" => match value.texts() {
                    Ok(profiles) => account.tenant_profiles = profiles.unwrap_or_default(),
                    Err(_) => account.additional_fields.push(&name, value.raw()),
                },
                "last_modification_time" => account.last_modification_time = value.millis(),
                _ => account.additional_fields.push(&name, value.raw()),
            }
            Ok(())
        })
        .ok()?;
        account.additional_fields = std::mem::take(&mut account.additional_fields).unrepeated();
        account.is_complete().then_some(account)
    }

    fn write(&self) -> Blob {
        let mut out = Writer::new();
        out.text("home_account_id", &self.home_account_id);
        out.text("environment", &self.environment);
        out.text("realm", &self.realm);
        out.text("local_account_id", &self.local_account_id);
        out.text("username", &self.username);
        out.text("authority_type", &self.authority_type);
        out.optional("name", self.name.as_deref());
        out.optional("given_name", self.given_name.as_deref());
        out.optional("family_name", self.family_name.as_deref());
        out.optional("middle_name", self.middle_name.as_deref());
        out.optional("alternative_account_id", self.alternative_account_id.as_deref());
        out.optional("client_info", self.client_info.as_deref());
        out.optional("account_source", self.account_source.as_deref());
        out.map("wam_account_ids", &self.wam_account_ids);
        out.texts("tenantProfiles", &self.tenant_profiles);
        out.seconds("last_modification_time", self.last_modification_time.map(UnixMillis::to_seconds));
        out.finish(&self.additional_fields)
    }

    fn key(&self) -> String {
        let key = [&*self.home_account_id, &self.environment, &self.realm].join("-").to_lowercase();
        key_suffix(key, [capitals(&self.home_account_id), None, None])
    }

    fn is_complete(&self) -> bool {
        !(self.home_account_id.is_empty() || self.environment.is_empty())
    }

    /// A newer entity keeps what only an older one knows: another library's profiles and ids, names that this
    /// response did not carry.
    fn inherit(&mut self, older: &Self) {
        self.additional_fields.inherit(&older.additional_fields);
        for (mine, theirs) in [
            (&mut self.name, &older.name),
            (&mut self.given_name, &older.given_name),
            (&mut self.family_name, &older.family_name),
            (&mut self.middle_name, &older.middle_name),
            (&mut self.alternative_account_id, &older.alternative_account_id),
            (&mut self.client_info, &older.client_info),
            (&mut self.account_source, &older.account_source),
        ] {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
        for (mine, theirs) in
            [(&mut self.username, &older.username), (&mut self.local_account_id, &older.local_account_id)]
        {
            if mine.is_empty() {
                mine.clone_from(theirs);
            }
        }
        for (client, id) in older.wam_account_ids.iter() {
            self.wam_account_ids.entry(client.clone()).or_insert_with(|| id.clone());
        }
        if self.tenant_profiles.is_empty() {
            self.tenant_profiles.clone_from(&older.tenant_profiles);
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
    Account {
        0 "home_account_id" home_account_id;
        1 "environment" environment;
        2 "realm" realm;
        3 "local_account_id" local_account_id;
        4 "username" username;
        5 "name" name;
        6 "given_name" given_name;
        7 "family_name" family_name;
        8 "alternative_account_id" alternative_account_id;
        9 "client_info" client_info;
    }
    in keys: [0, 1, 2], fixed: ["authority_type", "account_source"]
}
