//! Each library's own spelling of what they all keep: times, home account ids, key ids, assertion hashes and the
//! components of extended access tokens.

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::Peer;
use super::context::Context;
use super::fields::Fields;
use super::loadable::TIMES;
use super::objection::Reason;
use super::text::quoted;
use crate::schema::layout::says_extended;
use crate::schema::{
    AccessToken, Components, Entity as _, ExtendedKey, extended_key_hash, millis, section, written_hash,
};
use crate::time::{UnixMillis, UnixSeconds};

/// Gives an entity the fields that each library looks for.
pub(super) fn mend(section: &str, key: &str, fields: &mut Fields<'_>, context: &mut Context<'_>) {
    match section {
        section::ACCESS_TOKEN => {
            mend_times(fields, context);
            mend_key_parts(fields, context);
            mend_access_token(key, fields, context);
        }
        section::ACCOUNT => {
            if fields.lacks("username") && context.note([Peer::Python, Peer::DotNet], Reason::Username) {
                fields.set_text("username", "");
            }
            if fields.raw("authority_type").is_none() {
                context.note([Peer::Python], Reason::AuthorityType);
            }
            if fields.raw("tenantProfiles").is_some_and(holds_no_texts) {
                context.note([Peer::Node], Reason::TenantProfiles);
            }
        }
        _ => {}
    }
}

/// MSAL Python makes a key of these fields of every access token that has expired, and splits the scopes of every one.
fn mend_key_parts(fields: &mut Fields<'_>, context: &mut Context<'_>) {
    for name in ["home_account_id", "environment", "client_id", "realm", "target"] {
        let other = fields.raw(name).filter(|raw| !raw.starts_with('"') && *raw != "null").map(quoted);
        if let (Some(text), true) = (other, context.names(Peer::Python)) {
            context.note([Peer::Python], Reason::FieldType);
            fields.set(name, text);
        }
    }
    if fields.raw("target") == Some("null") && context.note([Peer::Python], Reason::NullField) {
        fields.remove("target");
    }
}

/// Times as MSAL.NET, Go and Python can all read them: whole seconds of the years 1 to 9999, as a text.
fn mend_times(fields: &mut Fields<'_>, context: &mut Context<'_>) {
    for name in TIMES {
        let Some(time) = fields.raw(name).map(|raw| Time::of(name, raw)) else { continue };
        let mut is_read = true;
        for peer in [Peer::DotNet, Peer::Go, Peer::Python] {
            is_read &= !time.fault(peer).is_some_and(|fault| context.note([peer], fault));
        }
        match time.seconds {
            _ if is_read => {}
            Some(seconds) => {
                let text = time.bounded(seconds).to_string();
                fields.set_text(name, &text);
            }
            None if name == EXPIRY => fields.set_text(name, "0"),
            None => fields.remove(name),
        }
    }
    if fields.raw(EXPIRY).is_none() && context.note([Peer::Python], Reason::TimeSpelling) {
        fields.set_text(EXPIRY, "0");
    }
}

const EXPIRY: &str = "expires_on";

/// A time as an entity spells it.
struct Time {
    name: &'static str,
    json: Json,
    /// The text or number.
    text: String,
    /// The time, as we read it.
    seconds: Option<UnixSeconds>,
}

#[derive(PartialEq)]
enum Json {
    Text,
    Number,
    Null,
    Other,
}

impl Time {
    fn of(name: &'static str, raw: &str) -> Self {
        let (json, text) = match raw.as_bytes().first() {
            Some(b'"') => (Json::Text, crate::json::text(raw).unwrap_or_default()),
            Some(b'-' | b'0'..=b'9') => (Json::Number, raw.into()),
            Some(b'n') => (Json::Null, "".into()),
            _ => (Json::Other, "".into()),
        };
        Self { name, json, text: text.into_owned(), seconds: millis(raw).map(UnixMillis::to_seconds) }
    }

    /// Why the library does not read it as it is meant.
    fn fault(&self, peer: Peer) -> Option<Reason> {
        let spelled_out = || self.text.trim().parse().ok().map(UnixSeconds);
        let is_read = match (peer, &self.json) {
            (Peer::DotNet, Json::Number | Json::Other) => return Some(Reason::FieldType),
            (Peer::DotNet, _) => match spelled_out() {
                Some(time) if time != self.bounded(time) => return Some(Reason::Time),
                Some(_) => true,
                // It takes the text for no time, and at its next write loses what it says to others.
                None => self.seconds.is_none(),
            },
            (Peer::Go, _) => self.text.parse::<i64>().is_ok(),
            (Peer::Python, Json::Number) => true,
            (Peer::Python, Json::Text) => self.name != EXPIRY || is_integer(self.text.trim()),
            (Peer::Python, _) => self.name != EXPIRY,
            _ => true,
        };
        (!is_read).then_some(Reason::TimeSpelling)
    }

    /// The nearest time that MSAL.NET can hold.
    fn bounded(&self, time: UnixSeconds) -> UnixSeconds {
        // It moves this one by up to five minutes, at random.
        let margin = if self.name == "refresh_on" { 300 } else { 0 };
        time.clamp(UnixSeconds::MIN_PORTABLE.plus(margin), UnixSeconds::MAX_PORTABLE.plus(-margin))
    }
}

/// Whether this is an integer, of whatever length.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Gives an access token that we can read what each library looks for. Others are as little known to the libraries.
fn mend_access_token(key: &str, fields: &mut Fields<'_>, context: &mut Context<'_>) {
    if !has_spellings(key, fields) {
        return;
    }
    let token = AccessToken::read(key, &fields.render());
    let has_other_type = mend_credential_type(token.as_ref(), fields, context);
    let token = if has_other_type { AccessToken::read(key, &fields.render()) } else { token };
    if let Some(token) = token {
        mend_known(&token, fields, context);
    }
}

fn mend_known(token: &AccessToken, fields: &mut Fields<'_>, context: &mut Context<'_>) {
    if token.home_account_id.is_none() {
        mend_home_account_id(fields, context);
    }
    if let Some(key_id) = token.key_id.as_deref().filter(|_| !token.is_bearer()) {
        let mut spell = |name, peers: &[Peer]| {
            if fields.says_nothing(name) && context.note(peers.iter().copied(), Reason::KeyId) {
                fields.set_text(name, key_id);
            }
        };
        spell("key_id", &[Peer::Python, Peer::Node]);
        spell("kid", &[Peer::DotNet]);
        spell("keyid", &[Peer::Go]);
    }
    if let Some(hash) = &token.assertion_hash {
        let mut spell = |name, peers: &[Peer]| {
            if fields.says_nothing(name) && context.note(peers.iter().copied(), Reason::AssertionHash) {
                fields.set_text(name, written_hash(hash));
            }
        };
        spell("user_assertion_hash", &[Peer::DotNet, Peer::Java]);
        spell("userAssertionHash", &[Peer::Node]);
    }
    if let Some(extended) = &token.extended {
        mend_extended(extended, fields, context);
    }
}

/// Whether there is something that not all libraries spell alike. Most access tokens have nothing.
fn has_spellings(key: &str, fields: &Fields<'_>) -> bool {
    const FIELDS: [&str; 9] = [
        "key_id",
        "kid",
        "keyid",
        "user_assertion_hash",
        "userAssertionHash",
        "ext_cache_key",
        "ext_cache_key_hash",
        "ext",
        "additionalCacheKeyComponents",
    ];
    fields.says_nothing("home_account_id")
        || fields.raw("credential_type") != Some("\"AccessToken\"")
        || fields.iter().any(|(name, _)| FIELDS.contains(&name))
        || says_extended(key)
}

/// The home account id of an application's token, which has none.
fn mend_home_account_id(fields: &mut Fields<'_>, context: &mut Context<'_>) {
    const NAME: &str = "home_account_id";
    let raw = fields.raw(NAME);
    let (is_null, is_missing) = (raw == Some("null"), raw.is_none());
    if !is_null {
        context.note([Peer::Python], Reason::HomeAccountId);
    }
    if is_null || is_missing {
        context.note([Peer::Node, Peer::Java], Reason::HomeAccountId);
    }
    if context.profile.null_home_account_ids && !is_null {
        fields.set(NAME, Zeroizing::new("null".into()));
    } else if is_missing && context.profile.names_any() {
        fields.set_text(NAME, "");
    }
}

/// The components of an extended access token, without which a library takes it for a plain one.
fn mend_extended(extended: &ExtendedKey, fields: &mut Fields<'_>, context: &mut Context<'_>) {
    let (components, hash) = (extended.components(), extended.hash());
    if hash.is_empty() {
        context.note([Peer::Python, Peer::Node, Peer::Go, Peer::DotNet], Reason::TakenForPlain);
        return;
    }
    if fields.says_nothing("ext") && context.note([Peer::DotNet], Reason::TakenForPlain) {
        // Of the hash alone no request can be made, so that MSAL.NET keeps the token apart and never finds it.
        let of_hash = || [(HASH, hash)].into_iter().collect();
        fields.set("ext", if components.is_empty() { object_of(&of_hash()) } else { object_of(components) });
    }
    if fields.says_nothing(HASH) && context.note([Peer::Python, Peer::Go], Reason::TakenForPlain) {
        fields.set_text(HASH, hash);
    }
    // MSAL Java compares the letters' case too, so that what is known is the hash of components only.
    if fields.says_nothing(HASH_OF_JAVA) && !components.is_empty() && context.note([Peer::Java], Reason::TakenForPlain)
    {
        let components = components.iter().map(|(name, value)| (&**name, &**value));
        fields.set_text(HASH_OF_JAVA, &extended_key_hash(components));
    }
    if fields.says_nothing("additionalCacheKeyComponents")
        && context.note([Peer::Node], Reason::TakenForPlain)
        && !components.is_empty()
    {
        fields.set("additionalCacheKeyComponents", object_of(components));
    }
}

/// MSAL Node deletes access tokens of every type but two. MSAL Python takes any, but when it has expired fails at every
/// lookup if the type is not the plain one. MSAL Node finds key-bound tokens by the other, so that theirs is plain only
/// once they have expired, and nobody gets them any more. Answers whether the type was changed.
fn mend_credential_type(token: Option<&AccessToken>, fields: &mut Fields<'_>, context: &mut Context<'_>) -> bool {
    const NAME: &str = "credential_type";
    let kind = fields.some_text(NAME);
    let kind = kind.as_ref().map_or("", |kind| kind.as_str());
    if kind == PLAIN {
        return false;
    }
    let beside_python = context.note([Peer::Python], Reason::CredentialType);
    let beside_node = kind != WITH_SCHEME && context.note([Peer::Node], Reason::CredentialType);
    let end = fields.raw("expires_on").and_then(millis).map(UnixMillis::to_seconds);
    let has_expired = context.now.is_some_and(|now| end.is_none_or(|end| end <= now));
    let (is_bearer, extended) = match token {
        Some(token) => (token.is_bearer(), token.extended.as_ref()),
        None => (true, None),
    };
    // Its type may be all that says that it is no plain token.
    let says_nothing = match token {
        Some(_) => extended.is_none_or(|extended| !extended.hash().is_empty()),
        None => fields.says_nothing(NAME),
    };
    let other = if beside_python && (has_expired || says_nothing && (is_bearer || !context.names(Peer::Node))) {
        PLAIN
    } else if beside_node && token.is_some() && extended.is_none_or(|extended| !extended.components().is_empty()) {
        if is_bearer { PLAIN } else { WITH_SCHEME }
    } else {
        return false;
    };
    fields.set_text(NAME, other);
    true
}

const PLAIN: &str = "AccessToken";
const WITH_SCHEME: &str = "AccessToken_With_AuthScheme";
const HASH: &str = "ext_cache_key";
const HASH_OF_JAVA: &str = "ext_cache_key_hash";

fn object_of(components: &Components) -> Zeroizing<String> {
    let mut json = Zeroizing::new(String::from("{"));
    for (n, (name, value)) in components.iter().enumerate() {
        json.push_str(if n == 0 { "" } else { "," });
        json.push_str(&quoted(name));
        json.push(':');
        json.push_str(&quoted(value));
    }
    json.push('}');
    json
}

/// Whether there is an item that is no text in a list where MSAL Node expects texts.
fn holds_no_texts(json: &str) -> bool {
    let items: Result<Vec<&RawValue>, _> = serde_json::from_str(json);
    items.is_ok_and(|items| items.iter().any(|item| !item.get().starts_with('"')))
}
