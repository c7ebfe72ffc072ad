//! Environments (authority hosts) and their aliases: one cloud answers under several host names.

use std::sync::Arc;

use crate::text::eq_ignore_case;

/// The clouds and their host names. The first name of each is its `preferred_cache`: the one that new entries are
/// written under.
///
/// As built into MSAL Node (`lib/msal-common/src/authority/AuthorityMetadata.ts`), MSAL.NET
/// (`src/client/Microsoft.Identity.Client/Instance/Discovery/KnownMetadataProvider.cs`) and MSAL Go
/// (`apps/internal/oauth/ops/authority/authority.go`).
const KNOWN: &[&[&str]] = &[
    &["login.windows.net", "login.microsoftonline.com", "login.microsoft.com", "sts.windows.net"],
    &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    &["login.microsoftonline.de"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login-us.microsoftonline.com"],
    &["login.sovcloud-identity.fr"],
    &["login.sovcloud-identity.de"],
    &["login.sovcloud-identity.sg"],
    &["login.windows-ppe.net", "sts.windows-ppe.net", "login.microsoft-ppe.com"],
];

/// Groups of host names that mean the same cloud.
///
/// ```
/// use cache_core::Environments;
///
/// let environments = Environments::default().with_group(["login.contoso.example", "sts.contoso.example"]);
/// assert!(environments.same("login.windows.net", "login.microsoftonline.com"));
/// assert!(environments.same("login.contoso.example:8443", "STS.contoso.example"));
/// assert!(!environments.same("login.windows.net", "login.microsoftonline.us"));
/// ```
#[derive(Debug, Clone)]
pub struct Environments {
    groups: Arc<[Box<[Box<str>]>]>,
}

impl Default for Environments {
    /// The public, China, US Government, German and newer sovereign clouds.
    fn default() -> Self {
        let groups = KNOWN.iter().map(|group| group.iter().map(|&host| host.into()).collect()).collect();
        Self { groups }
    }
}

impl Environments {
    /// These groups and one more; the first host is the preferred one. A host that is known already moves to the new
    /// group.
    #[must_use]
    pub fn with_group<'h>(self, hosts: impl IntoIterator<Item = &'h str>) -> Self {
        let mut group: Vec<Box<str>> = Vec::new();
        for host in hosts.into_iter().map(host_of) {
            if !group.iter().any(|known| eq_ignore_case(known, host)) {
                // Character by character, as hosts are compared.
                group.push(host.chars().flat_map(char::to_lowercase).collect::<String>().into());
            }
        }
        let group: Box<[Box<str>]> = group.into();
        let rest = self.groups.iter().map(|known| -> Box<[Box<str>]> {
            known.iter().filter(|host| !group.iter().any(|new| eq_ignore_case(new, host))).cloned().collect()
        });
        let groups = rest.chain([group.clone()]).filter(|group| !<[_]>::is_empty(group)).collect();
        Self { groups }
    }

    /// Whether both names mean the same cloud: the same host ignoring case and port, or two hosts of one group.
    #[inline]
    pub fn same(&self, a: &str, b: &str) -> bool {
        // Callers nearly always spell a host as it was stored.
        a == b || self.are_aliases(host_of(a), host_of(b))
    }

    /// The name that new entries of this cloud are written under: the group's first host, else the host itself
    /// without its port.
    pub fn preferred<'a>(&'a self, environment: &'a str) -> &'a str {
        let host = host_of(environment);
        self.group(host).map_or(host, |group| &*group[0])
    }

    /// Every host name of this cloud, the preferred one first.
    pub fn aliases(&self, environment: &str) -> Arc<[Box<str>]> {
        let host = host_of(environment);
        self.group(host).map_or_else(|| Arc::from([Box::from(host)]), Arc::from)
    }

    #[inline(never)]
    fn are_aliases(&self, a: &str, b: &str) -> bool {
        eq_ignore_case(a, b) || self.group(a).is_some_and(|group| group.iter().any(|host| eq_ignore_case(host, b)))
    }

    fn group(&self, host: &str) -> Option<&[Box<str>]> {
        self.groups.iter().find(|group| group.iter().any(|known| eq_ignore_case(known, host))).map(|group| &**group)
    }
}

/// The host without its port: MSAL.NET and Python drop the port of an authority, Node keeps it.
pub(crate) fn host_of(environment: &str) -> &str {
    match environment.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => environment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_host_is_in_one_group() {
        let environments = Environments::default();
        for group in KNOWN {
            for host in *group {
                assert_eq!(environments.preferred(host), group[0]);
                assert_eq!(environments.aliases(host).len(), group.len());
            }
        }
    }

    #[test]
    fn an_unknown_host_stands_alone() {
        let environments = Environments::default();
        assert_eq!(environments.preferred("adfs.contoso.example:443"), "adfs.contoso.example");
        assert!(environments.same("adfs.contoso.example", "ADFS.contoso.example:443"));
        assert!(!environments.same("adfs.contoso.example", "login.windows.net"));
    }

    #[test]
    fn a_group_names_each_host_once_and_in_any_spelling() {
        let environments = Environments::default().with_group(["a.example", "A.example:443", "b.ΟΔΟΣ"]);
        assert_eq!(environments.aliases("a.example").len(), 2);
        assert!(environments.same("a.example", "B.ΟΔΟΣ") && environments.same("b.οδοσ", "a.example"));
    }

    #[test]
    fn a_new_group_takes_its_hosts_over() {
        let environments = Environments::default().with_group(["sts.windows.net", "sts.contoso.example"]);
        assert!(environments.same("sts.windows.net", "sts.contoso.example"));
        assert!(!environments.same("sts.windows.net", "login.windows.net"));
    }
}
