//! Where the configuration directory is when `-c` does not say.

use std::env;
use std::path::{Path, PathBuf};

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
    search(env::current_exe().ok().as_deref(), Path::new(INSTALLED), env::current_dir().ok().as_deref())
}

fn search(executable: Option<&Path>, installed: &Path, here: Option<&Path>) -> Option<PathBuf> {
    let trees = executable.into_iter().flat_map(Path::ancestors);
    let target = trees.filter(|dir| dir.file_name().is_some_and(|name| name == "target")).filter_map(Path::parent);
    let built_from = target.filter_map(of_tree).next();
    built_from
        .or_else(|| Some(installed.to_path_buf()).filter(|dir| dir.join(SERVER_CONF).is_file()))
        .or_else(|| here.and_then(of_tree))
}

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
