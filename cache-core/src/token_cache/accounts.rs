//! Accounts, grouped over the entities that the libraries keep of one user.

use std::sync::Arc;

use serde::Deserialize;

use super::TokenCache;
use super::row::Row;
use crate::schema::Account;
use crate::text::eq_ignore_case;

/// One user in one cloud: MSAL Node keeps one entity with tenant profiles, the other libraries one entity per tenant.
#[derive(Debug, Clone)]
pub struct AccountGroup {
    /// The account's id over all tenants.
    pub home_account_id: Arc<str>,
    /// The host that the account's entities stand under.
    pub environment: Arc<str>,
    /// The name to sign in with, of the home tenant if that is known; empty if unknown.
    pub username: Arc<str>,
    /// The entities, the home tenant's first.
    pub entities: Vec<Arc<Account>>,
    /// One profile per tenant, the home tenant's first.
    pub tenant_profiles: Vec<TenantProfile>,
}

/// What one tenant calls the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantProfile {
    /// The tenant.
    pub tenant_id: Arc<str>,
    /// The account's id in this tenant.
    pub local_account_id: Arc<str>,
    /// The name to sign in with; empty if unknown.
    pub username: Arc<str>,
    /// The display name.
    pub name: Option<Arc<str>>,
    /// Whether this is the tenant that the account is from.
    pub is_home_tenant: bool,
}

impl TokenCache {
    /// Every account, one group per user and cloud, in the order of home account ids.
    pub fn accounts(&self) -> Vec<AccountGroup> {
        self.grouped(self.accounts.iter().collect())
    }

    fn grouped(&self, mut rows: Vec<&Row<Account>>) -> Vec<AccountGroup> {
        // The home tenant's entity first, then the better twin.
        rows.sort_by(|a, b| {
            (a.entity.home_account_id.cmp(&b.entity.home_account_id))
                .then_with(|| is_home(&b.entity).cmp(&is_home(&a.entity)))
                .then_with(|| self.rank_rows(b, a))
        });
        let mut groups: Vec<AccountGroup> = Vec::new();
        for row in rows {
            let entity = &row.entity;
            let of_user = groups.iter_mut().rev().take_while(|group| group.home_account_id == entity.home_account_id);
            let group =
                of_user.into_iter().find(|group| self.environments.same(&group.environment, &entity.environment));
            match group {
                Some(group) => group.entities.push(Arc::clone(entity)),
                None => groups.push(AccountGroup {
                    home_account_id: entity.home_account_id.clone(),
                    environment: entity.environment.clone(),
                    username: Arc::default(),
                    entities: vec![Arc::clone(entity)],
                    tenant_profiles: Vec::new(),
                }),
            }
        }
        for group in &mut groups {
            group.tenant_profiles = profiles(&group.entities);
            let named = group.tenant_profiles.iter().map(|profile| &profile.username).find(|name| !name.is_empty());
            group.username = named.cloned().unwrap_or_default();
        }
        groups
    }

    /// The account with this home account id in this cloud.
    pub fn account(&self, home_account_id: &str, environment: &str) -> Option<AccountGroup> {
        let rows = self.accounts.under(self.hashing.pair(home_account_id, ""));
        let rows = rows.filter(|row| {
            *row.entity.home_account_id == *home_account_id
                && self.environments.same(&row.entity.environment, environment)
        });
        self.grouped(rows.collect()).pop()
    }
}

/// Whether the entity is of the tenant that the account is from: the part after the last dot of the home account id
/// (MSAL.NET `AccountId`), or, of ids without one, the only tenant there is.
fn is_home(account: &Account) -> bool {
    match account.home_account_id.rsplit_once('.') {
        Some((_, tenant)) => eq_ignore_case(tenant, &account.realm),
        None => true,
    }
}

fn profiles(entities: &[Arc<Account>]) -> Vec<TenantProfile> {
    let mut profiles: Vec<TenantProfile> = Vec::new();
    let mut add = |profile: TenantProfile| match profiles
        .iter_mut()
        .find(|known| eq_ignore_case(&known.tenant_id, &profile.tenant_id))
    {
        None => profiles.push(profile),
        Some(known) => {
            if known.username.is_empty() {
                known.username = profile.username;
            }
            known.name = known.name.take().or(profile.name);
        }
    };
    for entity in entities {
        for json in &entity.tenant_profiles {
            if let Ok(profile) = serde_json::from_str::<NodeProfile>(json) {
                add(profile.into());
            }
        }
        add(TenantProfile {
            tenant_id: entity.realm.clone(),
            local_account_id: entity.local_account_id.clone(),
            username: entity.username.clone(),
            name: entity.name.clone(),
            is_home_tenant: is_home(entity),
        });
    }
    profiles.sort_by_key(|profile| !profile.is_home_tenant);
    profiles
}

/// A tenant profile as MSAL Node writes it (`lib/msal-common/src/account/AccountInfo.ts`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct NodeProfile {
    tenant_id: Box<str>,
    local_account_id: Box<str>,
    name: Option<Box<str>>,
    username: Option<Box<str>>,
    is_home_tenant: bool,
}

impl From<NodeProfile> for TenantProfile {
    fn from(profile: NodeProfile) -> Self {
        Self {
            tenant_id: profile.tenant_id.into(),
            local_account_id: profile.local_account_id.into(),
            username: profile.username.unwrap_or_default().into(),
            name: profile.name.map(Arc::from),
            is_home_tenant: profile.is_home_tenant,
        }
    }
}
