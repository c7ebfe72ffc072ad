//! The five entities of the unified cache: lenient reading, canonical writing.
//!
//! Every value is written as a string, absent ones are left out, and fields that are not known here are kept. Sources of
//! the field names: AzureAD/microsoft-authentication-library-for-python `msal/token_cache.py`,
//! AzureAD/microsoft-authentication-library-for-js `lib/msal-common/src/cache/entities`,
//! AzureAD/microsoft-authentication-library-for-dotnet `src/client/Microsoft.Identity.Client/Cache/Items`,
//! AzureAD/microsoft-authentication-library-for-go `apps/internal/base/storage/items.go`.

mod access_token;
mod account;
mod app_metadata;
mod extended;
pub(crate) mod fields;
mod id_token;
pub(crate) mod layout;
mod refresh_token;
pub mod section;
pub(crate) mod texts;
pub(crate) mod varying;

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

pub use self::access_token::AccessToken;
pub(crate) use self::access_token::BEARER;
pub use self::account::Account;
pub use self::app_metadata::AppMetadata;
pub use self::extended::{ExtendedKey, extended_key_hash};
pub(crate) use self::fields::millis;
pub use self::fields::{AdditionalFields, Components};
pub use self::id_token::IdToken;
pub use self::refresh_token::RefreshToken;

use crate::secret::{Blob, Secret};
use crate::time::{UnixMillis, UnixSeconds};

/// One of the five entity types. Sealed: the schema is not the caller's to extend.
pub trait Entity: sealed::Sealed + Clone + PartialEq + Send + Sync + 'static {
    /// The section that entities of this type stand in.
    const SECTION: &'static str;

    /// Reads an entity; `None` if it lacks what makes it findable, or a field holds what has no meaning there. Such an
    /// entity is carried through untouched and never matched.
    fn read(key: &str, json: &Blob) -> Option<Self>;

    /// The entity as JSON in the canonical form.
    fn write(&self) -> Blob;

    /// The canonical key text: the parts joined by `-`, lower-cased. Used for new entities only.
    fn key(&self) -> String;

    /// Whether everything is there that makes the entity findable.
    fn is_complete(&self) -> bool;

    /// Whether everything is there that readers of other languages need of an entity that we write.
    fn is_writable(&self) -> bool {
        self.is_complete()
    }

    /// Makes what means the same be the same: empty text where there is no value.
    fn normalize(&mut self) {}

    /// Takes over what an older entity of the same meaning knows and this one does not say.
    fn inherit(&mut self, older: &Self);

    /// The account that the entity belongs to; `None` for app tokens and app metadata.
    fn home_account_id(&self) -> Option<&str>;

    /// The authority's host as the entity spells it.
    fn environment(&self) -> &str;

    /// The same, to be changed.
    fn environment_mut(&mut self) -> &mut Arc<str>;

    /// When the entity was written, as it says itself.
    fn written_at(&self) -> Option<UnixMillis>;

    /// When a store may drop the entity; `None`: never by itself.
    fn expires_on(&self) -> Option<UnixSeconds> {
        None
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::AccessToken {}
    impl Sealed for super::RefreshToken {}
    impl Sealed for super::IdToken {}
    impl Sealed for super::Account {}
    impl Sealed for super::AppMetadata {}
}

/// What stores need to know of an entity, whatever its section.
#[derive(Default)]
pub(crate) struct EntityFacts {
    pub(crate) home_account_id: Option<Arc<str>>,
    pub(crate) environment: Option<Arc<str>>,
    pub(crate) written_at: Option<UnixMillis>,
    pub(crate) expires_on: Option<UnixSeconds>,
}

/// The facts of an entity, also of one that cannot be classified: its account can be removed all the same. None of an
/// unknown section's content.
pub(crate) fn facts(section: &str, json: &Blob) -> EntityFacts {
    let mut facts = EntityFacts::default();
    if !section::ALL.contains(&section) {
        return facts;
    }
    let (mut expires_on, mut extended) = (None, None);
    let read = fields::read(json, |name, value| {
        match (&*name, section) {
            ("home_account_id", _) => facts.home_account_id = value.some_text().ok().flatten(),
            ("environment", _) => facts.environment = value.some_text().ok().flatten(),
            ("cached_at", section::ACCESS_TOKEN)
            | ("last_modification_time", section::REFRESH_TOKEN | section::ACCOUNT) => {
                facts.written_at = value.millis();
            }
            ("expires_on", section::ACCESS_TOKEN) => expires_on = value.seconds(),
            ("extended_expires_on" | "ext_expires_on", section::ACCESS_TOKEN) => {
                extended = extended.max(value.seconds());
            }
            _ => {}
        }
        Ok(())
    });
    // Text that is not UTF-8 keeps an entity from being read, but not its account from being removed.
    if read.is_err()
        && let Cow::Owned(text) = String::from_utf8_lossy(json.expose())
    {
        return self::facts(section, &Blob::new(text.into_bytes()));
    }
    // A token without an expiry of its own is never dropped by its extended one alone.
    facts.expires_on = expires_on.map(|end| extended.map_or(end, |extended| end.max(extended)));
    facts
}

/// An assertion hash as we write it: without base64 padding, which MSAL Go writes and MSAL.NET does not find. The session
/// key of a long-running process stays as the caller spelled it.
pub(crate) fn written_hash(hash: &Secret) -> &str {
    /// SHA-256 in base64, its padding included.
    const PADDED: usize = 44;
    let text = hash.expose();
    if text.len() == PADDED { text.strip_suffix('=').unwrap_or(text) } else { text }
}

/// The key with `-` and 16 hex digits of SHA-256 for each part that the schema's key does not name: two entities that
/// differ only there must not stand under one key.
pub(crate) fn key_suffix(mut key: String, parts: [Option<&str>; 3]) -> String {
    for part in parts.into_iter().flatten() {
        key.push('-');
        for byte in &Sha256::digest(part.as_bytes())[..8] {
            use std::fmt::Write as _;
            // Writing into a String cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
    }
    key
}
