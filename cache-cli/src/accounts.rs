//! Which account a name on the command line means.

use std::sync::Arc;

use cache_core::{AccountGroup, TokenCache};

use crate::exit::Failure;

/// The home account id that `name` means: itself, if the cache holds anything of that account, or the one of the only
/// account with that username, ignoring case. With `environment`, accounts of other clouds do not count.
///
/// Exit 4: there is none. Exit 1: several accounts have this username; they are listed.
pub(crate) fn find(cache: &TokenCache, name: &str, environment: Option<&str>) -> Result<Arc<str>, Failure> {
    let in_cloud = |have: &str| environment.is_none_or(|asked| cache.environments().same(asked, have));
    let held = cache.entries().filter_map(|entry| entry.account);
    if held.into_iter().any(|account| *account.home_account_id == *name && in_cloud(&account.environment)) {
        return Ok(name.into());
    }
    let mut named = cache.accounts();
    named.retain(|account| in_cloud(&account.environment) && has_username(account, name));
    match &named[..] {
        [] => Err(Failure::nothing(format!("no account is called `{name}`; `tokencache list` shows the accounts"))),
        [first, rest @ ..] if rest.iter().all(|other| other.home_account_id == first.home_account_id) => {
            Ok(first.home_account_id.clone())
        }
        _ => {
            let message =
                format!("{} accounts have the username `{name}`; give one of these ids to --account", named.len());
            let lines = named.iter().map(|account| format!("{}  {}", account.home_account_id, account.environment));
            Err(Failure::error(message).with_lines(lines))
        }
    }
}

fn has_username(account: &AccountGroup, name: &str) -> bool {
    let name = name.to_lowercase();
    let mut usernames = account.tenant_profiles.iter().map(|profile| &profile.username).chain([&account.username]);
    !name.is_empty() && usernames.any(|username| username.to_lowercase() == name)
}
