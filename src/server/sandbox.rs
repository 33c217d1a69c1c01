//! The sandbox (landlock(7)): the kernel holds the server to what its configuration names. Best effort: a kernel that has
//! none, or less of it, is told of in the log and enforces what it can.
//!
//! A root that is swapped, remounted or replaced while the server runs must go on being served. What is allowed is tied to
//! the directories there are now, so it is the parents of a root that are: of the path as it is written and of its real path.

use std::fmt;
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::log::{info, warn};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::config::Config;
use crate::config::plugins::backend::Address;
use crate::config::plugins::{reached, written};
use crate::sys::passwd::accounts;

/// The rights this server was written for: those that later kernels add stay as they are (6.12 has all of these).
const VERSION: ABI = ABI::V6;
/// The first user id of a person; those below are the system's (login.defs(5), UID_MIN).
const FIRST_PERSON: u32 = 1000;

/// Why there is no sandbox, though the kernel has it.
pub type SandboxError = RulesetError;

/// Something that may be read, with all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Absolute, without symbolic links; it is there.
    path: PathBuf,
    /// The key that needs it; empty for the configuration itself.
    key: &'static str,
}

/// What a configuration needs, as plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plan {
    read: Vec<Place>,
    /// Directories in which files are made, written and renamed.
    write: Vec<Place>,
    /// TCP ports that may be listened on, sorted.
    ports: Vec<u16>,
    /// TCP ports that may be connected to, at whatever address, sorted.
    connect: Vec<u16>,
}

impl Plan {
    /// What the server needs from now on, in its root directory: looks at the file system, opens nothing.
    fn of(config: &Config) -> Plan {
        let mut plan = Plan::default();
        for source in std::iter::once(&config.dir).chain(&config.sources) {
            match &config.server.chroot {
                Some(chroot) => _ = chroot.inside(source).is_some_and(|inside| plan.allow("", &inside)),
                None => _ = plan.allow("", source),
            }
        }
        for site in config.sites.iter().filter(|site| site.redirect.is_none()) {
            plan.allow_root("DocumentRoot", &site.document_root);
            for alias in &site.aliases {
                plan.allow_root("Alias", &alias.dir);
            }
        }
        if let Some(folder) = &config.server.user_dir {
            plan.allow_homes(folder);
        }
        for (key, directory) in written(config) {
            // One that is not there can not be allowed: what is to be written there needs a restart once it is.
            if let Ok(path) = fs::canonicalize(directory)
                && !plan.write.iter().any(|place| place.path == path)
            {
                plan.write.push(Place { path, key });
            }
        }
        plan.ports = sorted(config.server.listen.iter().map(|listen| listen.port));
        plan.connect = sorted(reached(config).into_iter().filter_map(|address| match address {
            Address::Net(address) => Some(address.port()),
            // The kernel leaves sockets with names to the rights of their files.
            Address::Local(_) => None,
        }));
        plan
    }

    /// Allows a path, if there is something; what lies below an allowed one is allowed already. False = nothing is there.
    fn allow(&mut self, key: &'static str, path: &Path) -> bool {
        let Ok(path) = fs::canonicalize(path) else { return false };
        if !self.covers(&path) {
            self.read.retain(|place| !place.path.starts_with(&path));
            self.read.push(Place { path, key });
        }
        true
    }

    fn covers(&self, path: &Path) -> bool {
        self.read.iter().any(|place| path.starts_with(&place.path))
    }

    /// Allows what a directory that is served lies in, by name and by its real path.
    fn allow_root(&mut self, key: &'static str, root: &Path) {
        self.allow(key, &above(root));
        if let Ok(real) = fs::canonicalize(root) {
            self.allow(key, &above(&real));
        }
    }

    /// Allows the directories of users that are served: of each person with all homes beside it, so that a new account is
    /// served too, and of the system's accounts nothing but the folder itself, for their homes are directories such as `/`.
    /// /etc as a whole, as a program that adds an account puts another file in place of /etc/passwd.
    fn allow_homes(&mut self, folder: &str) {
        self.allow("UserDir", Path::new("/etc"));
        let passwd = fs::read("/etc/passwd").unwrap_or_default();
        for account in accounts(&passwd) {
            let home = Path::new(std::ffi::OsStr::from_bytes(account.home));
            match home.parent().filter(|parent| parent.parent().is_some() && account.uid >= FIRST_PERSON) {
                Some(parent) => self.allow("UserDir", parent),
                None if home.is_absolute() => self.allow("UserDir", &home.join(folder)),
                None => false,
            };
        }
    }
}

fn sorted(ports: impl Iterator<Item = u16>) -> Vec<u16> {
    let mut ports: Vec<u16> = ports.collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The directory to allow so that whatever comes to lie at `root` can be read.
fn above(root: &Path) -> PathBuf {
    let parent = |dir: &Path| dir.parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut dir = parent(root);
    if fs::metadata(root).is_err() {
        // It may come with a file system that is not mounted yet: an empty directory is where that would be.
        while fs::metadata(&dir).is_err() && dir.parent().is_some() {
            dir = parent(&dir);
        }
        let empty = fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_none());
        return if empty { parent(&dir) } else { dir };
    }
    // A file system that is mounted anew is another one: only what it is mounted in stays. One that is mounted in / does
    // not come and go, and everything would be allowed.
    let device = |dir: &Path| fs::metadata(dir).map(|about| about.dev()).ok();
    let mut mounted = dir.clone();
    while mounted.parent().is_some() && device(&mounted) == device(&parent(&mounted)) {
        mounted = parent(&mounted);
    }
    let outside = parent(&mounted);
    if outside.parent().is_some() { outside } else { dir }
}

/// A sandbox that is in force.
pub(super) struct Sandbox(Plan);

impl Sandbox {
    /// Puts this thread, and those it will start, into the sandbox of a configuration, and says what that means. `None` =
    /// the kernel enforces nothing.
    pub(super) fn enforce(config: &Config, removes_in: &[BorrowedFd<'_>]) -> Result<Option<Sandbox>, SandboxError> {
        #[cfg(feature = "test-switches")]
        if std::env::var_os("MONKEY_TEST_NO_LANDLOCK").is_some_and(|value| value == "1") {
            info!("sandbox: nothing is enforced: MONKEY_TEST_NO_LANDLOCK");
            return Ok(None);
        }
        let plan = Plan::of(config);
        let status = restrict(&plan, removes_in)?;
        if status.ruleset == RulesetStatus::NotEnforced {
            let why = match status.landlock {
                LandlockStatus::NotEnabled => "landlock is switched off in this kernel",
                _ => "kernel without landlock",
            };
            info!("sandbox: nothing is enforced: {why}");
            return Ok(None);
        }
        if config.server.chroot.is_none()
            && let Some(whole) = plan.read.iter().find(|place| place.path.parent().is_none())
        {
            warn!("sandbox: a {} lies right below /, so everything may be read: move it further down", whole.key);
        }
        info!("sandbox: {}; {plan}", Extent(&status));
        Ok(Some(Sandbox(plan)))
    }

    /// The keys of a new configuration that need more than was allowed.
    pub(super) fn needs_restart(&self, new: &Config, refused: &mut Vec<&'static str>) {
        let (allowed, plan) = (&self.0, Plan::of(new));
        let mut need = |key| {
            if !refused.contains(&key) {
                refused.push(key);
            }
        };
        // What of the configuration itself is out of reach could not have been read.
        for place in plan.read.iter().filter(|place| !place.key.is_empty() && !allowed.covers(&place.path)) {
            need(place.key);
        }
        for place in &plan.write {
            if !allowed.write.iter().any(|known| known.path == place.path) {
                need(place.key);
            }
        }
        if plan.ports.iter().any(|port| !allowed.ports.contains(port)) {
            need("Listen");
        }
        if plan.connect.iter().any(|port| !allowed.connect.contains(port)) {
            need("port of a server behind this one");
        }
    }
}

fn restrict(plan: &Plan, removes_in: &[BorrowedFd<'_>]) -> Result<RestrictionStatus, SandboxError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(AccessNet::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))?
        .create()?;
    for place in &plan.read {
        // What is gone since can not be read anyway.
        let Ok(opened) = PathFd::new(&place.path) else { continue };
        let access = match place.path.is_dir() {
            true => AccessFs::ReadFile | AccessFs::ReadDir,
            false => BitFlags::from(AccessFs::ReadFile),
        };
        rules = rules.add_rule(PathBeneath::new(opened, access))?;
    }
    for place in &plan.write {
        let Ok(opened) = PathFd::new(&place.path) else { continue };
        let access = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile;
        rules = rules.add_rule(PathBeneath::new(opened, access))?;
    }
    for directory in removes_in {
        rules = rules.add_rule(PathBeneath::new(*directory, AccessFs::RemoveFile))?;
    }
    for port in &plan.ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    for port in &plan.connect {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    rules.restrict_self()
}

/// How much of it the kernel enforces.
struct Extent<'a>(&'a RestrictionStatus);

impl fmt::Display for Extent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LandlockStatus::Available { effective_abi, .. } = self.0.landlock else { return f.write_str("landlock") };
        write!(f, "landlock version {}", effective_abi as i32)?;
        match effective_abi {
            abi if abi >= VERSION => Ok(()),
            abi if abi >= ABI::V4 => f.write_str(" (files and TCP)"),
            _ => f.write_str(" (files only)"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("may listen on TCP ports")?;
        for port in &self.ports {
            write!(f, " {port}")?;
        }
        for (number, port) in self.connect.iter().enumerate() {
            write!(f, "{} {port}", if number == 0 { ", connect to" } else { "" })?;
        }
        f.write_str(" and read below")?;
        for place in &self.read {
            write!(f, " {}", place.path.display())?;
        }
        for (number, place) in self.write.iter().enumerate() {
            write!(f, "{} {}", if number == 0 { " and write below" } else { "" }, place.path.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Options, load};
    use crate::sys::lockfile::PidFile;
    use crate::sys::testing::{self, Dir};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::symlink;

    /// A configuration in a directory of its own, with these lines in [SERVER] and [HOST].
    fn config(dir: &Path, server: &str, host: &str) -> Config {
        fs::create_dir_all(dir.join("conf/sites")).unwrap();
        fs::write(dir.join("conf/monkey.conf"), format!("[SERVER]\n  Timeout 1\n{server}")).unwrap();
        fs::write(dir.join("conf/monkey.mime"), "[MIMETYPES]\n  txt text/plain\n").unwrap();
        fs::write(dir.join("conf/sites/default"), format!("[HOST]\n  ServerName a\n{host}")).unwrap();
        let (config, _) = load(&Options { config_dir: Some(dir.join("conf")), ..Options::default() }).unwrap();
        config
    }

    /// What of a plan lies in the directory, relative to it, and everything else.
    fn read(plan: &Plan, dir: &Path) -> (Vec<String>, Vec<PathBuf>) {
        let real = fs::canonicalize(dir).unwrap();
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        for place in &plan.read {
            match place.path.strip_prefix(&real) {
                Ok(rest) => inside.push(rest.display().to_string()),
                Err(_) => outside.push(place.path.clone()),
            }
        }
        inside.sort();
        (inside, outside)
    }

    #[test]
    fn a_plan_names_the_parents_of_roots_by_name_and_by_real_path() {
        let dir = Dir::new();
        let at = |name: &str| dir.path().join(name);
        for name in ["site/root", "releases/v1", "named", "one/also", "files"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        symlink("../releases/v1", at("named/current")).unwrap();
        fs::write(at("files/version"), "7").unwrap();
        let host = "  DocumentRoot ../named/current\n  Alias /r ../site/root\n  Alias /a ../one/also\n  Alias /b ../one/later\n  \
                    EtagSeed @../files/version\n";
        let config = config(dir.path(), "  Listen 81\n  Listen 80\n  Listen 127.0.0.1:81\n", host);
        let plan = Plan::of(&config);
        assert_eq!(plan.ports, [80, 81]);
        let (inside, outside) = read(&plan, dir.path());
        // One directory for two aliases, one file for the seed, the configuration with its folders as one.
        assert_eq!(inside, ["conf", "files/version", "named", "one", "releases", "site"]);
        assert!(outside.is_empty(), "{outside:?}");
        assert_eq!(plan.to_string().matches(" /").count(), 6);
    }

    #[test]
    fn a_root_to_come_may_come_with_its_file_system() {
        let dir = Dir::new();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("media/stick")).unwrap();
        fs::create_dir_all(at("media/full/x")).unwrap();
        assert_eq!(above(&at("media/stick/www/de")), at("media"), "an empty directory is where one is mounted");
        assert_eq!(above(&at("media/full/www")), at("media/full"));
        assert_eq!(above(&at("media/full/no/such/www")), at("media/full"));
        assert_eq!(above(&at("media/full/x")), at("media/full"));
        // Of what is mounted right below / no more is allowed than needed: /proc here.
        assert_eq!(above(Path::new("/proc/sys/kernel")), Path::new("/proc/sys"));
        assert_eq!(above(Path::new("/proc")), Path::new("/"));
        assert_eq!(above(Path::new("/")), Path::new("/"));
    }

    #[test]
    fn a_file_system_below_the_first_level_may_be_mounted_anew() {
        // /sys/fs/cgroup, /dev/shm or the like, whatever this machine has.
        let device = |path: &Path| fs::metadata(path).map(|about| about.dev()).ok();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut places = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
        let place = places.find(|place| {
            let parent = place.parent().filter(|parent| parent.parent().is_some());
            parent.is_some_and(|parent| device(parent) != device(place) && device(place).is_some())
        });
        let Some(place) = place else { return println!("SKIPPED: nothing is mounted below the first level") };
        let parent = place.parent().unwrap();
        assert_eq!(above(place), above(&parent.join(".")).join(parent.file_name().unwrap()));
        assert!(above(&place.join("missing")).starts_with(parent));
    }

    #[test]
    fn homes_and_the_accounts() {
        let dir = Dir::new();
        fs::create_dir(dir.join("root")).unwrap();
        let config = config(dir.path(), "  UserDir no-such-folder-anywhere\n", "  DocumentRoot ../root\n");
        let (_, outside) = read(&Plan::of(&config), dir.path());
        assert!(outside.contains(&PathBuf::from("/etc")), "{outside:?}");
        assert!(!outside.contains(&PathBuf::from("/")), "the home of a daemon is no reason to allow everything");
    }

    #[test]
    fn a_new_configuration_is_compared_by_what_it_needs() {
        let dir = Dir::new();
        for name in ["a/root", "a/other", "b/root"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        let of = |server: &str, host: &str| config(dir.path(), server, host);
        let old = Sandbox(Plan::of(&of("  Listen 80\n  Listen 81\n", "  DocumentRoot ../a/root\n")));
        let needs = |server: &str, host: &str| {
            let mut refused = vec!["Workers"];
            old.needs_restart(&of(server, host), &mut refused);
            refused.split_off(1)
        };
        assert_eq!(needs("  Listen 81\n", "  DocumentRoot ../a/other\n"), [""; 0]);
        assert_eq!(needs("  Listen 80\n", "  DocumentRoot ../a/root\n  Alias /x ../a/not-yet\n"), [""; 0]);
        assert_eq!(needs("  Listen 82\n", "  DocumentRoot ../b/root\n"), ["DocumentRoot", "Listen"]);
        assert_eq!(needs("  Listen 80\n", "  DocumentRoot ../a/root\n  Alias /x ../b/root\n"), ["Alias"]);
        assert_eq!(needs("  Listen 80\n  UserDir www\n", "  DocumentRoot ../a/root\n"), ["UserDir"]);
        #[cfg(feature = "plugin-proxy")]
        assert_eq!(
            needs("  Listen 80\n", "  DocumentRoot ../a/root\n[HANDLERS]\n  Match x proxy /run/x 10.0.0.1:9 [::1]:9\n"),
            ["port of a server behind this one"]
        );
    }

    #[test]
    fn the_kernel_holds_a_process_to_the_plan() {
        const DIR: &str = "MONKEY_TEST_DIR";
        if testing::role().is_some() {
            let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
            let [free, other] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
            let (mine, theirs) = (port(&free), port(&other));
            #[cfg(feature = "plugin-proxy")]
            let behind = TcpListener::bind("127.0.0.1:0").unwrap();
            let kept = fs::File::options().append(true).open(dir.join("secret")).unwrap();
            let pid_file = PidFile::create(&dir.join("run/pid")).unwrap();
            drop(free);
            #[allow(unused_mut)] // Where nothing connects anywhere.
            let mut host = String::from("  DocumentRoot ../a/root\n");
            #[cfg(feature = "plugin-proxy")]
            host.push_str(&format!("[HANDLERS]\n  Match x proxy {}\n", behind.local_addr().unwrap()));
            let config = config(&dir, &format!("  Listen {mine}\n"), &host);
            crate::sys::confine::forbid_new_rights().unwrap();
            let Some(sandbox) = Sandbox::enforce(&config, &[pid_file.directory()]).unwrap() else {
                println!("SKIPPED: the kernel has no landlock");
                testing::pass();
            };
            assert!(sandbox.0.covers(&fs::canonicalize(dir.join("a/root")).unwrap()));
            let denied = |what: &str, result: std::io::Result<()>| {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied, "{what}");
            };
            assert_eq!(fs::read(dir.join("a/root/file")).unwrap(), b"served");
            assert_eq!(fs::read_dir(dir.join("a")).unwrap().count(), 1);
            assert!(fs::read(dir.join("conf/monkey.conf")).is_ok());
            denied("a file that nothing names", fs::read(dir.join("secret")).map(drop));
            denied("the system's files", fs::read("/etc/passwd").map(drop));
            denied("a directory's names", fs::read_dir(&dir).map(drop));
            denied("writing what is served", fs::write(dir.join("a/root/file"), "x"));
            denied("a new file", fs::write(dir.join("a/root/new"), "x"));
            denied("removing what is served", fs::remove_file(dir.join("a/root/file")));
            denied("running a program", std::process::Command::new("/bin/true").status().map(drop));
            // What was open stays so.
            std::io::Write::write_all(&mut &kept, b"x").unwrap();
            pid_file.remove().unwrap();
            assert!(!dir.join("run/pid").exists());
            #[cfg(feature = "plugin-proxy")]
            assert!(TcpStream::connect(("127.0.0.1", port(&behind))).is_ok(), "a server behind this one");
            // TCP since Linux 6.7.
            match TcpStream::connect(("127.0.0.1", theirs)) {
                Ok(_) => println!("SKIPPED: TCP is not restricted by this kernel"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                    let another = if theirs ^ 1 == mine { theirs ^ 2 } else { theirs ^ 1 };
                    denied("another port", TcpListener::bind(("127.0.0.1", another)).map(drop));
                    assert!(TcpListener::bind(("127.0.0.1", mine)).is_ok(), "a port of its own");
                }
            }
            testing::pass();
        }
        let dir = Dir::new();
        fs::create_dir_all(dir.join("a/root")).unwrap();
        fs::create_dir_all(dir.join("run")).unwrap();
        fs::write(dir.join("a/root/file"), "served").unwrap();
        fs::write(dir.join("secret"), "").unwrap();
        let name = "server::sandbox::tests::the_kernel_holds_a_process_to_the_plan";
        testing::run(testing::command(name, "x").env(DIR, dir.path())).assert_pass();
    }
}
