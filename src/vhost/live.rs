//! The configuration in force, with what is looked up in it for each request. Immutable: a reload makes a new one.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::config::{Config, Site, UnknownHost};

/// A directory that files are served from: the index into [`Live::root`].
pub type RootId = u16;

/// The configuration in force.
pub struct Live {
    config: Config,
    names: Vec<(Box<[u8]>, u16)>,
    roots: Vec<CString>,
    /// For each site, the root of its DocumentRoot; its aliases follow in order.
    first_root: Vec<RootId>,
    sites: Vec<Part>,
    one_site: bool,
}

/// What the plugins do with the requests of a site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// They are asked about them before they are answered (stage 20).
    pub guard: bool,
    /// They may answer them (stage 30).
    pub handle: bool,
    /// They are told of the answers (stage 40).
    pub hear: bool,
}

/// A path without the steps back that are no detours by a symbolic link: programs are told the paths of scripts, and PHP runs none with
/// `..` in it. Links stay as they are, for where they lead may change.
fn straight(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in path.components() {
        let back = part == Component::ParentDir;
        if !back || whole.symlink_metadata().map_or(true, |about| about.is_symlink()) || !whole.pop() {
            whole.push(part);
        }
    }
    whole
}

impl Live {
    /// Prepares a configuration for look-up.
    pub fn new(config: Config) -> Live {
        let mut names: Vec<(Box<[u8]>, u16)> = Vec::new();
        let mut roots = Vec::new();
        let mut first_root = Vec::new();
        for (index, site) in config.sites.iter().enumerate() {
            for name in &site.names {
                // The first site that claims a name keeps it.
                if let Err(place) = names.binary_search_by(|(other, _)| (**other).cmp(name.as_bytes())) {
                    names.insert(place, (name.as_bytes().into(), index as u16));
                }
            }
            first_root.push(roots.len() as RootId);
            let aliases = site.aliases.iter().map(|alias| &alias.dir);
            for dir in std::iter::once(&site.document_root).chain(aliases) {
                // A path with a NUL can not come out of a configuration file that was accepted.
                let dir = straight(dir);
                roots.push(CString::new(dir.as_os_str().as_bytes()).unwrap_or_default());
            }
        }
        let one_site = config.sites.len() == 1 && config.server.unknown_host == UnknownHost::Default;
        let mut sites = Vec::new();
        for site in &config.sites {
            sites.push(Part {
                guard: site.plugins.guards(&config.plugins),
                handle: !site.handlers.is_empty() || config.plugins.lists(),
                hear: site.plugins.hears(),
            });
        }
        Live { config, names, roots, first_root, sites, one_site }
    }

    /// The configuration itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A site by its index.
    pub fn site(&self, site: u16) -> Option<&Site> {
        self.config.sites.get(usize::from(site))
    }

    /// What the plugins do with the requests of a site.
    #[inline]
    pub fn part(&self, site: u16) -> Part {
        self.sites.get(usize::from(site)).copied().unwrap_or(Part { guard: true, handle: true, hear: true })
    }

    /// The site that serves a host, given without its port; compared without regard to case, one final dot ignored.
    /// None = no site and the configuration rejects unknown names. An IP address, which can not be rebound to another,
    /// and a request without a host belong to the default site.
    #[inline(always)]
    pub fn site_of(&self, host: Option<&[u8]>) -> Option<u16> {
        if self.one_site {
            return Some(0);
        }
        let Some(host) = host else { return Some(0) };
        let host = host.strip_suffix(b".").unwrap_or(host);
        let order = |name: &[u8]| name.iter().copied().cmp(host.iter().map(u8::to_ascii_lowercase));
        match self.names.binary_search_by(|(name, _)| order(name)) {
            Ok(at) => self.names.get(at).map(|&(_, site)| site),
            Err(_) if self.config.server.unknown_host == UnknownHost::Default || is_address(host) => Some(0),
            Err(_) => None,
        }
    }

    /// Whether plugins are to be told of the answers of any site.
    pub fn hears(&self) -> bool {
        self.sites.iter().any(|part| part.hear)
    }

    /// The path of a root directory.
    pub fn root(&self, root: RootId) -> Option<&CString> {
        self.roots.get(usize::from(root))
    }

    /// How many root directories there are.
    pub fn roots(&self) -> usize {
        self.roots.len()
    }

    /// The directory that `path` (decoded, normal, beginning with `/`) lies in, and the rest of the path beneath it,
    /// without a leading slash. The longest alias whose prefix matches whole segments wins.
    pub fn place<'a>(&self, site: u16, path: &'a [u8]) -> Option<(RootId, &'a [u8])> {
        let first = *self.first_root.get(usize::from(site))?;
        let mut best = (first, path);
        let mut longest = 0;
        for (index, alias) in self.site(site)?.aliases.iter().enumerate() {
            let prefix = alias.prefix.trim_end_matches('/').as_bytes();
            let Some(rest) = path.strip_prefix(prefix) else { continue };
            if prefix.len() >= longest && (rest.is_empty() || rest.first() == Some(&b'/')) {
                longest = prefix.len();
                best = (first + 1 + index as RootId, rest);
            }
        }
        let (root, rest) = best;
        Some((root, rest.strip_prefix(b"/").unwrap_or(rest)))
    }
}

fn is_address(host: &[u8]) -> bool {
    if host.first() == Some(&b'[') {
        return true;
    }
    std::str::from_utf8(host).is_ok_and(|text| text.parse::<std::net::Ipv4Addr>().is_ok())
}
