//! The names of the five sections of the unified cache.

/// Access tokens of users and applications.
pub const ACCESS_TOKEN: &str = "AccessToken";
/// Refresh tokens.
pub const REFRESH_TOKEN: &str = "RefreshToken";
/// ID tokens.
pub const ID_TOKEN: &str = "IdToken";
/// Accounts.
pub const ACCOUNT: &str = "Account";
/// What is known of applications: their family.
pub const APP_METADATA: &str = "AppMetadata";
/// All five, in the order that we write them in.
pub const ALL: [&str; 5] = [ACCESS_TOKEN, REFRESH_TOKEN, ID_TOKEN, ACCOUNT, APP_METADATA];
