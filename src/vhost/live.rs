//! The configuration in force, with what is looked up in it for each request. Immutable: a reload makes a new one.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

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
    /// For each site, whether plugins are to be asked about its requests, and whether they may answer them.
    asks: Vec<(bool, bool)>,
    one_site: bool,
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
                roots.push(CString::new(dir.as_os_str().as_bytes()).unwrap_or_default());
            }
        }
        let one_site = config.sites.len() == 1 && config.server.unknown_host == UnknownHost::Default;
        let mut asks = Vec::new();
        for site in &config.sites {
            let handled = !site.handlers.is_empty() || config.plugins.lists();
            asks.push((site.plugins.guards(&config.plugins), handled));
        }
        Live { config, names, roots, first_root, asks, one_site }
    }

    /// The configuration itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A site by its index.
    pub fn site(&self, site: u16) -> Option<&Site> {
        self.config.sites.get(usize::from(site))
    }

    /// Whether plugins are to be asked about the requests of a site before they are answered (stage 20).
    pub fn is_guarded(&self, site: u16) -> bool {
        self.asks.get(usize::from(site)).is_none_or(|asks| asks.0)
    }

    /// Whether plugins may answer requests of a site (stage 30).
    pub fn is_handled(&self, site: u16) -> bool {
        self.asks.get(usize::from(site)).is_none_or(|asks| asks.1)
    }

    /// The site that serves a host, given without its port; compared without regard to case, one final dot ignored.
    /// None = no site and the configuration rejects unknown names. An IP address, which can not be rebound to another,
    /// and a request without a host belong to the default site.
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
