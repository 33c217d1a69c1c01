//! Giving up root: the account named by the key `User`, and taking its identity for good.
//!
//! Sources: credentials(7), setresuid(2), setgroups(2).

use super::fd::check;
use super::{file, passwd};
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::ptr;

/// Most bytes of /etc/passwd and of /etc/group that are read.
const FILE_MAX: u64 = 16 << 20;

/// What a process is allowed to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, the primary one first.
    pub groups: Vec<u32>,
}

/// The identity of the account `user`: a name of /etc/passwd, or else a user id. `None` if there is no such account; an id
/// without an account counts, with the group of the same number and no others. Reads /etc/passwd and /etc/group
/// only: name services (LDAP, NIS) do not exist for a static binary.
pub fn lookup_user(user: &str) -> io::Result<Option<Identity>> {
    Ok(identity_in(user.as_bytes(), &read("/etc/passwd")?, &read("/etc/group")?))
}

/// A file of accounts; empty if it is not there.
fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    match file::open(Path::new(path)) {
        Ok(file) => file.take(FILE_MAX).read_to_end(&mut content).map(|_| content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(content),
        Err(error) => Err(error),
    }
}

fn identity_in(user: &[u8], passwd: &[u8], group: &[u8]) -> Option<Identity> {
    let number = passwd::id(user);
    let account = passwd::accounts(passwd)
        .find(|a| a.name == user)
        .or_else(|| passwd::accounts(passwd).find(|a| Some(a.uid) == number));
    let Some(account) = account else {
        return number.map(|id| Identity { uid: id, gid: id, groups: vec![id] });
    };
    let mut groups = vec![account.gid];
    for gid in passwd::groups_of(account.name, group) {
        if !groups.contains(&gid) {
            groups.push(gid);
        }
    }
    Some(Identity { uid: account.uid, gid: account.gid, groups })
}

/// Why an identity could not be taken for good. The process may be half-way then: it must exit.
#[derive(Debug)]
pub enum DropError {
    /// The identity is root's: nothing would be given up.
    Root,
    /// The process is neither root nor that user already.
    NotAllowed,
    /// A system call refused.
    Refused {
        /// Its name.
        call: &'static str,
        /// Its error.
        error: io::Error,
    },
    /// Every call succeeded, and yet the old identity is still there or could be taken back.
    NotGone,
}

impl fmt::Display for DropError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DropError::Root => f.write_str("`User` is root: name an account without rights, or remove the key"),
            DropError::NotAllowed => {
                f.write_str("only root can change to another `User`: start as root, or remove the key")
            }
            DropError::Refused { call, error } => write!(f, "cannot change to `User`: {call}: {error}"),
            DropError::NotGone => f.write_str(
                "the rights of root could be taken back after the change to `User`: the kernel or a security module \
                 interferes; not serving",
            ),
        }
    }
}

impl std::error::Error for DropError {}

/// Takes the identity for good: supplementary groups, then real, effective and saved group ids, then user ids; then reads all
/// of them back, and tries to become root again, which must fail. A process that has that identity already is left as it is.
///
/// Called before any thread exists: in the kernel, identity belongs to a thread, and although the C libraries change all threads, a
/// thread that is starting can be missed.
pub fn drop_to(identity: &Identity) -> Result<(), DropError> {
    let Identity { uid, gid, groups } = identity;
    if *uid == 0 {
        return Err(DropError::Root);
    }
    if !super::process::is_root() {
        return if is_wholly(*uid, *gid) { Ok(()) } else { Err(DropError::NotAllowed) };
    }
    let refused = |call| move |error| DropError::Refused { call, error };
    // SAFETY: setgroups reads `len` ids from a slice that outlives it; the others take integers.
    unsafe {
        check(libc::setgroups(groups.len(), groups.as_ptr())).map_err(refused("setgroups"))?;
        check(libc::setresgid(*gid, *gid, *gid)).map_err(refused("setresgid"))?;
        check(libc::setresuid(*uid, *uid, *uid)).map_err(refused("setresuid"))?;
    }
    let held = supplementary().map_err(refused("getgroups"))?;
    let same = held.iter().all(|group| groups.contains(group)) && groups.iter().all(|group| held.contains(group));
    if !is_wholly(*uid, *gid) || !same || can_be_root() {
        return Err(DropError::NotGone);
    }
    Ok(())
}

/// True if the real, effective and saved ids are all these.
fn is_wholly(uid: u32, gid: u32) -> bool {
    let (mut u, mut g) = ([0; 3], [0; 3]);
    let ([ru, eu, su], [rg, eg, sg]) = (&mut u, &mut g);
    // SAFETY: each pointer is to an id that outlives the call.
    let got = unsafe { libc::getresuid(ru, eu, su) == 0 && libc::getresgid(rg, eg, sg) == 0 };
    got && u == [uid; 3] && g == [gid; 3]
}

fn supplementary() -> io::Result<Vec<u32>> {
    // SAFETY: with a size of 0 getgroups writes nothing and only counts.
    let count = check(unsafe { libc::getgroups(0, ptr::null_mut()) })?;
    let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: the vector has room for `count` ids, and the kernel writes no more.
    let count = check(unsafe { libc::getgroups(count, groups.as_mut_ptr()) })?;
    groups.truncate(usize::try_from(count).unwrap_or(0));
    Ok(groups)
}

/// Tries to become root. Where that succeeds nothing is undone: the caller ends the process.
fn can_be_root() -> bool {
    // SAFETY: setuid and setresuid take integers.
    unsafe { libc::setuid(0) == 0 || libc::setresuid(u32::MAX, 0, u32::MAX) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing;

    const PASSWD: &[u8] = b"root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv:/bin/false\n1000:x:44:44::/:/bin/false\n";
    const GROUP: &[u8] = b"www:x:33:\ngpio:x:997:www\nalso:x:33:www\nvideo:x:44:pi,www\n";

    #[test]
    fn identities() {
        let www = Identity { uid: 33, gid: 33, groups: vec![33, 997, 44] };
        assert_eq!(identity_in(b"www", PASSWD, GROUP), Some(www.clone()));
        assert_eq!(identity_in(b"33", PASSWD, GROUP), Some(www));
        // A name wins over a number, as in chown(1).
        assert_eq!(identity_in(b"1000", PASSWD, GROUP).unwrap().uid, 44);
        let bare = identity_in(b"1234", PASSWD, GROUP).unwrap();
        assert_eq!((bare.uid, bare.gid, bare.groups), (1234, 1234, vec![1234]));
        for none in [&b"nosuch"[..], b"", b"4294967295", b"99999999999", b"-1", b"+33", b" 33"] {
            assert_eq!(identity_in(none, PASSWD, GROUP), None, "{none:?}");
        }
    }

    #[test]
    fn root_is_found_and_refused() {
        let root = lookup_user("root").unwrap().unwrap();
        assert_eq!(root.uid, 0);
        assert!(matches!(drop_to(&root), Err(DropError::Root)));
    }

    #[test]
    fn only_root_changes_and_others_must_match() {
        if crate::sys::process::is_root() {
            println!("SKIPPED: changing identity without rights: run by root (rights_are_gone covers it then)");
            return;
        }
        // SAFETY: these take nothing and cannot fail.
        let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
        let groups = vec![gid];
        drop_to(&Identity { uid, gid, groups: groups.clone() }).unwrap();
        let other = Identity { uid: uid + 1, gid, groups };
        assert!(matches!(drop_to(&other), Err(DropError::NotAllowed)));
    }

    #[test]
    fn rights_are_gone() {
        const NAME: &str = "sys::credentials::tests::rights_are_gone";
        let identity = Identity { uid: 4321, gid: 4322, groups: vec![4322, 4323, 4324] };
        if testing::role().is_some() {
            drop_to(&identity).unwrap();
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = |key: &str| {
                let line = status.lines().find(|l| l.starts_with(key)).unwrap();
                line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(line("Uid:"), ["4321"; 4]);
            assert_eq!(line("Gid:"), ["4322"; 4]);
            assert_eq!(line("Groups:"), ["4322", "4323", "4324"]);
            assert_eq!(line("CapEff:"), ["0000000000000000"]);
            assert_eq!(line("CapPrm:"), ["0000000000000000"]);
            assert!(std::fs::File::open("/etc/shadow").is_err());
            // Once more is allowed and changes nothing; another identity is not.
            drop_to(&identity).unwrap();
            let other = Identity { uid: 4325, ..identity };
            assert!(matches!(drop_to(&other), Err(DropError::NotAllowed)));
            testing::pass();
        }
        if testing::root_or_skip("dropping privileges") {
            testing::run_self(NAME, "x").assert_pass();
        }
    }

    /// The saved id alone is enough to come back: the check must see it.
    #[test]
    fn effective_ids_alone_are_not_enough() {
        const NAME: &str = "sys::credentials::tests::effective_ids_alone_are_not_enough";
        if testing::role().is_some() {
            // SAFETY: integers only, in a process of its own.
            assert_eq!(unsafe { libc::setresuid(u32::MAX, 4321, u32::MAX) }, 0);
            assert!(!is_wholly(4321, 0));
            assert!(can_be_root());
            testing::pass();
        }
        if testing::root_or_skip("taking root back by the saved id") {
            testing::run_self(NAME, "x").assert_pass();
        }
    }
}
