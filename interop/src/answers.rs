//! What libraries answer.

use serde::Deserialize;

/// What a sign-in left in the cache, as whoever signed in names it.
#[derive(Debug, Clone, Deserialize)]
pub struct SignIn {
    /// The access token.
    pub access_token: String,
    /// The refresh token; `None`: none is stored.
    pub refresh_token: Option<String>,
    /// The user's id over all tenants; `None` or empty for an application.
    pub home_account_id: Option<String>,
    /// The user's name.
    pub username: Option<String>,
    /// The tenant.
    pub realm: Option<String>,
    /// The key that the token is bound to.
    pub key_id: Option<String>,
    /// The hash of the assertion, where it is stored.
    pub assertion_hash: Option<String>,
    /// What to ask for where it is not what the flow says.
    #[serde(skip)]
    pub asked: Option<Asked>,
}

impl SignIn {
    /// The user's home account id; `None`: the token is an application's own.
    pub fn user(&self) -> Option<&str> {
        self.home_account_id.as_deref().filter(|home| !home.is_empty())
    }
}

/// Scopes and assertion of a document that is not made by `flows.json`.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The scopes.
    pub scopes: String,
    /// The hash of the assertion.
    pub assertion_hash: Option<String>,
}

/// What a silent request found, in a new process.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Silent {
    /// The access token.
    pub access_token: Option<String>,
    /// Requests for tokens that the library sent.
    pub http: u32,
    /// The accounts that it lists.
    pub accounts: Vec<Listed>,
    /// Why there is no token.
    pub error: Option<String>,
}

/// An account that a library lists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Listed {
    /// The account's id over all tenants.
    pub home_account_id: String,
    /// The name to sign in with.
    pub username: Option<String>,
}
