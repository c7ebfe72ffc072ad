//! Groups of hosts: one cloud per host, whatever groups were named in whatever order.

use std::collections::BTreeSet;

use cache_core::Environments;
use proptest::prelude::*;

use super::cases;

/// Hosts that are known from the beginning, and others; some in a spelling of their own.
const HOSTS: [&str; 9] = [
    "login.windows.net",
    "Login.MicrosoftOnline.com",
    "sts.windows.net",
    "login.microsoftonline.us",
    "login.microsoftonline.de",
    "a.contoso.example",
    "B.Contoso.example",
    "[::1]",
    "\u{212a}elvin.example",
];

/// The known clouds that [`HOSTS`] are of, in lower case.
const KNOWN: [&[&str]; 3] = [
    &["login.windows.net", "login.microsoftonline.com", "login.microsoft.com", "sts.windows.net"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login.microsoftonline.de"],
];

/// A host as somebody might spell it.
fn hosts() -> impl Strategy<Value = String> {
    let port = prop::sample::select(&["", ":443", ":8443"][..]);
    (prop::sample::select(&HOSTS[..]), port, 0..3).prop_map(|(host, port, case)| {
        let host = match case {
            0 => host.to_owned(),
            1 => host.to_uppercase(),
            _ => host.to_lowercase(),
        };
        host + port
    })
}

/// The host that is meant, in the one spelling that it is kept under here.
fn plain(host: &str) -> String {
    let end = host.rfind(':').filter(|colon| !host[*colon..].contains(']')).unwrap_or(host.len());
    host[..end].to_lowercase()
}

/// Groups as they are told of, each a list of plain hosts.
struct Groups(Vec<Vec<String>>);

impl Groups {
    fn known() -> Self {
        Self(KNOWN.iter().map(|group| group.iter().map(|host| (*host).to_owned()).collect()).collect())
    }

    /// Names a group: its hosts leave the groups that they are in.
    fn name(&mut self, hosts: &[String]) {
        let mut new: Vec<String> = Vec::new();
        for host in hosts.iter().map(|host| plain(host)) {
            if !new.contains(&host) {
                new.push(host);
            }
        }
        for group in &mut self.0 {
            group.retain(|host| !new.contains(host));
        }
        self.0.push(new);
    }

    /// The hosts of a cloud, the preferred one first.
    fn of(&self, host: &str) -> Vec<String> {
        let host = plain(host);
        self.0.iter().find(|group| group.contains(&host)).cloned().unwrap_or_else(|| vec![host])
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn every_host_is_of_one_cloud(
        named in prop::collection::vec(prop::collection::vec(hosts(), 0..5), 0..5),
        asked in prop::collection::vec(hosts(), 1..8),
    ) {
        let mut groups = Groups::known();
        let mut environments = Environments::default();
        for group in &named {
            groups.name(group);
            environments = environments.with_group(group.iter().map(String::as_str));
        }

        for a in &asked {
            let expected = groups.of(a);
            let aliases: Vec<String> = environments.aliases(a).iter().map(|host| host.to_lowercase()).collect();
            prop_assert_eq!(environments.preferred(a).to_lowercase(), expected[0].as_str());
            prop_assert_eq!(&aliases[0], &expected[0], "the preferred one first");
            prop_assert_eq!(aliases.iter().collect::<BTreeSet<_>>(), expected.iter().collect(), "all of them");
            prop_assert!(aliases.iter().all(|alias| environments.same(a, alias)), "aliases are the same");
            prop_assert_eq!(environments.preferred(environments.preferred(a)), environments.preferred(a));

            prop_assert!(environments.same(a, a), "reflexive");
            for b in &asked {
                let same = environments.same(a, b);
                prop_assert_eq!(same, plain(a) == plain(b) || expected.contains(&plain(b)), "{} {}", a, b);
                prop_assert_eq!(same, environments.same(b, a), "symmetric");
                prop_assert_eq!(same, environments.same(&(plain(a) + ":1"), &b.to_uppercase()), "no port, no case");
                for c in asked.iter().filter(|c| same && environments.same(b, c)) {
                    prop_assert!(environments.same(a, c), "transitive");
                }
            }
        }
    }
}
