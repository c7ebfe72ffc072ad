//! Whose cache: the key of a partition, and how each MSAL library spells it.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// Whose cache: one shared cache, one user's, one application's in one tenant, one on-behalf-of assertion's.
///
/// The same rules derive the key for a write and for the next read of the same flow. Opaque to stores: compared
/// exactly, case included. `Debug` prints the kind only, since a long-running on-behalf-of key is a capability.
///
/// ```
/// use cache_core::PartitionKey;
///
/// let app = PartitionKey::app("client", Some("Tenant"));
/// assert_eq!(app.net().as_deref(), Some("client_tenant_AppTokenCache"));
/// assert_eq!(PartitionKey::Shared.net(), None);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PartitionKey {
    /// The one cache of a desktop application, a CLI, or a file that MSAL libraries share.
    Shared,
    /// A user's cache, by home account id.
    User(Arc<str>),
    /// An application's own tokens (client credentials).
    App(AppPartition),
    /// Tokens got on behalf of one incoming assertion, by the [hash](assertion_hash) of it.
    Obo(Arc<str>),
    /// Tokens of a long-running on-behalf-of process, by the caller's session key. The key is a capability.
    LongRunning(Arc<str>),
    /// Any other division, by a key of the caller's own.
    Custom(Arc<str>),
}

/// The parts of an application's partition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct AppPartition {
    /// The application's client id.
    pub client_id: Arc<str>,
    /// The tenant; `None` with authorities that know none (AD FS).
    pub tenant: Option<Arc<str>>,
    /// The id of the key that the tokens are bound to (proof of possession).
    pub pop_key_id: Option<Arc<str>>,
    /// The hash of further cache key components ([`extended_key_hash`](crate::schema::extended_key_hash)), case kept.
    pub extended_key_hash: Option<Arc<str>>,
}

impl PartitionKey {
    /// The partition of a user, by home account id.
    pub fn user(home_account_id: &str) -> Self {
        Self::User(home_account_id.into())
    }

    /// The partition of an application in one tenant.
    pub fn app(client_id: &str, tenant: Option<&str>) -> Self {
        Self::App(AppPartition::new(client_id, tenant))
    }

    /// The partition of an incoming user assertion; the assertion itself is not kept.
    pub fn obo(assertion: &str) -> Self {
        Self::Obo(assertion_hash(assertion).into())
    }

    /// The partition of a long-running on-behalf-of process.
    pub fn long_running(session_key: &str) -> Self {
        Self::LongRunning(session_key.into())
    }

    /// A partition by a key of the caller's own.
    pub fn custom(key: &str) -> Self {
        Self::Custom(key.into())
    }

    /// MSAL.NET's `SuggestedCacheKey`; `None` for the shared cache (`Cache/CacheKeyFactory.cs`).
    pub fn net(&self) -> Option<String> {
        self.rendered(|app| app.render(true, true), str::to_owned)
    }

    /// MSAL Go's `PartitionKey` hint; `None` for the shared cache. Assertion hashes carry base64 padding there
    /// (`apps/internal/oauth/ops/authority/authority.go`).
    pub fn go(&self) -> Option<String> {
        self.rendered(|app| app.render(false, false), padded)
    }

    /// The key that MSAL Node's samples use with a distributed cache; `None` for the shared cache
    /// (`samples/msal-node-samples/client-credentials-distributed-cache`).
    pub fn node(&self) -> Option<String> {
        self.rendered(
            |app| match &app.tenant {
                Some(tenant) => format!("{}.{tenant}", app.client_id),
                None => app.client_id.to_string(),
            },
            str::to_owned,
        )
    }

    /// The kind in one word: `shared`, `user`, `app`, `obo`, `long-running`, `custom`. Safe to log.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::User(_) => "user",
            Self::App(_) => "app",
            Self::Obo(_) => "obo",
            Self::LongRunning(_) => "long-running",
            Self::Custom(_) => "custom",
        }
    }

    /// The key as bytes: two keys are equal exactly if their bytes are. Every part is preceded by its length, so that
    /// no two keys can be confused. For hashing into names and for binding protected bytes to their partition.
    pub fn to_bytes(&self) -> Vec<u8> {
        // With room for most, so that no copy of a key is left behind.
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(self.kind().as_bytes());
        bytes.push(0);
        let mut part = |text: Option<&str>| match text {
            Some(text) => {
                bytes.extend_from_slice(&(text.len() as u64 + 1).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
            None => bytes.extend_from_slice(&0u64.to_le_bytes()),
        };
        match self {
            Self::Shared => {}
            Self::User(key) | Self::Obo(key) | Self::LongRunning(key) | Self::Custom(key) => part(Some(key)),
            Self::App(app) => {
                for text in app.parts() {
                    part(text);
                }
            }
        }
        bytes
    }

    /// The key that [`to_bytes`](Self::to_bytes) gave these bytes for. Other bytes: `Corrupt`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::new(ErrorKind::Corrupt, "the stored name of a partition is damaged");
        let end = bytes.iter().position(|&byte| byte == 0).ok_or_else(damaged)?;
        let mut rest = &bytes[end + 1..];
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let (length, tail) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
            let text = match length.checked_sub(1) {
                None => None,
                Some(length) if length <= tail.len() => {
                    Some(std::str::from_utf8(&tail[..length]).map_err(|_| damaged())?.into())
                }
                Some(_) => return Err(damaged()),
            };
            rest = &tail[length.saturating_sub(1)..];
            parts.push(text);
        }
        Ok(match (&bytes[..end], &parts[..]) {
            (b"shared", []) => Self::Shared,
            (b"user", [Some(key)]) => Self::User(Arc::clone(key)),
            (b"obo", [Some(key)]) => Self::Obo(Arc::clone(key)),
            (b"long-running", [Some(key)]) => Self::LongRunning(Arc::clone(key)),
            (b"custom", [Some(key)]) => Self::Custom(Arc::clone(key)),
            (b"app", [Some(client_id), tenant, pop_key_id, extended_key_hash]) => Self::App(AppPartition {
                client_id: Arc::clone(client_id),
                tenant: tenant.clone(),
                pop_key_id: pop_key_id.clone(),
                extended_key_hash: extended_key_hash.clone(),
            }),
            _ => return Err(damaged()),
        })
    }

    fn rendered(&self, app: impl FnOnce(&AppPartition) -> String, hash: impl FnOnce(&str) -> String) -> Option<String> {
        match self {
            Self::Shared => None,
            Self::App(parts) => Some(app(parts)),
            Self::Obo(key) => Some(hash(key)),
            Self::User(key) | Self::LongRunning(key) | Self::Custom(key) => Some(key.to_string()),
        }
    }
}

impl AppPartition {
    /// The partition of an application in one tenant.
    pub fn new(client_id: &str, tenant: Option<&str>) -> Self {
        Self { client_id: client_id.into(), tenant: tenant.map(Into::into), pop_key_id: None, extended_key_hash: None }
    }

    /// The same partition for tokens bound to a key.
    #[must_use]
    pub fn with_pop_key_id(mut self, key_id: &str) -> Self {
        self.pop_key_id = Some(key_id.into());
        self
    }

    /// The same partition for tokens with further cache key components, by their hash with its case kept.
    #[must_use]
    pub fn with_extended_key_hash(mut self, hash: &str) -> Self {
        self.extended_key_hash = Some(hash.into());
        self
    }

    fn parts(&self) -> [Option<&str>; 4] {
        [Some(&self.client_id), self.tenant.as_deref(), self.pop_key_id.as_deref(), self.extended_key_hash.as_deref()]
    }

    /// `{popKid}{clientId}_{tenantId}[_{hash}]_AppTokenCache`; MSAL.NET lower-cases the tenant and writes the key id,
    /// MSAL Go does neither and lower-cases the hash.
    fn render(&self, pop_key_id: bool, net: bool) -> String {
        let tenant = self.tenant.as_deref().unwrap_or_default();
        let tenant = if net { tenant.to_lowercase() } else { tenant.to_owned() };
        let key_id = if pop_key_id { self.pop_key_id.as_deref().unwrap_or_default() } else { "" };
        let hash = match &self.extended_key_hash {
            Some(hash) if net => format!("_{hash}"),
            Some(hash) => format!("_{}", hash.to_lowercase()),
            None => String::new(),
        };
        format!("{key_id}{}_{tenant}{hash}_AppTokenCache", self.client_id)
    }
}

impl From<AppPartition> for PartitionKey {
    fn from(app: AppPartition) -> Self {
        Self::App(app)
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared => f.write_str("PartitionKey(shared)"),
            _ => write!(f, "PartitionKey({}, ..)", self.kind()),
        }
    }
}

impl fmt::Debug for AppPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppPartition(..)")
    }
}

/// The hash that stands for a user assertion: SHA-256 in base64url without padding, as MSAL.NET, Node and Java write
/// it (`Utils/Base64UrlHelpers.cs`). MSAL Go pads it; comparisons here ignore the padding.
pub fn assertion_hash(assertion: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(assertion.as_bytes()))
}

fn padded(hash: &str) -> String {
    let bare = hash.trim_end_matches('=');
    format!("{bare}{}", "=".repeat((4 - bare.len() % 4) % 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_kind() -> Vec<PartitionKey> {
        vec![
            PartitionKey::Shared,
            PartitionKey::user("uid.utid"),
            PartitionKey::user(""),
            PartitionKey::app("client", None),
            PartitionKey::app("client", Some("")),
            PartitionKey::app("client", Some("TENANT")),
            AppPartition { client_id: "c".into(), tenant: Some("t".into()), pop_key_id: None, extended_key_hash: None }
                .with_pop_key_id("kid")
                .with_extended_key_hash("HaSh")
                .into(),
            PartitionKey::obo("assertion"),
            PartitionKey::long_running("session\0key"),
            PartitionKey::custom("uid.utid"),
        ]
    }

    #[test]
    fn bytes_name_one_key_and_come_back() {
        let keys = every_kind();
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(&PartitionKey::from_bytes(&key.to_bytes()).expect("own bytes"), key);
            for other in &keys[n + 1..] {
                assert_ne!(key.to_bytes(), other.to_bytes());
            }
        }
    }

    #[test]
    fn damaged_bytes_are_corrupt() {
        for key in every_kind() {
            let bytes = key.to_bytes();
            for end in 0..bytes.len() {
                match PartitionKey::from_bytes(&bytes[..end]) {
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
                    Ok(other) => assert_ne!(other, key),
                }
            }
        }
        let huge = [b"user\0".as_slice(), &u64::MAX.to_le_bytes(), b"x"].concat();
        assert_eq!(PartitionKey::from_bytes(&huge).expect_err("length beyond the end").kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn each_library_spells_its_own() {
        let app = AppPartition {
            client_id: "Client".into(),
            tenant: Some("Tenant".into()),
            pop_key_id: Some("Kid".into()),
            extended_key_hash: Some("HaSh".into()),
        };
        let app = PartitionKey::from(app);
        assert_eq!(app.net().as_deref(), Some("KidClient_tenant_HaSh_AppTokenCache"));
        assert_eq!(app.go().as_deref(), Some("Client_Tenant_hash_AppTokenCache"));
        assert_eq!(app.node().as_deref(), Some("Client.Tenant"));
        assert_eq!(PartitionKey::app("c", None).net().as_deref(), Some("c__AppTokenCache"));
        let obo = PartitionKey::obo("assertion");
        assert_eq!(obo.net().map(|key| key.len()), Some(43));
        assert_eq!(obo.go().map(|key| key.len()), Some(44));
        assert_eq!(PartitionKey::long_running("k=").go().as_deref(), Some("k="));
        for shared in [PartitionKey::Shared.net(), PartitionKey::Shared.go(), PartitionKey::Shared.node()] {
            assert_eq!(shared, None);
        }
    }

    #[test]
    fn debug_shows_the_kind_only() {
        assert_eq!(format!("{:?}", PartitionKey::long_running("planted")), "PartitionKey(long-running, ..)");
        assert!(!format!("{:?}", PartitionKey::app("planted", Some("planted"))).contains("planted"));
    }
}
