//! A hit in the credential cache of azure_identity on a cache of `caches.py`: prints one JSON line (see ../README.md for its
//! fields).
//!
//!     azure-identity-peer DOCUMENT PROBES [--budget SECONDS]
//!
//! Takes documents of the kind `resources`. This cache is in memory only, belongs to one application in one tenant, and is
//! keyed by the list of scopes. It loads no document: it is filled by token requests, which a stub answers with the tokens
//! of the document.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, ClientOptions, HttpClient, Request, StatusCode, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

type Failure = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (document, probes, budget) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [document, probes] => (document, probes, 0.2),
        [document, probes, "--budget", seconds] => (document, probes, seconds.parse()?),
        _ => return Err("usage: azure-identity-peer DOCUMENT PROBES [--budget SECONDS]".into()),
    };
    let document: Value = serde_json::from_slice(&fs::read(document)?)?;
    let case: Value = serde_json::from_slice(&fs::read(probes)?)?;

    let stub = Arc::new(Stub { tokens: by_scope(&document)?, requests: AtomicUsize::new(0) });
    let credential = credential(&case, Arc::clone(&stub))?;
    for scope in stub.tokens.keys() {
        credential.get_token(&[scope], None).await?;
    }

    let probes = probed_scopes(&case)?;
    let mut secrets = Vec::new();
    for scope in &probes[..usize::try_from(case["checked"].as_u64().ok_or("no number of probes to check")?)?] {
        secrets.push(credential.get_token(&[scope], None).await?.token.secret().to_owned());
    }
    let exact = hit_nanoseconds(&credential, &probes, Duration::from_secs_f64(budget)).await?;
    if stub.requests.load(Ordering::Relaxed) != stub.tokens.len() {
        return Err("a hit was missed".into());
    }
    let line = json!({
        "versions": { "azure_identity": version("azure_identity")? },
        "digests": { "exact": digest(&secrets) },
        "figures": { "call.exact": exact },
    });
    println!("{line}");
    Ok(())
}

/// Median over rounds of all probes, in nanoseconds per call.
async fn hit_nanoseconds(
    credential: &ClientSecretCredential,
    probes: &[&str],
    budget: Duration,
) -> Result<f64, Failure> {
    let mut rounds = Vec::new();
    let began = Instant::now();
    while rounds.len() < 3 || began.elapsed() < budget {
        let start = Instant::now();
        for scope in probes {
            black_box(credential.get_token(&[scope], None).await?);
        }
        rounds.push(start.elapsed().as_secs_f64() * 1e9 / probes.len() as f64);
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[rounds.len() / 2])
}

fn credential(case: &Value, stub: Arc<Stub>) -> Result<Arc<ClientSecretCredential>, Failure> {
    let client_options = ClientOptions { transport: Some(Transport::new(stub)), ..ClientOptions::default() };
    Ok(ClientSecretCredential::new(
        text(case, "realm")?,
        text(case, "client_id")?.to_owned(),
        Secret::new("not-a-secret"),
        Some(ClientSecretCredentialOptions { client_options }),
    )?)
}

/// Answers token requests with the token of the scope that they ask for.
struct Stub {
    tokens: HashMap<String, String>,
    requests: AtomicUsize,
}

impl std::fmt::Debug for Stub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stub").field("tokens", &self.tokens.len()).finish()
    }
}

#[async_trait::async_trait]
impl HttpClient for Stub {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let Body::Bytes(form) = request.body() else { unreachable!("a form is bytes") };
        let token = azure_core::http::Url::parse(&format!("form:?{}", String::from_utf8_lossy(form)))?
            .query_pairs()
            .filter(|(name, _)| name == "scope")
            .find_map(|(_, scopes)| scopes.split(' ').find_map(|scope| self.tokens.get(scope)).cloned())
            .unwrap_or_default();
        let body =
            json!({ "token_type": "Bearer", "expires_in": 86400, "ext_expires_in": 86400, "access_token": token });
        Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::default(), body.to_string()))
    }
}

fn by_scope(document: &Value) -> Result<HashMap<String, String>, Failure> {
    let entities = document["AccessToken"].as_object().ok_or("the document holds no access tokens")?;
    entities
        .values()
        .map(|entity| Ok((text(entity, "target")?.to_owned(), text(entity, "secret")?.to_owned())))
        .collect()
}

fn probed_scopes(case: &Value) -> Result<Vec<&str>, Failure> {
    let probes = case["probes"].as_array().ok_or("there are no probes")?;
    probes.iter().map(|probe| Ok(probe["scopes"][0].as_str().ok_or("a probe asks for no scope")?)).collect()
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, Failure> {
    Ok(value[name].as_str().ok_or_else(|| format!("{name} is missing"))?)
}

fn digest(secrets: &[String]) -> String {
    Sha256::digest(secrets.join("\n")).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The version of a package that this program was built with.
fn version(package: &str) -> Result<&'static str, Failure> {
    let lock = include_str!("../Cargo.lock");
    let entry = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).ok_or("the package is not locked")?.1;
    Ok(entry.split('"').next().unwrap_or_default())
}
