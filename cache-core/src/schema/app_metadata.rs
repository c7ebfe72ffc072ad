//! What is known of applications.

use std::sync::Arc;

use super::fields::{AdditionalFields, Writer, read};
use super::varying::varying;
use super::{Entity, section};
use crate::secret::Blob;
use crate::time::UnixMillis;

/// What is known of an application in one cloud. No entry: nothing is known. An entry without `family_id`: the
/// application is in no family.
///
/// Required for [`TokenCache::insert`](crate::TokenCache::insert): `client_id`, `environment`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppMetadata {
    /// The application's client id.
    pub client_id: Arc<str>,
    /// The authority's host.
    pub environment: Arc<str>,
    /// The family whose refresh tokens the application may use, `1` in practice.
    pub family_id: Option<Arc<str>>,
    /// Fields that are not known here.
    pub additional_fields: AdditionalFields,
}

impl Entity for AppMetadata {
    const SECTION: &'static str = section::APP_METADATA;

    fn read(_key: &str, json: &Blob) -> Option<Self> {
        let mut metadata = Self::default();
        read(json, |name, value| {
            match &*name {
                "client_id" => metadata.client_id = value.text()?.unwrap_or_default(),
                "environment" => metadata.environment = value.text()?.unwrap_or_default(),
                "family_id" => metadata.family_id = value.some_text()?,
                _ => metadata.additional_fields.push(&name, value.raw()),
            }
            Ok(())
        })
        .ok()?;
        metadata.additional_fields = std::mem::take(&mut metadata.additional_fields).unrepeated();
        metadata.is_complete().then_some(metadata)
    }

    fn write(&self) -> Blob {
        let mut out = Writer::new();
        out.text("client_id", &self.client_id);
        out.text("environment", &self.environment);
        out.optional("family_id", self.family_id.as_deref());
        out.finish(&self.additional_fields)
    }

    fn key(&self) -> String {
        ["appmetadata", &*self.environment, &self.client_id].join("-").to_lowercase()
    }

    fn is_complete(&self) -> bool {
        !(self.client_id.is_empty() || self.environment.is_empty())
    }

    fn inherit(&mut self, older: &Self) {
        self.additional_fields.inherit(&older.additional_fields);
    }

    fn home_account_id(&self) -> Option<&str> {
        None
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
    AppMetadata {
        0 "client_id" client_id;
        1 "environment" environment;
    }
    in keys: [1, 0], fixed: ["family_id"]
}
