//! What a query's term finds answers the query as the whole cache does.

use cache_core::{AccessTokenQuery, Entry, TokenCache};
use proptest::prelude::*;

use super::alphabet::{alphabets, environments};
use super::cases;
use super::lookup::{drafts, made, questions};
use super::steps::steps;

/// The cache of these entries alone.
fn cache_of(entries: impl IntoIterator<Item = Entry>) -> TokenCache {
    let mut cache = TokenCache::with_environments(environments());
    entries.into_iter().for_each(|entry| cache.insert_entry(entry));
    cache
}

/// The entries that have the query's term; `None`: it has none.
fn found(entries: &[Entry], query: &AccessTokenQuery<'_>) -> Option<Vec<Entry>> {
    let term = query.lookup_term()?;
    Some(entries.iter().filter(|entry| entry.lookup_terms().contains(&term)).cloned().collect())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn the_entries_with_its_term_answer_a_query_as_all_do(
        texts in alphabets(),
        before in prop::collection::vec(steps(), 1..20),
        drafts in prop::collection::vec(drafts(), 1..24),
    ) {
        let mut cache = TokenCache::with_environments(environments());
        made(&texts, &before, &mut cache, 0)?;
        let entries: Vec<Entry> = cache.entries().collect();
        let whole = cache_of(entries.iter().cloned());
        let mut with_term = 0;
        for question in questions(&drafts, &texts, &whole) {
            let answered = question.ask(|query| {
                let Some(found) = found(&entries, query) else { return Ok(false) };
                let few = cache_of(found);
                let answer = |cache: &TokenCache| cache.access_token(query, question.now).cloned();
                prop_assert_eq!(answer(&few), answer(&whole), "{:?}", question);
                let count = |cache: &TokenCache| cache.matching_access_tokens(query, question.now).count();
                prop_assert_eq!(count(&few), count(&whole), "{:?}", question);
                Ok(true)
            })?;
            with_term += usize::from(answered);
        }
        // Every token that is there is asked for with its tenant and scopes, if it has any.
        let asked = whole.access_tokens().filter(|(_, token)| token.scopes().next().is_some()).count();
        prop_assert!(with_term >= asked, "{} of {}", with_term, asked);
    }
}
