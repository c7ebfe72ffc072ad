//! A web application of any number of nodes: a cache for each user in Redis, what other nodes change pushed into memory, and
//! what is counted on a page for Prometheus.
//!
//!     REDIS_URL=redis://localhost LISTEN=127.0.0.1:8080 cargo run -p cache-redis --example web_app
//!
//!     curl -X POST   http://127.0.0.1:8080/users/alice         she signs in
//!     curl           http://127.0.0.1:8080/users/alice/call    an API is called with her token
//!     curl -X DELETE http://127.0.0.1:8080/users/alice         she signs out, on every node
//!     curl           http://127.0.0.1:8080/metrics

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cache_core::schema::{AccessToken, Account, RefreshToken};
use cache_core::{
    AccessTokenQuery, ErrorKind, Freshness, PartitionKey, PersistedTokenCache, TokenResponse, UnixSeconds,
};
use cache_crypto::{Envelope, Key};
use cache_redis::RedisStore;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tracing::error;

const HOST: &str = "login.microsoftonline.com";
const CLIENT: &str = "00000000-0000-0000-0000-00000000000a";
const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const SCOPES: &str = "User.Read";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let setting = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.to_owned());

    // Every node has the same key: from the platform's secret store in a real application.
    let folder = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from).join(".token-cache-example");
    std::fs::create_dir_all(&folder)?;
    let key = Key::from_file_or_create(folder.join("web_app.key"))?;

    // Before the store and the cache: what they count is known to the recorder from the beginning.
    let metrics = record()?;
    let store = RedisStore::at(setting("REDIS_URL", "redis://localhost"));
    let store = store.prefix("web-app").protector(Arc::new(Envelope::with_key(key))).open()?;
    let listener = TcpListener::bind(setting("LISTEN", "127.0.0.1:8080")).await?;
    serve(listener, store, metrics, stopped()).await
}

/// Has everything recorded that the process counts from now on.
pub(crate) fn record() -> Result<PrometheusHandle, BuildError> {
    /// In seconds: from a store next door to one that is given up.
    const BUCKETS: [f64; 8] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];
    PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()
}

/// Serves until it is to stop, then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    store: RedisStore,
    metrics: PrometheusHandle,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let cache = PersistedTokenCache::builder(store.clone()).freshness(Freshness::push()).build();
    let upkeep = tokio::spawn(keep_up(metrics.clone()));
    let routes = Router::new()
        .route("/users/{user}", post(sign_in).delete(sign_out))
        .route("/users/{user}/call", get(call))
        .route("/metrics", get(page))
        .with_state(App { cache, metrics });
    axum::serve(listener, routes).with_graceful_shutdown(stop).await?;
    upkeep.abort();
    // What an outage has held up is lost with the process.
    store.flush(Duration::from_secs(10)).await?;
    Ok(())
}

/// What every request needs.
#[derive(Clone)]
struct App {
    cache: PersistedTokenCache,
    metrics: PrometheusHandle,
}

/// Keeps what came with an interactive sign-in. Who the user is says the session in a real application, not the path.
async fn sign_in(State(app): State<App>, Path(user): Path<String>) -> Result<&'static str, Failure> {
    let response = ask_the_identity_provider(&user, app.cache.now());
    let updated = app.cache.update(&partition(&user), |tokens| tokens.sign_in(response)).await?;
    updated.value?;
    Ok("signed in\n")
}

/// Calls an API for the user: from memory, as long as nobody has changed the user's cache.
async fn call(State(app): State<App>, Path(user): Path<String>) -> Result<Response, Failure> {
    let account = home_account_id(&user);
    let query = AccessTokenQuery::user(&account, CLIENT, SCOPES).with_environment(HOST).with_realm(TENANT);
    Ok(match app.cache.access_token(&partition(&user), &query).await? {
        Some(token) => {
            format!("called the API, which sees {} bytes of a token\n", token.secret.expose().len()).into_response()
        }
        None => (StatusCode::UNAUTHORIZED, "sign in first\n").into_response(),
    })
}

/// Removes the user from every partition, which all nodes see at once.
async fn sign_out(State(app): State<App>, Path(user): Path<String>) -> Result<String, Failure> {
    let partitions = app.cache.remove_account_everywhere(&home_account_id(&user), HOST).await?;
    Ok(format!("signed out, in {partitions} partitions\n"))
}

async fn page(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}

/// An error of the cache as a caller may see it.
struct Failure(cache_core::Error);

impl From<cache_core::Error> for Failure {
    fn from(error: cache_core::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        match error.kind() {
            // Not done, and not lost: the store writes it by itself.
            ErrorKind::Unavailable if error.is_queued() => {
                (StatusCode::ACCEPTED, "this will be done in a moment\n").into_response()
            }
            ErrorKind::Unavailable | ErrorKind::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], "try again in a moment\n").into_response()
            }
            // A key that is missing, a password that is wrong: for the operator. Errors hold no secrets.
            _ => {
                error!(%error, "the token cache fails");
                (StatusCode::INTERNAL_SERVER_ERROR, "this cannot be done now\n").into_response()
            }
        }
    }
}

/// Each user has a partition, so that a request reads nothing of others.
fn partition(user: &str) -> PartitionKey {
    PartitionKey::user(&home_account_id(user))
}

fn home_account_id(user: &str) -> String {
    format!("{user}.{TENANT}")
}

/// Where a real application redeems the authorization code.
fn ask_the_identity_provider(user: &str, now: UnixSeconds) -> TokenResponse {
    let home_account_id = home_account_id(user);
    TokenResponse {
        access_token: Some(AccessToken {
            home_account_id: Some(home_account_id.as_str().into()),
            environment: HOST.into(),
            client_id: CLIENT.into(),
            realm: TENANT.into(),
            target: SCOPES.into(),
            secret: "the access token of the response".into(),
            cached_at: Some(now),
            expires_on: Some(now.plus(3600)),
            ..AccessToken::default()
        }),
        refresh_token: Some(RefreshToken {
            home_account_id: home_account_id.as_str().into(),
            environment: HOST.into(),
            client_id: CLIENT.into(),
            secret: "the refresh token of the response".into(),
            ..RefreshToken::default()
        }),
        account: Some(Account {
            home_account_id: home_account_id.as_str().into(),
            environment: HOST.into(),
            realm: TENANT.into(),
            username: format!("{user}@contoso.example").into(),
            ..Account::default()
        }),
        ..TokenResponse::default()
    }
}

/// Histograms are summed up now and then, also while nobody asks for the page.
async fn keep_up(metrics: PrometheusHandle) {
    let mut now_and_then = tokio::time::interval(Duration::from_secs(5));
    loop {
        now_and_then.tick().await;
        metrics.run_upkeep();
    }
}

/// Returns when the process is asked to end.
async fn stopped() {
    let interrupted = async {
        // Where it cannot be heard, nobody waits for it.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
}
