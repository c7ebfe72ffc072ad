//! What each odd document must give, by hand from the documents and the rules of the schema. Where that differs from
//! what MSAL.NET 4.92.0 answered (`net` in the file), the line says why.
//!
//! A user document holds Alice's tokens for APP: access token `AT-1` for `User.Read`, refresh token `RT-1`, ID token,
//! account, and metadata of APP, which is in no family. An app document holds the access token `APP-1` of APP for itself.

#![allow(clippy::match_same_arms, reason = "a row of the table says why, not only what")]

use super::ask::{ALICE, ALICE_ASKS, APP_ASKS, Ask, FAM, Known, Owner};

/// What comes of a document.
#[derive(Debug)]
pub(crate) enum Expect {
    /// It loads, and then it gives these answers.
    Load(Answers),
    /// `Corrupt`, and a salvage finds that it does not even begin as a document.
    NoDocument,
    /// `Corrupt`, and a salvage gives these answers.
    Damaged(Answers),
}

/// What a cache answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answers {
    /// Alice's access token for APP in T1 for `User.Read` under `login.windows.net`.
    pub(crate) silent: Option<&'static str>,
    /// Alice's refresh tokens for APP, in order.
    pub(crate) refresh: &'static [&'static str],
    /// Refresh tokens of the session `HASH`.
    pub(crate) session: &'static [&'static str],
    /// Alice's ID token for APP in T1.
    pub(crate) id_token: Option<&'static str>,
    /// Alice's username.
    pub(crate) account: Option<&'static str>,
    /// What is known of APP.
    pub(crate) known: Known<'static>,
    /// APP's own access token in T1 for `api://res/.default`: by a plain request, and by one with an `fmi_path`.
    pub(crate) plain: Option<&'static str>,
    pub(crate) fmi: Option<&'static str>,
    /// Further questions, and what answers them: where an entity that `silent` must not get does belong.
    pub(crate) also: &'static [(Ask<'static>, &'static str)],
    /// Of a document that says something twice: the document that it is written as.
    pub(crate) written_as: Option<&'static str>,
}

pub(crate) const JWT: &str = "eyJhbGciOiAibm9uZSJ9.eyJhdWQiOiAiYWFhYWFhYWEtMDAwMC00MDAwLTgwMDAtMDAwMDAwMDAwMDBhIiwgIm9pZCI6ICJhMTFj\
    ZTAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEiLCAidGlkIjogIjExMTExMTExLTExMTEtNDExMS04MTExLTExMTExMTExMTExMSIsICJzdWIi\
    OiAicyIsICJwcmVmZXJyZWRfdXNlcm5hbWUiOiAiQWxpY2VAY29udG9zby5leGFtcGxlIiwgIm5hbWUiOiAiQWxpY2UifQ.c2ln";

const NOTHING: Answers = Answers {
    silent: None,
    refresh: &[],
    session: &[],
    id_token: None,
    account: None,
    known: Known::Nothing,
    plain: None,
    fmi: None,
    also: &[],
    written_as: None,
};

/// A user document as it should be.
const USER: Answers = Answers {
    silent: Some("AT-1"),
    refresh: &["RT-1"],
    id_token: Some(JWT),
    account: Some("Alice@contoso.example"),
    known: Known::NoFamily,
    ..NOTHING
};

/// An app document as it should be.
const APP_ONLY: Answers = Answers { known: Known::NoFamily, plain: Some("APP-1"), ..NOTHING };

const NO_ACCESS_TOKEN: Answers = Answers { silent: None, ..USER };
const NO_REFRESH_TOKEN: Answers = Answers { refresh: &[], ..USER };
const NO_ID_TOKEN: Answers = Answers { id_token: None, ..USER };
const NO_ACCOUNT: Answers = Answers { account: None, ..USER };
/// Of a client that nothing is known of, a family's refresh token would be worth a try; there is none.
const NO_METADATA: Answers = Answers { known: Known::Nothing, ..USER };

const FMI_PATH: &[(&str, &str)] = &[("fmi_path", "SomeFmiPath/FmiCredentialPath")];

/// What the document of this name must give.
///
/// # Panics
/// For a document that is not in the table.
pub(crate) fn expected(name: &str) -> Expect {
    use Expect::{Damaged, Load, NoDocument};

    match name {
        // The only documents that do not load: no JSON object in UTF-8, cut short, or with more behind its end.
        "04-top-null" | "05-top-array" | "06-top-string" | "07d-utf16" => NoDocument,
        "07-garbage" => Damaged(NOTHING),
        "07c-trailing-data" | "07g-nul-padding" => Damaged(USER),
        name => {
            let tables = [shape, times, access_tokens, other_entities, identity, lookups, app_documents];
            let answers = tables.iter().find_map(|table| table(name));
            Load(answers.unwrap_or_else(|| panic!("no expectation for {name}")))
        }
    }
}

/// 00 to 17: the document and its sections. MSAL.NET fails on most of these, and the next sign-in then erases the store.
fn shape(name: &str) -> Option<Answers> {
    if let Some((kind, section)) = name.rsplit_once('-') {
        match kind {
            "08-null-section" | "09-array-section" | "13-missing-section" => {
                return match section {
                    "AccessToken" => Some(NO_ACCESS_TOKEN),
                    "RefreshToken" => Some(NO_REFRESH_TOKEN),
                    "IdToken" => Some(NO_ID_TOKEN),
                    "Account" => Some(NO_ACCOUNT),
                    "AppMetadata" => Some(NO_METADATA),
                    _ => None,
                };
            }
            // A further entity that is null, empty, text or a list, in each of the sections.
            "10-null-entity" | "11-empty-entity" | "12-string-entity" | "12b-array-entity" => return Some(USER),
            _ => {}
        }
    }
    Some(match name {
        "00-canonical-user" | "01-bom" | "02-trailing-comma" | "03-comment" | "03b-line-comment" => USER,
        // Nothing but white space is an empty cache.
        "07b-whitespace" => NOTHING,
        // The display name of the account is no text: that entity is carried on and never matched, the others are good.
        "07e-invalid-utf8" | "07f-lone-surrogate" => NO_ACCOUNT,
        // One unknown section, nested 70 and 60 levels deep.
        "07h-deep-unknown" | "07i-deep60-unknown" => NOTHING,
        // Section names are case-sensitive: `accesstoken` and `ACCOUNT` are unknown sections. .NET drops them.
        "14-section-other-case" => USER,
        // A second, empty section `AccessToken`. Taken for the whole, it would wipe every token; both count.
        "15-dup-top-key" => Answers { written_as: Some("00-canonical-user"), ..USER },
        // Of a twice-named unknown section, key and field the last counts.
        "15b-dup-unknown-key" => USER,
        "16-dup-entity-key" | "17-dup-field" => Answers { silent: Some("AT-2"), ..NOTHING },
        _ => return None,
    })
}

/// 20 to 29: the times of the access token. `expires_on` decides, and `cached_at` if it lies in the future.
fn times(name: &str) -> Option<Answers> {
    Some(match name {
        // Numbers are read as well as text. .NET fails on the whole document.
        "20-number-expires_on"
        | "20-number-ext_expires_on"
        | "20-number-extended_expires_on"
        | "20-number-refresh_on"
        | "25-expires-float-number" => USER,
        // The number, and the text with a fraction, lie an hour ahead of the clock: cached in the future. .NET does not
        // look at `cached_at`.
        "20-number-cached_at" | "23-fraction-cached_at" => NO_ACCESS_TOKEN,
        "26i-cached-huge" | "29-cached-future" => NO_ACCESS_TOKEN,
        // Not known when it expires: expired.
        "21-null-expires_on"
        | "22-empty-expires_on"
        | "24-absent-expires_on"
        | "25b-expires-bool"
        | "26c-expires-over-int64"
        | "28-expires-date" => NO_ACCESS_TOKEN,
        "27-expires-negative" => NO_ACCESS_TOKEN,
        // 1800003600.5 cut off to the second. .NET takes it for 0.
        "23-fraction-expires_on" => USER,
        "28b-expires-spaces" | "28c-expires-plus" => USER,
        // Far ahead is not expired. .NET fails beyond the year 9999, and does not believe more than ten years.
        "26-expires-huge" | "26b-expires-int64max" | "26d-expires-3651-days" | "26e-expires-3649-days" => USER,
        // The other times decide nothing, whatever they say.
        "21-null-cached_at" | "22-empty-cached_at" | "24-absent-cached_at" => USER,
        "21-null-ext_expires_on"
        | "22-empty-ext_expires_on"
        | "23-fraction-ext_expires_on"
        | "24-absent-ext_expires_on"
        | "21-null-extended_expires_on"
        | "22-empty-extended_expires_on"
        | "23-fraction-extended_expires_on"
        | "24-absent-extended_expires_on"
        | "21-null-refresh_on"
        | "22-empty-refresh_on"
        | "23-fraction-refresh_on"
        | "24-absent-refresh_on" => USER,
        "26f-exthuge"
        | "26g-ext-253402300799"
        | "26h-ext-253402300800"
        | "26j-refresh-huge"
        | "27b-ext-year1"
        | "27c-ext-before-year1" => USER,
        "29b-expires-310" => USER,
        "29c-expires-299" => NO_ACCESS_TOKEN,
        // Due for a refresh, and still good.
        "29d-refresh-past" => USER,
        _ => return None,
    })
}

/// 30 to 33: a field of the access token absent, null, empty, or a number.
fn access_tokens(name: &str) -> Option<Answers> {
    /// Without a home account id it is an app token, whatever its key text says.
    const AN_APPS: Answers = Answers { also: &[(Ask { scopes: "User.Read", ..APP_ASKS }, "AT-1")], ..NO_ACCESS_TOKEN };
    /// Without a realm it is of no tenant, as tokens of AD FS are.
    const OF_NO_TENANT: Answers =
        Answers { also: &[(Ask { realm: Some(""), ..ALICE_ASKS }, "AT-1")], ..NO_ACCESS_TOKEN };

    Some(match name {
        "30-AT-absent-client_id" | "31-AT-null-client_id" | "32-AT-empty-client_id" => NO_ACCESS_TOKEN,
        "30-AT-absent-environment" | "31-AT-null-environment" | "32-AT-empty-environment" => NO_ACCESS_TOKEN,
        "30-AT-absent-target" | "31-AT-null-target" | "32-AT-empty-target" => NO_ACCESS_TOKEN,
        // .NET hands out an empty token.
        "30-AT-absent-secret" | "31-AT-null-secret" | "32-AT-empty-secret" => NO_ACCESS_TOKEN,
        "30-AT-absent-home_account_id" | "31-AT-null-home_account_id" | "32-AT-empty-home_account_id" => AN_APPS,
        "30-AT-absent-realm" | "31-AT-null-realm" | "32-AT-empty-realm" => OF_NO_TENANT,
        "30-AT-absent-credential_type" | "31-AT-null-credential_type" | "32-AT-empty-credential_type" => USER,
        // No token type is Bearer. .NET takes the empty text for a type of its own; for us missing, null and empty are one.
        "30-AT-absent-token_type" | "31-AT-null-token_type" | "32-AT-empty-token_type" => USER,
        // The number 5 is not what was asked for, in whatever field. .NET fails on the whole document.
        "33-AT-number-client_id"
        | "33-AT-number-credential_type"
        | "33-AT-number-environment"
        | "33-AT-number-home_account_id"
        | "33-AT-number-realm"
        | "33-AT-number-secret"
        | "33-AT-number-target"
        | "33-AT-number-token_type" => NO_ACCESS_TOKEN,
        _ => return None,
    })
}

/// 34 to 42: a field of another entity absent, null, or of another shape.
fn other_entities(name: &str) -> Option<Answers> {
    Some(match name {
        "34-RT-absent-client_id"
        | "34-RT-absent-environment"
        | "34-RT-absent-home_account_id"
        | "34-RT-absent-secret"
        | "35-RT-null-client_id"
        | "35-RT-null-environment"
        | "35-RT-null-home_account_id"
        | "35-RT-null-secret" => NO_REFRESH_TOKEN,
        "34-RT-absent-credential_type" | "35-RT-null-credential_type" => USER,

        // A bad ID token does not stand in the way of the access token. In .NET it does.
        "36-IdT-absent-client_id"
        | "36-IdT-absent-environment"
        | "36-IdT-absent-home_account_id"
        | "36-IdT-absent-realm"
        | "36-IdT-absent-secret"
        | "37-IdT-null-client_id"
        | "37-IdT-null-environment"
        | "37-IdT-null-home_account_id"
        | "37-IdT-null-realm"
        | "37-IdT-null-secret" => NO_ID_TOKEN,
        // What is no JWT is there, and has no claims.
        "37b-IdT-not-jwt" => Answers { id_token: Some("secret"), ..USER },
        "37c-IdT-two-parts" => Answers { id_token: Some("a.b"), ..USER },
        "37d-IdT-bad-base64" => Answers { id_token: Some("a.!!.c"), ..USER },

        "38-Acc-absent-environment"
        | "38-Acc-absent-home_account_id"
        | "39-Acc-null-environment"
        | "39-Acc-null-home_account_id" => NO_ACCOUNT,
        "38-Acc-absent-authority_type"
        | "38-Acc-absent-local_account_id"
        | "38-Acc-absent-realm"
        | "39-Acc-null-authority_type"
        | "39-Acc-null-local_account_id"
        | "39-Acc-null-realm" => USER,
        "38-Acc-absent-username" | "39-Acc-null-username" => Answers { account: Some(""), ..USER },
        // What is wrong with the ids of the Windows account manager is not wrong with the account. .NET fails on the
        // whole document.
        "39b-Acc-wam-string" | "39c-Acc-wam-null" | "39d-Acc-wam-number" => USER,
        "39e-wam-ok" | "39f-tenantProfiles" => USER,

        "40-MD-absent-client_id" | "40-MD-absent-environment" | "41-MD-null-client_id" | "41-MD-null-environment" => {
            NO_METADATA
        }
        "42-MD-family-null" => USER,
        // A number is read as its text. The family has no token here, so the client's own is left.
        "42b-MD-family-number" => Answers { known: Known::Family("1"), ..USER },
        _ => return None,
    })
}

/// 43 to 53: what tells one access token from another.
fn identity(name: &str) -> Option<Answers> {
    /// A Bearer token that says it is bound to the key `k`: key ids are compared exactly, under each of the three names.
    const BEARER_WITH_KEY: Answers =
        Answers { also: &[(Ask { bound: Some(("Bearer", Some("k"))), ..ALICE_ASKS }, "AT-1")], ..NO_ACCESS_TOKEN };
    /// Got on behalf of the assertion `HASH`: not for a request of the user's own.
    const ON_BEHALF: Answers =
        Answers { also: &[(Ask { owner: Owner::Assertion("HASH"), ..ALICE_ASKS }, "AT-1")], ..NO_ACCESS_TOKEN };

    Some(match name {
        // A kind of token that nobody knows must not be handed out as an ordinary one. .NET does not look at the kind.
        "43-unknown-credential-type" => NO_ACCESS_TOKEN,
        // Its token type says Bearer.
        "43b-authscheme-type" => USER,
        "44-key-random" | "44c-upper-key" => USER,
        // Two that are equally good: the same one every time, which is that under the greater key text. .NET fails on
        // two with the scopes in another order, or with more scopes.
        "44b-two-twins" | "45-scope-order-twins" | "46b-scope-subset-twins" => Answers { silent: Some("AT-2"), ..USER },
        "46-scope-case" | "46c-scope-double-space" => USER,
        "47-env-alias" | "47b-env-upper" => USER,
        // Under two hosts of the cloud, neither of them preferred: likewise. Else the preferred one.
        "47c-env-two-aliases" => Answers { silent: Some("AT-sts"), ..USER },
        "47d-env-preferred-and-alias" => Answers { silent: Some("AT-pref"), ..USER },
        "47e-env-other-cloud" => Answers {
            also: &[(Ask { environment: "login.usgovcloudapi.net", ..ALICE_ASKS }, "AT-1")],
            ..NO_ACCESS_TOKEN
        },
        "47f-env-unknown" => {
            Answers { also: &[(Ask { environment: "foo.example", ..ALICE_ASKS }, "AT-1")], ..NO_ACCESS_TOKEN }
        }
        // Home account ids are compared exactly; client ids and tenants are not.
        "48-home-upper" => Answers {
            refresh: &[],
            also: &[(
                Ask {
                    owner: Owner::User("A11CE000-0000-4000-8000-000000000001.11111111-1111-4111-8111-111111111111"),
                    ..ALICE_ASKS
                },
                "AT-1",
            )],
            ..NO_ACCESS_TOKEN
        },
        "48b-client-upper" | "48c-realm-upper" | "49-bearer-lower" => USER,
        "49b-pop" => {
            Answers { also: &[(Ask { bound: Some(("pop", Some("k"))), ..ALICE_ASKS }, "AT-1")], ..NO_ACCESS_TOKEN }
        }
        // .NET knows `kid` alone, and returns the second to a request without a key.
        "49c-bearer-with-kid" | "49d-bearer-with-key_id" => BEARER_WITH_KEY,
        "50-ext-object" => {
            Answers { also: &[(Ask { components: &[("fmi_path", "x")], ..ALICE_ASKS }, "AT-1")], ..NO_ACCESS_TOKEN }
        }
        // No components are none.
        "50b-ext-empty" | "50c-ext-null" => USER,
        // Components that cannot be read: not a plain token, and not to be found by any.
        "50d-ext-string" | "50e-ext-number-value" | "50f-ext-null-value" => NO_ACCESS_TOKEN,
        // Extended by its kind, or by a hash alone. .NET looks at `ext` only and returns them to a plain request.
        "51-atext-type-no-ext" | "51d-user-ext_cache_key" => NO_ACCESS_TOKEN,
        "51b-pcp-null" | "51c-pcp" => USER,
        "52-obo-hash" => Answers { refresh: &[], session: &["RT-1"], ..ON_BEHALF },
        // Node's spelling of the hash. .NET takes the token for the user's own and returns it.
        "52b-obo-node" => ON_BEHALF,
        "52c-obo-empty" => USER,
        "53-client_info-null" | "53b-client_info-garbage" => USER,
        _ => return None,
    })
}

/// 54 to 61: refresh tokens and families, accounts, and the canonical documents of more.
fn lookups(name: &str) -> Option<Answers> {
    Some(match name {
        // APP is known to be in no family, so the family's token is not tried.
        "54-rt-family" | "54j-go-md-alias" => USER,
        "54d-only-frt-md-notmember" => NO_REFRESH_TOKEN,
        // Nothing is known of APP: the family's token first, then its own.
        "54b-rt-family-nomd" => Answers { refresh: &["FRT", "RT-1"], ..NO_METADATA },
        "54c-only-frt-nomd" => Answers { refresh: &["FRT"], ..NO_METADATA },
        "54g-md-member" => Answers { refresh: &["FRT", "RT-1"], known: Known::Family("1"), ..USER },
        "54e-rt-family-empty" | "54f-rt-family-null" | "54h-rt-target-realm" => USER,
        // The newer one first. .NET takes the first in the order of its hash table.
        "54i-two-rts-target" => Answers { refresh: &["RT-1", "RT-2"], ..USER },
        "55-unknown-everything" => USER,
        // .NET does not list an account without a refresh token.
        "56-acc-no-rt" => NO_REFRESH_TOKEN,
        // With the account of a guest, after and before it: the username is that of the home tenant.
        "57-two-accs" | "58-acc-order" => USER,
        // Everything of Alice is for the client FAM; APP may try the family's refresh token.
        "60-canonical-foci" => Answers {
            refresh: &["FRT"],
            id_token: None,
            known: Known::Nothing,
            also: &[(Ask { client: FAM, ..ALICE_ASKS }, "AT-1")],
            ..NO_ACCESS_TOKEN
        },
        "61-mixed-bearer-extended-user" => {
            Answers { also: &[(Ask { components: FMI_PATH, ..ALICE_ASKS }, "EXT")], ..USER }
        }
        _ => return None,
    })
}

/// App documents, and app tokens in a user document.
fn app_documents(name: &str) -> Option<Answers> {
    const BOTH: Answers = Answers { fmi: Some("FMI"), ..APP_ONLY };
    const NONE: Answers = Answers { plain: None, ..APP_ONLY };

    Some(match name {
        "app-00-canonical" => APP_ONLY,
        "app-01-canonical-ext-AccessToken" | "app-01c-ATExt" => BOTH,
        "app-01b-only-ext" => Answers { fmi: Some("FMI"), ..NONE },
        // Without `ext`, before or after the plain one. .NET takes them for one token and keeps the last.
        "app-01d-no-ext-object" | "app-01e-ext-first" => BOTH,
        "app-02-home-null" | "app-03-home-absent" => APP_ONLY,
        // A user's token is not the app's. .NET returns it.
        "app-04-home-set" => Answers { also: &[(Ask { owner: Owner::User(ALICE), ..APP_ASKS }, "APP-1")], ..NONE },
        // User and app tokens in one document. .NET refuses that in its app cache.
        "app-05-with-rt" => Answers { refresh: &["RT-1"], ..APP_ONLY },
        "app-06-with-idt" => Answers { id_token: Some(JWT), ..APP_ONLY },
        "app-07-with-acc" => Answers { account: Some("Alice@contoso.example"), ..APP_ONLY },
        "app-08-null-client" => NONE,
        "app-09-null-realm" => Answers { also: &[(Ask { realm: Some(""), ..APP_ASKS }, "APP-1")], ..NONE },
        "app-10-realm-upper" | "app-11-env-alias" | "app-12-scope-case" | "app-13-ext_expires-missing" => APP_ONLY,
        // Client ids are compared ignoring case. .NET compares those of app tokens exactly.
        "app-10b-client-upper" => APP_ONLY,
        // .NET fails on the null of MSAL Python.
        "user-20-app-null-in-user-cache" | "user-21-app-empty-in-user-cache" | "user-22-app-absent-in-user-cache" => {
            Answers { plain: Some("APP-1"), ..USER }
        }
        _ => return None,
    })
}
