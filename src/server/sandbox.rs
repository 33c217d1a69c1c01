//! The sandbox (landlock(7)): the kernel holds the server to what its configuration names. Best effort: a kernel that has
//! none, or less of it, is told of in the log and enforces what it can.
//!
//! A root that is swapped, remounted or replaced while the server runs must go on being served. What is allowed is tied to
//! the directories there are now, so it is the parents of a root that are: of the path as it is written and of its real path.

use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ::log::{info, warn};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::config::Config;
use crate::sys::lockfile::PidFile;
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
    /// TCP ports that may be listened on, sorted.
    ports: Vec<u16>,
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
        plan.ports = config.server.listen.iter().map(|listen| listen.port).collect();
        plan.ports.sort_unstable();
        plan.ports.dedup();
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
    pub(super) fn enforce(config: &Config, pid_file: Option<&PidFile>) -> Result<Option<Sandbox>, SandboxError> {
        #[cfg(feature = "test-switches")]
        if std::env::var_os("MONKEY_TEST_NO_LANDLOCK").is_some_and(|value| value == "1") {
            info!("sandbox: nothing is enforced: MONKEY_TEST_NO_LANDLOCK");
            return Ok(None);
        }
        let plan = Plan::of(config);
        let status = restrict(&plan, pid_file)?;
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
        if plan.ports.iter().any(|port| !allowed.ports.contains(port)) {
            need("Listen");
        }
    }
}

fn restrict(plan: &Plan, pid_file: Option<&PidFile>) -> Result<RestrictionStatus, SandboxError> {
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
    if let Some(pid_file) = pid_file {
        rules = rules.add_rule(PathBeneath::new(pid_file.directory(), AccessFs::RemoveFile))?;
    }
    for port in &plan.ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
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
        f.write_str(" and read below")?;
        for place in &self.read {
            write!(f, " {}", place.path.display())?;
        }
        Ok(())
    }
}
