//! A Redis store as the arguments and the environment name it, its credentials included.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use cache_core::Secret;
use cache_crypto::secret_from_file;
use cache_redis::RedisStore;

use crate::address::Address;
use crate::args::{Location, Side};
use crate::context::Context;
use crate::exit::Failure;
use crate::process::{REDIS_PASSWORD_VARIABLE, REDIS_USER_VARIABLE};
use crate::protection::Protection;
use crate::redis_address::RedisAddress;

/// A command may wait longer than a web app: for large partitions, and for a fail-over.
const DEADLINE: Duration = Duration::from_secs(5);

/// The store at `address`. Exit 2: the credentials are not complete, or there are two passwords.
pub(crate) fn open(
    address: &RedisAddress,
    location: &Location,
    protection: Protection,
    context: &Context,
) -> Result<RedisStore, Failure> {
    let mut store = address.store().deadline(DEADLINE).runtime(context.runtime()?);
    if let Some((user, password)) = credentials(address, location)? {
        store = store.credentials(user.as_deref(), password.expose());
    }
    if context.fixed.is_some() {
        // Without it the server's own counts, which all agree upon.
        store = store.clock(Arc::clone(&context.clock));
    }
    let store = match protection {
        Protection::Encrypted(envelope) => store.protector(Arc::new(envelope)),
        // No product keeps its cache in Redis.
        Protection::Plaintext | Protection::OfProduct { .. } => store.insecure_plaintext(),
    };
    Ok(store.open()?)
}

/// Exit 2: a file with a password of Redis is given for a store of another kind.
pub(crate) fn check_fits(location: &Location) -> Result<(), Failure> {
    match location.store {
        Address::Redis(_) => Ok(()),
        _ if location.redis_password_file.is_none() => Ok(()),
        _ => Err(Failure::usage(format!("{} has no password; leave {} out", location.store, option(location)))),
    }
}

/// The user, if it is not the default one, and the password. `None`: the server asks for none.
fn credentials(address: &RedisAddress, location: &Location) -> Result<Option<(Option<String>, Secret)>, Failure> {
    let of_environment = variable(REDIS_PASSWORD_VARIABLE)?;
    let password = match (&location.redis_password_file, of_environment) {
        // Of two stores, the other one may be meant.
        (Some(_), Some(_)) if location.protection.side == Side::Only => {
            return Err(Failure::usage(format!(
                "{REDIS_PASSWORD_VARIABLE} is set and {} is given; unset the variable, or leave the option out",
                option(location)
            )));
        }
        (Some(path), _) => Some(secret_from_file(path, "password file")?),
        (None, of_environment) => of_environment.map(Secret::new),
    };
    let user = match address.user() {
        Some(user) => Some(user.to_owned()),
        None => variable(REDIS_USER_VARIABLE)?,
    };
    match (user, password) {
        (Some(user), None) => Err(Failure::usage(format!(
            "there is no password for the user {user} of {address}; set {REDIS_PASSWORD_VARIABLE} or give {} FILE",
            option(location)
        ))),
        (_, Some(password)) if password.is_empty() => {
            Err(Failure::usage(format!("the password file of {address} is empty; put the password into it")))
        }
        (user, password) => Ok(password.map(|password| (user, password))),
    }
}

fn option(location: &Location) -> String {
    location.protection.side.option("redis-password-file")
}

/// What a variable holds; empty counts as not set.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| Failure::usage(format!("{name} is not UTF-8 text; correct it")))
}
