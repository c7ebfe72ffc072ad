//! MSAL.NET, whose program makes and reads whole documents (`fixtures generate`, `fixtures read`) where the others sign
//! in and ask: the same cells of the matrix by other commands.
//!
//! Its documents are made for one moment, [`NOW`], and when it reads one it moves the times from there to the present.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::answers::{Asked, Listed, SignIn, Silent};
use crate::flows::Flow;
use crate::peers::{Peer, text};

/// The time of its documents, in seconds since 1970: 2027-01-15T08:00:00Z.
pub const NOW: i64 = 1_800_000_000;

/// The document of this flow, and its token there.
fn made(flow: Flow) -> (&'static str, &'static str) {
    match flow {
        Flow::User => ("net-user-single.json", "AT-1-synthetic"),
        Flow::Guest => ("net-users-multi-tenant.json", "AT-3-synthetic"),
        Flow::Foci => ("net-foci.json", "AT-1-synthetic"),
        Flow::App => ("net-app-tokens.json", "APP-AT-1-synthetic"),
        Flow::Extended => ("net-app-extended.json", "APP-AT-2-synthetic"),
        Flow::Obo => ("net-obo.json", "AT-1-synthetic"),
        Flow::B2c => ("net-b2c.json", "AT-1-synthetic"),
        Flow::Adfs => ("net-adfs.json", "AT-1-synthetic"),
        Flow::Pop => ("net-pop.json", "AT-2-synthetic"),
        Flow::Ssh => ("net-ssh-cert.json", "AT-2-synthetic"),
    }
}

/// Puts the document of this flow at `cache`, and answers what is in it.
pub(crate) fn sign_in(peer: &Peer, flow: Flow, cache: &Path) -> Result<SignIn, String> {
    let (document, secret) = made(flow);
    let bytes = std::fs::read(documents(peer).join(document)).map_err(|error| format!("{document}: {error}"))?;
    std::fs::write(cache, &bytes).map_err(|error| error.to_string())?;
    let document: BTreeMap<String, Map<String, Value>> = serde_json::from_slice(&bytes).expect("MSAL.NET writes JSON");
    let find = |section: &str, names: &[(&str, &Value)]| {
        let section = document.get(section)?;
        section.values().find(|entity| names.iter().all(|(name, value)| entity[*name] == **value)).cloned()
    };
    let field = |entity: &Value, name: &str| entity[name].as_str().map(str::to_owned);
    let token = find("AccessToken", &[("secret", &secret.into())]).expect("the token of the flow is in its document");
    let (home, client) = (&token["home_account_id"], &token["client_id"]);
    let refresh_token = find("RefreshToken", &[("home_account_id", home), ("client_id", client)]);
    let account = find("Account", &[("home_account_id", home)]);
    let assertion_hash = field(&token, "user_assertion_hash");
    Ok(SignIn {
        access_token: secret.to_owned(),
        refresh_token: refresh_token.and_then(|token| field(&token, "secret")),
        home_account_id: field(&token, "home_account_id"),
        username: account.and_then(|account| field(&account, "username")),
        realm: field(&token, "realm"),
        key_id: field(&token, "kid"),
        asked: field(&token, "target").map(|scopes| Asked { scopes, assertion_hash: assertion_hash.clone() }),
        assertion_hash,
    })
}

/// What MSAL.NET makes of the document at `cache`: of the newest of its tokens that is ours.
pub(crate) fn read(peer: &Peer, flow: Flow, cache: &Path) -> (Silent, Option<String>) {
    let application: &[&str] = if flow.is_of_app() { &["--app"] } else { &[] };
    let mut arguments = vec!["fixtures", "read", text(cache)];
    arguments.extend(application);
    let lines = run(peer, &arguments);
    let said = |name: &'static str| lines.iter().filter(move |line| line.get(name).is_some());
    let loaded = said("load").any(|line| line["load"] == "ok");
    let wanted = flow.definition().response.access_token.as_str();
    let token =
        said("access_token").find(|line| line["access_token"].as_str().is_some_and(|have| have.ends_with(wanted)));
    let accounts = said("account").filter_map(|line| {
        let username = line["account"].as_str().map(str::to_owned);
        Some(Listed { home_account_id: line["id"].as_str()?.to_owned(), username })
    });
    let found = token.and_then(|line| line["found"].as_str()).unwrap_or_default().to_owned();
    let hit = token.is_some_and(|line| line["found"] == line["access_token"]);
    let error = if loaded { found.clone() } else { format!("{:?}", lines.first()) };
    let sent = said("refresh_token").find_map(|line| line["sent"].as_str()).map(str::to_owned);
    let silent = Silent {
        access_token: hit.then_some(found),
        http: u32::from(!hit),
        accounts: accounts.collect(),
        error: (!hit).then_some(error),
    };
    (silent, sent)
}

/// The folder of its documents, made once.
fn documents(peer: &Peer) -> &'static Path {
    static DOCUMENTS: OnceLock<TempDir> = OnceLock::new();
    let made = DOCUMENTS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        run(peer, &["fixtures", "generate", text(folder.path())]);
        folder
    });
    made.path()
}

/// A document that does not load is an answer, not a failure of the program.
fn run(peer: &Peer, arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(peer.program()).args(arguments).output().expect("the program of MSAL.NET starts");
    output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}
