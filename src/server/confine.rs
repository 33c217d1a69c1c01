//! What a server gives up before it serves: new rights, files outside of `Chroot`, the rights of root, and with the feature
//! `sandbox` whatever its configuration does not name. docs/CONFINEMENT.md says it for operators.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use crate::log::{info, warn};

use crate::config::{Config, Options};
#[cfg(feature = "sandbox")]
use crate::server::sandbox::{Sandbox, SandboxError};
use crate::sys::confine::{
    BIND_SERVICE, Capabilities, READ_SEARCH, enter_root, forbid_new_rights, limit_bounding, limit_capabilities,
};
use crate::sys::credentials::{DropError, Identity, drop_to};
use crate::sys::process::is_root;

/// Why the server could not be confined, and thus does not start.
#[derive(Debug)]
pub enum ConfineError {
    /// The rights of root could not be given up.
    Drop(DropError),
    /// The kernel refused a step: what it is for, and its error.
    Refused(&'static str, io::Error),
    /// The sandbox could not be made, though the kernel has it.
    #[cfg(feature = "sandbox")]
    Sandbox(SandboxError),
}

impl fmt::Display for ConfineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfineError::Drop(error) => error.fmt(f),
            ConfineError::Refused(what, error) => write!(f, "{what}: {error}"),
            #[cfg(feature = "sandbox")]
            ConfineError::Sandbox(error) => write!(f, "Sandbox: {error}; Sandbox Off does without"),
        }
    }
}

/// What the running server is held to, for a reload to know.
pub(super) struct Confinement {
    #[cfg(feature = "sandbox")]
    sandbox: Option<Sandbox>,
}

/// Gives up everything that serving does not need, for good. Called when all that lies outside is open and while there is
/// one thread: what is given up here belongs to a thread, and to those it starts. `identity` is whom to become, when started
/// as root; `removes_in` are the directories in which files are removed when the server stops.
pub(super) fn apply(
    config: &Config,
    identity: Option<Identity>,
    removes_in: &[BorrowedFd<'_>],
) -> Result<Confinement, ConfineError> {
    let refused = |what| move |error| ConfineError::Refused(what, error);
    let server = &config.server;
    forbid_new_rights().map_err(refused("cannot set no_new_privs"))?;
    if let Some(chroot) = &server.chroot {
        let needs = "cannot make Chroot the root directory; it needs root or CAP_SYS_CHROOT";
        enter_root(chroot.dir()).map_err(refused(needs))?;
    }
    let keep = kept(identity.is_some());
    limit_bounding(keep).map_err(refused("cannot give up capabilities"))?;
    become_user(server.user.as_deref(), identity)?;
    limit_capabilities(keep).map_err(refused("cannot give up capabilities"))?;
    #[cfg(not(feature = "sandbox"))]
    let _ = removes_in;
    Ok(Confinement {
        #[cfg(feature = "sandbox")]
        sandbox: match server.sandbox {
            true => Sandbox::enforce(config, removes_in).map_err(ConfineError::Sandbox)?,
            false => None,
        },
    })
}

/// What the [spawner](super::spawner) and the programs it starts give up: new rights, files outside of `Chroot`, and, where it is whom the
/// server becomes for good, the rights of root. No sandbox: what programs need is theirs to say. Where `identity` is none they keep what
/// the server was started with.
pub(super) fn apply_to_spawner(config: &Config, identity: Option<&Identity>) -> io::Result<()> {
    forbid_new_rights()?;
    if let Some(chroot) = &config.server.chroot {
        enter_root(chroot.dir())?;
    }
    if let Some(identity) = identity {
        limit_bounding(0)?;
        drop_to(identity).map_err(|_| io::ErrorKind::PermissionDenied)?;
    }
    if !is_root() {
        limit_capabilities(0)?;
    }
    Ok(())
}

/// The capabilities that serving needs. `User` needs none: what it may not do was done before. Root without `User` still reads
/// whatever it is told to serve, but writes only what is its own. Ports below 1024 may come by a reload.
fn kept(has_user: bool) -> Capabilities {
    match has_user {
        true => 0,
        false if is_root() => READ_SEARCH | BIND_SERVICE,
        false => BIND_SERVICE,
    }
}

/// Becomes `User`, for good, when started as root.
fn become_user(user: Option<&str>, identity: Option<Identity>) -> Result<(), ConfineError> {
    match (user, identity) {
        (_, Some(identity)) => return drop_to(&identity).map_err(ConfineError::Drop),
        (None, None) if is_root() => {
            warn!("running as root: name a User in [SERVER] to give the rights up after start");
        }
        (None, None) => {}
        (Some(name), None) => info!("User {name} has no effect: not started as root"),
    }
    Ok(())
}

/// Why this process can not read its configuration again at all; `None` when it can.
pub(super) fn out_of_reach(options: &Options) -> Option<&'static str> {
    let (chroot, dir) = (options.confined.as_ref()?, options.config_dir.as_ref()?);
    chroot.inside(dir).is_none().then_some("Chroot: the configuration lies outside, where files can not be read")
}

impl Confinement {
    /// The keys of a new configuration that name what this process can no longer reach.
    pub(super) fn needs_restart(&self, new: &Config, refused: &mut Vec<&'static str>) {
        #[cfg(feature = "sandbox")]
        if let Some(sandbox) = &self.sandbox {
            sandbox.needs_restart(new, refused);
        }
        #[cfg(not(feature = "sandbox"))]
        let _ = (new, refused);
    }
}
