//! Lookups answer what scans over plain fields answer, whatever happened to the cache before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cache_core::schema::{Entity, section};
use cache_core::{EntryId, TokenCache};
use proptest::prelude::*;

use super::alphabet::{Alphabet, MOMENTS, NOW, TOKEN_TYPES, alphabets, environments, extended};
use super::cases;
use super::reference::{
    Owner, Question, best, cloud, metadata, newest_hosts, refresh_query, refresh_rank, refresh_tokens, same_cloud,
    same_text,
};
use super::steps::{Step, steps};

/// Any question for access tokens, its texts by their places in the alphabet.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    scopes: Vec<u8>,
    bytes: [u8; 13],
}

pub(crate) fn drafts() -> impl Strategy<Value = Draft> {
    (prop::collection::vec(any::<u8>(), 0..4), any::<[u8; 13]>()).prop_map(|(scopes, bytes)| Draft { scopes, bytes })
}

impl Draft {
    fn question(&self, texts: &Alphabet) -> Question {
        let [owner, whose, client, realm, host, listed, bound @ ..] = self.bytes;
        let [scheme, key_id, extended_, resource, margin, margin_seconds, now] = bound;
        let id = |n: u8| texts.id(n);
        let once_in = |odds: u8, n: u8| (n % odds == odds - 1).then_some(n / odds);
        let moment = |n: u8| MOMENTS[usize::from(n) % MOMENTS.len()];
        Question {
            owner: match owner % 5 {
                3 => Owner::App,
                4 => Owner::Assertion(texts.hash(whose)),
                _ => Owner::User(id(whose)),
            },
            client_id: id(client),
            realm: (realm % 5 > 0).then(|| id(realm / 5)),
            environment: once_in(2, host).map(|n| texts.host(n).into()),
            scopes: self.scopes.iter().map(|scope| texts.scope(*scope)).collect(),
            listed: listed % 2 == 1,
            scheme: once_in(5, scheme)
                .map(|n| (TOKEN_TYPES[usize::from(n) % TOKEN_TYPES.len()].into(), once_in(3, key_id).map(id))),
            extended: once_in(8, extended_).map(extended),
            resource: once_in(8, resource).map(id),
            margin: once_in(5, margin).map(|_| moment(margin_seconds)),
            now: NOW.plus(moment(now)),
        }
    }
}

/// Everything that there is to ask: what the drafts say, and every token that is there.
pub(crate) fn questions(drafts: &[Draft], texts: &Alphabet, cache: &TokenCache) -> Vec<Question> {
    let drafted = drafts.iter().map(|draft| draft.question(texts));
    // In an order that is the same for every cache that holds the same.
    let there: BTreeMap<EntryId, _> = cache.access_tokens().collect();
    drafted.chain(there.values().map(|token| Question::of(token, NOW.plus(-600)))).collect()
}

/// Puts every question; answers the tokens that were found best.
fn ask(cache: &TokenCache, questions: &[Question]) -> Result<Vec<Option<String>>, TestCaseError> {
    let mut secrets = Vec::new();
    for question in questions {
        let expected = question.answers(cache);
        let best = expected.iter().map(|(_, _, rank)| rank).max();
        question.ask(|query| {
            let all: Vec<EntryId> = cache.matching_access_tokens(query, question.now).map(|(id, _)| id).collect();
            let ids: BTreeSet<&EntryId> = all.iter().collect();
            prop_assert_eq!(ids.len(), all.len(), "none is named twice");
            prop_assert_eq!(ids, expected.iter().map(|(id, ..)| id).collect(), "all that answer: {:?}", question);

            let found = cache.access_token(query, question.now);
            let rank = found.map(|found| expected.iter().find(|(_, token, _)| Arc::ptr_eq(token, found)));
            let rank = rank.map(|known| known.map(|(_, _, rank)| rank));
            prop_assert_eq!(rank.is_some(), best.is_some(), "whether one answers: {:?}", question);
            prop_assert!(rank.is_none_or(|rank| rank == best), "the best one: {:?}", question);
            secrets.push(found.map(|token| token.secret.expose().to_owned()));
            Ok(())
        })?;
    }
    Ok(secrets)
}

/// The same cache, written and read again.
fn again(cache: &TokenCache) -> TokenCache {
    TokenCache::deserialize_with(cache.serialize().expose(), environments()).expect("what we write loads")
}

/// Makes changes, the first of which has this number.
pub(crate) fn made(
    texts: &Alphabet,
    steps: &[Step],
    cache: &mut TokenCache,
    first: usize,
) -> Result<(), TestCaseError> {
    steps.iter().enumerate().try_for_each(|(n, step)| step.apply(texts, first + n, cache))
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn access_tokens_are_found_as_by_a_scan(
        texts in alphabets(),
        before in prop::collection::vec(steps(), 1..20),
        after in prop::collection::vec(steps(), 0..8),
        drafts in prop::collection::vec(drafts(), 1..24),
    ) {
        let mut cache = TokenCache::with_environments(environments());
        made(&texts, &before, &mut cache, 0)?;
        let asked = questions(&drafts, &texts, &cache);
        let answers = ask(&cache, &asked)?;
        let copy = cache.clone();
        let mut read = again(&cache);
        prop_assert_eq!(ask(&read, &asked)?, answers.clone(), "read again");

        // Both go on alike, and what was copied before stays as it was.
        made(&texts, &after, &mut cache, before.len())?;
        made(&texts, &after, &mut read, before.len())?;
        let asked_later = questions(&drafts, &texts, &cache);
        prop_assert_eq!(ask(&read, &asked_later)?, ask(&cache, &asked_later)?);
        prop_assert_eq!(ask(&copy, &asked)?, answers, "a copy");
    }

    #[test]
    fn other_entities_are_found_as_by_a_scan(
        texts in alphabets(),
        changes in prop::collection::vec(steps(), 1..28),
        whose in prop::collection::vec((any::<u8>(), any::<u8>(), prop::option::weighted(0.2, any::<u8>())), 1..8),
    ) {
        let mut cache = TokenCache::with_environments(environments());
        made(&texts, &changes, &mut cache, 0)?;
        for cache in [&cache, &again(&cache)] {
            for (home, client, division) in &whose {
                for host in &texts.hosts {
                    let (home, client) = (texts.id(*home), texts.id(*client));
                    look(cache, &home, &client, host)?;
                    look_for_refresh_tokens(cache, &Owner::User(home.clone()), &client, host, *division)?;
                    look_for_refresh_tokens(cache, &Owner::Assertion(home + "="), &client, host, *division)?;
                }
            }
            every_account_is_in_one_group(cache)?;
        }
    }
}

/// Looks for the metadata of the client, the account of the user, and the ID tokens of both.
fn look(cache: &TokenCache, home: &str, client: &str, host: &str) -> Result<(), TestCaseError> {
    prop_assert!(is_among(cache.app_metadata(host, client), &metadata(cache, host, client)), "metadata");

    let realms: BTreeSet<&str> = cache.id_tokens().map(|(_, token)| &*token.realm).collect();
    for realm in realms {
        let expected = cache.id_tokens().filter(|(_, token)| {
            *token.home_account_id == *home
                && same_text(&token.client_id, client)
                && same_text(&token.realm, realm)
                && same_cloud(&token.environment, host)
        });
        let expected = best(expected);
        prop_assert!(is_among(cache.id_token(home, host, client, &realm.to_uppercase()), &expected), "ID token");
    }

    let held = cache.entries().any(|entry| {
        entry.id.section() == section::ACCOUNT
            && entry.account.is_some_and(|of| *of.home_account_id == *home && same_cloud(&of.environment, host))
    });
    let found = cache.account(home, host);
    prop_assert_eq!(found.is_some(), held, "account");
    prop_assert!(found.is_none_or(|found| *found.home_account_id == *home && same_cloud(&found.environment, host)));
    Ok(())
}

/// Whether one of the expected was found, if there is any.
fn is_among<E: Entity>(found: Option<&Arc<E>>, expected: &[Arc<E>]) -> bool {
    match found {
        Some(found) => expected.iter().any(|expected| Arc::ptr_eq(expected, found)),
        None => expected.is_empty(),
    }
}

fn look_for_refresh_tokens(
    cache: &TokenCache,
    owner: &Owner,
    client: &str,
    host: &str,
    division: Option<u8>,
) -> Result<(), TestCaseError> {
    let division = division.map(extended);
    let known = cache.app_metadata(host, client);
    let family = known.map_or(Some("1"), |known| known.family_id.as_deref());
    let mut query = refresh_query(owner, client, host);
    if let Some(division) = &division {
        query = query.with_extended(division);
    }
    let found = cache.refresh_tokens(&query);
    let (of_family, own) = refresh_tokens(cache, owner, client, host, division.as_ref(), family);
    let ids = |range: &[(EntryId, _)]| range.iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>();
    prop_assert_eq!(found.len(), of_family.len() + own.len(), "each of them once");
    let (first, then) = found.split_at(of_family.len());
    prop_assert_eq!(ids(first), of_family, "the family's first");
    prop_assert_eq!(ids(then), own, "the client's own then");

    // Another family's token of this client comes after its own.
    let (alone, others): (Vec<_>, Vec<_>) = then.iter().partition(|(_, token)| token.family_id.is_none());
    prop_assert!(then.is_sorted_by_key(|(_, token)| token.family_id.is_some()), "its own before families'");
    if let Owner::User(home) = owner {
        let hosts = newest_hosts(cache, home, client, host);
        for list in [first.iter().collect(), alone, others] {
            // Of several newest access tokens any one may decide.
            let best_first = list.is_sorted_by_key(|(id, token)| refresh_rank(&hosts, id, token));
            prop_assert!(best_first || hosts.len() > 1, "the best first");
        }
    }
    Ok(())
}

/// There is one group per user and cloud; in it are all of their entities, and a profile of every tenant.
fn every_account_is_in_one_group(cache: &TokenCache) -> Result<(), TestCaseError> {
    let groups = cache.accounts();
    let key = |home: &Arc<str>, environment: &str| (home.to_string(), cloud(environment));
    let keys: Vec<_> = groups.iter().map(|group| key(&group.home_account_id, &group.environment)).collect();
    prop_assert!(keys.is_sorted_by_key(|(home, _)| home), "in the order of home account ids");
    let held: Vec<_> = (cache.entries().filter(|entry| entry.id.section() == section::ACCOUNT))
        .filter_map(|entry| entry.account)
        .map(|account| key(&account.home_account_id, &account.environment))
        .collect();
    prop_assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len(), "no group twice");
    prop_assert_eq!(keys.iter().collect::<BTreeSet<_>>(), held.iter().collect::<BTreeSet<_>>());
    for (group, of) in groups.iter().zip(&keys) {
        prop_assert_eq!(group.entities.len(), held.iter().filter(|key| *key == of).count());
        let tenants = |realms: Vec<&Arc<str>>| realms.into_iter().map(|realm| realm.to_lowercase()).collect();
        let realms: BTreeSet<String> = tenants(group.entities.iter().map(|entity| &entity.realm).collect());
        let profiles: BTreeSet<String> = tenants(group.tenant_profiles.iter().map(|one| &one.tenant_id).collect());
        prop_assert_eq!((group.tenant_profiles.len(), profiles), (realms.len(), realms.clone()));
        prop_assert!(group.entities.iter().all(|entity| key(&entity.home_account_id, &entity.environment) == *of));
    }
    Ok(())
}
