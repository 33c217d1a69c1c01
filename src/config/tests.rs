//! Whole configurations: every error with its exact place and words, the defaults, any bytes; and in a file of their own the files
//! and directories they come in.

#[cfg(all(feature = "plugin-cgi", feature = "plugin-fastcgi", feature = "plugin-palm", feature = "plugin-proxy"))]
mod backends;
mod files;
mod garbage;
#[cfg(feature = "plugin-gpio")]
mod gpio;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::diagnostic::Findings;
use super::files::tests::Memory;
use super::load::load_from;
use super::table::{File, Kind, Reload};
use super::*;

const SITE: &str = "[HOST]\n  ServerName a\n  DocumentRoot ../htdocs\n";

/// monkey.conf and sites/default with the given content, and files of any name.
fn read(options: Options, files: &[(&str, &str)]) -> (Option<Config>, Vec<String>) {
    let mut all = vec![("/c/monkey.conf", "[SERVER]\n  Listen 2001\n"), ("/c/sites/default", SITE)];
    all.push(("/c/monkey.mime", "[MIMETYPES]\n  html text/html\n"));
    all.extend(files);
    let mut out = Findings::default();
    let options = Options { config_dir: Some("/c".into()), ..options };
    let config = load_from(&Memory::with(&all), &options, &mut out);
    (config, out.list.iter().map(|found| found.to_string()).collect())
}

fn server(text: &str) -> (Server, Vec<String>) {
    let (config, found) = read(Options::default(), &[("/c/monkey.conf", text)]);
    (config.unwrap().server, found)
}

fn site(text: &str) -> (Site, Vec<String>) {
    let (config, found) = read(Options::default(), &[("/c/sites/default", text)]);
    (config.unwrap().sites.remove(0), found)
}

#[test]
fn defaults() {
    let (server, found) = server("[SERVER]\n  Workers 0\n");
    assert_eq!(found, [""; 0]);
    let listen = server.listen.iter().map(|listen| format!("{}:{}", listen.address, listen.port)).collect::<Vec<_>>();
    assert_eq!(listen, ["0.0.0.0:2001"]);
    let wanted = Server {
        listen: server.listen.clone(),
        workers: 0,
        timeout: 15,
        pid_file: None,
        user_dir: None,
        index_files: vec!["index.html".into(), "index.htm".into(), "index.php".into()],
        hide_version: false,
        resume: true,
        user: None,
        keep_alive: true,
        keep_alive_timeout: 5,
        min_body_rate: 500,
        min_send_rate: 500,
        rate_window: 10,
        max_keep_alive_request: 1000,
        max_request_size: 32,
        symlink: false,
        default_mime_type: "text/plain".into(),
        fdt: true,
        over_capacity: OverCapacity::Resist,
        fd_limit: None,
        scheduler: Scheduler::Fair,
        log_target: LogTarget::Stderr,
        memory_limit: 2500,
        max_connections_per_address: 0,
        retry_after: 5,
        defer_accept: 1,
        send_buffer: 0,
        receive_buffer: 65536,
        not_sent_lowat: 16384,
        unknown_host: UnknownHost::Default,
        sandbox: cfg!(feature = "sandbox"),
        chroot: None,
        watchdog: None,
        watchdog_timeout: 15,
        daemon: false,
        supervise: false,
        shared_sockets: false,
    };
    assert_eq!(server, wanted);
    let (site, found) = site(SITE);
    assert_eq!(found, [""; 0]);
    assert_eq!(site.names, ["a"]);
    assert_eq!(site.document_root, Path::new("/c/../htdocs"));
    assert_eq!(site.script_extensions, ["php", "phtml", "phar"]);
    assert_eq!((site.max_body_size, site.redirect, site.fallback, site.etag_seed), (0, None, None, vec![]));
    assert!(site.error_pages.is_empty() && site.headers.is_empty() && site.cache.is_empty() && site.aliases.is_empty());
}

#[test]
fn every_server_key_does_something() {
    let text = "[server]\n  listen 80\n  Workers 3\n  Timeout 1\n  PidFile run/pid\n  UserDir public_html\n  Indexfile a  b\n  \
        HideVersion ON\n  Resume off\n  User www-data\n  KeepAlive Off\n  KeepAliveTimeout 9\n  MinBodyRate 1\n  MinSendRate 2\n  RateWindow 3\n  MaxKeepAliveRequest 7\n  \
        MaxRequestSize 64\n  SymLink on\n  DefaultMimeType a/b; c=d\n  FDT off\n  OverCapacity toobusy\n  FDLimit 99\n  \
        TransportLayer liana\n  Scheduler reuseport\n  MemoryLimit 900\n  RetryAfter 6\n  \
        MaxConnectionsPerAddress 12\n  DeferAccept 0\n  SendBuffer 1\n  \
        ReceiveBuffer 2\n  NotSentLowat 3\n  UnknownHost Reject\n  Sandbox Off\n  Chroot ..\n  \
        Watchdog /dev/watchdog1\n  WatchdogTimeout 9\n";
    let (server, found) = server(text);
    assert_eq!(found, [""; 0]);
    let at = "/c/monkey.conf:2:3".into();
    let wanted = Server {
        listen: vec![Listen { address: [0, 0, 0, 0].into(), port: 80, dual_stack: false, at }],
        workers: 3,
        timeout: 1,
        pid_file: Some("/c/run/pid".into()),
        user_dir: Some("public_html".into()),
        index_files: vec!["a".into(), "b".into()],
        hide_version: true,
        resume: false,
        user: Some("www-data".into()),
        keep_alive: false,
        keep_alive_timeout: 9,
        min_body_rate: 1,
        min_send_rate: 2,
        rate_window: 3,
        max_keep_alive_request: 7,
        max_request_size: 64,
        symlink: true,
        default_mime_type: "a/b; c=d".into(),
        fdt: false,
        over_capacity: OverCapacity::TooBusy,
        fd_limit: Some(99),
        scheduler: Scheduler::ReusePort,
        log_target: LogTarget::Stderr,
        memory_limit: 900,
        max_connections_per_address: 12,
        retry_after: 6,
        defer_accept: 0,
        send_buffer: 1,
        receive_buffer: 2,
        not_sent_lowat: 3,
        unknown_host: UnknownHost::Reject,
        sandbox: false,
        chroot: server.chroot.clone(),
        watchdog: Some("/dev/watchdog1".into()),
        watchdog_timeout: 9,
        daemon: false,
        supervise: false,
        shared_sockets: false,
    };
    assert_eq!(server, wanted);
    assert_eq!(server.chroot.map(|chroot| chroot.dir().to_path_buf()), Some("/".into()));
}

#[test]
fn what_is_served_must_lie_in_the_chroot() {
    let of = |root: &str, site: &str| {
        let site = format!("[HOST]\n  ServerName a\n{site}");
        let server = format!("[SERVER]\n  Timeout 1\n  Chroot {root}\n");
        let files = [("/c/monkey.conf", server.as_str()), ("/c/sites/default", &site), ("/c/www/x/y", "")];
        let (config, found) = read(Options::default(), &files);
        let site = config.unwrap().sites.remove(0);
        let aliases = site.aliases.iter().map(|alias| &alias.dir);
        let roots = std::iter::once(&site.document_root).chain(aliases).map(|dir| dir.display().to_string());
        (roots.collect::<Vec<_>>(), found)
    };
    let (roots, found) = of("www/", "  DocumentRoot www/x\n  Alias /p /c/www\n  Alias /q ./../c/www/y/../z/\n");
    assert_eq!((roots, found), (vec!["/x".into(), "/".into(), "/z".into()], vec![]));
    // The configuration itself may lie outside.
    let (_, found) = of("/c/www", "  DocumentRoot ../www\n  Alias /p www\n  Alias /q   /c/ww\n");
    let end = "is out of reach once Chroot /c/www is the root directory: name one in it";
    assert_eq!(
        found,
        [format!("/c/sites/default:3:16: /c/../www {end}"), format!("/c/sites/default:5:14: /c/ww {end}"),]
    );
}

/// The sandbox is known in every build, so that one file serves them all, and only asking for it needs the feature.
#[test]
fn the_sandbox_may_always_be_off() {
    assert!(!server("[SERVER]\n  Sandbox off\n").0.sandbox);
    assert_eq!(server("[SERVER]\n  Timeout 1\n").0.sandbox, cfg!(feature = "sandbox"));
    let (server, found) = server("[SERVER]\n  Sandbox On\n");
    assert!(server.sandbox);
    let refused = "/c/monkey.conf:2:11: the sandbox is not in this build: write Off, or build with the feature sandbox";
    assert_eq!(found, if cfg!(feature = "sandbox") { vec![] } else { vec![refused.to_string()] });
}

#[test]
fn every_number_is_held_to_its_range() {
    for section in File::Server.sections().iter().chain(File::Site.sections()) {
        for key in section.keys {
            let Kind::Number { min, max, unit } = key.kind else { continue };
            let wrong = ["x".into(), "-1".into(), "1s".into(), (max + 1).to_string(), "9".repeat(30)];
            let low = (min > 0).then(|| (min - 1).to_string());
            for value in wrong.into_iter().chain(low) {
                let text = format!("[{}]\n  {} {value}\n", section.name, key.name);
                let column = 4 + key.name.len();
                let of = |file: &str| {
                    let what = format!(
                        "{} cannot be \"{value}\": write a whole number of {unit} from {min} to {max}",
                        key.name
                    );
                    format!("{file}:2:{column}: {what}")
                };
                match section.name {
                    "SERVER" => assert_eq!(server(&text).1, [of("/c/monkey.conf")]),
                    _ => assert_eq!(site(&text).1[0], of("/c/sites/default")),
                }
            }
        }
    }
}

#[test]
fn wrong_server_lines() {
    for (line, message) in [
        ("Timout 3", "2:3: unknown key Timout in [SERVER]: did you mean Timeout?"),
        ("Port 80", "2:3: unknown key Port in [SERVER]: write Listen PORT"),
        ("Sandbox maybe", "2:11: Sandbox cannot be \"maybe\": write On or Off"),
        ("chroot /no/such/dir", "2:10: /no/such/dir is not there: name a directory that is"),
        ("Resume yes", "2:10: Resume cannot be \"yes\": write On or Off"),
        ("TransportLayer tls", "2:18: TransportLayer cannot be \"tls\": write liana"),
        ("OverCapacity Panic", "2:16: OverCapacity cannot be \"Panic\": write one of Resist, Drop, TooBusy"),
        ("Listen 80 tls", "2:13: tls is not in this build: take it out, or build it in"),
        ("DefaultMimeType html", "2:19: \"html\" is not a media type: write one such as text/plain; charset=utf-8"),
        (
            "UserDir /home",
            "2:11: UserDir cannot be \"/home\": write a directory below the user's home, such as public_html",
        ),
        (
            "UserDir ../x",
            "2:11: UserDir cannot be \"../x\": write a directory below the user's home, such as public_html",
        ),
        ("Indexfile a ../b", "2:13: an index file cannot be \"../b\": write file names without a slash"),
        ("User a b", "2:8: User cannot be \"a b\": write one user name or number, such as www-data"),
    ] {
        let (_, found) = server(&format!("[SERVER]\n  {line}\n"));
        assert_eq!(found, [format!("/c/monkey.conf:{message}")], "{line}");
    }
    let (_, found) = server("[SERVER]\n  Frobnicate x\n");
    assert!(
        found[0]
            .starts_with("/c/monkey.conf:2:3: unknown key Frobnicate in [SERVER]: the keys here are Listen Workers ")
    );
}

#[test]
fn wrong_sections() {
    for (text, messages) in [
        ("", &["/c/monkey.conf: no [SERVER] section: add one"][..]),
        (
            "[SERVR]\n  Timeout 1\n",
            &[
                "/c/monkey.conf:1:1: unknown section [SERVR]: did you mean [SERVER]?",
                "/c/monkey.conf: no [SERVER] section: add one",
            ],
        ),
        ("[SERVER]\n", &["/c/monkey.conf:1:1: [SERVER] has no keys"]),
        ("[SERVER]\n  Timeout 1\n[HTTP2]\n", &["/c/monkey.conf:3:1: unknown section [HTTP2]: this file has [SERVER]"]),
    ] {
        assert_eq!(server(text).1, messages, "{text}");
    }
    let built_in = format!("plugins built in: {}", plugins::BuiltIn);
    for (section, message) in [
        ("tls", format!("[TLS] needs the plugin tls, which is not in this build; {built_in}")),
        ("HEADER", "unknown section [HEADER]: did you mean [HEADERS]?".into()),
        ("SERVER", format!("unknown section [SERVER]: this file has {}", sections())),
    ] {
        let (_, found) = site(&format!("{SITE}[{section}]\n  Match x y\n"));
        assert_eq!(found, [format!("/c/sites/default:4:1: {message}")]);
    }
}

/// The sections a site may have in this build.
fn sections() -> String {
    File::Site.known().map(|section| format!("[{}]", section.name)).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_error_is_told_and_warnings_stay() {
    let bad = "[SERVER]\n  Timeout 0\n  Timeout 3\n  Resume maybe\n\n# c\n  Listen 1 h2\n";
    let files = [
        ("/c/monkey.conf", bad),
        ("/c/sites/b", "[HOST]\n  ServerName a\n"),
        ("/c/monkey.mime", "[MIMETYPES]\n  a b\n"),
    ];
    let (config, found) = read(Options::default(), &files);
    assert!(config.is_some());
    assert_eq!(
        found,
        [
            "/c/monkey.conf:2:11: Timeout cannot be \"0\": write a whole number of seconds from 1 to 3600",
            "/c/monkey.conf:3:3: Timeout is already set at /c/monkey.conf:2:3: this one has no effect",
            "/c/monkey.conf:4:10: Resume cannot be \"maybe\": write On or Off",
            "/c/monkey.conf:7:12: h2 is not in this build: take it out, or build it in",
            "/c/monkey.mime:2:5: \"b\" is not a media type: write one such as text/plain; charset=utf-8",
            "/c/sites/b:1:1: [HOST] needs DocumentRoot: write a directory",
            "/c/sites/b:2:14: a is already the name of the site at /c/sites/default:2:14: it goes there",
        ]
    );
    let mut out = Findings::default();
    out.warning(&Position::of_file("w"), "one");
    assert_eq!(out.finish(Some(1)).unwrap().1.len(), 1);
    let mut out = Findings::default();
    out.warning(&Position::of_file("w"), "one");
    out.note(&Position::of_file("n"), "two");
    out.error(&Position { line: 3, column: 4, ..Position::of_file("e") }, "three");
    let report = out.finish(Some(1)).unwrap_err();
    assert_eq!(report.errors().0, 1);
    assert_eq!(report.to_string(), "w: one (warning)\nn: two (note)\ne:3:4: three");
}

#[test]
fn the_first_of_repeated_keys_counts() {
    let (server, found) = server("[SERVER]\n  timeout 7\n[Server]\n  Timeout 8\n");
    assert_eq!(server.timeout, 7);
    assert_eq!(found, ["/c/monkey.conf:4:3: Timeout is already set at /c/monkey.conf:2:3: this one has no effect"]);
}

#[test]
fn a_site_with_everything() {
    let text = "[HOST]\n\tServerName A.example b_c [::1] 10.0.0.1\n\tDocumentRoot /srv/www\n\tRedirect https://b.example/x?y\n\
        \tMaxBodySize 3\n\tFallback /index.html\n\tAlias /a/ data dir\n\tAlias /a/b /d\n\tEtagSeed @version\n\
        \tScriptExtensions .PHP pl\n[ERROR_PAGES]\n\t404 /e/404.html\n\t500 500.html\n\
        [HEADERS]\n\tMatch \\.js$  X-A:  b c\n\tMatch . Link: <x>;\tb\n[CACHE]\n\tMatch ^/s/ max-age=3600, public\n";
    let files = [("/c/sites/default", text), ("/c/version", " 1.2\n")];
    let (config, found) = read(Options::default(), &files);
    assert_eq!(found, [""; 0]);
    let site = config.unwrap().sites.remove(0);
    assert_eq!(site.names, ["a.example", "b_c", "[::1]", "10.0.0.1"]);
    assert_eq!(site.document_root, Path::new("/srv/www"));
    assert_eq!(site.redirect.as_deref(), Some("https://b.example/x?y"));
    assert_eq!(site.max_body_size, 3072);
    assert_eq!(site.fallback.as_deref(), Some("/index.html"));
    let aliases =
        [("/a/b", "/d"), ("/a", "/c/data dir")].map(|(prefix, dir)| Alias { prefix: prefix.into(), dir: dir.into() });
    assert_eq!(site.aliases, aliases);
    assert_eq!(site.etag_seed, b"1.2");
    assert_eq!(site.script_extensions, ["php", "pl"]);
    assert_eq!(site.error_pages, [(404, "/e/404.html".into()), (500, "/500.html".into())]);
    let lines: Vec<&str> = site.headers.iter().map(|rule| rule.line.as_str()).collect();
    assert_eq!(lines, ["X-A: b c", "Link: <x>;\tb"]);
    assert!(site.headers[0].pattern.is_match(b"/x.js") && !site.headers[0].pattern.is_match(b"/x.css"));
    assert_eq!(site.cache[0].value, "max-age=3600, public");
    assert!(site.cache[0].pattern.is_match(b"/s/x") && !site.cache[0].pattern.is_match(b"/x/s/"));
}

#[test]
fn wrong_host_lines() {
    let long = "x".repeat(64);
    let long_name = format!("ServerName a {long}");
    let long_message = format!("16: the name {long} is longer than 63 characters: shorten it");
    let redirect = |value: &str| {
        format!(
            "12: cannot redirect to \"{value}\": write http://HOST/..., https://HOST/... or /PATH, in ASCII without spaces"
        )
    };
    let name = |at: u32, value: &str| {
        format!("{at}: \"{value}\" is not a host name: write letters, digits, dots and hyphens, without a port")
    };
    for (line, message) in [
        (long_name.as_str(), long_message),
        ("ServerName b:80", name(14, "b:80")),
        ("ServerName a b..c", name(16, "b..c")),
        ("ServerName *.b", name(14, "*.b")),
        ("ServerName [::g]", name(14, "[::g]")),
        ("ServerName é", name(14, "é")),
        ("ServerName a A", "16: A is already named in this line".into()),
        ("Redirect ftp://x/", redirect("ftp://x/")),
        ("Redirect http://", redirect("http://")),
        ("Redirect http:///x", redirect("http:///x")),
        ("Redirect //x/y", redirect("//x/y")),
        ("Redirect /x y", redirect("/x y")),
        ("Redirect /é", redirect("/é")),
        (
            "Fallback index.html",
            "12: Fallback cannot be \"index.html\": write /PATH of a file, such as /index.html".into(),
        ),
        ("Fallback /../x", "12: Fallback cannot be \"/../x\": write /PATH of a file, such as /index.html".into()),
        ("Fallback /x/", "12: Fallback cannot be \"/x/\": write /PATH of a file, such as /index.html".into()),
        ("Alias /x", "9: write /PREFIX DIRECTORY, such as /firmware /data/firmware".into()),
        ("Alias x /y", "9: write /PREFIX DIRECTORY, such as /firmware /data/firmware".into()),
        ("Alias / /y", "9: the prefix / is DocumentRoot itself: set that instead".into()),
        ("Alias /a/../b /y", "9: the prefix \"/a/../b\" never matches: write it without . and .. and //".into()),
        ("EtagSeed @nothing", "12: cannot read /c/nothing: no such file or directory".into()),
        ("ScriptExtensions a.b", "20: \"a.b\" is not an extension: write words such as php".into()),
        ("MaxBodySize 1g", "15: MaxBodySize cannot be \"1g\": write a whole number of KB from 0 to 1073741824".into()),
    ] {
        let rest =
            if line.starts_with("ServerName") { "  DocumentRoot /\n" } else { "  ServerName a\n  DocumentRoot /\n" };
        let (_, found) = site(&format!("[HOST]\n  {line}\n{rest}"));
        assert_eq!(found, [format!("/c/sites/default:2:{message}")], "{line}");
    }
    let (site, found) = site(&format!("{SITE}  Alias /a /b\n  Alias /a/ /c\n"));
    assert_eq!(
        found,
        ["/c/sites/default:5:3: /a already has a directory at /c/sites/default:4:3: this one has no effect"]
    );
    assert_eq!(site.aliases.len(), 1);
}

#[test]
fn wrong_rules_and_pages() {
    let long = "x".repeat(1024);
    let header = |name: &str| format!("{SITE}[HEADERS]\n  Match . {name}: x\n");
    for (text, message) in [
        (
            format!("{SITE}[ERROR_PAGES]\n  399 x\n"),
            "5:3: there is no error page for \"399\": write a status from 400 to 505",
        ),
        (
            format!("{SITE}[ERROR_PAGES]\n  506 x\n"),
            "5:3: there is no error page for \"506\": write a status from 400 to 505",
        ),
        (
            format!("{SITE}[ERROR_PAGES]\n  4_4 x\n"),
            "5:3: there is no error page for \"4_4\": write a status from 400 to 505",
        ),
        (
            format!("{SITE}[ERROR_PAGES]\n  404 ../x\n"),
            "5:7: the page cannot be \"../x\": write a file below DocumentRoot",
        ),
        (format!("{SITE}[ERROR_PAGES]\n  404 /\n"), "5:7: the page cannot be \"/\": write a file below DocumentRoot"),
        (
            format!("{SITE}[ERROR_PAGES]\n  404 a\n  404 b\n"),
            "6:3: 404 is already set at /c/sites/default:5:3: this one has no effect",
        ),
        (
            format!("{SITE}[HEADERS]\n  Match X-A: b\n"),
            "5:9: write REGEX Name: value, such as \\.js$ X-Content-Type-Options: nosniff",
        ),
        (
            format!("{SITE}[HEADERS]\n  Match . X-A:\n"),
            "5:9: write REGEX Name: value, such as \\.js$ X-Content-Type-Options: nosniff",
        ),
        (
            format!("{SITE}[HEADERS]\n  Match . X A: b\n"),
            "5:9: write REGEX Name: value, such as \\.js$ X-Content-Type-Options: nosniff",
        ),
        (format!("{SITE}[HEADERS]\n  Match . X-A: bé\n"), "5:17: a field cannot hold 'é': write ASCII only"),
        (format!("{SITE}[HEADERS]\n  Match . X-A: {long}\n"), "5:11: the field is longer than 1024 bytes: shorten it"),
        (header("content-length"), "5:11: Content-Length is written by the server alone: take this line out"),
        (header("Transfer-Encoding"), "5:11: Transfer-Encoding is written by the server alone: take this line out"),
        (header("Connection"), "5:11: Connection is written by the server alone: take this line out"),
        (header("DATE"), "5:11: Date is written by the server alone: take this line out"),
        (header("Cache-Control"), "5:11: Cache-Control is set in [CACHE]: Match REGEX VALUE"),
        (format!("{SITE}[CACHE]\n  Match no-store\n"), "5:9: write REGEX VALUE, such as \\.(js|css)$ max-age=3600"),
        (format!("{SITE}[CACHE]\n  Match . ü\n"), "5:11: a field cannot hold 'ü': write ASCII only"),
        (format!("{SITE}[CACHE]\n  Match . {long}\n"), "5:11: the field is longer than 1024 bytes: shorten it"),
        (format!("{SITE}[CACHE]\n  Macth . x\n"), "5:3: unknown key Macth in [CACHE]: did you mean Match?"),
        (format!("{SITE}[CACHE]\n  Fallback x\n"), "5:3: unknown key Fallback in [CACHE]: it belongs to [HOST]"),
    ] {
        assert_eq!(site(&text).1, [format!("/c/sites/default:{message}")], "{text}");
    }
    for section in ["HEADERS", "CACHE"] {
        let (_, found) = site(&format!("{SITE}[{section}]\n  Match ab(c X: y\n"));
        assert!(found[0].starts_with("/c/sites/default:5:"), "{found:?}");
        assert!(found[0].contains(": pattern: "), "{found:?}");
    }
}

#[test]
fn plugin_files_are_passed_over_with_one_note() {
    let files = [
        ("/c/plugins/duda/duda.conf", "[DUDA]\n"),
        ("/c/plugins/tls/x", ""),
        ("/c/plugins/.gitkeep", ""),
        ("/c/plugins.load", "[PLUGINS]\n  Load /usr/lib/monkey-logger.so\n  Load monkey-auth.so\n"),
    ];
    let (config, found) = read(Options::default(), &files);
    assert!(config.is_some());
    assert_eq!(
        found,
        [format!("/c/plugins: passed over, not in this build: duda tls; plugins built in: {}", plugins::BuiltIn)]
    );
    let (_, found) = read(Options::default(), &[("/c/plugins.load", "[PLUGINS]\n  Laod x\n")]);
    assert_eq!(found, ["/c/plugins.load:2:3: unknown key Laod in [PLUGINS]: did you mean Load?"]);
}

#[test]
fn restart_keys_of_the_table_are_those_a_reload_compares() {
    let other = |key: &str| match key {
        "PidFile" => "/other",
        "User" => "other",
        "Scheduler" => "ReusePort",
        "FDT" => "Off",
        "Sandbox" => {
            if cfg!(feature = "sandbox") {
                "Off"
            } else {
                "On"
            }
        }
        "Chroot" => "/",
        "Watchdog" => "/dev/other",
        _ => "999",
    };
    let (base, _) = server("[SERVER]\n  Timeout 1\n");
    for key in File::Server.sections()[0].keys {
        if matches!(key.kind, Kind::Choice([_])) {
            continue;
        }
        let value = if key.name == "Workers" { "9" } else { other(key.name) };
        assert_eq!(is_restart_key(key.name), key.reload == Reload::Restart);
        if key.reload == Reload::Restart {
            let (changed, found) = server(&format!("[SERVER]\n  Timeout 1\n  {} {value}\n", key.name));
            assert!(found.is_empty() || ["Sandbox", "WatchdogTimeout"].contains(&key.name), "{found:?}");
            assert_eq!(base.needs_restart(&changed).collect::<Vec<_>>(), [key.name]);
        }
    }
    let (changed, _) = server("[SERVER]\n  Timeout 2\n  Listen 3\n  SymLink On\n");
    assert_eq!(base.needs_restart(&changed).count(), 0);
}

/// A directory of its own for a test, gone at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("monkey-config-{}-{name}", std::process::id()));
        fs::create_dir_all(dir.join("sites")).unwrap();
        for (file, text) in [
            ("monkey.conf", "[SERVER]\n  Port 1\n"),
            ("monkey.mime", "[MIMETYPES]\n  a b/c\n"),
            ("sites/default", SITE),
        ] {
            fs::write(dir.join(file), text).unwrap();
            fs::set_permissions(dir.join(file), Permissions::from_mode(0o644)).unwrap();
        }
        for each in [dir.clone(), dir.join("sites")] {
            fs::set_permissions(each, Permissions::from_mode(0o755)).unwrap();
        }
        Scratch(dir)
    }

    fn load(&self) -> Vec<String> {
        match load(&Options { config_dir: Some(self.0.clone()), ..Options::default() }) {
            Ok((_, found)) => found.iter().map(|found| found.to_string()).collect(),
            Err(report) => report.diagnostics.iter().map(|found| found.to_string()).collect(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(not(feature = "syslog"))]
#[test]
fn syslog_needs_its_feature() {
    let (_, found) = server("[SERVER]\n  LogTarget syslog\n");
    let what = "syslog is not in this build: write stderr, or build with the feature syslog";
    assert_eq!(found, [format!("/c/monkey.conf:2:13: {what}")]);
}

#[cfg(feature = "syslog")]
#[test]
fn syslog_is_a_target() {
    let (server, found) = server("[SERVER]\n  LogTarget Syslog\n");
    assert_eq!((server.log_target, found.len()), (LogTarget::Syslog, 0));
}

#[test]
fn anchored_options_do_not_depend_on_the_working_directory() {
    let typed = Options { pid_file: Some("run/pid".into()), ..Options::default() };
    let config = read(typed.clone(), &[]).0.unwrap();
    let typed = Options { config_dir: Some("c".into()), sites_dir: Some("mine".into()), ..typed };
    let mut anchored = typed;
    anchored.anchor(&config);
    assert_eq!(anchored.config_dir, Some("/c".into()));
    assert_eq!(anchored.sites_dir, Some("mine".into()), "is against the configuration directory");
    assert!(anchored.pid_file.unwrap().is_absolute());
    let mut found = Options::default();
    found.anchor(&config);
    assert_eq!(found, Options { config_dir: Some("/c".into()), ..Options::default() }, "what was found stays");
    let mut one_shot = Options { one_shot: Some("c".into()), ..Options::default() };
    one_shot.anchor(&config);
    assert_eq!(one_shot, Options { one_shot: Some("/c".into()), ..Options::default() });
}
