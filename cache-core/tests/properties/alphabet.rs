//! The texts of a run: few, of one length, and easily taken for each other.

use cache_core::schema::ExtendedKey;
use cache_core::{Environments, UnixSeconds};
use proptest::prelude::*;

/// The time around which everything happens.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// Times before and after now: around both margins of five minutes, and far from them.
pub(crate) const MOMENTS: [i64; 12] = [-3600, -301, -300, -1, 0, 1, 299, 300, 301, 600, 3600, 7200];

/// Hosts of five clouds, one of which is named in a group of the caller's own and two of which stand alone; with ports and
/// capitals and without.
const HOSTS: [&[&str]; 5] = [
    &["login.windows.net", "LOGIN.windows.net:443", "login.microsoftonline.com", "STS.windows.net"],
    &["login.microsoftonline.us", "login.microsoftonline.us:443", "login.usgovcloudapi.net:8443"],
    &["login.contoso.example", "Login.Contoso.example:444", "sts.contoso.example:444"],
    &["adfs.contoso.example", "ADFS.contoso.example:8443"],
    &["login.microsoftonline.de", "Login.MicrosoftOnline.de"],
];

/// The clouds of [`HOSTS`], the preferred host of each first.
pub(crate) const CLOUDS: [&[&str]; 3] = [
    &["login.windows.net", "login.microsoftonline.com", "login.microsoft.com", "sts.windows.net"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login.contoso.example", "sts.contoso.example"],
];

/// The environments that every cache here is made with.
pub(crate) fn environments() -> Environments {
    Environments::default().with_group(CLOUDS[2].iter().copied())
}

/// Schemes of tokens: two spellings each of two, and a third one.
pub(crate) const TOKEN_TYPES: [&str; 5] = ["Bearer", "bearer", "pop", "PoP", "ssh-cert"];

/// Further components of requests: of other names, of other values, of values in another case.
pub(crate) fn components(n: u8) -> &'static [(&'static str, &'static str)] {
    const COMPONENTS: [&[(&str, &str)]; 4] =
        [&[("fmi_path", "a")], &[("fmi_path", "A")], &[("client_claims", "a")], &[("client_claims", "a"), ("x", "y")]];
    COMPONENTS[usize::from(n) % COMPONENTS.len()]
}

/// The key of these [components].
pub(crate) fn extended(n: u8) -> ExtendedKey {
    ExtendedKey::new(components(n).iter().copied())
}

/// The ids, scopes and hosts of a run.
#[derive(Debug, Clone)]
pub(crate) struct Alphabet {
    ids: Kin,
    scopes: Kin,
    pub(crate) hosts: Vec<&'static str>,
}

impl Alphabet {
    /// One of three ids.
    pub(crate) fn id(&self, n: u8) -> String {
        self.ids.text(n)
    }

    /// One of three hosts, two of which are of one cloud.
    pub(crate) fn host(&self, n: u8) -> &'static str {
        self.hosts[usize::from(n) % self.hosts.len()]
    }

    /// An assertion hash: one of the ids, with padding or without.
    pub(crate) fn hash(&self, n: u8) -> String {
        self.ids.text(n) + ["", "=", "=="][usize::from(n / 3) % 3]
    }

    /// One of eight scopes, half of which name no resource or are nearly one another.
    pub(crate) fn scope(&self, n: u8) -> String {
        match n % 8 {
            0 => "openid".into(),
            1 => "Profile".into(),
            2 => "email".into(),
            3 => "offline_ACCESS".into(),
            4 => "Mail.Read".into(),
            n => self.scopes.text(n),
        }
    }

    /// The scopes as a target, in their order, with as many spaces between them as `spaces` says.
    pub(crate) fn target(&self, scopes: &[u8], spaces: usize) -> String {
        let scopes: Vec<String> = scopes.iter().map(|scope| self.scope(*scope)).collect();
        scopes.join(&" ".repeat(spaces))
    }
}

/// Any alphabet.
pub(crate) fn alphabets() -> impl Strategy<Value = Alphabet> {
    let hosts = (prop::sample::select(&HOSTS[..]), prop::sample::select(&HOSTS[..]))
        .prop_flat_map(|(cloud, other)| (prop::sample::subsequence(cloud, 2), prop::sample::subsequence(other, 1)))
        .prop_map(|(cloud, other)| [cloud, other].concat())
        .prop_shuffle();
    (kin(), kin(), hosts).prop_map(|(ids, scopes, hosts)| Alphabet { ids, scopes, hosts })
}

/// Three texts that differ in one twist each.
#[derive(Debug, Clone)]
struct Kin {
    length: usize,
    at: usize,
    twists: Vec<Twist>,
}

#[derive(Debug, Clone, Copy)]
enum Twist {
    None,
    Upper,
    /// One letter in upper case.
    OneUpper,
    OneOther,
    /// Two characters that differ in the bit in which the cases of letters differ.
    Bracket,
    Brace,
    /// One character more.
    Longer,
    /// Every `k` as the Kelvin sign, whose lower case it is: one byte for three.
    Kelvin,
    /// A letter of two bytes, and its upper case of three.
    Ring,
    Angstrom,
    /// A letter whose lower case has one byte more.
    Dotted,
}

const TWISTS: [Twist; 11] = [
    Twist::None,
    Twist::Upper,
    Twist::OneUpper,
    Twist::OneOther,
    Twist::Bracket,
    Twist::Brace,
    Twist::Longer,
    Twist::Kelvin,
    Twist::Ring,
    Twist::Angstrom,
    Twist::Dotted,
];

/// Lengths around those of the blocks that texts are hashed by.
const LENGTHS: [usize; 11] = [2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48];

fn kin() -> impl Strategy<Value = Kin> {
    let twists = prop::sample::subsequence(&TWISTS[..], 3).prop_shuffle();
    (prop::sample::select(&LENGTHS[..]), 0..48_usize, twists).prop_map(|(length, at, twists)| Kin {
        length,
        at,
        twists,
    })
}

impl Kin {
    fn text(&self, n: u8) -> String {
        let letters = "kelvin-0aq.9ukxt".chars().cycle();
        let mut text: Vec<char> = letters.clone().take(self.length).collect();
        let at = self.at % self.length;
        match self.twists[usize::from(n) % self.twists.len()] {
            Twist::None => {}
            Twist::Upper => text.iter_mut().for_each(char::make_ascii_uppercase),
            Twist::OneUpper => {
                let at = (at..text.len()).find(|at| text[*at].is_ascii_lowercase()).unwrap_or_default();
                text[at].make_ascii_uppercase();
            }
            Twist::OneOther => text[at] = 'z',
            Twist::Bracket => text[at] = '[',
            Twist::Brace => text[at] = '{',
            Twist::Longer => text.extend(letters.skip(self.length).take(1)),
            Twist::Kelvin => text.iter_mut().filter(|letter| **letter == 'k').for_each(|letter| *letter = '\u{212a}'),
            Twist::Ring => text[at] = 'å',
            Twist::Angstrom => text[at] = '\u{212b}',
            Twist::Dotted => text[at] = '\u{130}',
        }
        text.into_iter().collect()
    }
}
