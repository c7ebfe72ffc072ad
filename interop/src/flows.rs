//! The ways to get a token, and what the identity provider of the suite answers: `peers/flows.json`, the same for every
//! peer and for us.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The path of `flows.json`.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/flows.json");

/// A way to get a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// A user in the home tenant.
    User,
    /// The same user as a guest in a second tenant, after [`User`](Self::User).
    Guest,
    /// A user of an application of family `1`.
    Foci,
    /// Client credentials.
    App,
    /// Client credentials with further cache key components, after [`App`](Self::App) for the same scope.
    Extended,
    /// On behalf of a user's assertion.
    Obo,
    /// A user of Azure AD B2C.
    B2c,
    /// A user of AD FS.
    Adfs,
    /// A user's token for proof of possession.
    Pop,
    /// A user's SSH certificate.
    Ssh,
}

impl Flow {
    /// Every flow, in the order of the matrix.
    pub const ALL: [Self; 10] = [
        Self::User,
        Self::Guest,
        Self::Foci,
        Self::App,
        Self::Extended,
        Self::Obo,
        Self::B2c,
        Self::Adfs,
        Self::Pop,
        Self::Ssh,
    ];

    /// The name that peers know.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Guest => "guest",
            Self::Foci => "foci",
            Self::App => "app",
            Self::Extended => "extended",
            Self::Obo => "obo",
            Self::B2c => "b2c",
            Self::Adfs => "adfs",
            Self::Pop => "pop",
            Self::Ssh => "ssh",
        }
    }

    /// What `flows.json` says of it.
    pub fn definition(self) -> &'static Definition {
        &DEFINITIONS.flows[&self]
    }

    /// Whether the token is the application's own.
    pub fn is_of_app(self) -> bool {
        matches!(self, Self::App | Self::Extended)
    }
}

/// One flow of `flows.json`.
#[derive(Debug, Deserialize)]
pub struct Definition {
    /// The flow to sign in with first.
    pub after: Option<Flow>,
    /// The application.
    pub client_id: String,
    /// The URL of the authority.
    pub authority: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The assertion of [`Flow::Obo`].
    pub assertion: Option<String>,
    /// The components of [`Flow::Extended`].
    #[serde(default)]
    pub components: BTreeMap<String, String>,
    /// What the token endpoint answers.
    pub response: Response,
}

impl Definition {
    /// The authority's host.
    pub fn host(&self) -> &str {
        self.authority_parts().0
    }

    /// What the authority calls the tenant.
    pub fn tenant(&self) -> &str {
        self.authority_parts().1
    }

    /// The user's home account id; `None` for an application's own token.
    pub fn home_account_id(&self) -> Option<String> {
        let response = &self.response;
        let of_info = response.client_info.as_ref().map(|info| format!("{}.{}", info.uid, info.utid));
        of_info.or_else(|| Some(text(response.id_token.as_ref()?, "sub")?.to_owned()))
    }

    /// Host and first part of the path.
    fn authority_parts(&self) -> (&str, &str) {
        let rest = self.authority.strip_prefix("https://").expect("authorities of flows.json are https");
        let (host, path) = rest.split_once('/').expect("and name a tenant");
        (host, path.split('/').next().unwrap_or(path))
    }
}

/// A response of the token endpoint.
#[derive(Debug, Deserialize)]
pub struct Response {
    /// The scheme.
    pub token_type: String,
    /// The scopes granted; `None`: those asked for.
    pub scope: Option<String>,
    /// Seconds until expiry.
    pub expires_in: i64,
    /// Seconds for which it serves during outages.
    pub ext_expires_in: Option<i64>,
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: Option<String>,
    /// The family of the application.
    pub foci: Option<String>,
    /// The claims of the ID token, without times.
    pub id_token: Option<Map<String, Value>>,
    /// Who the user is in all tenants.
    pub client_info: Option<ClientInfo>,
}

impl Response {
    /// The ID token as the stubs of all peers send it, received at `now`.
    pub fn id_token(&self, now: i64) -> Option<String> {
        let mut claims = self.id_token.clone()?;
        claims.insert("iat".into(), now.into());
        claims.insert("exp".into(), (now + 3600).into());
        Some(format!("{}.{}.c2ln", encoded(&json!({"alg": "none", "typ": "JWT"})), encoded(&claims)))
    }

    /// `client_info` as it is sent.
    pub fn client_info(&self) -> Option<String> {
        self.client_info.as_ref().map(encoded)
    }

    /// A claim of the ID token that is a text.
    pub fn claim(&self, name: &str) -> Option<&str> {
        text(self.id_token.as_ref()?, name)
    }
}

/// Who a user is in all tenants.
#[derive(Debug, Deserialize, Serialize)]
pub struct ClientInfo {
    uid: String,
    utid: String,
}

/// The client and the account of the command `write`.
#[derive(Debug, Deserialize)]
pub struct Write {
    /// The application of the peers.
    pub client_id: String,
    /// The host that entries stand under.
    pub environment: String,
    /// The tenant.
    pub realm: String,
    /// The user's id in the tenant.
    pub uid: String,
    /// The user's home account id.
    pub home_account_id: String,
    /// The user's name.
    pub username: String,
}

/// What `flows.json` says of the command `write`.
pub fn write() -> &'static Write {
    &DEFINITIONS.write
}

#[derive(Debug, Deserialize)]
struct Definitions {
    flows: BTreeMap<Flow, Definition>,
    write: Write,
}

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../peers/flows.json")).expect("flows.json describes every flow")
});

/// Base64url of the JSON, as in JWTs and `client_info`.
pub(crate) fn encoded(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("plain data is JSON"))
}

fn text<'m>(map: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    map.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_is_described() {
        for flow in Flow::ALL {
            let definition = flow.definition();
            assert_eq!(definition.home_account_id().is_none(), flow.is_of_app(), "{}", flow.name());
            assert!(!definition.host().is_empty() && !definition.tenant().is_empty());
        }
    }
}
