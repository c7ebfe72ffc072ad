//! Entries as token libraries write them: proper JSON whose facts are those of the [`Entry`] around it, so that stores
//! which read the facts from the document agree with stores that are told them.

use cache_core::schema::section;
use cache_core::{AccountRef, Blob, Entry, EntryId, UnixMillis, UnixSeconds};
use serde_json::{Map, Value};

/// The client id of every entry made here, unless [`field`](EntryBuilder::field) sets another.
pub const CLIENT: &str = "aaaaaaaa-0000-4000-8000-00000000000a";

/// An entry of one of the five sections, to be completed and [built](Self::entry).
///
/// ```
/// use cache_testkit::entries::refresh_token;
/// use cache_core::UnixMillis;
///
/// let entry = refresh_token("key").of("uid.utid", "login.windows.net").at(UnixMillis(1_800_000_000_500)).entry();
/// assert_eq!(entry.written_at, Some(UnixMillis(1_800_000_000_500)));
/// assert!(String::from_utf8_lossy(entry.json.expose()).contains(r#""last_modification_time":"1800000000.500""#));
/// ```
#[derive(Clone)]
#[must_use]
pub struct EntryBuilder {
    id: EntryId,
    fields: Map<String, Value>,
    written_at: Option<UnixMillis>,
    expires_on: Option<UnixSeconds>,
}

/// An access token under this key text.
pub fn access_token(key: &str) -> EntryBuilder {
    EntryBuilder::new(section::ACCESS_TOKEN, key)
        .field("credential_type", "AccessToken")
        .field("home_account_id", "")
        .field("realm", "11111111-1111-4111-8111-111111111111")
        .field("target", "User.Read")
        .field("token_type", "Bearer")
        .secret("access token")
}

/// A refresh token under this key text.
pub fn refresh_token(key: &str) -> EntryBuilder {
    EntryBuilder::new(section::REFRESH_TOKEN, key).field("credential_type", "RefreshToken").secret("refresh token")
}

/// An ID token under this key text.
pub fn id_token(key: &str) -> EntryBuilder {
    EntryBuilder::new(section::ID_TOKEN, key)
        .field("credential_type", "IdToken")
        .field("realm", "11111111-1111-4111-8111-111111111111")
        .secret("id token")
}

/// An account under this key text.
pub fn account(key: &str) -> EntryBuilder {
    EntryBuilder::new(section::ACCOUNT, key)
        .field("authority_type", "MSSTS")
        .field("local_account_id", "local")
        .field("realm", "11111111-1111-4111-8111-111111111111")
        .field("username", "user@contoso.example")
}

/// App metadata under this key text.
pub fn app_metadata(key: &str) -> EntryBuilder {
    EntryBuilder::new(section::APP_METADATA, key).field("environment", "login.windows.net").field("family_id", "1")
}

/// A whole section that the schema does not know, as the one entry that stores see.
pub fn unknown_section(name: &str, json: &str) -> Entry {
    Entry {
        id: EntryId::new(name, ""),
        account: None,
        written_at: None,
        expires_on: None,
        json: Blob::copy_of(json.as_bytes()),
    }
}

/// An entity that no library classifies: its text as given, in a section of the schema.
pub fn unclassifiable(section: &str, key: &str, json: &str) -> Entry {
    Entry { id: EntryId::new(section, key), ..unknown_section(section, json) }
}

impl EntryBuilder {
    fn new(section: &str, key: &str) -> Self {
        let new = Self { id: EntryId::new(section, key), fields: Map::new(), written_at: None, expires_on: None };
        new.field("client_id", CLIENT)
    }

    /// The entry of this account, without it an app's own. An empty host is none.
    pub fn of(self, home_account_id: &str, environment: &str) -> Self {
        self.field("home_account_id", home_account_id).field("environment", environment)
    }

    /// With this secret.
    pub fn secret(self, secret: &str) -> Self {
        self.field("secret", secret)
    }

    /// With this field, in place of one of the same name.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.insert(name.to_owned(), Value::from(value));
        self
    }

    /// Written at this time. Access tokens carry whole seconds, refresh tokens and accounts milliseconds.
    ///
    /// # Panics
    /// For ID tokens and app metadata, which carry no such time, and for an access token with a part of a second.
    pub fn at(mut self, at: UnixMillis) -> Self {
        self.written_at = Some(at);
        let (seconds, part) = (at.0.div_euclid(1000), at.0.rem_euclid(1000));
        match self.id.section() {
            section::ACCESS_TOKEN => {
                assert_eq!(part, 0, "an access token's time is in whole seconds");
                self.field("cached_at", &seconds.to_string())
            }
            section::REFRESH_TOKEN | section::ACCOUNT => match part {
                0 => self.field("last_modification_time", &seconds.to_string()),
                part => self.field("last_modification_time", &format!("{seconds}.{part:03}")),
            },
            other => panic!("entries of {other} carry no time of writing"),
        }
    }

    /// Expires at this time.
    ///
    /// # Panics
    /// For anything but an access token.
    pub fn expires(mut self, on: UnixSeconds) -> Self {
        assert_eq!(self.id.section(), section::ACCESS_TOKEN, "only access tokens carry an expiry");
        self.expires_on = Some(on);
        self.field("expires_on", &on.to_string())
    }

    /// The entry, its facts as its JSON tells them.
    pub fn entry(self) -> Entry {
        let text = |name: &str| self.fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let account = text("home_account_id").filter(|_| self.id.section() != section::APP_METADATA);
        let account = account.map(|home_account_id| AccountRef {
            home_account_id: home_account_id.into(),
            environment: text("environment").unwrap_or_default().into(),
        });
        Entry {
            account,
            written_at: self.written_at,
            expires_on: self.expires_on,
            json: Blob::new(Value::Object(self.fields).to_string().into_bytes()),
            id: self.id,
        }
    }
}

impl std::fmt::Debug for EntryBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntryBuilder").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cache_core::UnifiedDocument;

    /// What a store that keeps whole documents finds in them.
    fn as_documents_see(entry: &Entry) -> Entry {
        let (section, key) = (Value::from(entry.id.section()), Value::from(entry.id.key()));
        let json = std::str::from_utf8(entry.json.expose()).expect("JSON is text");
        let document = Blob::new(format!("{{{section}:{{{key}:{json}}}}}").into_bytes());
        UnifiedDocument::parse(&document).expect("a document").entry(&entry.id).expect("the entry is in it")
    }

    #[test]
    fn the_facts_are_those_of_the_json() {
        let (now, later) = (UnixMillis(1_800_000_000_000), UnixSeconds(1_800_003_600));
        let with_part = UnixMillis(1_800_000_000_007);
        for entry in [
            access_token("at").of("uid.utid", "login.windows.net").at(now).expires(later).entry(),
            access_token("app").field("environment", "login.windows.net").at(now).entry(),
            refresh_token("rt").of("uid.utid", "host:443").at(with_part).entry(),
            refresh_token("rt").of("uid.utid", "host").entry(),
            id_token("idt").of("uid.utid", "login.windows.net").entry(),
            account("account").of("uid.utid", "login.windows.net").at(now).entry(),
            account("nobody").of("", "login.windows.net").entry(),
            refresh_token("without a host").of("uid.utid", "").entry(),
            refresh_token("without a host").field("home_account_id", "uid.utid").entry(),
            app_metadata("app").of("uid.utid", "login.windows.net").entry(),
            unclassifiable(section::REFRESH_TOKEN, "odd", r#"{"foo":"bar"}"#),
        ] {
            assert_eq!(as_documents_see(&entry), entry, "{:?}", entry.id);
        }
    }
}
