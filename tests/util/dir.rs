//! A directory of one test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new directory, removed with all that is in it when the test is over.
pub struct Dir(PathBuf);

impl Dir {
    /// Makes one that every user may read.
    pub fn new() -> Dir {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("monkey-test-{}-{number}", std::process::id()));
        // What a killed run with the same process id left behind.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a directory for the test");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        Dir(path)
    }

    /// Its path, or that of something in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in it, and the directories that lead there.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        make_parents(&path);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Every text file below `name`, with its path, for a failure to show.
    pub fn texts(&self, name: &str) -> String {
        let mut all = String::new();
        let mut open = vec![self.0.join(name)];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                open.extend(entries.map(|entry| entry.path()));
            } else if let Ok(text) = fs::read_to_string(&path) {
                let brief = text.get(..2000).unwrap_or(&text);
                all.push_str(&format!("-- {}\n{brief}\n", path.display()));
            }
        }
        all
    }
}

fn make_parents(path: &Path) {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
