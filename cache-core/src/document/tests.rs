use super::*;
use crate::TokenCache;

fn parse(text: &str) -> Result<UnifiedDocument> {
    UnifiedDocument::parse(&Blob::copy_of(text.as_bytes()))
}

fn rendered(document: &UnifiedDocument) -> String {
    String::from_utf8(document.render().expose().to_vec()).expect("UTF-8")
}

const EMPTY: &str = r#"{"AccessToken":{},"RefreshToken":{},"IdToken":{},"Account":{},"AppMetadata":{}}"#;

#[test]
fn nothing_is_an_empty_document() {
    for text in ["", "{}", " \n", "\u{feff}", "\u{feff}{}", r#"{"AccessToken":null,"IdToken":[]}"#, "{ // empty\n}"] {
        assert_eq!(rendered(&parse(text).expect(text)), EMPTY, "{text}");
    }
}

#[test]
fn unknown_data_is_carried_value_for_value() {
    let text = r#"{"Foreign":{"deep":[1, {"x":null}]},"Scalar":1.50,"Null":null,"AccessToken":{"k":{"a":123456789012345678901234567890,"b":null}}}"#;
    let out = rendered(&parse(text).expect("sound"));
    for part in [
        r#""Foreign":{"deep":[1, {"x":null}]}"#,
        r#""Scalar":1.50"#,
        r#""Null":null"#,
        r#""k":{"a":123456789012345678901234567890,"b":null}"#,
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
}

#[test]
fn careless_writing_is_understood() {
    let text = "{\"Account\":{\"a\":{\"x\":1,},\"a\":{\"x\":2,},},/* c, } */\"Account\":{\"b\":{\"y\":[1,]}},\"Other\":{\"z\":3,},}";
    let document = parse(text).expect("trailing commas, comments, repeated names");
    // Written again, it is JSON that every reader takes.
    let written: serde_json::Value = serde_json::from_slice(document.render().expose()).expect("strict JSON");
    let expected = serde_json::json!({ "a": { "x": 2 }, "b": { "y": [1] } });
    assert_eq!([&written["Account"], &written["Other"]], [&expected, &serde_json::json!({ "z": 3 })]);
}

#[test]
fn text_that_is_not_utf8_stays_in_its_entry() {
    let bytes = b"{\"Account\":{\"bad\":{\"name\":\"\xff\xfe\"},\"k\xff\":{\"x\":1},\"good\":{\"y\":1}}}";
    let document = UnifiedDocument::parse(&Blob::copy_of(bytes)).expect("isolated");
    let out = document.render();
    let holds = |part: &[u8]| out.expose().windows(part.len()).any(|window| window == part);
    assert!(holds(b"\"bad\":{\"name\":\"\xff\xfe\"}"));
    assert!(holds(b"\"k\xff\":{\"x\":1}"), "the key keeps its bytes");
    assert!(document.entry(&EntryId::new("Account", "good")).is_some());
}

#[test]
fn entities_that_break_other_readers_are_left_out() {
    let document = parse(r#"{"IdToken":{"a":null,"b":{},"c":{ },"d":"text","e":[]}}"#).expect("sound");
    assert_eq!(rendered(&document), EMPTY.replace(r#""IdToken":{}"#, r#""IdToken":{"d":"text","e":[]}"#));
}

#[test]
fn what_is_not_a_document_is_corrupt() {
    for text in ["null", "[]", "\"x\"", "x", "\0\0", r#"{"a":1"#, r#"{"a":1} x"#, r#"{"a" 1}"#, r#"{"a":tru}"#, "{,"] {
        assert_eq!(parse(text).expect_err(text).kind(), ErrorKind::Corrupt, "{text}");
    }
}

#[test]
fn an_error_shows_no_content() {
    let error = parse(r#"{"AccessToken":{"k":{"secret":"planted" "planted"}}}"#).expect_err("broken");
    assert!(!format!("{error} {error:?}").contains("planted"));
}

#[test]
fn every_complete_entry_before_a_tear_is_salvaged() {
    let text = r#"{"Account":{"a":{"x":1},"b":{"x":2}},"Other":[1,2],"IdToken":{"c":{"x":"}"}}}"#;
    let whole = parse(text).expect("sound");
    for end in 1..text.len() {
        let torn = UnifiedDocument::salvage(&Blob::copy_of(&text.as_bytes()[..end])).expect("begins as an object");
        for entry in torn.clone().into_entries() {
            assert_eq!(whole.entry(&entry.id).expect("no entry is made up").json, entry.json, "cut at {end}");
        }
        let expected = [(23, "a"), (35, "b")].iter().filter(|(complete, _)| end >= *complete).count();
        let found = ["a", "b"].iter().filter(|key| torn.entry(&EntryId::new("Account", **key)).is_some()).count();
        assert_eq!(found, expected, "cut at {end}");
        assert!(torn.is_changed(), "cut at {end}");
    }
}

#[test]
fn of_a_torn_section_that_is_no_object_nothing_is_taken() {
    for torn in [r#"{"Account":12"#, r#"{"Account":12 "#, r#"{"Account"://2"#, r#"{"Account":"x"#, r#"{"Account":[1,"#]
    {
        let document = UnifiedDocument::salvage(&Blob::copy_of(torn.as_bytes())).expect("begins as an object");
        assert_eq!(document.into_entries().count(), 0, "{torn}: it may be the half of something else");
    }
}

#[test]
fn data_after_the_end_is_cut_off() {
    let bytes = format!("{}garbage", r#"{"Account":{"a":{"x":1}}}"#);
    let document = UnifiedDocument::salvage(&Blob::copy_of(bytes.as_bytes())).expect("a leading object");
    assert!(document.entry(&EntryId::new("Account", "a")).is_some());
    assert!(UnifiedDocument::salvage(&Blob::copy_of(b"\0\0\0")).is_none());
}

#[test]
fn a_section_that_is_no_object_becomes_one_when_it_must() {
    let mut document = parse(r#"{"Account":[1,2]}"#).expect("sound");
    assert!(rendered(&document).contains(r#""Account":[1,2]"#));
    document.insert(&EntryId::new("Account", "a"), Blob::copy_of(br#"{"x":1}"#));
    assert!(rendered(&document).contains(r#""Account":{"a":{"x":1}}"#));
}

#[test]
fn a_hostile_document_is_told_so_and_costs_no_more_than_its_length() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"Account":{{"a":{{"x":1}}}},"Deep":{open}1{close}}}"#)
    };
    assert!(parse(&nested(128)).is_ok());
    for deep in [nested(129), nested(1_000_000), format!(r#"{{"Account":{{"a":{}"#, "[".repeat(1_000_000))] {
        let error = parse(&deep).expect_err("too deep");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("128 levels"), "{error}");
        assert!(TokenCache::deserialize(deep.as_bytes()).is_err());
    }
    // What comes before it can be had.
    let salvaged = UnifiedDocument::salvage(&Blob::copy_of(nested(129).as_bytes())).expect("a leading object");
    assert!(salvaged.entry(&EntryId::new("Account", "a")).is_some());

    let entity = |size: usize| format!(r#"{{"Account":{{"a":{{"x":"{}"}}}}}}"#, "x".repeat(size - 8));
    for (size, expected) in [(limits::ENTITY, true), (limits::ENTITY + 1, false)] {
        assert_eq!(parse(&entity(size)).is_ok(), expected, "{size}");
        assert_eq!(TokenCache::deserialize(entity(size).as_bytes()).is_ok(), expected, "{size}");
    }

    // Not an object, and not looked at any further.
    let error = parse(&"[".repeat(1_000_000)).expect_err("no object");
    assert!(error.to_string().contains("not a JSON object"), "{error}");
}

#[test]
fn repeated_keys_count_as_entries() {
    let repeated = |times: usize| format!(r#"{{"Account":{{{}"a":{{"x":1}}}}}}"#, r#""a":{},"#.repeat(times - 1));
    assert!(parse(&repeated(1_000)).is_ok());
    let error = parse(&repeated(limits::ENTRIES + 1)).expect_err("too many");
    assert!(error.to_string().contains("16 million entries"), "{error}");
    assert!(TokenCache::deserialize(repeated(limits::ENTRIES + 1).as_bytes()).is_err());
}

#[test]
fn an_entity_without_a_name_that_is_no_object_is_left_out() {
    for text in [r#"{"AccessToken":{"":"AT-1","b":{"x":1}}}"#, r#"{"AccessToken":{"":"AT-1","b":{"x":1},}}"#] {
        let document = parse(text).expect("read leniently");
        assert_eq!(document.clone().into_entries().count(), 1, "{text}");
        let cache = TokenCache::deserialize(text.as_bytes()).expect("read leniently");
        assert_eq!(cache.len(), 1, "{text}");
        assert_eq!(cache.serialize(), document.render());
    }
}

#[test]
fn a_key_that_no_reader_takes_is_written_as_its_text() {
    let document = UnifiedDocument::parse(&Blob::copy_of(b"{\"Account\":{\"a\xe7\nb\":{\"x\":1}}}")).expect("lenient");
    let written = document.render();
    assert!(serde_json::from_slice::<serde_json::Value>(written.expose()).is_ok(), "strict JSON");
    let again = UnifiedDocument::parse(&written).expect("what we write");
    assert!(again.entry(&EntryId::new("Account", "a\u{fffd}\nb")).is_some());
}
