//! Random questions to the cache.

use arbitrary::Arbitrary;

use super::entities::{
    ASSERTIONS, CLIENTS, HOMES, HOSTS, KEY_IDS, NOW, REALMS, RESOURCES, TOKEN_TYPES, extended, given, scopes, time,
};
use super::naive::{self, Extended, Owner, Question, RefreshQuestion, Token};
use super::style::pick;

/// A question of its own, or one that a token answers with some fields replaced.
#[derive(Arbitrary, Debug)]
pub struct QuestionSpec {
    /// The token that it is like.
    pub like: Option<u8>,
    replaced: u16,
    owner: u8,
    home: u8,
    assertion: u8,
    client: u8,
    scopes: (u16, u16),
    host: u8,
    realm: u8,
    token_type: u8,
    key_id: u8,
    extended: u8,
    resource: u8,
    margin: i8,
    now: i8,
    /// Whether the scopes are asked for as a list.
    pub as_list: bool,
}

#[derive(Arbitrary, Debug)]
pub struct RefreshQuestionSpec {
    home: u8,
    assertion: u8,
    client: u8,
    host: u8,
    extended: u8,
}

impl Question {
    /// One that this token answers, as long as it is good.
    pub fn that_answers(token: &Token) -> Self {
        Self {
            owner: match (&token.assertion, &token.home) {
                (Some(hash), _) => Owner::Assertion(hash.clone()),
                (None, Some(home)) => Owner::User(home.clone()),
                (None, None) => Owner::App,
            },
            client: token.client.clone(),
            scopes: naive::split(&token.target).map(str::to_owned).collect(),
            environment: Some(token.environment.clone()),
            realm: Some(token.realm.clone()),
            token_type: token.token_type.clone(),
            key_id: token.key_id.clone(),
            extended: token.extended.clone(),
            resource: token.resource.clone(),
            margin: 0,
            now: token.expires_on.unwrap_or(NOW).min(NOW),
        }
    }
}

impl QuestionSpec {
    pub fn question(&self, like: Option<&Token>) -> Question {
        let owner = match self.owner % 3 {
            0 => Owner::User(pick(&HOMES, self.home).to_owned()),
            1 => Owner::App,
            _ => Owner::Assertion(pick(&ASSERTIONS[2..], self.assertion).to_owned()),
        };
        let own = Question {
            owner,
            client: pick(&CLIENTS, self.client).to_owned(),
            scopes: scopes(self.scopes).into_iter().map(str::to_owned).collect(),
            environment: given(&HOSTS, self.host),
            realm: Some(pick(&REALMS, self.realm).to_owned()).filter(|_| self.realm < 200),
            token_type: given(&TOKEN_TYPES, self.token_type),
            key_id: given(&KEY_IDS, self.key_id),
            extended: extended(self.extended),
            resource: given(&RESOURCES, self.resource),
            margin: i64::from(self.margin) * 10,
            now: time(self.now),
        };
        let Some(token) = like else { return own };
        let known = Question::that_answers(token);
        let replaced = |bit: u8| self.replaced >> bit & 1 == 1;
        Question {
            owner: if replaced(0) { own.owner } else { known.owner },
            client: if replaced(1) { own.client } else { known.client },
            scopes: if replaced(2) { own.scopes } else { known.scopes },
            environment: if replaced(3) { own.environment } else { known.environment },
            realm: if replaced(4) { own.realm } else { known.realm },
            token_type: if replaced(5) { own.token_type } else { known.token_type },
            key_id: if replaced(6) { own.key_id } else { known.key_id },
            extended: if replaced(7) { own.extended } else { known.extended },
            resource: if replaced(8) { own.resource } else { known.resource },
            margin: if replaced(9) { own.margin } else { known.margin },
            now: if replaced(10) { own.now } else { known.now },
        }
    }
}

impl RefreshQuestionSpec {
    pub fn question(&self) -> RefreshQuestion {
        RefreshQuestion {
            owner: given(&ASSERTIONS, self.assertion).map_or_else(|| Ok(pick(&HOMES, self.home).to_owned()), Err),
            client: pick(&CLIENTS, self.client).to_owned(),
            environment: pick(&HOSTS, self.host).to_owned(),
            extended: Some(extended(self.extended)).filter(|by| matches!(by, Extended::By(_))).unwrap_or_default(),
        }
    }
}
