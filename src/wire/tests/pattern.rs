//! Patterns: known answers, refusals, and agreement with a matcher that tries everything.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::wire::pattern::{POSITIONS_MAX, Pattern};

fn matches(pattern: &str, text: &str) -> bool {
    let compiled = Pattern::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    compiled.is_match(text.as_bytes())
}

#[test]
fn known_answers() {
    for (pattern, yes, no) in [
        (r"\.php$", vec!["/a.php", ".php", ".php.php"], vec!["/a.phps", "/aphp", ""]),
        (r"^/cgi-bin/", vec!["/cgi-bin/", "/cgi-bin/x"], vec!["/x/cgi-bin/", "cgi-bin/"]),
        (r"^/$", vec!["/"], vec!["", "//", "/a"]),
        (r"\.(jpe?g|png|gif)$", vec!["a.jpg", "a.jpeg", "b.png"], vec!["a.jpeeg", "a.pn", "a.png?"]),
        (r"", vec!["", "x"], vec![]),
        (r"^$", vec![""], vec!["x"]),
        (r"$", vec!["", "x"], vec![]),
        (r"a|", vec!["", "b"], vec![]),
        (r"(a|b)+c", vec!["abac", "xbc"], vec!["c", "ab"]),
        (r"^(ab){2,3}$", vec!["abab", "ababab"], vec!["ab", "abababab", "aba"]),
        (r"^a{3}$", vec!["aaa"], vec!["aa", "aaaa"]),
        (r"^a{2,}$", vec!["aa", "aaaaaa"], vec!["a", ""]),
        (r"^a{0}b$", vec!["b"], vec!["ab"]),
        (r"^.$", vec!["a", "\n"], vec!["", "ab"]),
        (r"[a-c]x", vec!["bx"], vec!["dx", "-x"]),
        (r"^[^a-c]$", vec!["d", "]", "\n"], vec!["a", "b", ""]),
        (r"^[]a]$", vec!["]", "a"], vec!["b"]),
        (r"^[^]a]$", vec!["b"], vec!["]", "a"]),
        (r"^[-a]$", vec!["-", "a"], vec!["b"]),
        (r"^[a-]$", vec!["-", "a"], vec!["b"]),
        (r"^[\d\-x.]+$", vec!["1-x.9"], vec!["1y", "\\"]),
        (r"^[\]\\]+$", vec!["]\\"], vec!["a"]),
        (r"^[(*)]+$", vec!["(*)"], vec!["a"]),
        (r"^\d\w\s$", vec!["1_ ", "9Z\t"], vec!["a_ ", "1- ", "1__"]),
        (r"^\/\.\*\$\^\[\]\(\)\|\+\?\{\}\\$", vec![r"/.*$^[]()|+?{}\"], vec![""]),
        (r"^a]}$", vec!["a]}"], vec!["a"]),
        (r"x^y", vec![], vec!["xy", "x^y", "y"]),
        (r"(^|/)a(/|$)", vec!["a", "/a", "b/a/", "a/b"], vec!["ba", "ab", "/ab"]),
        (r"(a*)*b", vec!["b", "aab"], vec!["aa"]),
        (r"((a?){3}){2}$", vec!["", "aaaaaaa"], vec![]),
        (r"^(|a)(|b)$", vec!["", "a", "b", "ab"], vec!["ba"]),
        (r"^()$", vec![""], vec!["a"]),
        ("^\u{e9}+$", vec!["\u{e9}"], vec!["e"]),
        (r"AbC", vec!["xAbCx"], vec!["abc"]),
    ] {
        for text in yes {
            assert!(matches(pattern, text), "{pattern} in {text:?}");
        }
        for text in no {
            assert!(!matches(pattern, text), "{pattern} in {text:?}");
        }
    }
}

#[test]
fn refused_with_the_place() {
    for (pattern, at) in [
        ("*a", 0),
        ("a|*", 2),
        ("a**", 2),
        ("a+?", 2),
        ("a{2}{3}", 4),
        ("^*", 1),
        ("(ab", 0),
        ("ab)", 2),
        ("(?:a)", 1),
        ("[ab", 0),
        ("[", 0),
        ("[]", 0),
        ("[b-a]", 2),
        (r"[a-\d]", 2),
        (r"[\w-z]", 3),
        ("[[:alpha:]]", 1),
        ("[\u{e9}]", 1),
        (r"a\", 2),
        (r"\b", 1),
        (r"\1", 1),
        ("a{", 2),
        ("a{x}", 2),
        ("a{1", 1),
        ("a{1,2", 1),
        ("a{,2}", 2),
        ("a{3,2}", 1),
        ("a{256}", 2),
        ("a{99999999999999}", 2),
        ("\\\u{e9}", 1),
    ] {
        let error = Pattern::compile(pattern).expect_err(pattern);
        assert_eq!(error.at, at, "{pattern}: {error}");
        assert!(error.to_string().starts_with(&format!("pattern, character {}: ", at + 1)));
    }
}

#[test]
fn size_and_depth_are_bounded() {
    assert!(Pattern::compile(&"a".repeat(256)).is_ok());
    assert!(Pattern::compile(&"a".repeat(257)).is_err());
    assert!(Pattern::compile("(ab){128}").is_ok());
    assert!(Pattern::compile("(ab){129}").is_err());
    assert!(Pattern::compile("((a{255}){255}){255}").is_err());
    assert!(Pattern::compile("((((){255}){255}){255}){255}").is_err());
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Pattern::compile(&nested(32)).is_ok());
    assert!(Pattern::compile(&nested(33)).is_err());
    assert!(Pattern::compile(&nested(100_000)).is_err());
}

#[test]
fn the_largest_pattern_uses_all_positions() {
    let text: String = ('a'..='z').cycle().take(256).collect();
    let pattern = Pattern::compile(&format!("^{text}$")).unwrap();
    assert!(pattern.is_match(text.as_bytes()));
    assert!(!pattern.is_match(&text.as_bytes()[1..]));
    assert!(!pattern.is_match(&text.as_bytes()[..255]));
}

/// What a pattern means, apart from how it is written.
#[derive(Clone, Debug)]
enum Meaning {
    Byte(char),
    Any,
    Class(bool, Vec<char>),
    Start,
    End,
    Sequence(Vec<Meaning>),
    Choice(Vec<Meaning>),
    Repeat(Box<Meaning>, usize, Option<usize>),
}

fn meaning() -> impl Strategy<Value = Meaning> {
    let byte = prop::sample::select(vec!['a', 'b', '/', '.']);
    let leaf = prop_oneof![
        6 => byte.clone().prop_map(Meaning::Byte),
        1 => Just(Meaning::Any),
        2 => (any::<bool>(), prop::collection::vec(byte, 1..3)).prop_map(|(no, set)| Meaning::Class(no, set)),
        1 => Just(Meaning::Start),
        1 => Just(Meaning::End),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        let repeat = (inner.clone(), 0..3usize, prop::option::of(0..3usize));
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Meaning::Sequence),
            1 => prop::collection::vec(inner, 1..4).prop_map(Meaning::Choice),
            2 => repeat.prop_map(|(part, min, more)| Meaning::Repeat(Box::new(part), min, more.map(|more| min + more))),
        ]
    })
}

fn write(meaning: &Meaning) -> String {
    match meaning {
        Meaning::Byte(byte) if *byte == '.' => r"\.".to_string(),
        Meaning::Byte(byte) => byte.to_string(),
        Meaning::Any => ".".to_string(),
        Meaning::Class(no, set) => format!("[{}{}]", if *no { "^" } else { "" }, set.iter().collect::<String>()),
        Meaning::Start => "^".to_string(),
        Meaning::End => "$".to_string(),
        Meaning::Sequence(parts) => parts.iter().map(|part| format!("({})", write(part))).collect(),
        Meaning::Choice(parts) => format!("({})", parts.iter().map(write).collect::<Vec<_>>().join("|")),
        Meaning::Repeat(part, 0, None) => format!("({})*", write(part)),
        Meaning::Repeat(part, 1, None) => format!("({})+", write(part)),
        Meaning::Repeat(part, 0, Some(1)) => format!("({})?", write(part)),
        Meaning::Repeat(part, min, None) => format!("({}){{{min},}}", write(part)),
        Meaning::Repeat(part, min, Some(max)) if min == max => format!("({}){{{min}}}", write(part)),
        Meaning::Repeat(part, min, Some(max)) => format!("({}){{{min},{max}}}", write(part)),
    }
}

/// Every offset where a match that starts at `at` can end.
fn ends(meaning: &Meaning, text: &[u8], at: usize) -> BTreeSet<usize> {
    let one = |holds: bool| if holds { BTreeSet::from([at + 1]) } else { BTreeSet::new() };
    let none = |holds: bool| if holds { BTreeSet::from([at]) } else { BTreeSet::new() };
    let step = |part: &Meaning, from: &BTreeSet<usize>| from.iter().flat_map(|&at| ends(part, text, at)).collect();
    match meaning {
        Meaning::Byte(byte) => one(text.get(at) == Some(&(*byte as u8))),
        Meaning::Any => one(at < text.len()),
        Meaning::Class(no, set) => one(text.get(at).is_some_and(|&byte| set.contains(&char::from(byte)) != *no)),
        Meaning::Start => none(at == 0),
        Meaning::End => none(at == text.len()),
        Meaning::Sequence(parts) => parts.iter().fold(BTreeSet::from([at]), |from, part| step(part, &from)),
        Meaning::Choice(parts) => parts.iter().flat_map(|part| ends(part, text, at)).collect(),
        Meaning::Repeat(part, min, max) => {
            let mut from = BTreeSet::from([at]);
            for _ in 0..*min {
                from = step(part, &from);
            }
            let mut all = from.clone();
            // More rounds than the text has bytes reach nothing new.
            for _ in 0..max.map_or(text.len() + 1, |max| max - min) {
                from = step(part, &from);
                all.extend(&from);
            }
            all
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_trying_everything(meaning in meaning(), texts in prop::collection::vec("[ab/.]{0,7}", 8)) {
        let written = write(&meaning);
        // What needs too many positions is refused; that is tested above.
        if let Ok(pattern) = Pattern::compile(&written) {
            for text in texts {
                let expected = (0..=text.len()).any(|at| !ends(&meaning, text.as_bytes(), at).is_empty());
                prop_assert_eq!(pattern.is_match(text.as_bytes()), expected, "{} in {:?}", written, text);
            }
        }
    }

    #[test]
    fn any_text_compiles_or_is_refused(pattern in r"[\[\](){}|*+?^$\\.,\-0-9a-c\u{e9}]{0,20}", text in "[a-c0-9.]{0,10}") {
        if let Ok(pattern) = Pattern::compile(&pattern) {
            pattern.is_match(text.as_bytes());
        }
    }
}

#[test]
fn a_text_is_found_in_any_case() {
    for (part, text, has) in [
        ("/Imgs", "/imgs", true),
        ("/Imgs", "/a/IMGS/b", true),
        ("/Imgs", "//imgs", true),
        ("/Imgs", "/img", false),
        ("/Imgs", "", false),
        ("/Imgs", "imgs", false),
        ("aab", "xaAaB", true),
        ("a.b", "/xA.Bx", true),
        ("a.b", "/axb", false),
        ("\u{e9} ~[1]$^\\", "/\u{e9} ~[1]$^\\x", true),
    ] {
        assert_eq!(Pattern::of_text(part).unwrap().is_match(text.as_bytes()), has, "{part} {text}");
    }
    for byte in 0..=127u8 {
        let pattern = Pattern::of_text(&char::from(byte).to_string()).unwrap();
        assert!((0..=255).all(|other: u8| pattern.is_match(&[other]) == other.eq_ignore_ascii_case(&byte)), "{byte}");
    }
    let longest = "x".repeat(POSITIONS_MAX);
    let pattern = Pattern::of_text(&longest).unwrap();
    assert!(pattern.is_match(longest.as_bytes()) && !pattern.is_match(&longest.as_bytes()[1..]));
    assert!(Pattern::of_text(&(longest + "x")).is_err());
}
