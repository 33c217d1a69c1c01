//! A small site for the targets that feed a whole server: its files, and a server over a transport without sockets.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use monkey::config::{Options, load};
use monkey::server::rig::Rig;

/// Bytes of body that the site takes.
pub const BODY_MAX: u64 = 8 * 1024;

/// A file of the site: its path and its length. Those over 16 KB are not kept in memory by the server.
pub const FILES: [(&str, usize); 6] = [
    ("/a.txt", 5),
    ("/empty.txt", 0),
    ("/b.html", 300),
    ("/small.bin", 5000),
    ("/middle.bin", 17_000),
    ("/large.bin", 40_000),
];

/// The server and the content of its files, in the order of [`FILES`].
pub struct Site {
    /// The server.
    pub rig: Rig,
    /// What the files hold.
    pub contents: Vec<Vec<u8>>,
    dir: PathBuf,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

thread_local! {
    static SITE: RefCell<Option<Site>> = const { RefCell::new(None) };
}

/// Gives this thread's site, made at the first call, to `f`.
pub fn with<R>(f: impl FnOnce(&mut Site) -> R) -> R {
    SITE.with_borrow_mut(|site| f(site.get_or_insert_with(Site::new)))
}

impl Site {
    fn new() -> Site {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("monkey-fuzz-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        let write = |name: &str, content: &[u8]| {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory for the site");
            fs::write(&path, content).expect("a file of the site");
            path
        };
        // Memory enough for several buffers of each size: one connection never finds them all in use.
        write("conf/monkey.conf", b"[SERVER]\n    Listen 127.0.0.1:0\n    Workers 1\n    MemoryLimit 8000\n");
        write(
            "conf/monkey.mime",
            b"[MIMETYPES]\n    txt text/plain\n    html text/html\n    bin application/octet-stream\n",
        );
        let host =
            format!("[HOST]\n    ServerName test\n    DocumentRoot ../root\n    MaxBodySize {}\n", BODY_MAX / 1024);
        write("conf/sites/default", host.as_bytes());
        write("root/dir/page.txt", b"page");
        let mut contents = Vec::new();
        for (path, len) in FILES {
            let content = pattern(path, len);
            let path = write(&format!("root{path}"), &content);
            set_old(&path);
            contents.push(content);
        }
        let options = Options { config_dir: Some(dir.join("conf")), ..Options::default() };
        let (config, _) = load(&options).unwrap_or_else(|report| panic!("{:?}", report.diagnostics));
        Site { rig: Rig::new(config), contents, dir }
    }
}

/// Bytes in which every stretch is unlike the others, and unlike those of other files.
fn pattern(path: &str, len: usize) -> Vec<u8> {
    let mut state = path.bytes().fold(0x9e37_79b9_7f4a_7c15u64, |state, byte| (state ^ u64::from(byte)).rotate_left(9));
    let mut step = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8
    };
    (0..len).map(|_| step()).collect()
}

/// Dates a file far back: what was changed just now has no trustworthy date yet.
fn set_old(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    File::open(path).and_then(|file| file.set_modified(time)).expect("a modification time");
}
