//! `get-token`: a valid access token.

use std::sync::Arc;

use cache_core::schema::AccessToken;
use cache_core::{AccessTokenQuery, TokenCache, UnixSeconds};
use serde::{Serialize, Serializer};

use crate::accounts;
use crate::args::{Format, GetToken};
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Output;
use crate::store::Store;
use crate::times::{date, expiry, relative};

/// Prints the token. Exit 4: there is none that is valid for five minutes more. Exit 1: tokens of several tenants or
/// clouds answer; they are listed.
pub(crate) fn run(args: &GetToken, context: &Context) -> Result<(), Failure> {
    if args.scope.split_ascii_whitespace().next().is_none() {
        return Err(Failure::usage("--scope names no scope; give at least one, for example --scope User.Read"));
    }
    let cache = Store::open(&args.location, context)?.load()?;
    let account = match &args.account {
        Some(name) => Some(accounts::find(&cache, name, args.environment.as_deref())?),
        None => None,
    };
    let token = choose(&cache, &query(args, account.as_deref()), context.now())?;
    if context.output.format() == Format::Token {
        Output::write(&[token.secret.expose().as_bytes(), b"\n"].concat())
    } else {
        Output::json(&Answer::of(&token))
    }
}

fn query<'a>(args: &'a GetToken, account: Option<&'a str>) -> AccessTokenQuery<'a> {
    let query = match account {
        Some(home_account_id) => AccessTokenQuery::user(home_account_id, &args.client_id, &args.scope),
        None => AccessTokenQuery::app(&args.client_id, &args.scope),
    };
    let query = args.tenant.as_deref().map_or(query, |tenant| query.with_realm(tenant));
    args.environment.as_deref().map_or(query, |environment| query.with_environment(environment))
}

/// The best token of the only tenant and cloud that has one.
fn choose(cache: &TokenCache, query: &AccessTokenQuery<'_>, now: UnixSeconds) -> Result<Arc<AccessToken>, Failure> {
    let same_place = |a: &AccessToken, b: &AccessToken| {
        a.realm.to_lowercase() == b.realm.to_lowercase() && cache.environments().same(&a.environment, &b.environment)
    };
    let mut places: Vec<&Arc<AccessToken>> = Vec::new();
    for (_, token) in cache.matching_access_tokens(query, now) {
        if !places.iter().any(|other| same_place(other, token)) {
            places.push(token);
        }
    }
    match places[..] {
        [] => Err(nothing_valid(cache, query, now)),
        [_] => cache.access_token(query, now).cloned().ok_or_else(|| nothing_valid(cache, query, now)),
        _ => {
            places.sort_by_key(|token| (&token.realm, &token.environment));
            let lines = places.iter().map(|token| {
                let expiry = expiry(token.expires_on, now);
                let tenant = if token.realm.is_empty() { "\"\"" } else { &token.realm };
                format!("--tenant {tenant} --environment {}  {expiry}", token.environment)
            });
            let message = format!("{} tenants or clouds have such a token; choose one:", places.len());
            Err(Failure::error(message).with_lines(lines))
        }
    }
}

/// Says what comes nearest: a token that expires too soon, or did already.
fn nothing_valid(cache: &TokenCache, query: &AccessTokenQuery<'_>, now: UnixSeconds) -> Failure {
    let any_age = query.with_margin(i64::MIN);
    let latest = cache.matching_access_tokens(&any_age, now).map(|(_, token)| token.expires_on).max();
    let nearest = match latest {
        Some(Some(end)) if end >= now => {
            format!("the best one expires {}, and five minutes must be left", relative(Some(end), now))
        }
        Some(end) => format!("the newest one: {}", relative(end, now)),
        None => "`tokencache list` shows what there is".to_owned(),
    };
    Failure::nothing(format!("no valid token of this client, account and tenant has these scopes; {nearest}"))
}

/// A token as JSON, in OAuth's words where it has some.
#[derive(Serialize)]
struct Answer<'t> {
    access_token: Exposed<'t>,
    token_type: &'t str,
    expires_on: Option<i64>,
    expires_at: Option<String>,
    refresh_on: Option<i64>,
    scope: &'t str,
    client_id: &'t str,
    tenant: &'t str,
    environment: &'t str,
    home_account_id: Option<&'t str>,
}

/// A secret that is printed since it was asked for.
struct Exposed<'t>(&'t AccessToken);

impl Serialize for Exposed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.secret.expose())
    }
}

impl<'t> Answer<'t> {
    fn of(token: &'t AccessToken) -> Self {
        Self {
            access_token: Exposed(token),
            token_type: token.scheme(),
            expires_on: token.expires_on.map(|end| end.0),
            expires_at: token.expires_on.and_then(date),
            refresh_on: token.refresh_on.map(|time| time.0),
            scope: &token.target,
            client_id: &token.client_id,
            tenant: &token.realm,
            environment: &token.environment,
            home_account_id: token.home_account_id.as_deref(),
        }
    }
}
