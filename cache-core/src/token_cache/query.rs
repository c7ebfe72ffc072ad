//! What a lookup asks for.

use crate::schema::ExtendedKey;
use crate::scopes;

/// Asks for an access token. Make one with [`user`](Self::user), [`app`](Self::app) or
/// [`on_behalf_of`](Self::on_behalf_of), and narrow it with the `with_` calls.
///
/// Compared exactly: home account id, assertion hash (base64 padding aside), key id. Compared ignoring case: client id,
/// realm, token type, scopes. The environment matches any alias of its cloud. `openid`, `profile`, `offline_access` and
/// `email` are not asked for unless nothing else is. An empty set of scopes asks for nothing, and finds nothing.
///
/// ```
/// use cache_core::{AccessTokenQuery, TokenCache, UnixSeconds};
///
/// let cache = TokenCache::default();
/// let query = AccessTokenQuery::user("uid.utid", "client", "User.Read Mail.Read")
///     .with_environment("login.microsoftonline.com")
///     .with_realm("utid");
/// assert!(cache.access_token(&query, UnixSeconds(1_800_000_000)).is_none());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct AccessTokenQuery<'a> {
    pub(crate) owner: Owner<'a>,
    pub(crate) client_id: &'a str,
    pub(crate) environment: Option<&'a str>,
    pub(crate) realm: Option<&'a str>,
    pub(crate) scopes: Scopes<'a>,
    pub(crate) token_type: Option<&'a str>,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) extended: Option<&'a ExtendedKey>,
    pub(crate) resource: Option<&'a str>,
    pub(crate) margin_seconds: i64,
}

/// Whose tokens are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// The user with this home account id.
    User(&'a str),
    /// The application itself.
    App,
    /// Whoever the assertion with this hash names.
    Assertion(&'a str),
}

/// Seconds that a token must still be good for, as in every MSAL library.
const MARGIN_SECONDS: i64 = 300;

impl<'a> AccessTokenQuery<'a> {
    /// A user's token, by home account id.
    pub fn user(home_account_id: &'a str, client_id: &'a str, scopes: impl Into<Scopes<'a>>) -> Self {
        Self::of(Owner::User(home_account_id), client_id, scopes.into())
    }

    /// An application's own token (client credentials).
    pub fn app(client_id: &'a str, scopes: impl Into<Scopes<'a>>) -> Self {
        Self::of(Owner::App, client_id, scopes.into())
    }

    /// A token got on behalf of the assertion with this [hash](crate::assertion_hash), or in the long-running process
    /// with this session key.
    pub fn on_behalf_of(assertion_hash: &'a str, client_id: &'a str, scopes: impl Into<Scopes<'a>>) -> Self {
        Self::of(Owner::Assertion(assertion_hash), client_id, scopes.into())
    }

    /// Of this cloud only, named by any of its hosts. Without it: of any cloud.
    #[must_use]
    pub fn with_environment(self, environment: &'a str) -> Self {
        Self { environment: Some(environment), ..self }
    }

    /// Of this tenant only. Without it: of any tenant, which searches the whole cache instead of the index.
    #[must_use]
    pub fn with_realm(self, realm: &'a str) -> Self {
        Self { realm: Some(realm), ..self }
    }

    /// Of this scheme, for example `pop`, bound to this key. Without it: Bearer, bound to none.
    #[must_use]
    pub fn with_token_type(self, token_type: &'a str, key_id: Option<&'a str>) -> Self {
        Self { token_type: Some(token_type), key_id, ..self }
    }

    /// Asked for with these further components. Without it: with none.
    #[must_use]
    pub fn with_extended(self, extended: &'a ExtendedKey) -> Self {
        Self { extended: Some(extended), ..self }
    }

    /// Of a request for this resource.
    #[must_use]
    pub fn with_resource(self, resource: &'a str) -> Self {
        Self { resource: Some(resource), ..self }
    }

    /// Good for at least this many seconds more. Without it: 300.
    #[must_use]
    pub fn with_margin(self, seconds: i64) -> Self {
        Self { margin_seconds: seconds, ..self }
    }

    /// Whether every [ordinary](super::hashed::Hashed::is_ordinary) token of the owner, client and scopes answers.
    pub(crate) fn is_ordinary(&self) -> bool {
        let unbound = self.token_type.is_none() && self.key_id.is_none() && self.extended.is_none();
        unbound && self.resource.is_none() && !matches!(self.owner, Owner::Assertion(_))
    }

    fn of(owner: Owner<'a>, client_id: &'a str, scopes: Scopes<'a>) -> Self {
        Self {
            owner,
            client_id,
            environment: None,
            realm: None,
            scopes,
            token_type: None,
            key_id: None,
            extended: None,
            resource: None,
            margin_seconds: MARGIN_SECONDS,
        }
    }
}

impl std::fmt::Debug for Owner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User(_) => "User(..)",
            Self::App => "App",
            // A session key is a capability.
            Self::Assertion(_) => "Assertion(..)",
        })
    }
}

/// A set of scopes, as one text separated by spaces or as a list.
#[derive(Debug, Clone, Copy)]
pub struct Scopes<'a>(ScopesRepr<'a>);

#[derive(Debug, Clone, Copy)]
enum ScopesRepr<'a> {
    Text(&'a str),
    List(&'a [&'a str]),
}

impl<'a> Scopes<'a> {
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a str> + Clone {
        let (text, list) = match self.0 {
            ScopesRepr::Text(text) => (text, &[][..]),
            ScopesRepr::List(list) => ("", list),
        };
        scopes::split(text).chain(list.iter().copied().flat_map(scopes::split))
    }

    /// One of those that a lookup must find; `None`: there is no scope at all.
    pub(crate) fn most_telling(self) -> Option<&'a str> {
        match self.0 {
            ScopesRepr::Text(text) => scopes::most_telling(scopes::split(text)),
            ScopesRepr::List(list) => scopes::most_telling(list.iter().copied().flat_map(scopes::split)),
        }
    }

    /// Whether a token with these scopes has all that a lookup must find.
    pub(crate) fn are_in(self, target: &str) -> bool {
        if matches!(self.0, ScopesRepr::Text(text) if text == target) {
            return true;
        }
        let mut only_oidc = true;
        for scope in self.iter().filter(|scope| !scopes::is_oidc(scope)) {
            only_oidc = false;
            if !scopes::contains(target, scope) {
                return false;
            }
        }
        !only_oidc || self.iter().all(|scope| scopes::contains(target, scope))
    }

    /// Those that a lookup must find.
    pub(crate) fn significant(self) -> impl Iterator<Item = &'a str> + Clone {
        scopes::significant(self.iter())
    }
}

impl<'a> From<&'a str> for Scopes<'a> {
    fn from(text: &'a str) -> Self {
        Self(ScopesRepr::Text(text))
    }
}

impl<'a> From<&'a String> for Scopes<'a> {
    fn from(text: &'a String) -> Self {
        Self(ScopesRepr::Text(text))
    }
}

impl<'a> From<&'a [&'a str]> for Scopes<'a> {
    fn from(list: &'a [&'a str]) -> Self {
        Self(ScopesRepr::List(list))
    }
}

impl<'a, const N: usize> From<&'a [&'a str; N]> for Scopes<'a> {
    fn from(list: &'a [&'a str; N]) -> Self {
        Self(ScopesRepr::List(list))
    }
}

/// Asks for refresh tokens of a user for a client.
#[derive(Clone, Copy)]
pub struct RefreshTokenQuery<'a> {
    pub(crate) home_account_id: Option<&'a str>,
    pub(crate) assertion_hash: Option<&'a str>,
    pub(crate) client_id: &'a str,
    pub(crate) environment: &'a str,
    pub(crate) extended: Option<&'a ExtendedKey>,
}

impl<'a> RefreshTokenQuery<'a> {
    /// A user's refresh tokens, by home account id.
    pub fn user(home_account_id: &'a str, client_id: &'a str, environment: &'a str) -> Self {
        Self { home_account_id: Some(home_account_id), assertion_hash: None, client_id, environment, extended: None }
    }

    /// The refresh tokens of a long-running on-behalf-of process, by its session key or assertion hash.
    pub fn on_behalf_of(assertion_hash: &'a str, client_id: &'a str, environment: &'a str) -> Self {
        Self { home_account_id: None, assertion_hash: Some(assertion_hash), client_id, environment, extended: None }
    }

    /// Of the division with these components. Without it: of none. A family's token serves every division.
    #[must_use]
    pub fn with_extended(self, extended: &'a ExtendedKey) -> Self {
        Self { extended: Some(extended), ..self }
    }
}

impl std::fmt::Debug for RefreshTokenQuery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshTokenQuery")
            .field("client_id", &self.client_id)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}
