//! What MSAL.NET lets fall together. It keys every entry anew when it reads a document, by a part of its fields, and of
//! those under one key it keeps the last one. And it has a cache for users and one for applications, of which the
//! latter takes no document with users. (AzureAD/microsoft-authentication-library-for-dotnet,
//! `src/client/Microsoft.Identity.Client/Cache/Keys`)

use std::collections::HashSet;

use super::Peer;
use super::fields::Fields;
use super::objection::{Notes, Reason};
use crate::document::{Part, UnifiedDocument};
use crate::schema::{extended_key_hash, section};

/// Notes entries that fall together, and users beside applications.
pub(super) fn note(document: &UnifiedDocument, notes: &mut Notes) {
    if !notes.asks(Peer::DotNet) {
        return;
    }
    let mut seen: HashSet<(&str, String)> = HashSet::new();
    let (mut of_users, mut of_applications) = (HashSet::new(), false);
    for part in document.parts() {
        let Part::Entry { section, json, .. } = part else { continue };
        let Some(fields) = Fields::of(json.expose()) else { continue };
        if !seen.insert((section, key(section, &fields))) {
            notes.enter(section);
            notes.note(Peer::DotNet, Reason::SameKey);
        }
        match section {
            section::APP_METADATA => {}
            section::ACCESS_TOKEN if fields.says_nothing("home_account_id") => {
                of_applications |= !fields.says_nothing("client_id");
            }
            _ => {
                of_users.insert(section);
            }
        }
    }
    if of_applications {
        for section in of_users {
            notes.enter(section);
            notes.note(Peer::DotNet, Reason::UsersBesideApplications);
        }
    }
}

/// The key that it gives an entity.
fn key(section: &str, fields: &Fields<'_>) -> String {
    let field = |name| fields.some_text(name).map_or_else(String::new, |text| text.to_string());
    let owner = [field("home_account_id"), field("environment")].join("-");
    let key = match section {
        section::ACCESS_TOKEN => {
            let scheme = field("token_type").to_lowercase();
            // Of the other ones only proof of possession is in its keys.
            let scheme = if matches!(&*scheme, "pop" | "mtls_pop") { &*scheme } else { "" };
            [&owner, "accesstoken", &field("client_id"), &field("realm"), &field("target"), scheme, &partition(fields)]
                .join("-")
        }
        section::REFRESH_TOKEN => {
            let client = Some(field("family_id")).filter(|id| !id.is_empty()).unwrap_or_else(|| field("client_id"));
            [&owner, "refreshtoken", &client, &partition(fields)].join("-")
        }
        section::ID_TOKEN => [&owner, "idtoken", &field("client_id"), &field("realm")].join("-"),
        // It does not lower-case the keys of accounts.
        section::ACCOUNT => return [owner, field("realm")].join("-"),
        _ => [field("environment"), field("client_id")].join("-"),
    };
    key.to_lowercase()
}

/// What keeps extended entries apart.
fn partition(fields: &Fields<'_>) -> String {
    let ext = fields.raw("ext").and_then(|raw| Fields::of(raw.as_bytes()));
    let Some(ext) = ext.filter(|ext| ext.iter().next().is_some()) else { return String::new() };
    let components = ext.iter().map(|(name, value)| (name, crate::json::text(value).unwrap_or_default()));
    let components: Vec<_> = components.collect();
    extended_key_hash(components.iter().map(|(name, value)| (*name, &**value)))
}
