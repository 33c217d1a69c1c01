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

/// A script that does as its query says.
const PROGRAM: &str = "echo complaint >&2
case $QUERY_STRING in
    length) printf 'Content-Length: 3\\n\\nrun' ;;
    large) printf 'X-A: b\\n\\n'; head -c 300000 /dev/zero ;;
    echo) printf 'X-A: b\\n\\n'; exec cat ;;
    local) printf 'Location: /small.txt\\n\\n' ;;
    bad) echo no answer ;;
    nothing) ;;
    half) printf 'Content-Length: 100000\\n\\nhalf' ;;
    slow) exec sleep 100 ;;
    busy) sleep 0.1; printf 'Content-Length: 0\\n\\n' ;;
    *) printf 'Content-Type: text/plain\\n\\nrun' ;;
esac
";

/// A directory of the test's own, removed at its end.
pub struct Site(PathBuf, bool);

impl Site {
    /// Writes everything. `memory` is the MemoryLimit in KB; the scheduler as in the configuration; `programs` = some answer requests.
    pub fn new(scheduler: &str, memory: usize, programs: bool) -> Site {
        let dir = std::env::temp_dir().join(format!("monkey-no-allocation-{}-{scheduler}", std::process::id()));
        let site = Site(dir, programs);
        let _ = fs::remove_dir_all(&site.0);
        site.write_files();
        site.write_configuration(scheduler, memory);
        site
    }

    /// The configuration directory.
    pub fn configuration(&self) -> PathBuf {
        self.0.join("conf")
    }

    /// Whether programs answer requests.
    pub fn has_programs(&self) -> bool {
        self.1
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
            ("www/run.palm", 10),
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
    FDLimit 940
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
            #[cfg(feature = "plugin-proxy")]
            if name == "default" {
                let (one, two) = (crate::backends::http(), crate::backends::http());
                handlers.push_str(&format!("[PROXY]\n    Match ^/behind/\n    Server {one} {two}\n    KeepAlive 2\n"));
            }
            if self.1 && name == "default" {
                handlers.push_str("[HANDLERS]\n    Match \\.sh(/|$) cgi /bin/sh\n    Match \\.cgi$ cgi\n");
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
        #[cfg(feature = "plugin-proxy")]
        {
            fs::create_dir_all(conf.join("plugins/proxy")).unwrap();
            let own = "[PROXY]\n    Timeout 1\n    Queue 4\n    Requests 4\n    Attempts 1000\n";
            fs::write(conf.join("plugins/proxy/proxy.conf"), own).unwrap();
        }
        if self.1 {
            fs::create_dir_all(conf.join("plugins/cgi")).unwrap();
            let own = "[CGI]\n    Children 2\n    Queue 2\n    Timeout 1\n    KillAfter 0\n";
            fs::write(conf.join("plugins/cgi/cgi.conf"), own).unwrap();
            fs::write(self.file("run.sh"), PROGRAM).unwrap();
            fs::write(self.file("not.cgi"), "").unwrap();
        }
        #[cfg(feature = "plugin-palm")]
        {
            fs::create_dir_all(conf.join("plugins/palm")).unwrap();
            let port = crate::backends::palm().port();
            let own = format!("Palm palm text/html {port}\n[LIMITS]\n    Timeout 1\n    Queue 4\n    Requests 4\n");
            fs::write(conf.join("plugins/palm/palm.conf"), own).unwrap();
        }
        if cfg!(all(feature = "plugin-gpio", feature = "test-switches")) {
            self.write_board();
        }
        if cfg!(feature = "plugin-auth") {
            let text =
                "[HOST]\n    ServerName secret\n    DocumentRoot ../app\n[AUTH]\n    Location /\n    Users users\n";
            fs::write(conf.join("sites/secret"), text).unwrap();
            self.write_users("");
        }
    }

    /// An LED for each role, in different patterns, and a button, where `MONKEY_TEST_GPIO` leads.
    fn write_board(&self) {
        let mut own = String::from("[GPIO]\n    Check 1\n[INPUT]\n    Pin 20\n    Action reload\n");
        let board = self.0.join("board");
        fs::create_dir_all(board.join("pins")).unwrap();
        fs::write(board.join("pins/20"), "1").unwrap();
        for (role, pattern) in [
            ("ready", "on"),
            ("activity", "pulse 50"),
            ("error", "count"),
            ("heartbeat", "blink 10"),
            ("busy", "blink 5"),
        ] {
            fs::create_dir_all(board.join("leds").join(role)).unwrap();
            fs::write(board.join("leds").join(role).join("brightness"), "").unwrap();
            own.push_str(&format!("[OUTPUT]\n    Role {role}\n    Led {role}\n    Pattern {pattern}\n"));
        }
        let dir = self.configuration().join("plugins/gpio");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("gpio.conf"), own).unwrap();
    }

    /// How often the LED of a role was set; 0 where there is none.
    pub fn edges(&self, role: &str) -> usize {
        fs::read(self.0.join("board/leds").join(role).join("brightness")).map_or(0, |levels| levels.len() / 2)
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
