//! The real command, run: every command, exit code and form of the output.

mod copy;
mod demo;
mod documents;
mod general;
mod get_token;
mod import_export;
mod list_show;
mod protection;
mod readme;
#[cfg(unix)]
mod redis;
mod remove;
mod sandbox;
mod secrets;
mod sqlite;
#[cfg(unix)]
mod stores;
#[cfg(unix)]
mod terminal;
