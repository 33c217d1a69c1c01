//! What is served: a configuration that makes every table and pool small enough to be filled, and files for every kind of answer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Distinct small files, more than a worker keeps open.
pub const MANY: usize = 300;
/// Distinct files that no socket takes at once.
pub const BULKY: usize = 290;
/// Seconds of `Timeout`.
pub const TIMEOUT: u64 = 3;

/// A directory of the test's own, removed at its end.
pub struct Site(PathBuf);

impl Site {
    /// Writes everything. `memory` is the MemoryLimit in KB; the scheduler as in the configuration.
    pub fn new(scheduler: &str, memory: usize) -> Site {
        let site = Site(std::env::temp_dir().join(format!("monkey-no-allocation-{}-{scheduler}", std::process::id())));
        let _ = fs::remove_dir_all(&site.0);
        site.write_files();
        site.write_configuration(scheduler, memory);
        site
    }

    /// The configuration directory.
    pub fn configuration(&self) -> PathBuf {
        self.0.join("conf")
    }

    /// A file of the first site.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join("www").join(name)
    }

    fn write_files(&self) {
        for dir in ["www/dir", "www/many", "www/bulky", "www/pages", "app", "alias", "conf/sites"] {
            fs::create_dir_all(self.0.join(dir)).unwrap();
        }
        let text = |len: usize| (0..len).map(|i| b'a' + (i % 26) as u8).collect::<Vec<u8>>();
        let files = [
            ("www/small.txt", 1_000),
            ("www/empty.txt", 0),
            ("www/mid.bin", 12_000),
            ("www/large.bin", 300_000),
            ("www/style.css", 3_000),
            ("www/style.css.br", 500),
            ("www/style.css.gz", 600),
            ("www/script.php", 10),
            ("www/changed.txt", 100),
            ("www/dir/index.html", 200),
            ("www/pages/404.html", 700),
            ("www/pages/405.html", 40_000),
            ("app/index.html", 900),
            ("alias/a.txt", 50),
        ];
        for (name, len) in files {
            fs::write(self.0.join(name), text(len)).unwrap();
        }
        for number in 0..MANY {
            fs::write(self.file(&format!("many/{number}.txt")), text(200 + number)).unwrap();
        }
        for number in 0..BULKY {
            sparse(&self.file(&format!("bulky/{number}.bin")), 4 << 20);
        }
        sparse(&self.file("slow.bin"), 4 << 20);
        symlink("small.txt", self.file("link.txt")).unwrap();
    }

    fn write_configuration(&self, scheduler: &str, memory: usize) {
        let conf = self.configuration();
        let server = format!(
            "[SERVER]
    Listen 127.0.0.1:0
    Workers 2
    Scheduler {scheduler}
    MemoryLimit {memory}
    FDLimit 740
    Timeout {TIMEOUT}
    RateWindow {TIMEOUT}
    KeepAliveTimeout 2
    MaxKeepAliveRequest 400
    OverCapacity TooBusy
    DeferAccept 0
    SendBuffer 131072
    UserDir public_html
"
        );
        fs::write(conf.join("monkey.conf"), server).unwrap();
        fs::write(
            conf.join("monkey.mime"),
            "[MIMETYPES]
    txt text/plain
    html text/html
    css text/css
    bin application/octet-stream
",
        )
        .unwrap();
        let sites = [
            (
                "default",
                "[HOST]
    ServerName localhost
    DocumentRoot ../www
    Alias /alias ../alias
    MaxBodySize 8
[ERROR_PAGES]
    404 pages/404.html
    405 pages/405.html
    416 pages/missing.html
[HEADERS]
    Match .* X-Content-Type-Options: nosniff
    Match \\.css$ X-Style: yes
[CACHE]
    Match \\.(css|js)$ max-age=60
",
            ),
            ("app", "[HOST]\n    ServerName app\n    DocumentRoot ../app\n    Fallback /index.html\n"),
            ("moved", "[HOST]\n    ServerName moved\n    DocumentRoot ../app\n    Redirect https://example.org/\n"),
            ("gone", "[HOST]\n    ServerName gone\n    DocumentRoot ../nowhere\n"),
        ];
        if cfg!(feature = "plugin-mandril") {
            let guarded = "[HOST]
    ServerName guarded
    DocumentRoot ../app
[MANDRIL]
    Allow address ::1 10.0.0.0/8
    Deny method DELETE
    Deny hotlink .
    URL /Secret
    Deny uri ^/private(/|$)
[RATE]
    Requests 10000
";
            let limited =
                "[HOST]\n    ServerName limited\n    DocumentRoot ../app\n[RATE]\n    Requests 1\n    Seconds 86400\n";
            fs::write(conf.join("sites/guarded"), guarded).unwrap();
            fs::write(conf.join("sites/limited"), limited).unwrap();
            fs::create_dir_all(conf.join("plugins/mandril")).unwrap();
            let own = "[RULES]\n    IP 192.0.2.0/24\n    Deny uri ^/forbidden\n[RATE]\n    Addresses 64\n";
            fs::write(conf.join("plugins/mandril/mandril.conf"), own).unwrap();
        }
        // Files that are renamed now and then, and in every form.
        let log = |format: &str| match cfg!(feature = "plugin-logger") {
            true => format!("[LOGGER]\n    AccessLog ../log/access\n    ErrorLog ../log/error\n    Format {format}\n"),
            false => String::new(),
        };
        for ((name, text), format) in sites.into_iter().zip(["combined", "json", "monkey", "common"]) {
            let lists = cfg!(feature = "plugin-dirlisting") && name == "default";
            let mut handlers =
                String::from(if lists { "[HANDLERS]\n    Match ^/(many|bulky)/ dirlisting\n" } else { "" });
            if cfg!(feature = "plugin-metrics") && name == "default" {
                handlers.push_str("[HANDLERS]\n    Location /metrics metrics\n");
            }
            fs::write(conf.join("sites").join(name), format!("{text}{}{handlers}", log(format))).unwrap();
        }
        fs::create_dir_all(conf.join("plugins/logger")).unwrap();
        fs::create_dir_all(self.0.join("log")).unwrap();
        fs::write(
            conf.join("plugins/logger/logger.conf"),
            "[LOGGER]\n    FlushTimeout 1\n    MaxSize 100\n    Keep 2\n",
        )
        .unwrap();
        if cfg!(feature = "plugin-auth") {
            let text =
                "[HOST]\n    ServerName secret\n    DocumentRoot ../app\n[AUTH]\n    Location /\n    Users users\n";
            fs::write(conf.join("sites/secret"), text).unwrap();
            self.write_users("");
        }
    }

    /// Puts a users file in place of the one there is: `al` with the password `password`, and what follows.
    pub fn write_users(&self, more: &str) {
        let conf = self.configuration();
        fs::write(conf.join("users.new"), format!("al:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n{more}")).unwrap();
        fs::rename(conf.join("users.new"), conf.join("users")).unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file of that length that takes no room on the disk.
pub fn sparse(path: &Path, len: u64) {
    fs::File::create(path).unwrap().set_len(len).unwrap();
}
