//! The limit of loading and saving: `serde_json` from and into structs that borrow the document's text. It builds no
//! index, keeps no unknown field and wipes nothing.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A document whose texts are slices of the JSON it was read from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BorrowedDocument<'a> {
    #[serde(borrow)]
    access_token: Entries<'a, AccessToken<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Entries::is_empty")]
    account: Entries<'a, Account<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Entries::is_empty")]
    id_token: Entries<'a, IdToken<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Entries::is_empty")]
    refresh_token: Entries<'a, RefreshToken<'a>>,
    #[serde(borrow)]
    app_metadata: Entries<'a, AppMetadata<'a>>,
}

impl<'a> BorrowedDocument<'a> {
    /// The document in `json`; every text without an escape is borrowed.
    pub fn parse(json: &'a [u8]) -> Self {
        serde_json::from_slice(json).expect("the benchmark's own document is sound")
    }

    /// Writes the document over what `buffer` holds.
    pub fn write_into(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        serde_json::to_writer(buffer, self).expect("memory takes everything");
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct AccessToken<'a> {
    #[serde(borrow)]
    credential_type: Text<'a>,
    secret: Text<'a>,
    home_account_id: Option<Text<'a>>,
    environment: Text<'a>,
    client_id: Text<'a>,
    target: Text<'a>,
    realm: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<Text<'a>>,
    cached_at: Text<'a>,
    expires_on: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extended_expires_on: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_assertion_hash: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[allow(clippy::struct_field_names)] // the names of the format
struct Account<'a> {
    #[serde(borrow)]
    home_account_id: Text<'a>,
    environment: Text<'a>,
    realm: Text<'a>,
    local_account_id: Text<'a>,
    username: Text<'a>,
    authority_type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_source: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct IdToken<'a> {
    #[serde(borrow)]
    credential_type: Text<'a>,
    secret: Text<'a>,
    home_account_id: Text<'a>,
    environment: Text<'a>,
    realm: Text<'a>,
    client_id: Text<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RefreshToken<'a> {
    #[serde(borrow)]
    credential_type: Text<'a>,
    secret: Text<'a>,
    home_account_id: Text<'a>,
    environment: Text<'a>,
    client_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modification_time: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AppMetadata<'a> {
    #[serde(borrow)]
    client_id: Text<'a>,
    environment: Text<'a>,
}

/// Text that is borrowed wherever it holds no escape. Serde's attribute makes a `Cow` field borrow, but not the `Cow` in
/// an `Option`.
#[derive(Debug)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;

        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Borrowing)
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The entries of a section in their order: nothing is cheaper to build from a JSON object.
#[derive(Debug)]
struct Entries<'a, E>(Vec<(Text<'a>, E)>);

impl<E> Entries<'_, E> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<E> Default for Entries<'_, E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a, E: Deserialize<'de>> Deserialize<'de> for Entries<'a, E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<E>(std::marker::PhantomData<E>);

        impl<'de, E: Deserialize<'de>> Visitor<'de> for InOrder<E> {
            type Value = Entries<'de, E>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a section")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

impl<E: Serialize> Serialize for Entries<'_, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, entry)| (key, entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Population;

    #[test]
    fn the_limit_reads_and_writes_all_of_the_document_and_copies_nothing() {
        for population in [Population::Users, Population::App, Population::OnBehalfOf] {
            let json = population.document(100);
            let document = BorrowedDocument::parse(&json);
            let (key, token) = &document.access_token.0[0];
            for text in [Some(key), Some(&token.secret), token.token_type.as_ref(), token.extended_expires_on.as_ref()]
            {
                assert!(matches!(text.expect("is there").0, Cow::Borrowed(_)), "{population:?}");
            }
            let mut written = Vec::new();
            document.write_into(&mut written);
            assert!(written == json, "{population:?}");
        }
    }
}
