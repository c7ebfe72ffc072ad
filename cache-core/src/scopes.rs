//! Sets of scopes: compared ignoring case and order, without the scopes that every sign-in carries.

use memchr::memchr;

use crate::text::eq_ignore_case;

/// Scopes that the identity provider adds by itself and that name no resource.
const OIDC: [&str; 4] = ["openid", "profile", "offline_access", "email"];

/// The scopes of a space-separated `target`, in its order; repeated spaces count as one.
pub(crate) fn split(target: &str) -> Split<'_> {
    Split { rest: target }
}

/// See [`split`].
#[derive(Clone)]
pub(crate) struct Split<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let end = memchr(b' ', self.rest.as_bytes()).unwrap_or(self.rest.len());
            let (scope, rest) = self.rest.split_at(end);
            self.rest = rest.strip_prefix(' ').unwrap_or_default();
            let scope = scope.trim_ascii();
            if !scope.is_empty() {
                return Some(scope);
            }
        }
        None
    }
}

/// Whether the scope is one of `openid`, `profile`, `offline_access`, `email`.
pub(crate) fn is_oidc(scope: &str) -> bool {
    OIDC.iter().any(|oidc| oidc.len() == scope.len() && eq_ignore_case(oidc, scope))
}

/// The scopes of `requested` that a lookup must find: those that name a resource, or all if none does.
pub(crate) fn significant<'a, I>(requested: I) -> impl Iterator<Item = &'a str> + Clone
where
    I: Iterator<Item = &'a str> + Clone,
{
    let only_oidc = requested.clone().all(is_oidc);
    requested.filter(move |scope| only_oidc || !is_oidc(scope))
}

/// The first scope that names a resource, else the first one; `None`: there is no scope at all.
pub(crate) fn most_telling<'a>(mut scopes: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let first = scopes.next()?;
    if is_oidc(first) { scopes.find(|scope| !is_oidc(scope)).or(Some(first)) } else { Some(first) }
}

/// Whether `target` holds `scope`, ignoring case.
pub(crate) fn contains(target: &str, scope: &str) -> bool {
    split(target).any(|have| eq_ignore_case(have, scope))
}

/// Whether both are the same set, ignoring case and order.
pub(crate) fn same_set(a: &str, b: &str) -> bool {
    split(a).all(|scope| contains(b, scope)) && split(b).all(|scope| contains(a, scope))
}

/// Whether a new token for `a` replaces one for `b`: they share a scope that names a resource, or are the same set.
///
/// MSAL Node evicts so (`lib/msal-common/src/cache/CacheManager.ts`); MSAL.NET counts the OpenID scopes too, by which
/// two unrelated tokens evict each other.
pub(crate) fn intersect(a: &str, b: &str) -> bool {
    split(a).any(|scope| !is_oidc(scope) && contains(b, scope)) || same_set(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oidc_scopes_count_only_when_alone() {
        let of = |text: &'static str| significant(split(text)).collect::<Vec<_>>();
        assert_eq!(of("User.Read openid Profile"), ["User.Read"]);
        assert_eq!(of("openid  email"), ["openid", "email"]);
    }

    #[test]
    fn sets_and_intersections() {
        assert!(same_set("User.Read Mail.Read", "mail.read  user.read"));
        assert!(intersect("User.Read openid", "user.read Mail.Read"));
        assert!(!intersect("User.Read openid profile", "Mail.Read openid profile"));
        assert!(intersect("openid profile", "profile openid"));
        assert!(intersect("", ""));
    }
}
