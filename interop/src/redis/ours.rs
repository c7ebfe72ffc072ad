//! This toolkit's worker.

use std::io::Write as _;
use std::time::{Duration, Instant};

use cache_core::{
    AccessTokenQuery, Error, ErrorKind, RefreshTokenQuery, Result, Skip, TokenResponse, UnixMillis, assertion_hash,
    blocking,
};

use super::{
    Answer, CLIENT, Flow, HOST, Layout, Opened, Order, TENANT, assertion, home, now_millis, partition, responses,
    scope, tenant,
};

/// The worker of this toolkit: answers orders until its input ends.
///
/// # Panics
/// If an answer is no JSON, which none is.
pub fn work(port: u16, worker: usize, layout: Layout) -> Result<()> {
    let opened = Opened::new(port, layout)?;
    let unavailable = |error: redis::RedisError| {
        Error::new(ErrorKind::Unavailable, "the numbers of responses cannot be had").with_source(error)
    };
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).map_err(unavailable)?;
    let mut numbers = client.get_connection().map_err(unavailable)?;
    let mut next = || redis::cmd("INCR").arg("seq").query::<u64>(&mut numbers).map_err(unavailable);
    let mut stdout = std::io::stdout();
    let lines = std::io::stdin().lines().map_while(std::result::Result::ok);
    for order in lines.filter_map(|line| serde_json::from_str::<Order>(&line).ok()) {
        wait_until(order.at);
        let mut answer = Answer { ok: 0, errors: 0, ms: Vec::new() };
        for write in 0..order.writes {
            let began = Instant::now();
            let scope = if order.same { "api0/.default".to_owned() } else { scope(worker, order.round, write) };
            match get(&opened.cache, &order, &scope, &mut next) {
                Ok(()) => {
                    answer.ok += 1;
                    answer.ms.push(began.elapsed().as_secs_f64() * 1e3);
                }
                Err(_) => answer.errors += 1,
            }
        }
        let line = serde_json::to_string(&answer).expect("plain data is JSON");
        writeln!(stdout, "{line}").map_err(|error| Error::io("cannot answer", error))?;
    }
    Ok(())
}

/// Gets a token as an application does: from the cache, else by a request.
fn get(
    cache: &blocking::PersistedTokenCache,
    order: &Order,
    scope: &str,
    next: &mut impl FnMut() -> Result<u64>,
) -> Result<()> {
    let (flow, user) = (order.flow, order.user);
    let (partition, home) = (partition(flow, user), home(user));
    let delay = || std::thread::sleep(Duration::from_millis(order.delay));
    if flow == Flow::Remove {
        let removed = cache.update(&partition, |tokens| tokens.remove_account(&home, HOST))?;
        let nobody = || Error::new(ErrorKind::InvalidInput, "nobody is signed in");
        return removed.value.then_some(()).ok_or_else(nobody);
    }
    let hash = assertion_hash(&assertion(user));
    let query = match flow {
        Flow::Client => AccessTokenQuery::app(CLIENT, scope),
        Flow::Obo => AccessTokenQuery::on_behalf_of(&hash, CLIENT, scope),
        Flow::Silent | Flow::Remove => AccessTokenQuery::user(&home, CLIENT, scope),
    };
    let realm = if flow == Flow::Client { tenant(user) } else { TENANT.to_owned() };
    let query = query.with_environment(HOST).with_realm(&realm);
    let found = cache.access_token(&partition, &query)?;
    delay();
    if found.is_some() {
        return Ok(());
    }
    let number = next()?;
    // In the order in which the stub has answered. Entries tell seconds, so that the responses are a second apart, long ago.
    let at = UnixMillis(order.at - 1_000_000 + 1_000 * i64::try_from(number).unwrap_or_default());
    let response = responses::response(flow, user, scope, number, at);
    delay();
    let updated = cache.update(&partition, |tokens| match flow {
        Flow::Silent => {
            let present = tokens.refresh_tokens(&RefreshTokenQuery::user(&home, CLIENT, HOST));
            let present = present.first().and_then(|(_, token)| responses::number(token.secret.expose()));
            // A response that came after this one was stored before it.
            let refresh_token = response.refresh_token.filter(|_| present.is_none_or(|present| present < number));
            tokens.insert_response(TokenResponse { refresh_token, ..response })
        }
        _ => tokens.sign_in(response).map(|()| true),
    })?;
    let is_signed_in = updated.value?;
    if !is_signed_in || updated.skipped.iter().any(|(_, skip)| *skip == Skip::GuardGone) {
        return Err(Error::new(ErrorKind::InvalidInput, "the user was signed out meanwhile"));
    }
    Ok(())
}

fn wait_until(at: i64) {
    let left = at - now_millis();
    std::thread::sleep(Duration::from_millis(u64::try_from(left).unwrap_or_default()));
}
