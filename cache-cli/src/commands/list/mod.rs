//! `list`: accounts and tokens, without secrets.

mod inventory;
mod report;

use std::collections::HashMap;

use cache_core::schema::section;
use cache_core::{EntryId, PartitionKey, TokenCache, UnixSeconds};
use serde::Serialize;

use crate::address::Address;
use crate::args::List;
use crate::context::Context;
use crate::entry_name::{self, EntryNames};
use crate::exit::{Failure, warn};
use crate::partition_name::PartitionName;
use crate::progress::progress_bar;
use crate::store::Store;
use crate::times::{date, is_expired};

/// Lists what the store holds; of a database that no protection is given for, what shows without the key.
pub(crate) fn run(args: &List, context: &Context) -> Result<(), Failure> {
    let location = &args.location;
    if let Address::Sqlite(path) = &location.store
        && !location.protection.is_given()
        && context.passphrase.is_none()
    {
        return inventory::run(path, &location.store, context);
    }
    let store = Store::open(location, context)?;
    if args.all_partitions { all_partitions(&store, context) } else { shared_partition(&store, context) }
}

fn shared_partition(store: &Store, context: &Context) -> Result<(), Failure> {
    let (cache, now) = (store.load()?, context.now());
    store.warn_of_unreadable(&PartitionKey::Shared)?;
    let other_partitions = store.other_partitions()?;
    if cache.is_empty() && other_partitions == 0 {
        warn(&format!("{} holds nothing", store.address()));
    }
    context.output.print(&Shared { now: now.0, listing: Listing::of(&cache, now), other_partitions })
}

fn all_partitions(store: &Store, context: &Context) -> Result<(), Failure> {
    let now = context.now();
    let partitions = store.partitions()?;
    let bar = progress_bar(partitions.len() as u64, "partitions");
    let listed = partitions.into_iter().map(|partition| {
        let listing = Listing::of(&store.load_of(&partition)?, now);
        bar.suspend(|| store.warn_of_unreadable(&partition))?;
        bar.inc(1);
        Ok(InPartition { partition: PartitionName::of(&partition), listing })
    });
    let partitions = listed.collect::<Result<Vec<_>, Failure>>()?;
    drop(bar);
    if partitions.is_empty() {
        warn(&format!("{} holds nothing", store.address()));
    }
    context.output.print(&Partitions { now: now.0, partitions })
}

/// The shared partition, and how many there are besides.
#[derive(Debug, Serialize)]
struct Shared {
    now: i64,
    #[serde(flatten)]
    listing: Listing,
    other_partitions: usize,
}

/// Every partition.
#[derive(Debug, Serialize)]
struct Partitions {
    now: i64,
    partitions: Vec<InPartition>,
}

#[derive(Debug, Serialize)]
struct InPartition {
    partition: PartitionName,
    #[serde(flatten)]
    listing: Listing,
}

/// What a cache holds, without secrets.
#[derive(Debug, Serialize)]
struct Listing {
    /// What expiry is told against.
    #[serde(skip)]
    now: UnixSeconds,
    accounts: Vec<AccountRow>,
    access_tokens: Vec<AccessTokenRow>,
    refresh_tokens: Vec<RefreshTokenRow>,
    id_tokens: Vec<IdTokenRow>,
    app_metadata: Vec<AppMetadataRow>,
    not_understood: Vec<Name>,
}

/// How an entry is called.
#[derive(Debug, Serialize)]
struct Name {
    id: String,
    entry: String,
}

#[derive(Debug, Serialize)]
struct AccountRow {
    home_account_id: String,
    environment: String,
    username: String,
    tenants: Vec<TenantRow>,
    entries: Vec<Name>,
}

#[derive(Debug, Serialize)]
struct TenantRow {
    tenant: String,
    local_account_id: String,
    username: String,
    name: Option<String>,
    home: bool,
}

#[derive(Debug, Serialize)]
struct AccessTokenRow {
    #[serde(flatten)]
    name: Name,
    home_account_id: Option<String>,
    username: Option<String>,
    environment: String,
    client_id: String,
    tenant: String,
    scopes: Vec<String>,
    token_type: String,
    key_id: Option<String>,
    on_behalf_of: bool,
    extended: bool,
    cached_at: Option<i64>,
    refresh_on: Option<i64>,
    expires_on: Option<i64>,
    expires_at: Option<String>,
    extended_expires_on: Option<i64>,
    expired: bool,
}

#[derive(Debug, Serialize)]
struct RefreshTokenRow {
    #[serde(flatten)]
    name: Name,
    home_account_id: String,
    username: Option<String>,
    environment: String,
    client_id: String,
    family_id: Option<String>,
    on_behalf_of: bool,
    last_modified_on: Option<i64>,
}

#[derive(Debug, Serialize)]
struct IdTokenRow {
    #[serde(flatten)]
    name: Name,
    home_account_id: String,
    username: Option<String>,
    environment: String,
    client_id: String,
    tenant: String,
}

#[derive(Debug, Serialize)]
struct AppMetadataRow {
    #[serde(flatten)]
    name: Name,
    environment: String,
    client_id: String,
    family_id: Option<String>,
}

impl Listing {
    fn of(cache: &TokenCache, now: UnixSeconds) -> Self {
        let names = EntryNames::of(cache);
        let name = |id: &EntryId| Name { id: names.short(id), entry: entry_name::full(id) };
        let groups = cache.accounts();
        let usernames: HashMap<&str, &str> = (groups.iter().rev())
            .filter(|group| !group.username.is_empty())
            .map(|group| (&*group.home_account_id, &*group.username))
            .collect();
        let username = |home_account_id: &str| usernames.get(home_account_id).map(|&name| name.to_owned());

        let accounts = groups.iter().map(|group| AccountRow {
            home_account_id: group.home_account_id.to_string(),
            environment: group.environment.to_string(),
            username: group.username.to_string(),
            tenants: (group.tenant_profiles.iter())
                .map(|profile| TenantRow {
                    tenant: profile.tenant_id.to_string(),
                    local_account_id: profile.local_account_id.to_string(),
                    username: profile.username.to_string(),
                    name: profile.name.as_deref().map(str::to_owned),
                    home: profile.is_home_tenant,
                })
                .collect(),
            entries: {
                let entries = cache.entries().filter(|entry| entry.id.section() == section::ACCOUNT).filter(|entry| {
                    entry.account.as_ref().is_some_and(|account| {
                        *account.home_account_id == *group.home_account_id
                            && cache.environments().same(&account.environment, &group.environment)
                    })
                });
                sorted(entries.map(|entry| name(&entry.id)), |name| name)
            },
        });
        let access_tokens = cache.access_tokens().map(|(id, token)| {
            let home_account_id = token.home_account_id.as_deref();
            AccessTokenRow {
                name: name(&id),
                home_account_id: home_account_id.map(str::to_owned),
                username: home_account_id.and_then(username),
                environment: token.environment.to_string(),
                client_id: token.client_id.to_string(),
                tenant: token.realm.to_string(),
                scopes: token.scopes().map(str::to_owned).collect(),
                token_type: token.scheme().to_owned(),
                key_id: token.key_id.as_deref().map(str::to_owned),
                on_behalf_of: token.assertion_hash.is_some(),
                extended: token.extended.is_some(),
                cached_at: seconds(token.cached_at),
                refresh_on: seconds(token.refresh_on),
                expires_on: seconds(token.expires_on),
                expires_at: token.expires_on.and_then(date),
                extended_expires_on: seconds(token.extended_expires_on),
                expired: is_expired(token.expires_on, now),
            }
        });
        let refresh_tokens = cache.all_refresh_tokens().map(|(id, token)| RefreshTokenRow {
            name: name(&id),
            home_account_id: token.home_account_id.to_string(),
            username: username(&token.home_account_id),
            environment: token.environment.to_string(),
            client_id: token.client_id.to_string(),
            family_id: token.family_id.as_deref().map(str::to_owned),
            on_behalf_of: token.assertion_hash.is_some(),
            last_modified_on: token.last_modification_time.map(|time| time.to_seconds().0),
        });
        let id_tokens = cache.id_tokens().map(|(id, token)| IdTokenRow {
            name: name(&id),
            home_account_id: token.home_account_id.to_string(),
            username: username(&token.home_account_id),
            environment: token.environment.to_string(),
            client_id: token.client_id.to_string(),
            tenant: token.realm.to_string(),
        });
        let app_metadata = cache.all_app_metadata().map(|(id, metadata)| AppMetadataRow {
            name: name(&id),
            environment: metadata.environment.to_string(),
            client_id: metadata.client_id.to_string(),
            family_id: metadata.family_id.as_deref().map(str::to_owned),
        });
        Self {
            now,
            accounts: accounts.collect(),
            access_tokens: sorted(access_tokens, |row| &row.name),
            refresh_tokens: sorted(refresh_tokens, |row| &row.name),
            id_tokens: sorted(id_tokens, |row| &row.name),
            app_metadata: sorted(app_metadata, |row| &row.name),
            not_understood: sorted(cache.foreign().map(|entry| name(&entry.id)), |name| name),
        }
    }
}

/// The cache's own order changes from run to run; key texts begin with the account, so that its tokens stand together.
fn sorted<T>(rows: impl Iterator<Item = T>, name: impl Fn(&T) -> &Name) -> Vec<T> {
    let mut rows: Vec<T> = rows.collect();
    rows.sort_by(|a, b| name(a).entry.cmp(&name(b).entry));
    rows
}

fn seconds(time: Option<UnixSeconds>) -> Option<i64> {
    time.map(|time| time.0)
}
