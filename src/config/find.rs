//! Where the configuration directory is when `-c` does not say.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::sys::directory;

/// The directory of an installed server.
pub const INSTALLED: &str = "/etc/monkey";

/// The file that makes a directory a configuration directory.
pub const SERVER_CONF: &str = "monkey.conf";

/// The configuration directory, the first of:
///
/// 1. `conf` of the source tree whose `target` directory holds this executable, so that what was just built serves the
///    site beside it, whatever is installed;
/// 2. [`INSTALLED`], if it has a monkey.conf;
/// 3. `./conf` beside a `./Cargo.toml`: a source tree built into a target directory elsewhere.
pub fn directory() -> Option<PathBuf> {
    search(env::current_exe().ok().as_deref(), Path::new(INSTALLED), directory::current().ok().as_deref())
}

fn search(executable: Option<&Path>, installed: &Path, here: Option<&Path>) -> Option<PathBuf> {
    let mut tree = executable.unwrap_or(Path::new("")).as_os_str().as_bytes();
    // The nearest directory of that name first.
    while let Some(end) = tree.windows(TARGET.len()).rposition(|part| part == TARGET) {
        tree = tree.get(..end).unwrap_or_default();
        if let Some(conf) = of_tree(Path::new(OsStr::from_bytes(tree))) {
            return Some(conf);
        }
    }
    if installed.join(SERVER_CONF).is_file() {
        return Some(installed.to_path_buf());
    }
    of_tree(here?)
}

/// What stands behind the root of a source tree in the path of what was built in it.
const TARGET: &[u8] = b"/target/";

/// `conf` of a source tree.
fn of_tree(root: &Path) -> Option<PathBuf> {
    let conf = root.join("conf");
    (root.join("Cargo.toml").is_file() && conf.join(SERVER_CONF).is_file()).then_some(conf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_tree_of_the_executable_then_installed_then_here() {
        let root = env::temp_dir().join(format!("monkey-find-{}", std::process::id()));
        let (tree, etc, other) = (root.join("tree"), root.join("etc"), root.join("other"));
        for dir in [tree.join("conf"), tree.join("target/static/armv7"), etc.clone(), other.join("conf")] {
            fs::create_dir_all(dir).unwrap();
        }
        for file in [tree.join("conf/monkey.conf"), tree.join("Cargo.toml"), other.join("conf/monkey.conf")] {
            fs::write(file, "").unwrap();
        }
        let built = tree.join("target/static/armv7/monkey");
        let elsewhere = root.join("bin/monkey");
        assert_eq!(search(Some(&built), &etc, Some(&other)), Some(tree.join("conf")));
        assert_eq!(search(Some(&elsewhere), &etc, Some(&tree)), Some(tree.join("conf")));
        assert_eq!(search(Some(&elsewhere), &etc, Some(&other)), None, "conf without Cargo.toml is no source tree");
        fs::write(etc.join("monkey.conf"), "").unwrap();
        assert_eq!(search(Some(&elsewhere), &etc, Some(&tree)), Some(etc.clone()));
        assert_eq!(search(Some(&built), &etc, None), Some(tree.join("conf")));
        fs::remove_dir_all(root).unwrap();
    }
}
