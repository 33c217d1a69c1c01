//! The text of a users file: `name:{SHA}digest` lines, as htpasswd(1) writes them and the original server reads them. With the feature
//! `auth-bcrypt` also `name:$2b$...`.

#[cfg(feature = "auth-bcrypt")]
use crate::plugins::auth::bcrypt;
use crate::wire::base64;

/// What a password is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Secret<'a> {
    /// Its SHA-1 digest in base64, which stands behind `{SHA}` or, as the original's tool writes it, `{SHA1}`: 28 characters.
    Sha(&'a [u8]),
    /// `$2a$`, `$2b$` or `$2y$`, all of it: 60 bytes.
    #[cfg_attr(not(feature = "auth-bcrypt"), allow(dead_code))] // Other builds make none.
    Bcrypt(&'a [u8]),
}

/// A line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line<'a> {
    /// Nothing but blanks, or a comment, which begins with `#`.
    Nothing,
    /// A user. The name is never empty.
    User(&'a [u8], Secret<'a>),
    /// Nobody can log in by it, and why.
    Broken(&'static str),
}

/// The lines of a file, with what stands at their end removed.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end)
}

/// The name in a line, and the rest behind the colon. None = the line has none.
pub fn cut(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, rest) = line.split_at_checked(colon)?;
    (!name.is_empty() && !is_nothing(line)).then_some((name, rest.get(1..)?))
}

/// What a line says.
pub fn line(line: &[u8]) -> Line<'_> {
    if is_nothing(line) {
        return Line::Nothing;
    }
    match cut(line) {
        None => Line::Broken("no user name and colon"),
        Some((name, rest)) => match secret(rest) {
            Ok(secret) => Line::User(name, secret),
            Err(why) => Line::Broken(why),
        },
    }
}

fn is_nothing(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), None | Some(b'#'))
}

fn secret(text: &[u8]) -> Result<Secret<'_>, &'static str> {
    let mut digest = text.strip_prefix(b"{SHA}");
    if digest.is_none() {
        digest = text.strip_prefix(b"{SHA1}");
    }
    if let Some(digest) = digest {
        // One byte more than is wanted, so that a longer digest is seen to be one.
        return match base64::decode(digest, &mut [0; 21]) {
            Some(20) => Ok(Secret::Sha(digest)),
            _ => Err("behind {SHA} stands no digest of 28 characters"),
        };
    }
    if !matches!(text.get(..4), Some(b"$2a$" | b"$2b$" | b"$2y$")) {
        return Err("not {SHA} (nor bcrypt): set the password anew with `monkey passwd`");
    }
    #[cfg(feature = "auth-bcrypt")]
    return match bcrypt::is_sound(text) {
        true => Ok(Secret::Bcrypt(text)),
        false => Err("bcrypt that is cut, or with a cost that is not from 4 to 14"),
    };
    #[cfg(not(feature = "auth-bcrypt"))]
    Err("bcrypt is not in this build: set the password anew with `monkey passwd`")
}

/// Looks a user up, the first of the name. Always goes through the whole text and compares every name to its end, so that the time
/// it takes says nothing about who is in it.
pub fn find<'a>(text: &'a [u8], user: &[u8]) -> Option<Secret<'a>> {
    let mut found: Option<&[u8]> = None;
    for line in lines(text) {
        let Some((name, rest)) = cut(line) else { continue };
        if same(name, user) && found.is_none() {
            found = Some(rest);
        }
    }
    found.and_then(|rest| secret(rest).ok())
}

/// Compares two texts in a time that depends on the length of the second alone.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    let mut differ = one.len() ^ other.len();
    for (at, byte) in other.iter().enumerate() {
        differ |= usize::from(one.get(at).copied().unwrap_or(0) ^ byte);
    }
    std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `password`, and nothing.
    const PASSWORD: &[u8] = b"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
    const NOTHING: &[u8] = b"{SHA1}2jmj7l5rSw0yVb/vlWAYkK/YBwk=";

    #[test]
    fn lines_of_a_file() {
        let user = |name: &'static str, rest: &[u8]| [name.as_bytes(), b":", rest].concat();
        assert_eq!(line(&user("al", PASSWORD)), Line::User(b"al", Secret::Sha(&PASSWORD[5..])));
        assert_eq!(line(&user("a b \u{e9}", NOTHING)), Line::User("a b \u{e9}".as_bytes(), Secret::Sha(&NOTHING[6..])));
        for nothing in ["", "   ", "# al:x", "\t#"] {
            assert_eq!(line(nothing.as_bytes()), Line::Nothing);
        }
        for broken in ["al", ":", "al:", "al:x", ":{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "al:{SHA}", "al:$1$a$b"] {
            assert!(matches!(line(broken.as_bytes()), Line::Broken(_)), "{broken}");
        }
        for digest in
            ["W6ph5Mm5Pz8GgiULbPgzG37mj9g", "W6ph5Mm5Pz8GgiULbPgzG37mj9gA", "W6ph", " W6ph5Mm5Pz8GgiULbPgzG37mj9g="]
        {
            assert!(matches!(line(format!("al:{{SHA}}{digest}").as_bytes()), Line::Broken(_)), "{digest}");
        }
        let bcrypt = b"al:$2b$10$abcdefghijklmnopqrstuuVB3cVCzhnqHY4ZNDGwvYm1DLcVOWVi.";
        assert_eq!(matches!(line(bcrypt), Line::User(..)), cfg!(feature = "auth-bcrypt"));
    }

    #[test]
    fn users_of_a_file() {
        let text =
            [b"# al:x\n\nal:", PASSWORD, b"  \r\nbo:broken\nal:", NOTHING, b"\nbo:", PASSWORD, b"\ncy:", NOTHING]
                .concat();
        assert_eq!(find(&text, b"al"), Some(Secret::Sha(&PASSWORD[5..])), "the first counts");
        assert_eq!(find(&text, b"bo"), None, "whose line is broken");
        assert!(find(&text, b"cy").is_some(), "without an end of the line");
        for nobody in [&b""[..], b"a", b"all", b"AL", b"# al", b"al ", b"x"] {
            assert_eq!(find(&text, nobody), None, "{nobody:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: Vec<u8>, name: Vec<u8>) {
            let _ = find(&text, &name);
            for text in lines(&text) {
                if let Line::User(name, _) = line(text) {
                    prop_assert!(find(text, name).is_some());
                }
            }
        }

        #[test]
        fn texts_are_the_same_or_not(one: Vec<u8>, other: Vec<u8>) {
            prop_assert!(same(&one, &one));
            prop_assert_eq!(same(&one, &other), one == other);
        }
    }
}
