//! The listing as tables, and as tab-separated values.

use cache_core::UnixSeconds;

use super::{AccessTokenRow, AccountRow, Listing, Name, Partitions, Shared};
use crate::output::{Cell, Page, Report, Rows};
use crate::text::counted;
use crate::times::expiry;

impl Report for Shared {
    fn table(&self, page: &mut Page) {
        self.listing.table(page);
        if self.other_partitions > 0 {
            page.gap();
            let others = counted(self.other_partitions, "other partition", "other partitions");
            page.line(format_args!("This is the shared partition; {others} with --all-partitions."));
        }
    }

    fn rows(&self, rows: &mut Rows) {
        self.listing.rows(rows, None);
    }
}

impl Report for Partitions {
    fn table(&self, page: &mut Page) {
        for in_partition in &self.partitions {
            page.gap();
            page.line(format_args!("Partition: {}", in_partition.partition));
            in_partition.listing.table(page);
        }
    }

    fn rows(&self, rows: &mut Rows) {
        for in_partition in &self.partitions {
            in_partition.listing.rows(rows, Some(&in_partition.partition.to_string()));
        }
    }
}

impl Listing {
    fn table(&self, page: &mut Page) {
        let accounts: Vec<_> = (self.accounts.iter())
            .map(|account| {
                let AccountRow { username, home_account_id, environment, .. } = account;
                let ids: Vec<&str> = account.entries.iter().map(|name| &*name.id).collect();
                [&ids.join(" "), username, home_account_id, environment, &account.tenants()]
                    .map(|text| Cell::of(text.clone()))
            })
            .collect();
        page.section("Accounts", ["ID", "USERNAME", "HOME ACCOUNT ID", "ENVIRONMENT", "TENANTS"], &accounts);

        let now = self.now;
        let tokens: Vec<_> = (self.access_tokens.iter())
            .map(|token| {
                let owner = token.home_account_id.as_deref().unwrap_or("(application)");
                [
                    Cell::of(&*token.name.id),
                    Cell::of(known_as(token.username.as_deref(), owner)),
                    Cell::of(&*token.client_id),
                    Cell::of(&*token.tenant),
                    Cell::of(token.scopes.join(" ")),
                    Cell::of(token.kind()),
                    Cell::of(expiry(token.expires_on.map(UnixSeconds), now)).alarming_if(token.expired),
                ]
            })
            .collect();
        let columns = ["ID", "ACCOUNT", "CLIENT", "TENANT", "SCOPES", "TYPE", "EXPIRES"];
        page.section("Access tokens", columns, &tokens);

        let tokens: Vec<_> = (self.refresh_tokens.iter())
            .map(|token| {
                let account = known_as(token.username.as_deref(), &token.home_account_id);
                let family = token.family_id.as_deref().unwrap_or_default();
                [&*token.name.id, account, &token.client_id, family, &token.environment].map(Cell::of)
            })
            .collect();
        page.section("Refresh tokens", ["ID", "ACCOUNT", "CLIENT", "FAMILY", "ENVIRONMENT"], &tokens);

        let tokens: Vec<_> = (self.id_tokens.iter())
            .map(|token| {
                let account = known_as(token.username.as_deref(), &token.home_account_id);
                [&*token.name.id, account, &token.client_id, &token.tenant].map(Cell::of)
            })
            .collect();
        page.section("ID tokens", ["ID", "ACCOUNT", "CLIENT", "TENANT"], &tokens);

        let apps: Vec<_> = (self.app_metadata.iter())
            .map(|app| {
                let family = app.family_id.as_deref().unwrap_or_default();
                [&*app.name.id, &app.client_id, family, &app.environment].map(Cell::of)
            })
            .collect();
        page.section("Applications", ["ID", "CLIENT", "FAMILY", "ENVIRONMENT"], &apps);

        let others: Vec<_> = self.not_understood.iter().map(|name| [&*name.id, &name.entry].map(Cell::of)).collect();
        page.section("Not understood, carried along as they are", ["ID", "ENTRY"], &others);

        let expired = self.access_tokens.iter().filter(|token| token.expired).count();
        if expired > 0 {
            page.gap();
            let expired = counted(expired, "access token has", "access tokens have");
            page.line(format_args!("{expired} expired; `tokencache remove --expired` removes what serves no more."));
        }
    }

    /// A line per entry; with a partition's name as the last field, if there is one.
    fn rows(&self, rows: &mut Rows, partition: Option<&str>) {
        // Between id and full name: home account id, username, environment, client, tenants, scopes, expiry.
        let mut row = |kind: &str, Name { id, entry }: &Name, facts: [&str; 7]| {
            let [account, username, environment, client, tenants, scopes, expires_on] = facts;
            let fields = [kind, id, account, username, environment, client, tenants, scopes, expires_on, entry];
            rows.row(&fields.into_iter().chain(partition).collect::<Vec<_>>());
        };
        for account in &self.accounts {
            let AccountRow { home_account_id, username, environment, .. } = account;
            for name in &account.entries {
                row("account", name, [home_account_id, username, environment, "", &account.tenants(), "", ""]);
            }
        }
        for token in &self.access_tokens {
            let owner = token.home_account_id.as_deref().unwrap_or_default();
            let username = token.username.as_deref().unwrap_or_default();
            let scopes = token.scopes.join(" ");
            let expires_on = token.expires_on.map(|time| time.to_string()).unwrap_or_default();
            let AccessTokenRow { environment, client_id, tenant, .. } = token;
            row("access_token", &token.name, [owner, username, environment, client_id, tenant, &scopes, &expires_on]);
        }
        for token in &self.refresh_tokens {
            let username = token.username.as_deref().unwrap_or_default();
            let facts = [&*token.home_account_id, username, &token.environment, &token.client_id, "", "", ""];
            row("refresh_token", &token.name, facts);
        }
        for token in &self.id_tokens {
            let username = token.username.as_deref().unwrap_or_default();
            let facts =
                [&*token.home_account_id, username, &token.environment, &token.client_id, &token.tenant, "", ""];
            row("id_token", &token.name, facts);
        }
        for app in &self.app_metadata {
            row("app_metadata", &app.name, ["", "", &app.environment, &app.client_id, "", "", ""]);
        }
        for name in &self.not_understood {
            row("not_understood", name, [""; 7]);
        }
    }
}

impl AccountRow {
    fn tenants(&self) -> String {
        let tenants: Vec<&str> = self.tenants.iter().map(|tenant| &*tenant.tenant).collect();
        tenants.join(" ")
    }
}

impl AccessTokenRow {
    /// The scheme, and what else keeps the token from answering a plain request.
    fn kind(&self) -> String {
        let mut kind = self.token_type.clone();
        if self.on_behalf_of {
            kind.push_str(", on behalf of");
        }
        if self.extended {
            kind.push_str(", extended");
        }
        kind
    }
}

/// The name that people know the account by.
fn known_as<'r>(username: Option<&'r str>, home_account_id: &'r str) -> &'r str {
    username.unwrap_or(home_account_id)
}
