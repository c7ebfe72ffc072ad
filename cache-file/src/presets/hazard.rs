//! What MSAL.NET deletes.

use std::fmt;

use cache_core::schema::section;
use cache_core::{Blob, UnifiedDocument};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A content for which MSAL.NET deletes the file that it is in, though other libraries read it.
///
/// Observed with MSAL.NET 4.92 and its file persistence: a cache that it cannot load raises one exception and is
/// deleted, and the next sign-in begins a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DotnetHazard {
    /// Tokens of an application stand beside a refresh token, an ID token or an account of a user. MSAL.NET deletes the
    /// file when it opens it as the cache of an application.
    AppAndUser,
    /// A token of an application has the home account id `null`, as MSAL Python writes it. MSAL.NET deletes the file when
    /// it opens it as the cache of a user.
    NullHomeAccountId,
}

impl DotnetHazard {
    /// The hazard in a plaintext document, the graver one of two; `None` if there is none, or if it is no document.
    pub fn of(document: &Blob) -> Option<Self> {
        let (mut has_app, mut has_null, mut has_user) = (false, false, false);
        for entry in UnifiedDocument::parse(document).ok()?.into_entries() {
            match entry.id.section() {
                section::ACCESS_TOKEN => {
                    let owner = serde_json::from_slice(entry.json.expose()).map(|token: OfOwner<'_>| token.text());
                    has_app |= owner.as_ref().is_ok_and(|owner| matches!(*owner, "" | "null" | r#""""#));
                    has_null |= owner.is_ok_and(|owner| owner == "null");
                }
                section::REFRESH_TOKEN | section::ID_TOKEN | section::ACCOUNT => has_user = true,
                _ => {}
            }
        }
        if has_app && has_user {
            return Some(Self::AppAndUser);
        }
        has_null.then_some(Self::NullHomeAccountId)
    }
}

impl fmt::Display for DotnetHazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppAndUser => "tokens of an application and of users are in one file",
            Self::NullHomeAccountId => "a token of an application has the home account id null",
        })
    }
}

/// The owner of an access token: `null` and a missing one are told apart, as MSAL.NET does.
#[derive(Deserialize)]
struct OfOwner<'e> {
    #[serde(borrow, default, deserialize_with = "present")]
    home_account_id: Option<&'e RawValue>,
}

impl<'e> OfOwner<'e> {
    /// The JSON of the owner; empty: there is none.
    fn text(&self) -> &'e str {
        self.home_account_id.map(RawValue::get).unwrap_or_default()
    }
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hazard(tokens: &str, users: &str) -> Option<DotnetHazard> {
        DotnetHazard::of(&format!(r#"{{"AccessToken":{{{tokens}}},{users}}}"#).into_bytes().into())
    }

    const USER: &str = r#""u":{"home_account_id":"uid.utid","secret":"s"}"#;
    const APP: &str = r#""a":{"home_account_id":"","secret":"s"}"#;
    const APP_WITHOUT: &str = r#""b":{"secret":"s"}"#;
    const APP_NULL: &str = r#""c":{"home_account_id":null,"secret":"s"}"#;
    const NOBODY: &str = r#""Account":{},"AppMetadata":{"m":{"client_id":"c"}}"#;

    #[test]
    fn the_tokens_of_one_kind_are_no_hazard() {
        assert_eq!(hazard(USER, r#""Account":{"k":{"home_account_id":"uid.utid"}}"#), None);
        assert_eq!(hazard(&format!("{APP},{APP_WITHOUT}"), NOBODY), None);
        assert_eq!(hazard("", NOBODY), None);
    }

    #[test]
    fn an_application_beside_anything_of_a_user_is_one() {
        for app in [APP, APP_WITHOUT, APP_NULL] {
            for section in ["RefreshToken", "IdToken", "Account"] {
                let users = format!(r#""{section}":{{"k":{{"home_account_id":"uid.utid"}}}}"#);
                assert_eq!(hazard(&format!("{app},{USER}"), &users), Some(DotnetHazard::AppAndUser), "{app} {section}");
            }
        }
    }

    #[test]
    fn a_null_owner_is_one_by_itself() {
        assert_eq!(hazard(APP_NULL, NOBODY), Some(DotnetHazard::NullHomeAccountId));
        assert_eq!(hazard(&format!("{APP},{APP_NULL},{USER}"), NOBODY), Some(DotnetHazard::NullHomeAccountId));
    }

    #[test]
    fn what_is_no_document_has_none() {
        for bytes in [&b""[..], b"{", b"[]", b"\x01\x02", br#"{"AccessToken":{"k":1,"l":[],"m":{}}}"#] {
            assert_eq!(DotnetHazard::of(&Blob::copy_of(bytes)), None, "{bytes:?}");
        }
    }
}
