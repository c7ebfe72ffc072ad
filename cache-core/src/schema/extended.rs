//! Extended access tokens: tokens that were asked for with further components (`fmi_path`, client claims) and that a
//! plain request must never get.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::fields::Components;
use crate::text::eq_ignore_case;

/// The components that a token was asked for with, or the hash of them where only that is known.
///
/// ```
/// use cache_core::schema::ExtendedKey;
///
/// let key = ExtendedKey::new([("fmi_path", "SomeFmiPath/FmiCredentialPath")]);
/// assert_eq!(key.hash(), "cojvfy5tzae3njpkvcebguvvx5vvmnj8hphqrbogjoi");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtendedKey {
    components: Components,
    hash: Box<str>,
}

impl ExtendedKey {
    /// The key of these components.
    pub fn new<'c>(components: impl IntoIterator<Item = (&'c str, &'c str)>) -> Self {
        Self::of(components.into_iter().collect())
    }

    /// The components by name; empty where only the hash is known.
    pub fn components(&self) -> &Components {
        &self.components
    }

    /// The [hash](extended_key_hash) of the components, lower-cased as it stands in keys; empty where not even that is
    /// known, by which the token is never found.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether a token stored with this key answers a request with `requested`.
    pub fn matches(&self, requested: &Self) -> bool {
        match (self.components.is_empty(), requested.components.is_empty()) {
            (false, false) => self.components == requested.components,
            _ => !self.hash.is_empty() && eq_ignore_case(&self.hash, &requested.hash),
        }
    }

    pub(crate) fn of(components: Components) -> Self {
        let hash = extended_key_hash(components.iter().map(|(name, value)| (&**name, &**value)));
        Self { components, hash: hash.to_lowercase().into() }
    }

    pub(crate) fn of_hash(hash: &str) -> Self {
        Self { components: Components::default(), hash: hash.to_lowercase().into() }
    }

    /// The key of a token that is marked as extended without saying by what.
    pub(crate) fn unknown() -> Self {
        Self::default()
    }
}

/// SHA-256 in base64url over the components sorted by name, each name and value preceded by its length in bytes:
/// `<length>:<name><length>:<value>`. As MSAL Python (`msal/token_cache.py`), MSAL Go
/// (`apps/internal/oauth/ops/authority/authority.go`), and MSAL.NET since 4.92 compute it; case kept.
pub fn extended_key_hash<'c>(components: impl IntoIterator<Item = (&'c str, &'c str)>) -> String {
    let sorted: BTreeMap<&str, &str> = components.into_iter().collect();
    let mut digest = Sha256::new();
    for text in sorted.into_iter().flat_map(|(name, value)| [name, value]) {
        digest.update(text.len().to_string());
        digest.update(":");
        digest.update(text);
    }
    URL_SAFE_NO_PAD.encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_match_components_and_hashes_match_hashes() {
        let stored = ExtendedKey::new([("fmi_path", "a"), ("client_claims", "{}")]);
        assert!(stored.matches(&ExtendedKey::new([("client_claims", "{}"), ("fmi_path", "a")])));
        assert!(!stored.matches(&ExtendedKey::new([("fmi_path", "a")])));
        assert!(ExtendedKey::of_hash(&stored.hash().to_uppercase()).matches(&stored));
        assert!(!ExtendedKey::unknown().matches(&stored));
        assert!(!ExtendedKey::unknown().matches(&ExtendedKey::unknown()));
    }
}
