//! Which files are read, from where, by whom they may be written; and the ones that are shipped.

use super::*;

#[test]
fn sites_come_default_first_then_by_name() {
    let of = |name: &str| format!("[HOST]\n  ServerName {name}\n  DocumentRoot /\n");
    let (z, b, old) = (of("z"), of("b"), of("old"));
    let files = [
        ("/c/sites/z", z.as_str()),
        ("/c/sites/b", &b),
        ("/c/sites/b~", &old),
        ("/c/sites/.b.swp", "\0"),
        ("/c/sites/more/x", "?"),
    ];
    let (config, found) = read(Options::default(), &files);
    let names: Vec<String> = config.unwrap().sites.iter().map(|site| site.names.concat()).collect();
    assert_eq!(names, ["a", "b", "z"]);
    assert_eq!(found, ["/c/sites/more: not a regular file: passed over"]);
}

#[test]
fn what_is_missing_and_how_to_point_elsewhere() {
    let mut out = Findings::default();
    let options = Options { config_dir: Some("/c".into()), plugins_load: Some("p".into()), ..Options::default() };
    assert!(load_from(&Memory::with(&[("/c/sites/x", SITE)]), &options, &mut out).is_none());
    let found: Vec<String> = out.list.iter().map(|found| found.to_string()).collect();
    assert_eq!(
        found,
        [
            "/c/monkey.conf: no such file or directory: name another configuration directory with -c DIR, or another file with -s FILE",
            "/c/monkey.mime: no such file or directory: name another configuration directory with -c DIR, or another file with -m FILE",
            "/c/sites/default: no such file: the first site must have this name",
            "/c/p: no such file or directory",
        ]
    );
    let mut out = Findings::default();
    load_from(&Memory::default(), &Options { config_dir: Some("/c".into()), ..Options::default() }, &mut out);
    let last = out.list.last().unwrap().to_string();
    assert_eq!(last, "/c/sites: no such file or directory: name another directory with -S DIR");
    let report = load(&Options { config_dir: Some("/nonexistent/x".into()), ..Options::default() }).unwrap_err();
    assert_eq!(
        report.to_string(),
        "/nonexistent/x: no such file or directory: name another configuration directory with -c DIR"
    );
}

#[test]
fn the_command_line_overrides() {
    let options = Options {
        server_conf: Some("other.conf".into()),
        mime_file: Some("/m".into()),
        sites_dir: Some("s".into()),
        daemon: true,
        pid_file: Some("/run/p".into()),
        port: Some(0),
        workers: Some(4),
        balancing: true,
        shared_sockets: true,
        ..Options::default()
    };
    let files = [
        ("/c/other.conf", "[SERVER]\n  Listen 1\n  Listen 2\n  Workers 2\n  Scheduler ReusePort\n  PidFile x\n"),
        ("/m", "[MIMETYPES]\n  a b/c\n"),
        ("/c/s/default", SITE),
    ];
    let (config, found) = read(options, &files);
    assert_eq!(found, [""; 0]);
    let Config { server, mime, sites, .. } = config.unwrap();
    assert_eq!(server.listen, [Listen::any(0, "command line --port")]);
    assert_eq!(server.listen[0].at.to_string(), "command line --port");
    assert_eq!((server.workers, server.daemon, server.shared_sockets), (4, true, true));
    assert_eq!(server.pid_file, Some(PathBuf::from("/run/p")));
    assert_eq!(server.scheduler, Scheduler::Fair);
    assert_eq!(mime.lookup(b"x.a"), Some("b/c"));
    assert_eq!(sites.len(), 1);
    let (_, found) = read(Options { transport: Some("tls".into()), ..Options::default() }, &[]);
    assert_eq!(found, ["command line --transport: the transport tls is not in this build: write liana"]);
}

#[test]
fn what_every_user_may_write_is_refused() {
    let scratch = Scratch::new("writable");
    let dir = scratch.0.display();
    let why = "every user may write here";
    let end = "so anyone could change what the server does: chmod o-w";
    fs::write(scratch.0.join("monkey.conf"), "[SERVER]\n  Timeout 1\n").unwrap();
    assert_eq!(scratch.load(), [""; 0]);
    for (name, mode, normal) in
        [("monkey.conf", 0o666, 0o644), ("sites/default", 0o602, 0o644), ("sites", 0o777, 0o755)]
    {
        fs::set_permissions(scratch.0.join(name), Permissions::from_mode(mode)).unwrap();
        assert_eq!(scratch.load(), [format!("{dir}/{name}: {why} (mode {mode:04o}), {end} '{dir}/{name}'")]);
        fs::set_permissions(scratch.0.join(name), Permissions::from_mode(normal)).unwrap();
    }
    fs::create_dir(scratch.0.join("plugins")).unwrap();
    fs::set_permissions(scratch.0.join("plugins"), Permissions::from_mode(0o777)).unwrap();
    assert_eq!(scratch.load(), [format!("{dir}/plugins: {why} (mode 0777), {end} '{dir}/plugins'")]);
    fs::set_permissions(scratch.0.join("plugins"), Permissions::from_mode(0o755)).unwrap();
    // What counts is the file that a link leads to; where the link stands is no one's but its directory's.
    fs::write(scratch.0.join("elsewhere"), SITE).unwrap();
    fs::set_permissions(scratch.0.join("elsewhere"), Permissions::from_mode(0o646)).unwrap();
    std::os::unix::fs::symlink("../elsewhere", scratch.0.join("sites/link")).unwrap();
    assert_eq!(scratch.load(), [format!("{dir}/sites/link: {why} (mode 0646), {end} '{dir}/sites/link'")]);
    fs::remove_file(scratch.0.join("sites/link")).unwrap();
    fs::set_permissions(&scratch.0, Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(scratch.load(), [format!("{dir}: {why} (mode 1777), {end} '{dir}'")]);
}

#[test]
fn files_that_are_none() {
    let scratch = Scratch::new("none");
    let dir = scratch.0.display();
    fs::remove_file(scratch.0.join("monkey.conf")).unwrap();
    fs::create_dir(scratch.0.join("monkey.conf")).unwrap();
    fs::write(scratch.0.join("monkey.mime"), vec![b'\n'; FILE_MAX as usize + 1]).unwrap();
    std::os::unix::fs::symlink("nowhere", scratch.0.join("sites/dangling")).unwrap();
    assert_eq!(
        scratch.load(),
        [
            format!("{dir}/monkey.conf: not a regular file"),
            format!("{dir}/monkey.mime: larger than 1048576 bytes: not a configuration file"),
            format!("{dir}/sites/dangling: no such file or directory"),
        ]
    );
    // Two spellings of one file are one file.
    let text = "@INCLUDE sites/../monkey.conf\n[SERVER]\n  Timeout 1\n";
    fs::remove_dir(scratch.0.join("monkey.conf")).unwrap();
    fs::write(scratch.0.join("monkey.conf"), text).unwrap();
    let what = format!("{dir}/monkey.conf:1:10: {dir}/sites/../monkey.conf is already read: include it once");
    assert_eq!(scratch.load()[0], what);
}

#[test]
fn one_shot_needs_no_configuration() {
    let scratch = Scratch::new("one-shot");
    let options = Options { one_shot: Some(scratch.0.clone()), port: Some(0), ..Options::default() };
    let (config, found) = load(&options).unwrap();
    assert_eq!(found, []);
    assert_eq!(config.sites.len(), 1);
    assert_eq!(config.sites[0].document_root, scratch.0);
    assert_eq!(config.sites[0].script_extensions, ["php", "phtml", "phar"]);
    assert_eq!((config.server.timeout, config.server.listen[0].port), (15, 0));
    assert_eq!(config.mime.lookup(b"x.woff2"), Some("font/woff2"));
    let options = Options { one_shot: Some(scratch.0.join("x")), ..Options::default() };
    let what = format!("{}/x: not a directory: name one that is there after -o", scratch.0.display());
    assert_eq!(load(&options).unwrap_err().to_string(), what);
}

#[test]
fn the_shipped_configuration() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut out = Findings::default();
    let files = shipped(root);
    let options = Options { config_dir: Some("/etc/monkey".into()), ..Options::default() };
    let config = load_from(&files, &options, &mut out).unwrap();
    assert_eq!(out.list, []);
    assert_eq!(config.sites.len(), 1);
    let site = &config.sites[0];
    assert_eq!(site.document_root, Path::new("/etc/monkey/../htdocs"));
    assert!(
        site.headers.iter().any(|rule| rule.line == "X-Content-Type-Options: nosniff" && rule.pattern.is_match(b"/"))
    );
    assert!(site.cache[0].pattern.is_match(b"/a.css") && !site.cache[0].pattern.is_match(b"/a.html"));
    assert_eq!((config.server.user_dir, config.server.user, config.server.pid_file), (None, None, None));
    for (name, media_type) in [
        ("a.html", "text/html; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json; charset=utf-8"),
        ("a.svg", "image/svg+xml; charset=utf-8"),
        ("a.WEBP", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.mp4", "video/mp4"),
        ("a.zst", "application/zstd"),
        ("a.7z", "application/x-7z-compressed"),
    ] {
        assert_eq!(config.mime.lookup(name.as_bytes()), Some(media_type), "{name}");
    }
    assert!(config.mime.len() >= 150, "{}", config.mime.len());
}

/// The shipped monkey.conf names every key, and gives for each that is commented out its default.
#[test]
fn the_shipped_configuration_says_the_defaults() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/monkey.conf")).unwrap();
    let example = ["User", "PidFile", "UserDir", "FDLimit", "Sandbox", "Chroot", "Watchdog"];
    for key in File::Server.sections()[0].keys {
        let line = format!("{} {}", key.name, key.default);
        let said = text.lines().map(|line| line.trim_start().trim_start_matches("# "));
        let mut fits = said.filter(|said| *said == line || example.contains(&key.name) && said.starts_with(key.name));
        assert!(fits.next().is_some(), "{line}");
    }
}

fn shipped(root: &Path) -> Memory {
    let mut files = Memory::default();
    for name in ["monkey.conf", "monkey.mime", "sites/default", "plugins/.gitkeep"] {
        files.0.insert(Path::new("/etc/monkey").join(name), fs::read(root.join("conf").join(name)).unwrap());
    }
    for plugin in plugins::PLUGINS.iter().filter(|plugin| plugin.built_in && !plugin.file.is_empty()) {
        let name = Path::new("plugins").join(plugin.name).join(plugin.file);
        files.0.insert(Path::new("/etc/monkey").join(&name), fs::read(root.join("conf").join(name)).unwrap());
    }
    files
}

#[test]
fn the_shipped_files_do_no_harm_as_files_of_another_kind() {
    for name in ["monkey.conf", "monkey.mime", "sites/default"] {
        fuzz(&fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)).unwrap());
    }
}

/// What such a plugin would run is not sent as a text instead.
#[cfg(not(any(feature = "plugin-cgi", feature = "plugin-fastcgi", feature = "plugin-palm")))]
#[test]
fn programs_of_plugins_that_are_not_built_in() {
    let files = [
        ("/c/sites/default", SITE),
        ("/c/plugins/palm/palm.conf", "Palm pl text/html 1\n[PALM]\n  Extension .py\n  ServerPort x\n"),
        ("/c/plugins/cgi/cgi.conf", "[CGI]\n  Match ^/run/ /bin/sh text/html\n  Timeout 1\n"),
        ("/c/plugins/fastcgi/fastcgi.conf", "[FASTCGI_LOCATION]\n  Match \\.a$ \\.b$\n"),
    ];
    let (config, found) = read(Options::default(), &files);
    assert!(found.iter().all(|found| found.contains("passed over")), "{found:?}");
    let site = &config.unwrap().sites[0];
    let runs = |path: &str| site.handlers.iter().any(|line| line.runs(path.as_bytes()));
    for path in ["/x.pl", "/x.py/y", "/run/x", "/x.a", "/x.b"] {
        assert!(runs(path), "{path}");
    }
    assert!(!runs("/x.html") && !runs("/bin/sh"));
    assert_eq!(site.script_extensions, ["php", "phtml", "phar", "a", "b", "pl", "py"]);
}
