//! RFC 7617 section 2: the credentials that a request has for the scheme Basic.

use super::base64;
use crate::limits::CREDENTIALS_MAX;

/// Bytes that the longest credentials decode to.
pub const ROOM: usize = CREDENTIALS_MAX / 4 * 3;

/// The user and the password in the value of an `Authorization` field. None = it has none for the scheme Basic: another scheme, no
/// base64, no colon in it, or longer than [`CREDENTIALS_MAX`].
pub fn parse<'a>(value: &[u8], room: &'a mut [u8; ROOM]) -> Option<(&'a [u8], &'a [u8])> {
    let (scheme, rest) = value.split_at_checked(5)?;
    let token = rest.trim_ascii_start();
    if !scheme.eq_ignore_ascii_case(b"Basic") || token.len() == rest.len() || token.len() > CREDENTIALS_MAX {
        return None;
    }
    let len = base64::decode(token, room)?;
    let text = room.get(..len)?;
    // A password may hold colons, a name can not.
    let colon = text.iter().position(|&byte| byte == b':')?;
    Some((text.get(..colon)?, text.get(colon + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(value: &str) -> Option<(String, String)> {
        let mut room = [0; ROOM];
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        parse(value.as_bytes(), &mut room).map(|(user, password)| (text(user), text(password)))
    }

    fn pair(user: &str, password: &str) -> Option<(String, String)> {
        Some((user.into(), password.into()))
    }

    #[test]
    fn credentials() {
        assert_eq!(of("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"), "RFC 7617 section 2");
        assert_eq!(of("Basic dGVzdDoxMjPCow=="), pair("test", "123\u{a3}"), "RFC 7617 section 2.1");
        assert_eq!(of("bASIC \t YTpiOmM="), pair("a", "b:c"));
        assert_eq!(of("Basic YTo="), pair("a", ""));
        assert_eq!(of("Basic Og=="), pair("", ""));
        assert_eq!(of("Basic OmI="), pair("", "b"));
    }

    #[test]
    fn what_has_none() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "BasicYTpi",
            "Basi YTpi",
            "Digest YTpi",
            "Bearer YTpi",
            "Basic YWI=",
            "Basic YTpi YTpi",
            "Basic YTpi,",
            "Basic a:b",
            "Basic YTp",
            "Basic YTpi=",
            "Basic, YTpi",
            "\u{e9}asic YTpi",
        ] {
            assert_eq!(of(value), None, "{value}");
        }
        let long = |len: usize| format!("Basic YTpi{}", "YWFh".repeat(len / 4 - 1));
        assert!(of(&long(1024)).is_some_and(|(_, password)| password.len() == 766));
        assert_eq!(of(&long(1028)), None);
    }

    proptest! {
        #[test]
        fn any_value_is_survived(value: Vec<u8>) {
            let mut room = [0; ROOM];
            let _ = parse(&value, &mut room);
            let _ = parse(&[b"Basic ", &value[..]].concat(), &mut room);
        }
    }
}
