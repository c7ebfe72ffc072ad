//! What is asked of a cache: the probes file of `caches.py`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cache_core::AccessTokenQuery;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::Failure;

/// Who asks for which tokens of one cache.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) kind: String,
    /// How many access tokens the cache holds.
    pub(crate) tokens: f64,
    pub(crate) client_id: String,
    pub(crate) environment: String,
    /// A scope of no token.
    pub(crate) absent_scope: String,
    /// How many of the probes, from the first one on, are compared between peers.
    pub(crate) checked: usize,
    pub(crate) probes: Vec<Probe>,
}

/// One question, and the parts of the key that its token is stored under.
#[derive(Deserialize)]
#[serde(from = "Asked")]
pub(crate) struct Probe {
    /// Empty for an application's own token.
    pub(crate) home_account_id: String,
    pub(crate) realm: String,
    /// All scopes of the stored token.
    pub(crate) exact: String,
    /// The last of them.
    pub(crate) subset: String,
    /// `exact` as keys spell it.
    pub(crate) key_target: String,
}

#[derive(Deserialize)]
struct Asked {
    home_account_id: String,
    realm: String,
    scopes: Vec<String>,
}

impl From<Asked> for Probe {
    fn from(Asked { home_account_id, realm, scopes }: Asked) -> Self {
        let exact = scopes.join(" ");
        let key_target = exact.to_lowercase();
        let subset = scopes.into_iter().next_back().unwrap_or_default();
        Self { home_account_id, realm, exact, subset, key_target }
    }
}

impl Case {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    /// Whether the tokens are users' ones. Only these have more than one scope.
    pub(crate) fn is_user(&self) -> bool {
        self.probes.iter().any(|probe| !probe.home_account_id.is_empty())
    }

    pub(crate) fn exact<'a>(&'a self, probe: &'a Probe) -> AccessTokenQuery<'a> {
        self.query(probe, &probe.exact)
    }

    pub(crate) fn subset<'a>(&'a self, probe: &'a Probe) -> AccessTokenQuery<'a> {
        self.query(probe, &probe.subset)
    }

    pub(crate) fn miss<'a>(&'a self, probe: &'a Probe) -> AccessTokenQuery<'a> {
        self.query(probe, &self.absent_scope)
    }

    fn query<'a>(&'a self, probe: &'a Probe, scopes: &'a str) -> AccessTokenQuery<'a> {
        let query = match probe.home_account_id.as_str() {
            "" => AccessTokenQuery::app(&self.client_id, scopes),
            home_account_id => AccessTokenQuery::user(home_account_id, &self.client_id, scopes),
        };
        query.with_environment(&self.environment).with_realm(&probe.realm)
    }

    /// The digest of the tokens that `answer` hands out for the probes to check, as every peer makes it.
    pub(crate) fn digest(&self, mut answer: impl FnMut(&Probe) -> Result<String, Failure>) -> Result<String, Failure> {
        let secrets = self.probes.iter().take(self.checked).map(&mut answer).collect::<Result<Vec<_>, _>>()?;
        let mut hex = String::new();
        for byte in Sha256::digest(secrets.join("\n")) {
            write!(hex, "{byte:02x}")?;
        }
        Ok(hex)
    }
}
