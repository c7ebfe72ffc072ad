//! What MSAL.NET can load. A single value that it cannot makes it delete the whole cache.
//!
//! The fields, their types and the limits were found by giving MSAL.NET 4.92.0 a document with one odd value at a time;
//! it reads them in AzureAD/microsoft-authentication-library-for-dotnet,
//! `src/client/Microsoft.Identity.Client/Cache/Items`.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::Peer;
use super::context::Context;
use super::fields::Fields;
use super::objection::Reason;
use super::text::{levels, quoted};
use crate::schema::section;
use crate::secret::Blob;

/// Levels that a section may have: it stands in the document.
pub(super) const SECTION_LEVELS: usize = 63;
/// Levels that an entity may have.
pub(super) const ENTITY_LEVELS: usize = SECTION_LEVELS - 1;
/// Levels that a field of an entity may have.
const FIELD_LEVELS: usize = ENTITY_LEVELS - 1;

/// The fields that hold seconds since 1970 as a text.
pub(super) const TIMES: [&str; 5] = ["cached_at", "expires_on", "extended_expires_on", "ext_expires_on", "refresh_on"];

/// Brings the fields of an entity into a form that MSAL.NET loads.
pub(super) fn mend(section: &str, fields: &mut Fields<'_>, context: &mut Context<'_>) {
    if fields.keep_last() {
        context.note([Peer::DotNet], Reason::RepeatedField);
    }
    for name in texts(section) {
        let other = fields.raw(name).filter(|raw| !raw.starts_with('"') && *raw != "null").map(quoted);
        if let Some(text) = other {
            context.note([Peer::DotNet], Reason::FieldType);
            fields.set(name, text);
        }
    }
    for name in objects(section) {
        match fields.raw(name).map(object_of_texts) {
            None | Some(Object::Sound) => continue,
            Some(Object::Null) => fields.remove(name),
            Some(Object::Mended(json)) => fields.set(name, json),
        }
        context.note([Peer::DotNet], Reason::FieldType);
    }
    mend_nulls(section, fields, context);
    if fields.make_texts(|value| levels(value) > FIELD_LEVELS) {
        context.note([Peer::DotNet], Reason::Levels);
    }
}

/// Whether MSAL.NET can take the claims out of this ID token. It does when it lists the accounts of its user and when
/// it answers from the cache, and fails at both where it cannot.
pub(super) fn is_id_token(fields: &Fields<'_>) -> bool {
    let Some(secret) = fields.some_text("secret") else { return false };
    let Some(payload) = secret.split('.').nth(1) else { return false };
    // It takes both alphabets of base64.
    let payload = Zeroizing::new(payload.replace('+', "-").replace('/', "_"));
    let Ok(claims) = BASE64.decode(payload.as_bytes()).map(Blob::new) else { return false };
    let claims = super::text::as_utf8(claims.expose()).unwrap_or(claims);
    Fields::of(claims.expose()).is_some()
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The fields that it reads as a text, times aside.
fn texts(section: &str) -> impl Iterator<Item = &'static str> {
    const OF_CREDENTIALS: [&str; 6] =
        ["home_account_id", "environment", "credential_type", "client_id", "secret", "client_info"];
    let (of_all, own): (&[_], &[_]) = match section {
        section::ACCESS_TOKEN => (&OF_CREDENTIALS, &["realm", "target", "token_type", "kid", "user_assertion_hash"]),
        section::REFRESH_TOKEN => (&OF_CREDENTIALS, &["family_id", "user_assertion_hash"]),
        section::ID_TOKEN => (&OF_CREDENTIALS, &["realm"]),
        section::ACCOUNT => (
            &["home_account_id", "environment", "realm", "local_account_id", "username", "authority_type"],
            &["name", "given_name", "family_name", "client_info", "account_source"],
        ),
        _ => (&["client_id", "environment"], &["family_id"]),
    };
    of_all.iter().chain(own).copied()
}

/// The fields that it reads as an object of texts.
fn objects(section: &str) -> &'static [&'static str] {
    match section {
        section::ACCESS_TOKEN => &["ext", "persisted_cache_parameters"],
        section::REFRESH_TOKEN => &["ext"],
        section::ACCOUNT => &["wam_account_ids"],
        _ => &[],
    }
}

enum Object {
    Sound,
    Null,
    Mended(Zeroizing<String>),
}

/// An object of texts, of which some may be null.
fn object_of_texts(json: &str) -> Object {
    if json == "null" {
        return Object::Null;
    }
    let Some(mut members) = Fields::of(json.as_bytes()) else {
        // Nothing of it is lost, and an access token does not become a plain one.
        return Object::Mended(Zeroizing::new(format!(r#"{{"value":{}}}"#, *quoted(json))));
    };
    let repeated = members.keep_last();
    let other = members.make_texts(|value| !value.starts_with('"') && value != "null");
    if repeated || other {
        let json = members.render();
        Object::Mended(Zeroizing::new(String::from_utf8_lossy(json.expose()).into_owned()))
    } else {
        Object::Sound
    }
}

/// A null home account id ends a load half-way; the other ones end the calls of the entry's user.
fn mend_nulls(section: &str, fields: &mut Fields<'_>, context: &mut Context<'_>) {
    let is_null = |fields: &Fields<'_>, name| fields.raw(name) == Some("null");
    if section != section::APP_METADATA && is_null(fields, "home_account_id") {
        context.note([Peer::DotNet], Reason::HomeAccountId);
        fields.set_text("home_account_id", "");
    }
    let others: &[&str] = match section {
        section::ACCESS_TOKEN | section::REFRESH_TOKEN => &["environment", "client_id"],
        section::ID_TOKEN => &["environment", "client_id", "realm"],
        _ => &[],
    };
    for name in others {
        if is_null(fields, name) {
            context.note([Peer::DotNet], Reason::NullField);
            fields.remove(name);
        }
    }
}
