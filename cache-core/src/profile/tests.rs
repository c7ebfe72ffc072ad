use super::*;
use crate::schema::{AccessToken, Entity as _, section};
use crate::secret::Blob;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// An access token that every library takes, with more fields or other ones.
fn token(fields: &str) -> String {
    let defaults = [
        ("home_account_id", r#""u.t""#),
        ("environment", r#""login.windows.net""#),
        ("credential_type", r#""AccessToken""#),
        ("client_id", r#""app""#),
        ("secret", r#""planted""#),
        ("expires_on", r#""1800003600""#),
    ];
    let missing: Vec<String> = defaults
        .iter()
        .filter(|(name, _)| !fields.contains(&format!("\"{name}\":")))
        .map(|(name, value)| format!(r#""{name}":{value}"#))
        .collect();
    let fields = if fields.is_empty() { String::new() } else { format!(",{fields}") };
    format!("{{{}{fields}}}", missing.join(","))
}

fn document(json: &str) -> UnifiedDocument {
    UnifiedDocument::parse(&Blob::copy_of(json.as_bytes())).expect(json)
}

fn of_section(section: &str, entity: &str) -> UnifiedDocument {
    document(&format!(r#"{{"{section}":{{"k":{entity}}}}}"#))
}

/// The entity in the form of this profile, `None` if it was dropped. Applying it again changes nothing.
fn formed(profile: Profile, section: &str, entity: &str) -> Option<String> {
    let mut document = of_section(section, entity);
    let before = document.render();
    let applied = profile.apply(&mut document, NOW);
    let changed = !(applied.rewritten.is_empty() && applied.dropped.is_empty());
    assert_eq!(changed, document.render() != before, "{entity}");
    let after = document.render();
    let again = profile.apply(&mut document, NOW);
    assert!(again.rewritten.is_empty() && again.dropped.is_empty(), "{entity}");
    assert!(document.render() == after, "{entity}");
    let entry = document.entry(&EntryId::new(section, "k"))?;
    Some(String::from_utf8(entry.json.expose().to_vec()).expect("UTF-8"))
}

fn reasons(profile: Profile, document: &UnifiedDocument) -> Vec<(Peer, Reason)> {
    profile.objections(document).iter().map(|objection| (objection.peer(), objection.reason())).collect()
}

/// One field of an access token beside these libraries, before and after; `None` if it is not there.
#[track_caller]
fn expect_field(peers: &[Peer], name: &str, before: Option<&str>, after: Option<&str>) {
    let profile = Profile::shared_with(peers.iter().copied());
    let field = before.map_or_else(String::new, |value| format!(r#""{name}":{value}"#));
    let mut entity = token(&field);
    if before.is_none() {
        let start = entity.find(&format!("\"{name}\":"));
        if let Some(start) = start {
            let end = entity[start..].find(',').map_or(entity.len() - 1, |comma| start + comma + 1);
            entity.replace_range(start..end, "");
            entity = entity.replace(",}", "}");
        }
    }
    let formed = formed(profile, section::ACCESS_TOKEN, &entity).expect("stays");
    let fields = fields::Fields::of(formed.as_bytes()).expect("an object");
    assert_eq!(fields.raw(name), after, "{name}: {before:?} beside {peers:?}");
}

#[test]
fn the_default_changes_and_objects_to_nothing() {
    let json =
        r#"{"AccessToken":[1],"accesstoken":1,"IdToken":{"k":{"secret":5,"secret":null,"home_account_id":null}}}"#;
    let mut document = document(json);
    let before = document.render();
    let applied = Profile::default().apply(&mut document, NOW);
    assert!(applied.rewritten.is_empty() && applied.dropped.is_empty() && applied.objections.is_empty());
    assert!(document.render() == before && !document.is_changed());
}

#[test]
fn null_home_account_ids_are_refused_beside_dotnet() {
    for peer in [Peer::Python, Peer::Node, Peer::Go, Peer::Java] {
        assert!(Profile::shared_with([peer]).with_null_home_account_ids().is_ok());
        let error = Profile::shared_with([peer, Peer::DotNet]).with_null_home_account_ids().expect_err("beside .NET");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn times_are_spelled_as_each_library_reads_them() {
    use Peer::{DotNet, Go, Java, Node, Python};
    const ALL: [Peer; 5] = Peer::ALL;
    const LAST: &str = r#""253402300799""#;
    for (peers, name, before, after) in [
        (&ALL[..], "expires_on", Some(r#""1800003600""#), Some(r#""1800003600""#)),
        (&ALL, "expires_on", Some("1800003600"), Some(r#""1800003600""#)),
        (&[Go, Python, Node, Java], "expires_on", Some("1800003600"), Some("1800003600")),
        (&[Python], "expires_on", Some("1800003600.5"), Some("1800003600.5")),
        (&[Go], "expires_on", Some("1800003600.5"), Some(r#""1800003600""#)),
        (&[Python], "expires_on", Some(r#""1800003600.5""#), Some(r#""1800003600""#)),
        (&[Python], "cached_at", Some(r#""1800003600.5""#), Some(r#""1800003600.5""#)),
        (&[DotNet], "cached_at", Some(r#""1800003600.5""#), Some(r#""1800003600""#)),
        (&[DotNet], "expires_on", Some(r#"" +1800003600 ""#), Some(r#"" +1800003600 ""#)),
        (&[Go], "expires_on", Some(r#"" +1800003600 ""#), Some(r#""1800003600""#)),
        (&[DotNet], "expires_on", Some(r#""9223372036854775807""#), Some(LAST)),
        (&[DotNet], "extended_expires_on", Some(r#""253402300800""#), Some(LAST)),
        (&[DotNet], "ext_expires_on", Some(r#""-62135596801""#), Some(r#""-62135596800""#)),
        (&[DotNet], "refresh_on", Some(r#""253402300800""#), Some(r#""253402300499""#)),
        (&[Go, Python], "refresh_on", Some(r#""253402300800""#), Some(r#""253402300800""#)),
        (&[DotNet], "expires_on", Some(r#""99999999999999999999999""#), Some(r#""99999999999999999999999""#)),
        (&[Python], "expires_on", Some(r#""99999999999999999999999""#), Some(r#""99999999999999999999999""#)),
        (&[Go], "expires_on", Some(r#""99999999999999999999999""#), Some(r#""0""#)),
        (&[DotNet, Node, Java], "expires_on", Some("null"), Some("null")),
        (&[Python], "expires_on", Some("null"), Some(r#""0""#)),
        (&[Python], "expires_on", None, Some(r#""0""#)),
        (&[Go, DotNet], "expires_on", None, None),
        (&[Go], "cached_at", Some(r#""""#), None),
        (&[DotNet], "cached_at", Some("true"), None),
        (&[Python], "cached_at", Some("true"), Some("true")),
        (&[Python], "expires_on", Some(r#""2027-01-15T08:00:00Z""#), Some(r#""0""#)),
    ] {
        expect_field(peers, name, before, after);
    }
}

#[test]
fn dotnet_finds_texts_and_objects_of_texts() {
    for (name, before, after) in [
        ("client_id", "5", Some(r#""5""#)),
        ("token_type", r#"["pop",{"a":1}]"#, Some(r#""[\"pop\",{\"a\":1}]""#)),
        ("environment", "null", None),
        ("client_id", "null", None),
        ("realm", "null", Some("null")),
        ("unknown", "5", Some("5")),
        ("unknown", "null", Some("null")),
        ("key_id", "5", Some("5")),
        ("persisted_cache_parameters", "null", None),
        ("persisted_cache_parameters", r#""x""#, Some(r#"{"value":"\"x\""}"#)),
        ("persisted_cache_parameters", r#"{"a":"b","n":null}"#, Some(r#"{"a":"b","n":null}"#)),
        ("persisted_cache_parameters", r#"{"a":1,"b":{"c":[]},"a":"z"}"#, Some(r#"{"a":"z","b":"{\"c\":[]}"}"#)),
    ] {
        expect_field(&[Peer::DotNet], name, Some(before), after);
        if name != "client_id" {
            expect_field(&[Peer::Node, Peer::Go, Peer::Java], name, Some(before), Some(before));
        }
    }
    let repeated = formed(Profile::shared_with([Peer::DotNet]), "RefreshToken", r#"{"a":1,"b":"x","a":{"c":1,"c":2}}"#);
    assert_eq!(repeated.as_deref(), Some(r#"{"a":{"c":1,"c":2},"b":"x"}"#), "the last one; unknown data as it is");
}

#[test]
fn what_is_nested_too_deep_for_dotnet_becomes_its_text() {
    let profile = Profile::shared_with([Peer::DotNet]);
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (levels, is_kept) in [(61, true), (62, false)] {
        let formed = formed(profile, "Account", &format!(r#"{{"username":"a","x":{}}}"#, nested(levels)));
        let value = if is_kept { nested(levels) } else { format!("\"{}\"", nested(levels)) };
        assert_eq!(formed, Some(format!(r#"{{"username":"a","x":{value}}}"#)));
    }
    for (levels, is_kept) in [(63, true), (64, false)] {
        let mut document = document(&format!(r#"{{"Zsec":{}}}"#, nested(levels)));
        profile.apply(&mut document, NOW);
        let entry = document.entry(&EntryId::new("Zsec", "")).expect("stays");
        assert_eq!(entry.json.expose().starts_with(b"["), is_kept, "{levels}");
        assert!(profile.objections(&document).is_empty());
    }
}

/// Its own text would be longer than an entity may be, and nobody could read the document any more.
#[test]
fn what_would_grow_too_long_stays() {
    let texts = r#""","#.repeat(4 << 20);
    let json = format!(r#"{{"Account":{{"k":{{"username":"a","x":{}{texts}""{}}}}}}}"#, "[".repeat(62), "]".repeat(62));
    let (profile, mut document) = (Profile::shared_with([Peer::DotNet]), document(&json));
    let applied = profile.apply(&mut document, NOW);
    assert!(applied.rewritten.is_empty());
    assert_eq!(applied.objections.len(), 1);
    assert!(UnifiedDocument::parse(&document.render()).is_ok());
}

#[test]
fn text_that_a_library_cannot_read_is_replaced() {
    let bytes = b"{\"RefreshToken\":{\"a\\ud800\":{\"x\":\"1\"},\"b\xff\":{\"x\":\"2\xff\"}},\"Z\":\"\\udc00\"}";
    let parsed = UnifiedDocument::parse(&Blob::copy_of(bytes)).expect("lenient");
    let rendered = |peer| {
        let mut document = parsed.clone();
        Profile::shared_with([peer]).reform(&mut document, NOW);
        String::from_utf8(document.render().expose().to_vec()).expect("UTF-8")
    };
    let python = rendered(Peer::Python);
    assert!(python.contains("\u{fffd}\":{\"x\":\"2\u{fffd}\"") && python.contains(r#""Z":"\udc00""#), "{python}");
    let objections = reasons(Profile::shared_with([Peer::DotNet, Peer::Python]), &parsed);
    assert!(objections.contains(&(Peer::DotNet, Reason::Surrogate)), "{objections:?}");
    assert!(objections.contains(&(Peer::Python, Reason::NotUtf8)), "{objections:?}");
    let dotnet = rendered(Peer::DotNet);
    assert!(dotnet.contains(r#""Z":"\ufffd""#) && dotnet.contains(r#""a\\ud800":"#), "{dotnet}");
}

#[test]
fn an_application_has_the_home_account_id_that_was_asked_for() {
    let null = Some("null");
    let empty = Some(r#""""#);
    for before in [None, null, empty] {
        let kept = if before.is_none() { empty } else { before };
        expect_field(&[Peer::Node], "home_account_id", before, kept);
        expect_field(&[Peer::Python, Peer::Go, Peer::Java], "home_account_id", before, kept);
        expect_field(&[Peer::DotNet, Peer::Python], "home_account_id", before, empty);
        let profile = Profile::shared_with([Peer::Python]).with_null_home_account_ids().expect("without .NET");
        let field = before.map_or_else(|| r#""x":1"#.into(), |value| format!(r#""home_account_id":{value}"#));
        let entity = token(&field).replace(r#""home_account_id":"u.t","#, "");
        let formed = formed(profile, section::ACCESS_TOKEN, &entity).expect("stays");
        assert!(formed.contains(r#""home_account_id":null"#), "{formed}");
    }
    // A user's is never touched, and nothing is made up for what is no access token.
    expect_field(&Peer::ALL, "home_account_id", Some(r#""u.t""#), Some(r#""u.t""#));
    let unreadable = formed(Profile::shared_with([Peer::Node]), section::ACCESS_TOKEN, r#"{"foo":"bar"}"#);
    assert_eq!(unreadable.as_deref(), Some(r#"{"foo":"bar"}"#));
}

#[test]
fn key_ids_and_assertion_hashes_stand_in_each_spelling() {
    let pop = |fields: &str| token(&format!(r#""token_type":"pop",{fields}"#));
    let all = Profile::shared_with(Peer::ALL);
    for spelling in ["key_id", "kid", "keyid"] {
        let formed = formed(all, section::ACCESS_TOKEN, &pop(&format!(r#""{spelling}":"K""#))).expect("stays");
        for name in ["key_id", "kid", "keyid"] {
            assert!(formed.contains(&format!(r#""{name}":"K""#)), "{formed}");
        }
    }
    let bearer = token(r#""key_id":"K""#);
    assert_eq!(
        formed(all, section::ACCESS_TOKEN, &bearer).as_deref(),
        Some(&*bearer),
        "MSAL.NET finds no bearer by key"
    );

    let padded = format!("{}=", "h".repeat(43));
    for (peers, before, after, value) in [
        (&[Peer::Node][..], "user_assertion_hash", "userAssertionHash", &padded[..43]),
        (&[Peer::DotNet], "userAssertionHash", "user_assertion_hash", &padded[..43]),
        (&[Peer::Java], "userAssertionHash", "user_assertion_hash", &padded[..43]),
    ] {
        let entity = token(&format!(r#""{before}":"{padded}""#));
        let profile = Profile::shared_with(peers.iter().copied());
        let formed = formed(profile, section::ACCESS_TOKEN, &entity).expect("stays");
        assert!(formed.contains(&format!(r#""{after}":"{value}""#)), "{formed}");
        assert!(formed.contains(&format!(r#""{before}":"{padded}""#)), "{formed}");
    }
}

#[test]
fn an_extended_token_says_so_to_every_library() {
    const HASH: &str = "cojvfy5tzae3njpkvcebguvvx5vvmnj8hphqrbogjoi";
    let components = r#"{"fmi_path":"SomeFmiPath/FmiCredentialPath"}"#;
    let all = Profile::shared_with(Peer::ALL);
    let of_hash = format!(r#""ext_cache_key":"{HASH}""#);
    for field in [format!(r#""ext":{components}"#), format!(r#""additionalCacheKeyComponents":{components}"#)] {
        let formed = formed(all, section::ACCESS_TOKEN, &token(&field)).expect("stays");
        for expected in [
            format!(r#""ext":{components}"#),
            format!(r#""additionalCacheKeyComponents":{components}"#),
            of_hash.clone(),
        ] {
            assert!(formed.contains(&expected), "{formed}");
        }
    }
    // Of a hash nobody knows the components.
    for name in ["ext_cache_key", "ext_cache_key_hash"] {
        let entity = token(&format!(r#""{name}":"{HASH}""#));
        let formed = formed(all, section::ACCESS_TOKEN, &entity).expect("stays");
        assert!(formed.contains(&format!(r#""ext":{{{of_hash}}}"#)), "{formed}");
        assert!(formed.contains(&of_hash) && !formed.contains("additionalCacheKeyComponents"), "{formed}");
        let read = |json: &str| AccessToken::read("k", &Blob::copy_of(json.as_bytes())).expect("readable").extended;
        assert_eq!(read(&formed), read(&entity), "we read it as before");
        let left = reasons(all, &of_section(section::ACCESS_TOKEN, &formed));
        assert_eq!(left, [(Peer::Node, Reason::TakenForPlain)]);
    }
}

#[test]
fn credential_types_are_those_that_node_keeps_and_python_expires() {
    const PLAIN: Option<&str> = Some(r#""AccessToken""#);
    const SCHEME: Option<&str> = Some(r#""AccessToken_With_AuthScheme""#);
    let kind = |peers: &[Peer], fields: &str| {
        let entity = formed(Profile::shared_with(peers.iter().copied()), section::ACCESS_TOKEN, &token(fields))?;
        Some(fields::Fields::of(entity.as_bytes())?.raw("credential_type")?.to_owned())
    };
    let extended = r#""credential_type":"ATExt","ext":{"a":"b"}"#;
    assert_eq!(kind(&[Peer::Node], extended).as_deref(), PLAIN);
    assert_eq!(kind(&[Peer::Python], extended).as_deref(), PLAIN);
    assert_eq!(kind(&[Peer::DotNet, Peer::Go], extended).as_deref(), Some(r#""ATExt""#));
    // The type is all that tells it from a plain token.
    let unknown = r#""credential_type":"ATExt""#;
    assert_eq!(kind(&[Peer::Node, Peer::Python], unknown).as_deref(), Some(r#""ATExt""#));
    let other = r#""credential_type":"Other""#;
    assert_eq!(kind(&[Peer::Node, Peer::Python], other).as_deref(), Some(r#""Other""#));

    let pop = r#""token_type":"pop","credential_type":"AccessToken_With_AuthScheme""#;
    let expired = format!(r#"{pop},"expires_on":"1799999999""#);
    assert_eq!(kind(&[Peer::Node, Peer::Python], pop).as_deref(), SCHEME);
    assert_eq!(kind(&[Peer::Python], pop).as_deref(), PLAIN);
    assert_eq!(kind(&[Peer::Node, Peer::Python], &expired).as_deref(), PLAIN);
    assert_eq!(kind(&[Peer::Node], &expired).as_deref(), SCHEME);
}

#[test]
fn beside_node_expired_extended_tokens_are_dropped_and_of_twins_the_newest_stays() {
    let at = |secret: &str, fields: &str| {
        token(&format!(r#""secret":"{secret}","ext":{{"a":"b"}},"additionalCacheKeyComponents":{{"a":"b"}},{fields}"#))
    };
    let json = format!(
        r#"{{"AccessToken":{{"old":{},"new":{},"expired":{},"none":{},"scopes":{},"plain":{}}}}}"#,
        at("1", r#""target":"x y","cached_at":"1""#),
        at("2", r#""target":"Y X","cached_at":"2","environment":"sts.windows.net""#),
        at("3", r#""target":"z","expires_on":"1800000000""#),
        at("4", r#""target":"z","expires_on":null"#),
        at("5", r#""target":"x y z","cached_at":"1""#),
        token(r#""expires_on":"1""#),
    );
    let keys = |peer| {
        let (profile, mut document) = (Profile::shared_with([peer]), document(&json));
        let dropped = profile.reform(&mut document, NOW).dropped;
        let left = document.into_entries().map(|entry| entry.id.key().to_owned()).collect::<Vec<_>>().join(" ");
        (dropped.len(), left)
    };
    assert_eq!(keys(Peer::Node), (3, "new scopes plain".into()));
    assert_eq!(keys(Peer::DotNet), (0, "old new expired none scopes plain".into()));
    let objections = reasons(Profile::shared_with([Peer::Node]), &document(&json));
    assert_eq!(objections, [(Peer::Node, Reason::ExtendedTwins)]);
}

#[test]
fn id_tokens_that_dotnet_fails_on_are_dropped() {
    // {"a":1}, [1], {"a":1}x
    for (secret, is_kept) in [
        (r#""h.eyJhIjoxfQ.s""#, true),
        (r#""h.eyJhIjoxfQ==""#, true),
        (r#""h.eyJhIjoiw7/Dvz4+Pj8/PyJ9.s""#, true),
        (r#"".eyJhIjoxfQ.a.b.c""#, true),
        (r#""h.WzFd.s""#, false),
        (r#""h.eyJhIjoxfXg.s""#, false),
        (r#""h.!.s""#, false),
        (r#""h..s""#, false),
        (r#""h""#, false),
        (r#""""#, false),
        ("null", false),
        ("5", false),
    ] {
        let entity = format!(r#"{{"secret":{secret}}}"#);
        let dotnet = formed(Profile::shared_with([Peer::DotNet]), section::ID_TOKEN, &entity);
        assert_eq!(dotnet.is_some(), is_kept, "{secret}");
        let others = Profile::shared_with([Peer::Python, Peer::Node, Peer::Go, Peer::Java]);
        assert_eq!(formed(others, section::ID_TOKEN, &entity), Some(entity));
    }
}

#[test]
fn what_dotnet_lets_fall_together_is_told_and_stays() {
    let profile = Profile::shared_with([Peer::DotNet]);
    let plain = token("");
    for (other, collides) in [
        (token(r#""user_assertion_hash":"h""#), true),
        (token(r#""token_type":"ssh-cert","kid":"K""#), true),
        (token(r#""token_type":"pop","kid":"K""#), false),
        (token(r#""ext":{"a":"b"}"#), false),
        (token(r#""target":"x""#), false),
        (token(r#""client_id":"APP""#), true),
    ] {
        let mut document = document(&format!(r#"{{"AccessToken":{{"a":{plain},"b":{other}}}}}"#));
        let applied = profile.apply(&mut document, NOW);
        assert!(applied.dropped.is_empty());
        let expected: &[_] = if collides { &[(Peer::DotNet, Reason::SameKey)] } else { &[] };
        assert_eq!(reasons(profile, &document), expected, "{other}");
        assert_eq!(applied.objections, profile.objections(&document));
    }
}

#[test]
fn users_beside_applications_are_told() {
    let (of_user, of_application) = (token(""), token(r#""home_account_id":"""#));
    let account = r#"{"username":"a","authority_type":"MSSTS"}"#;
    for (json, expected) in [
        (format!(r#"{{"AccessToken":{{"a":{of_user}}},"Account":{{"k":{account}}}}}"#), 0),
        (format!(r#"{{"AccessToken":{{"a":{of_application}}},"AppMetadata":{{"k":{{"client_id":"x"}}}}}}"#), 0),
        (format!(r#"{{"AccessToken":{{"a":{of_user},"b":{of_application}}}}}"#), 1),
        (format!(r#"{{"AccessToken":{{"a":{of_user},"b":{of_application}}},"Account":{{"k":{account}}}}}"#), 2),
    ] {
        let objections = Profile::shared_with([Peer::DotNet]).objections(&document(&json));
        assert_eq!(objections.len(), expected, "{json} {objections:?}");
        assert!(objections.iter().all(|objection| objection.reason() == Reason::UsersBesideApplications));
    }
}

#[test]
fn objections_come_counted_and_the_worst_first_and_show_no_content() {
    let planted = token(r#""home_account_id":null,"kid":5,"target":null,"planted name":"\ud800""#);
    let json = format!(r#"{{"AccessToken":{{"planted a":{planted},"planted b":{planted}}},"ACCOUNT":"planted"}}"#);
    let objections = Profile::shared_with([Peer::DotNet, Peer::Python]).objections(&document(&json));
    assert!(objections.is_sorted_by_key(Objection::consequence));
    let first = &objections[0];
    assert_eq!(
        (first.consequence(), first.section(), first.times()),
        (Consequence::DeletesCache, Some("AccessToken"), 2)
    );
    assert_eq!(objections.iter().filter(|objection| objection.section().is_none()).count(), 1);
    let told = format!("{objections:?} {}", objections.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    assert!(!told.contains("planted"), "{told}");
    assert!(told.contains("MSAL.NET deletes the cache: AccessToken, 2 times: a text with half"), "{told}");
}

#[test]
fn dotnet_deletes_what_it_cannot_load() {
    for (content, expected) in [
        ("", false),
        (" \n", true),
        ("{}", false),
        ("\u{feff}{}", true),
        ("{} x", true),
        ("{/**/}", true),
        (r#"{"AccessToken":{},}"#, false),
        (r#"{"AccessToken":{"a":{"x":"1"},"a":{"x":"1"}}}"#, true),
        (r#"{"X":1,"X":1}"#, true),
        (r#"{"X":{"a":1,"a":1}}"#, false),
        (r#"{"AccessToken":null}"#, true),
        (r#"{"AccessToken":[]}"#, true),
        (r#"{"AccessToken":{"a":null,"b":{}}}"#, false),
        (r#"{"AccessToken":{"a":{"secret":5}}}"#, true),
        (r#"{"AccessToken":{"a":{"home_account_id":null}}}"#, true),
        (r#"{"AppMetadata":{"a":{"home_account_id":null}}}"#, false),
        ("null", true),
        ("[]", true),
    ] {
        assert_eq!(dotnet_deletes(&Blob::copy_of(content.as_bytes())), expected, "{content}");
    }
}
