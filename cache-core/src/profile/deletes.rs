//! Whether MSAL.NET deletes a cache with this content.

use std::collections::HashSet;

use super::{Consequence, Objection, Peer, Profile};
use crate::document::{UnifiedDocument, json_but_for_commas};
use crate::json::Members;
use crate::schema::section;
use crate::secret::Blob;

/// Whether MSAL.NET deletes a cache file with this content when it reads it, so that a file that is gone may be its
/// doing. For a cache that holds nothing but users, `false` is said of its cache of users; its cache of applications
/// deletes any with users in it.
///
/// Unlike [`Profile::objections`] it looks at the bytes: a byte order mark, a comment or a repeated key is not in a
/// document that was taken apart. (MSAL.NET's `MsalCacheHelper` clears the storage when the content cannot be loaded:
/// AzureAD/microsoft-authentication-library-for-dotnet,
/// `src/client/Microsoft.Identity.Client.Extensions.Msal/MsalCacheHelper.cs`.)
pub fn dotnet_deletes(content: &Blob) -> bool {
    if content.is_empty() {
        return false;
    }
    // Trailing commas it takes, comments it does not, nor anything after the end.
    let Some(json) = json_but_for_commas(content.expose()) else { return true };
    let json = super::text::as_utf8(json.expose()).unwrap_or(json);
    let Ok(Members(sections)) = serde_json::from_slice(json.expose()) else { return true };
    if is_repeated(sections.iter().map(|(name, _)| &**name)) {
        return true;
    }
    for (name, content) in &sections {
        if !section::ALL.contains(&&**name) {
            continue;
        }
        match serde_json::from_str::<Members<'_>>(content.get()) {
            Ok(Members(entries)) if !is_repeated(entries.iter().map(|(key, _)| &**key)) => {}
            _ => return true,
        }
    }
    match UnifiedDocument::parse(content) {
        Ok(document) => Profile::shared_with([Peer::DotNet]).objections(&document).iter().any(deletes),
        Err(_) => true,
    }
}

fn deletes(objection: &Objection) -> bool {
    objection.consequence() == Consequence::DeletesCache
}

fn is_repeated<'n>(mut names: impl Iterator<Item = &'n str>) -> bool {
    let mut seen = HashSet::new();
    names.any(|name| !seen.insert(name))
}
