//! The tokens that the workers add: worker and number decide everything but the times.

use std::fmt;
use std::str::FromStr;

use cache_core::schema::AccessToken;
use cache_core::{AccessTokenQuery, UnixSeconds};
use serde::{Deserialize, Serialize};

/// One update: the token with this number, added by this worker. Its text form is `WORKER NUMBER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) worker: u16,
    pub(crate) number: u32,
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.worker, self.number)
    }
}

impl FromStr for Update {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse =
            |(worker, number): (&str, &str)| Some(Self { worker: worker.parse().ok()?, number: number.parse().ok()? });
        text.split_once(' ').and_then(parse).ok_or_else(|| "an update is two numbers: WORKER NUMBER".to_owned())
    }
}

/// The first user of the bundled document, whose tokens the workers add.
const HOME_ACCOUNT_ID: &str = "a11ce000-0000-4000-8000-000000000001.11111111-1111-4111-8111-111111111111";
const ENVIRONMENT: &str = "login.windows.net";
const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const CLIENT_ID: &str = "aaaaaaaa-0000-4000-8000-00000000000a";

/// About the size of an access token of Microsoft Entra ID.
const SECRET_LENGTH: usize = 1500;

/// How long the tokens are good for, in seconds.
const LIFETIME: i64 = 3600;

impl Update {
    /// The token that this update adds.
    pub(crate) fn token(self, now: UnixSeconds) -> AccessToken {
        AccessToken {
            home_account_id: Some(HOME_ACCOUNT_ID.into()),
            environment: ENVIRONMENT.into(),
            client_id: CLIENT_ID.into(),
            realm: TENANT.into(),
            target: self.scope().into(),
            secret: self.secret().into(),
            cached_at: Some(now),
            expires_on: Some(now.plus(LIFETIME)),
            ..AccessToken::default()
        }
    }

    /// The scope of the token: each has one of its own, so that no token takes another one's place.
    pub(crate) fn scope(self) -> String {
        let Self { worker, number } = self;
        format!("api://demo/worker-{worker}/token-{number}")
    }

    /// What the token must say.
    pub(crate) fn secret(self) -> String {
        let Self { worker, number } = self;
        let mut secret = format!("demo-{worker}-{number}-");
        secret.extend(std::iter::repeat_n('x', SECRET_LENGTH - secret.len()));
        secret
    }
}

/// The question that the token of this [scope](Update::scope) answers.
pub(crate) fn query(scope: &str) -> AccessTokenQuery<'_> {
    AccessTokenQuery::user(HOME_ACCOUNT_ID, CLIENT_ID, scope).with_environment(ENVIRONMENT).with_realm(TENANT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_read_as_they_are_written() {
        let update = Update { worker: 3, number: 17 };
        assert_eq!(update.to_string().parse(), Ok(update));
        for text in ["", "3", "3 x", "3 17 1", "-1 0"] {
            assert!(text.parse::<Update>().is_err(), "{text}");
        }
    }
}
