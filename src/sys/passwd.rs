//! The text of /etc/passwd and /etc/group, read without the C library: a static binary has no name services, and a
//! request for `/~user/` must not allocate. Sources: passwd(5), group(5).

/// One account of /etc/passwd, as spans of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// Login name; never empty.
    pub name: &'a [u8],
    /// User id.
    pub uid: u32,
    /// Id of the primary group.
    pub gid: u32,
    /// Home directory as written, possibly empty.
    pub home: &'a [u8],
}

/// The accounts of a passwd(5) text in file order. Lines that are not accounts (comments, NIS `+` lines, damaged ones)
/// are passed over.
pub fn accounts(passwd: &[u8]) -> impl Iterator<Item = Account<'_>> {
    passwd.split(|&b| b == b'\n').filter_map(account)
}

fn account(line: &[u8]) -> Option<Account<'_>> {
    let mut fields = line.split(|&b| b == b':');
    let name = fields.next()?;
    let _password = fields.next()?;
    let uid = id(fields.next()?)?;
    let gid = id(fields.next()?)?;
    let _gecos = fields.next()?;
    let home = fields.next()?;
    let _shell = fields.next()?;
    if fields.next().is_some() || !is_name(name) {
        return None;
    }
    Some(Account { name, uid, gid, home })
}

fn is_name(name: &[u8]) -> bool {
    !matches!(name.first(), None | Some(b'#' | b'+' | b'-'))
}

/// A user or group id in decimal. `u32::MAX` is none: to setresuid(2) it means "leave as it is".
pub(super) fn id(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number != u32::MAX).then_some(number)
}

/// The home directory of the account `name` in a passwd(5) text; `None` if there is no such account or its home is not
/// an absolute path. Allocates nothing. Whether that user's files may be served at all is for the caller to say.
pub fn home_of_user<'a>(name: &[u8], passwd: &'a [u8]) -> Option<&'a [u8]> {
    accounts(passwd)
        .find(|account| account.name == name)
        .map(|account| account.home)
        .filter(|home| home.first() == Some(&b'/'))
}

/// The ids of the groups that list `user` as a member in a group(5) text, in file order.
pub fn groups_of<'a>(user: &'a [u8], group: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
    group.split(|&b| b == b'\n').filter_map(move |line| {
        let mut fields = line.split(|&b| b == b':');
        let name = fields.next()?;
        let _password = fields.next()?;
        let gid = id(fields.next()?)?;
        let mut members = fields.next()?.split(|&b| b == b',');
        (is_name(name) && fields.next().is_none() && members.any(|m| m == user)).then_some(gid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        # alice:x:1:1::/comment:/bin/sh\n\
        +nis:x:2:2::/nis:\n\
        short:x:3:3\n\
        bad:x:-1:3::/bad:/bin/sh\n\
        all:x:4294967295:3::/all:/bin/sh\n\
        alice:x:1000:100:Alice,,,:/home/alice:/bin/sh\n\
        alice:x:1001:100:second:/home/other:/bin/sh\n\
        ghost:x:1002:100:::/bin/sh\n\
        rel:x:1003:100::home/rel:/bin/sh\n\
        last:x:1004:100::/home/last:/bin/sh";

    #[test]
    fn accounts_of_a_file() {
        let names: Vec<_> = accounts(PASSWD).map(|a| a.name).collect();
        let expected: [&[u8]; 6] = [b"root", b"alice", b"alice", b"ghost", b"rel", b"last"];
        assert_eq!(names, expected);
        let alice = accounts(PASSWD).nth(1).unwrap();
        assert_eq!((alice.uid, alice.gid), (1000, 100));
    }

    #[test]
    fn homes() {
        assert_eq!(home_of_user(b"alice", PASSWD), Some(&b"/home/alice"[..]));
        assert_eq!(home_of_user(b"last", PASSWD), Some(&b"/home/last"[..]));
        for none in [&b"ghost"[..], b"rel", b"short", b"nis", b"+nis", b"bad", b"ali", b"", b"nobody", b"#"] {
            assert_eq!(home_of_user(none, PASSWD), None, "{none:?}");
        }
    }

    #[test]
    fn groups() {
        let group =
            b"root:x:0:\nwww:x:33:alice,bob\nvideo:x:44:bob\nbad:x:x:alice\naudio:x:29:carol,alice\nali:x:7:alicex\n";
        assert_eq!(groups_of(b"alice", group).collect::<Vec<_>>(), [33, 29]);
        assert_eq!(groups_of(b"bob", group).collect::<Vec<_>>(), [33, 44]);
        assert_eq!(groups_of(b"dave", group).count(), 0);
    }

    proptest! {
        /// The name comes from a request: no text and no name may panic, and only a whole field ever matches.
        #[test]
        fn any_text_is_survived(name: Vec<u8>, text: Vec<u8>) {
            if let Some(home) = home_of_user(&name, &text) {
                prop_assert!(!name.contains(&b':') && home.first() == Some(&b'/'));
            }
            let _ = groups_of(&name, &text).count();
        }
    }
}
