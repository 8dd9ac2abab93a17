//! JSON: what serde_json reads, and nothing else, is read, and as the same; what we write, it reads.

use alloc::borrow::{Cow, ToOwned as _};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::check;
use crate::json::{self, Object, Value};

/// JSON, most of it, with what is hard in it: escapes, half surrogates, odd numbers, nesting, members
/// that are there twice.
fn document() -> impl Strategy<Value = String> {
    let word =
        |words: &'static [&'static str]| prop::sample::select(words).prop_map(ToOwned::to_owned);
    let numbers = prop_oneof![
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        any::<u64>().prop_map(|number| format!("{number}")),
        any::<i32>().prop_map(|number| format!("{number}")),
        word(&[
            "-",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-0",
            "65536",
            "4294967296",
            "1e999",
            "0x1"
        ]),
    ];
    let texts = prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        "\"[ab\u{7f}\u{e9}\u{1f600}]{0,5}\"",
        "\"(\\\\[\"\\\\/bfnrtux0]|\\\\u[dD][89abcdAF][0-9a-fA-F]{2}|\\\\u[0-9a-f]{3,4}|a){0,4}\"",
    ];
    let leaf = prop_oneof![
        numbers,
        texts.clone(),
        word(&["null", "true", "false", "nul", "True", "NaN", "", "falsey"]),
    ];
    let blank = || "[ \t\r\n]{0,2}";
    let name = prop_oneof![
        4 => word(&["\"a\"", "\"b\"", "\"\\u0061\"", "\"c\"", "\"\\ud800\""]),
        1 => texts
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let element =
            (blank(), inner.clone(), blank()).prop_map(|(a, value, b)| [a, value, b].concat());
        let member = (blank(), name.clone(), blank(), element.clone())
            .prop_map(|(a, name, b, value)| [a, name, b, ":".into(), value].concat());
        prop_oneof![
            prop::collection::vec(element, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..4).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

/// A document, or one with a few characters changed, missing or too many.
fn text() -> impl Strategy<Value = String> {
    let harm = prop_oneof![
        1 => Just(Vec::new()),
        1 => prop::collection::vec((any::<prop::sample::Index>(), 0..4, prop::sample::select(
            " \n\u{b}\u{a0}\u{feff}\"\\{}[]:,.-+eE0159ntfaud/\0\u{1f}\u{e9}".chars().collect::<Vec<_>>()
        )), 1..3),
    ];
    (document(), harm).prop_map(|(document, harm)| {
        let mut text: Vec<char> = document.chars().collect();
        for (place, kind, char) in harm {
            let at = place.index(text.len() + 1);
            match kind {
                0 => text.insert(at, char),
                1 => text.truncate(at),
                2 if at < text.len() => {
                    text.remove(at);
                }
                _ if at < text.len() => text[at] = char,
                _ => {}
            }
        }
        text.into_iter().collect()
    })
}

/// What a derived reader has for the same members.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    a: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    b: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

#[test]
fn serde_json_is_of_the_same_opinion() {
    let hard = [
        "[1 2]",
        "[1,]",
        "[,1]",
        "[1,,2]",
        "[1:2]",
        "[1}",
        "{1:2}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\"}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1:2}",
        "{\"a\":1]",
        "{'a':1}",
        "{a:1}",
        "[1]]",
        "[1] 2",
        "[",
        "{\"a\":",
        "[\"a",
        "\"\\",
        "\"\\u12",
        "\"\u{0}\"",
        "\"\u{7f}\"",
        "\u{feff}[]",
        "/**/1",
        "1//",
        "- 1",
        "--1",
        "00",
        "-01",
        "1.e1",
        "1e+",
        "1.2.3",
        "1e1e1",
        "tru",
        "truee",
        "TRUE",
        "\u{a0}1",
        "\u{c}1",
        "",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\\u0041\"",
        "\"\\ude00\"",
        "\"\\ud83d\"",
        "\"\\ud83dx\"",
        "\"\\ud83d\\n\"",
    ];
    for text in hard {
        same_opinion(text).unwrap();
    }
    check(prop::collection::vec(text(), 20), |texts| {
        texts.iter().try_for_each(|text| same_opinion(text))
    });
}

fn same_opinion(text: &str) -> TestCaseResult {
    let theirs = serde_json::from_str::<&RawValue>(text).ok();
    let ours = Value::read(text);
    prop_assert_eq!(ours.map(Value::raw), theirs.map(RawValue::get));
    prop_assert_eq!(json::broken_at(text).is_none(), theirs.is_some());
    if let Some(at) = json::broken_at(text) {
        prop_assert!(at <= text.len());
    }

    let members = json::members(text, ["a", "b"]);
    // It takes a list for the members in their order.
    let object = text.trim_start().starts_with('{');
    let theirs = serde_json::from_str::<Members<'_>>(text).ok();
    let theirs = theirs.filter(|_| object).map(|it| [it.a, it.b]);
    let raw = |members: Option<[Option<Value<'_>>; 2]>| {
        members.map(|all| all.map(|value| value.map(|value| value.raw().to_owned())))
    };
    let their_raw = theirs.map(|all| all.map(|value| value.map(|value| value.get().to_owned())));
    prop_assert_eq!(raw(members), their_raw);

    let Some(value) = ours else {
        return Ok(());
    };
    let raw = value.raw();
    prop_assert_eq!(value.members(["a", "b"]).is_some(), members.is_some());
    prop_assert_eq!(
        value.text().map(Cow::into_owned),
        serde_json::from_str(raw).ok()
    );
    prop_assert_eq!(value.flag(), serde_json::from_str(raw).ok());
    prop_assert_eq!(value.number::<u16>(), serde_json::from_str(raw).ok());
    prop_assert_eq!(value.number::<u32>(), serde_json::from_str(raw).ok());
    prop_assert_eq!(value.number::<u64>(), serde_json::from_str(raw).ok());
    prop_assert_eq!(value.is_null(), serde_json::from_str::<()>(raw).is_ok());
    let theirs = serde_json::from_str::<Vec<&RawValue>>(raw).ok();
    let elements = value.elements(u16::MAX);
    let ours = elements.map(|all| all.into_iter().map(Value::raw).collect::<Vec<_>>());
    let theirs = theirs.map(|all| all.into_iter().map(RawValue::get).collect::<Vec<_>>());
    prop_assert_eq!(&ours, &theirs);
    if let Some(all) = ours {
        let most = u16::try_from(all.len()).unwrap_or(u16::MAX);
        prop_assert!(value.elements(most).is_some());
        prop_assert!(most == 0 || value.elements(most - 1).is_none());
    }
    Ok(())
}

#[test]
fn serde_json_would_write_the_same() {
    check(
        (
            any::<String>(),
            "[\u{0}-\u{2f}\u{5c}\u{7f}\u{2028}]{0,20}",
            any::<bool>(),
        ),
        |(a, b, flag)| {
            prop_assert_eq!(json::quoted(&b), serde_json::to_string(&b).unwrap());
            let mut object = Object::new();
            object.text("a", &a);
            object.flag("flag", flag);
            object.raw("raw", " [1.0]");
            object.text("b", &b);
            let read: serde_json::Value = serde_json::from_str(&object.end()).unwrap();
            let wanted = serde_json::json!({ "a": a, "b": b, "flag": flag, "raw": [1.0] });
            prop_assert_eq!(read, wanted);
            prop_assert_eq!(Object::new().end(), "{}");
            Ok(())
        },
    );
}
