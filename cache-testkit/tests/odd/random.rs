//! Random documents: good entities among spoilt ones, in any order and style. They load, every good entity is found, and
//! writing them changes nothing of what they mean.

use std::fmt::Write as _;
use std::sync::LazyLock;

use cache_core::{TokenCache, UnifiedDocument};
use cache_testkit::fixtures::{OddDocument, odd_documents};
use proptest::prelude::*;

use super::ask::{ALICE, ALICE_ASKS, APP, Ask, T1, WINDOWS, refresh_secrets, secret};
use super::meaning::{SECTIONS, cache_meaning, meaning};

/// Values that have no business where they are put.
const ODD_VALUES: [&str; 14] = [
    "null",
    "5",
    "-1.50",
    "1e400",
    "123456789012345678901234567890",
    "true",
    "[]",
    "{}",
    "[1,null]",
    r#"{"x":null}"#,
    r#"{"k":"v"}"#,
    r#""""#,
    r#""x""#,
    r#""\ud800""#,
];

/// Names of sections that the schema does not know.
const ODD_SECTIONS: [&str; 5] = ["Zsec", "accesstoken", "ACCOUNT", "", "é<\\\"/\u{1f600}"];

/// An entity of the section with this place, and what is done to it.
#[derive(Debug, Clone)]
struct Entity {
    section: usize,
    damage: Damage,
}

#[derive(Debug, Clone)]
enum Damage {
    None,
    /// A spoilt entity under the same key stands before the good one, which counts.
    Before(&'static str),
    /// And after it, so that the spoilt one counts.
    After(&'static str),
    Instead(&'static str),
    FieldGone(usize),
    FieldIs(usize, &'static str),
    /// A second field of the same name, which counts.
    FieldAgain(usize, &'static str),
}

/// What stands around the values.
#[derive(Debug, Clone)]
struct Style {
    mark: &'static str,
    comment: &'static str,
    last_comma: &'static str,
    space: &'static str,
}

#[derive(Debug, Clone)]
struct Document {
    entities: Vec<Entity>,
    unknown: Vec<(&'static str, &'static str)>,
    order: Vec<usize>,
    style: Style,
}

impl Entity {
    fn is_good(&self) -> bool {
        matches!(self.damage, Damage::None | Damage::Before(_))
    }

    /// The fields of the `n`-th entity of a document, as raw JSON.
    fn fields(&self, n: usize) -> Vec<(&'static str, String)> {
        let quoted = |text: &str| format!("\"{text}\"");
        let mut fields = vec![("environment", quoted(WINDOWS))];
        if self.section != 4 {
            fields.push(("home_account_id", quoted(ALICE)));
        }
        let own: &[(&'static str, String)] = &match self.section {
            0 => vec![
                ("credential_type", quoted("AccessToken")),
                ("client_id", quoted(APP)),
                ("secret", quoted(&format!("AT-{n}"))),
                ("realm", quoted(T1)),
                ("target", quoted(&format!("Scope.{n} openid"))),
                ("cached_at", quoted("1800000000")),
                ("expires_on", quoted("1800003600")),
                ("token_type", quoted("Bearer")),
            ],
            1 => vec![
                ("credential_type", quoted("RefreshToken")),
                ("client_id", quoted(&format!("client-{n}"))),
                ("secret", quoted(&format!("RT-{n}"))),
            ],
            2 => vec![
                ("credential_type", quoted("IdToken")),
                ("client_id", quoted(APP)),
                ("secret", quoted(&format!("e30.e30.{n}"))),
                ("realm", quoted(&format!("tenant-{n}"))),
            ],
            3 => vec![
                ("realm", quoted(&format!("tenant-{n}"))),
                ("local_account_id", quoted(&format!("local-{n}"))),
                ("username", quoted("alice")),
                ("authority_type", quoted("MSSTS")),
            ],
            _ => vec![("client_id", quoted(&format!("client-{n}"))), ("family_id", quoted("7"))],
        };
        fields.extend_from_slice(own);
        fields.push(("unknown", r#"{"deep":[1.50,null]}"#.into()));
        fields
    }

    /// The members of its section that the `n`-th entity stands for.
    fn members(&self, n: usize) -> Vec<(String, String)> {
        let key = format!("key {n}");
        let mut fields = self.fields(n);
        match self.damage {
            Damage::FieldGone(at) => {
                let at = at % fields.len();
                fields.remove(at);
            }
            Damage::FieldIs(at, value) => {
                let at = at % fields.len();
                fields[at].1 = value.into();
            }
            Damage::FieldAgain(at, value) => fields.push((fields[at % fields.len()].0, value.into())),
            Damage::None | Damage::Before(_) | Damage::After(_) | Damage::Instead(_) => {}
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let good = (key.clone(), format!("{{{}}}", fields.join(",")));
        match self.damage {
            Damage::Before(bad) => vec![(key, bad.into()), good],
            Damage::After(bad) => vec![good, (key, bad.into())],
            Damage::Instead(bad) => vec![(key, bad.into())],
            _ => vec![good],
        }
    }

    /// Whether the `n`-th entity answers as it should.
    fn is_found(&self, n: usize, cache: &TokenCache) -> bool {
        let (client, tenant) = (format!("client-{n}"), format!("tenant-{n}"));
        match self.section {
            0 => secret(cache, Ask { scopes: &format!("scope.{n}"), ..ALICE_ASKS }) == Some(format!("AT-{n}")),
            1 => refresh_secrets(cache, ALICE, &client, WINDOWS).contains(&format!("RT-{n}")),
            2 => cache.id_token(ALICE, WINDOWS, APP, &tenant).is_some(),
            3 => cache.account(ALICE, WINDOWS).is_some_and(|account| {
                account.entities.iter().any(|entity| *entity.local_account_id == format!("local-{n}"))
            }),
            _ => cache.app_metadata(WINDOWS, &client).is_some_and(|found| found.family_id.as_deref() == Some("7")),
        }
    }
}

impl Document {
    fn write(&self) -> Vec<u8> {
        let mut sections: Vec<(String, String)> = Vec::new();
        for (at, name) in SECTIONS.iter().enumerate() {
            let entities = self.entities.iter().enumerate().filter(|(_, entity)| entity.section == at);
            let members: Vec<_> = entities.flat_map(|(n, entity)| entity.members(n)).collect();
            sections.push(((*name).to_owned(), self.object(&members)));
        }
        sections.extend(self.unknown.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let ordered: Vec<_> = self.order.iter().filter_map(|at| sections.get(*at).cloned()).collect();
        format!("{}{}", self.style.mark, self.object(&ordered)).into_bytes()
    }

    fn object(&self, members: &[(String, String)]) -> String {
        let Style { comment, last_comma, space, .. } = self.style;
        let mut text = String::from("{");
        for (n, (name, value)) in members.iter().enumerate() {
            let comma = if n + 1 < members.len() { "," } else { last_comma };
            let name = serde_json::to_string(name).expect("text");
            write!(text, "{space}{name}{comment}:{space}{value}{comma}{comment}").expect("memory");
        }
        text.push('}');
        text
    }
}

fn documents() -> impl Strategy<Value = Document> {
    let odd = || prop::sample::select(&ODD_VALUES[..]);
    let damage = prop_oneof![
        4 => Just(Damage::None),
        1 => odd().prop_map(Damage::Before),
        1 => odd().prop_map(Damage::After),
        1 => odd().prop_map(Damage::Instead),
        2 => any::<usize>().prop_map(Damage::FieldGone),
        3 => (any::<usize>(), odd()).prop_map(|(at, value)| Damage::FieldIs(at, value)),
        1 => (any::<usize>(), odd()).prop_map(|(at, value)| Damage::FieldAgain(at, value)),
    ];
    let entity = (0..5usize, damage).prop_map(|(section, damage)| Entity { section, damage });
    let unknown = (prop::sample::select(&ODD_SECTIONS[..]), odd());
    let or_nothing = |text: &'static str| prop::sample::select(vec!["", text]);
    let style = (or_nothing("\u{feff}"), or_nothing("/* , } */"), or_nothing(","), or_nothing("\n    "))
        .prop_map(|(mark, comment, last_comma, space)| Style { mark, comment, last_comma, space });
    let order = Just((0..12).collect::<Vec<usize>>()).prop_shuffle();
    (prop::collection::vec(entity, 0..16), prop::collection::vec(unknown, 0..7), order, style)
        .prop_map(|(entities, unknown, order, style)| Document { entities, unknown, order, style })
}

proptest! {
    // A failure prints its smallest document; there is no file of seeds to keep.
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn good_entities_among_spoilt_ones_are_found_and_nothing_is_lost(document in documents()) {
        let bytes = document.write();
        let cache = TokenCache::deserialize(&bytes).expect("it loads");
        let written = cache.serialize();
        let again = TokenCache::deserialize(written.expose()).expect("what we write loads");
        for (n, entity) in document.entities.iter().enumerate().filter(|(_, entity)| entity.is_good()) {
            prop_assert!(entity.is_found(n, &cache), "entity {}", n);
            prop_assert!(entity.is_found(n, &again), "entity {} once written", n);
        }

        let meant = cache_meaning(&bytes);
        prop_assert!(meant.is_some(), "the document is JSON");
        prop_assert_eq!(cache_meaning(written.expose()), meant);
        prop_assert_eq!(meaning(again.serialize().expose()), meaning(written.expose()));
        prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(written.expose()).is_ok(), "strict JSON");
    }

    /// Any byte of an odd document made another: an error, or a load that writes what loads again. Never a panic.
    #[test]
    fn a_changed_byte_is_no_panic(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8) {
        static DOCUMENTS: LazyLock<Vec<OddDocument>> = LazyLock::new(|| odd_documents().collect());
        let mut bytes = which.get(&DOCUMENTS).bytes.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(cache) = TokenCache::deserialize(&bytes) {
            let again = TokenCache::deserialize(cache.serialize().expose()).expect("what we write loads");
            prop_assert_eq!(again.len(), cache.len());
        }
        if let Some(salvaged) = UnifiedDocument::salvage(&cache_core::Blob::new(bytes)) {
            prop_assert!(TokenCache::deserialize(salvaged.render().expose()).is_ok(), "what is salvaged loads");
        }
    }
}
