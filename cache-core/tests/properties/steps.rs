//! Changes of a cache, each with what it takes along.

use std::collections::{BTreeMap, BTreeSet};

use cache_core::schema::{AccessToken, section};
use cache_core::{EntryId, TokenCache, TokenResponse};
use proptest::prelude::*;
use proptest::sample::Index;

use super::alphabet::{Alphabet, MOMENTS, NOW, TOKEN_TYPES, extended};
use super::entities::{OtherSpec, Style, TokenSpec, others, strange, styles, tokens, unknown};
use super::reference::{replaces, same_cloud, same_text};

/// One change.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Insert(TokenSpec),
    InsertOther(OtherSpec),
    /// What one response brings: an access token, and entities of the same user if it is of one.
    SignIn(TokenSpec, OtherSpec),
    Respond(TokenSpec, OtherSpec),
    Import(TokenSpec, Style),
    ImportOther(OtherSpec, Style),
    /// Many tokens that are nearly one, and others of the same user.
    ImportMany(TokenSpec, OtherSpec),
    /// Inserts a token that is there, of this user if one is named, with another secret and one further change.
    InsertAgain(Index, [u8; 2], Option<u8>),
    ImportStrange(u8, u8),
    ImportUnknown,
    /// Removes an entry, of this user if one is named.
    Remove(Index, Option<u8>),
    RemoveAccount(u8, u8),
    RemoveClient(u8),
    RemoveExpired(i64),
}

/// Any change.
pub(crate) fn steps() -> impl Strategy<Value = Step> {
    let clients = any::<u8>().prop_map(Step::RemoveClient);
    let expired = prop::sample::select(&MOMENTS[..]).prop_map(Step::RemoveExpired);
    let metadata = others(&section::ALL[4..], any::<u8>()).prop_map(Step::InsertOther);
    prop_oneof![
        16 => steps_of(any::<Option<u8>>(), any::<u8>(), None),
        1 => clients,
        1 => expired,
        2 => metadata,
        1 => (others(&section::ALL[4..], any::<u8>()), styles()).prop_map(|(other, style)| Step::ImportOther(other, style)),
        1 => Just(Step::ImportUnknown),
    ]
}

/// Any change of entries of this user alone.
pub(crate) fn steps_of_user(home: u8) -> impl Strategy<Value = Step> {
    steps_of(Just(Some(home)), Just(home), Some(home))
}

/// An account with two access tokens and two refresh tokens is there.
pub(crate) fn signed_in() -> Vec<Step> {
    let account = OtherSpec::plain(section::ACCOUNT);
    vec![Step::SignIn(TokenSpec::plain(4), account), Step::Insert(TokenSpec::plain(5)), import(0)]
}

/// Imports a refresh token of the first user under a key that is always the same, and this host.
fn import(host: u8) -> Step {
    Step::ImportOther(OtherSpec::plain(section::REFRESH_TOKEN).of(0, host), Style::numbered(0))
}

/// Any change of what is there then.
pub(crate) fn steps_of_account() -> impl Strategy<Value = Step> {
    let token = || (4..6_u8).prop_map(TokenSpec::plain);
    let response = move || (token(), Just(OtherSpec::plain(section::ACCOUNT)));
    let other = prop::sample::select(&[section::REFRESH_TOKEN, section::ACCOUNT][..]).prop_map(OtherSpec::plain);
    prop_oneof![
        3 => token().prop_map(Step::Insert),
        2 => other.prop_map(Step::InsertOther),
        1 => response().prop_map(|(token, account)| Step::SignIn(token, account)),
        1 => response().prop_map(|(token, account)| Step::Respond(token, account)),
        4 => any::<Index>().prop_map(|which| Step::Remove(which, None)),
        2 => any::<u8>().prop_map(import),
        2 => any::<u8>().prop_map(|host| Step::RemoveAccount(0, host)),
    ]
}

/// Changes of entries of the user or application `owner`, who is `home` if a user, that remove nothing but `only`'s.
fn steps_of(
    owner: impl Strategy<Value = Option<u8>> + Clone + 'static,
    home: impl Strategy<Value = u8> + Clone + 'static,
    only: Option<u8>,
) -> impl Strategy<Value = Step> {
    /// All but app metadata, which is no user's.
    const OF_USERS: &[&str] = &[section::REFRESH_TOKEN, section::ID_TOKEN, section::ACCOUNT];
    let token = move || tokens(owner.clone());
    let users = home.clone();
    let other = move || others(OF_USERS, users.clone());
    prop_oneof![
        8 => token().prop_map(Step::Insert),
        6 => other().prop_map(Step::InsertOther),
        2 => (token(), other()).prop_map(|(token, other)| Step::SignIn(token, other)),
        2 => (token(), other()).prop_map(|(token, other)| Step::Respond(token, other)),
        6 => (token(), styles()).prop_map(|(token, style)| Step::Import(token, style)),
        4 => (other(), styles()).prop_map(|(other, style)| Step::ImportOther(other, style)),
        2 => (token(), other()).prop_map(|(token, other)| Step::ImportMany(token, other)),
        4 => any::<(Index, [u8; 2])>().prop_map(move |(which, change)| Step::InsertAgain(which, change, only)),
        1 => (home.clone(), any::<u8>()).prop_map(|(home, host)| Step::ImportStrange(home, host)),
        4 => any::<Index>().prop_map(move |which| Step::Remove(which, only)),
        2 => (home, any::<u8>()).prop_map(|(home, host)| Step::RemoveAccount(home, host)),
    ]
}

impl Step {
    /// Makes the change, whose entities are told apart by `number`, and looks whether it took along what it says.
    pub(crate) fn apply(&self, texts: &Alphabet, number: usize, cache: &mut TokenCache) -> Result<(), TestCaseError> {
        let before = cache.clone();
        match self {
            Self::Insert(token) => {
                let token = token.entity(texts, number);
                cache.insert(token.clone()).expect("it is complete");
                return inserted(&token, &before, cache);
            }
            Self::InsertOther(other) => match other.section {
                section::REFRESH_TOKEN => cache.insert(other.refresh_token(texts, number)).expect("it is complete"),
                section::ID_TOKEN => cache.insert(other.id_token(texts)).expect("it is complete"),
                section::ACCOUNT => cache.insert(other.account(texts, number)).expect("it is complete"),
                _ => cache.insert(other.metadata(texts)).expect("it is complete"),
            },
            Self::SignIn(token, other) => {
                cache.sign_in(response(token, other, texts, number)).expect("it is complete");
            }
            Self::Respond(token, other) => {
                let known = token.home.is_none_or(|home| is_known(&before, &texts.id(home), texts.host(token.host)));
                let put = cache.insert_response(response(token, other, texts, number)).expect("it is complete");
                prop_assert_eq!(put, known, "no response of a user who is signed out");
                if !put {
                    prop_assert_eq!(ids(cache), ids(&before));
                }
            }
            Self::Import(token, style) => cache.insert_entry(token.entry(texts, number, style)),
            Self::ImportOther(other, style) => cache.insert_entry(other.entry(texts, number, style)),
            Self::ImportMany(token, other) => {
                for n in 0..8 {
                    let style = Style::numbered(n);
                    cache.insert_entry(token.varied(n).entry(texts, number, &style));
                    cache.insert_entry(other.varied(n).entry(texts, number, &style));
                }
            }
            Self::InsertAgain(which, change, only) => {
                let of_user = only.map(|home| texts.id(home));
                // In no order that depends on the run.
                let tokens: BTreeMap<EntryId, _> = (before.access_tokens())
                    .filter(|(_, token)| of_user.is_none() || token.home_account_id.as_deref() == of_user.as_deref())
                    .collect();
                if !tokens.is_empty() {
                    let token = which.get(&tokens.into_values().collect::<Vec<_>>()).as_ref().clone();
                    let token = AccessToken { secret: format!("AT {number}").into(), ..changed(token, *change, texts) };
                    cache.insert(token.clone()).expect("it is complete");
                    return inserted(&token, &before, cache);
                }
            }
            Self::ImportStrange(home, host) => cache.insert_entry(strange(texts, *home, texts.host(*host), number)),
            Self::ImportUnknown => cache.insert_entry(unknown(number)),
            Self::Remove(which, only) => {
                let of_user = only.map(|home| texts.id(home));
                let entries = before.entries().filter(|entry| {
                    of_user.is_none()
                        || entry.account.as_ref().map(|account| &*account.home_account_id) == of_user.as_deref()
                });
                // In no order that depends on the run.
                let ids: Vec<EntryId> = entries.map(|entry| entry.id).collect::<BTreeSet<_>>().into_iter().collect();
                if !ids.is_empty() {
                    let id = which.get(&ids);
                    prop_assert!(cache.remove(id));
                    prop_assert!(!cache.remove(id), "it is gone");
                    removed(&before, cache, |gone| gone == id)?;
                }
            }
            Self::RemoveAccount(home, host) => {
                let (home, host) = (texts.id(*home), texts.host(*host));
                let any = cache.remove_account(&home, host);
                let of_account: BTreeSet<EntryId> = (before.entries())
                    .filter(|entry| {
                        entry.account.as_ref().is_some_and(|account| {
                            *account.home_account_id == *home && same_cloud(&account.environment, host)
                        })
                    })
                    .map(|entry| entry.id)
                    .collect();
                prop_assert_eq!(any, !of_account.is_empty());
                removed(&before, cache, |id| of_account.contains(id))?;
            }
            Self::RemoveClient(client) => {
                let client = texts.id(*client);
                let count = cache.remove_client(&client);
                let of_client = of_client(&before, &client);
                prop_assert_eq!(count, of_client.len());
                removed(&before, cache, |id| of_client.contains(id))?;
            }
            Self::RemoveExpired(moment) => {
                let now = NOW.plus(*moment);
                let count = cache.remove_expired(now);
                let serves = |token: &AccessToken| token.expires_on.max(token.extended_expires_on) >= Some(now);
                let gone: BTreeSet<EntryId> =
                    before.access_tokens().filter(|(_, token)| !serves(token)).map(|(id, _)| id).collect();
                prop_assert_eq!(count, gone.len());
                removed(&before, cache, |id| gone.contains(id))?;
            }
        }
        Ok(())
    }
}

/// The token with one of its fields as `value` says.
fn changed(mut token: AccessToken, [field, value]: [u8; 2], texts: &Alphabet) -> AccessToken {
    let some = (!value.is_multiple_of(4)).then_some(value);
    let id = some.map(|n| texts.id(n).into());
    match field % 8 {
        0 => token.key_id = id,
        1 => token.resource = id,
        2 => token.realm = id.unwrap_or_default(),
        3 => token.target = texts.target(&[value, value / 8], 1).into(),
        4 => token.environment = texts.host(value).into(),
        5 => token.assertion_hash = some.map(|n| texts.hash(n).into()),
        6 => token.extended = some.map(extended),
        _ => token.token_type = some.map(|n| TOKEN_TYPES[usize::from(n) % TOKEN_TYPES.len()].into()),
    }
    token
}

/// A response with this access token, and all that comes with it for a user.
fn response(token: &TokenSpec, other: &OtherSpec, texts: &Alphabet, number: usize) -> TokenResponse {
    let of_user = token.home.map(|home| other.of(home, token.host));
    let of_user = of_user.as_ref();
    TokenResponse {
        access_token: Some(token.entity(texts, number)),
        refresh_token: of_user.map(|other| other.refresh_token(texts, number)),
        id_token: of_user.map(|other| other.id_token(texts)),
        account: of_user.map(|other| other.account(texts, number)),
        app_metadata: None,
    }
}

/// Whether there is an account or a refresh token of this user.
fn is_known(cache: &TokenCache, home_account_id: &str, environment: &str) -> bool {
    let is = |id: &str, host: &str| id == home_account_id && same_cloud(host, environment);
    cache.accounts().iter().any(|group| is(&group.home_account_id, &group.environment))
        || cache.all_refresh_tokens().any(|(_, token)| is(&token.home_account_id, &token.environment))
}

/// Whether the token stands in the cache, those that it replaces are gone, and everything else is as it was.
fn inserted(token: &AccessToken, before: &TokenCache, after: &TokenCache) -> Result<(), TestCaseError> {
    let new: Vec<_> = after.access_tokens().filter(|(_, found)| found.secret == token.secret).collect();
    prop_assert_eq!(new.len(), 1, "it is there once");
    let (new, found) = &new[0];
    prop_assert!(same_cloud(&found.environment, &token.environment) && found.expires_on == token.expires_on);
    let replaced: BTreeSet<EntryId> =
        before.access_tokens().filter(|(_, old)| replaces(token, old)).map(|(id, _)| id).collect();
    let mut expected: BTreeSet<EntryId> = ids(before).difference(&replaced).cloned().collect();
    prop_assert!(expected.insert(new.clone()), "under a key of its own");
    prop_assert_eq!(ids(after), expected);
    Ok(())
}

/// Whether exactly those entries are gone.
fn removed(before: &TokenCache, after: &TokenCache, gone: impl Fn(&EntryId) -> bool) -> Result<(), TestCaseError> {
    let expected: BTreeSet<EntryId> = ids(before).into_iter().filter(|id| !gone(id)).collect();
    prop_assert_eq!(ids(after), expected);
    Ok(())
}

/// The tokens and metadata of a client, but for the refresh tokens of families.
fn of_client(cache: &TokenCache, client: &str) -> BTreeSet<EntryId> {
    let of = |id: &str| same_text(id, client);
    let own = cache.all_refresh_tokens().filter(|(_, token)| token.family_id.is_none() && of(&token.client_id));
    (cache.access_tokens().filter(|(_, token)| of(&token.client_id)).map(|(id, _)| id))
        .chain(own.map(|(id, _)| id))
        .chain(cache.id_tokens().filter(|(_, token)| of(&token.client_id)).map(|(id, _)| id))
        .chain(cache.all_app_metadata().filter(|(_, known)| of(&known.client_id)).map(|(id, _)| id))
        .collect()
}

fn ids(cache: &TokenCache) -> BTreeSet<EntryId> {
    cache.entries().map(|entry| entry.id).collect()
}
