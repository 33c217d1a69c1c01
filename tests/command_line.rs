use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::util::{Ended, Server, Setup, is_root, skipped};

const VERSION: &str = concat!("Monkey HTTP Server v", env!("CARGO_PKG_VERSION"));

fn run(words: &[&str]) -> Ended {
    let words: Vec<_> = words.iter().map(|word| word.into()).collect();
    Server::run_to_end(Setup::new().command_as_is(&words))
}

#[test]
fn what_is_printed() {
    for option in ["-h", "--help"] {
        let ended = run(&[option]);
        assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""), "{option}");
        assert!(ended.out.starts_with("Usage: monkey [OPTION]...\n"), "{}", ended.out);
    }
    for option in ["-v", "--version"] {
        let ended = run(&[option]);
        assert_eq!((ended.code, ended.out.as_str(), ended.log.as_str()), (Some(0), &*format!("{VERSION}\n"), ""));
    }
    for option in ["-b", "--build"] {
        let ended = run(&[option]);
        assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""), "{option}");
        assert!(ended.out.starts_with(&format!("{VERSION}\nSystem  : linux ")), "{}", ended.out);
        assert!(ended.out.contains("\nPlugins : liana"), "{}", ended.out);
    }
}

#[test]
fn what_means_nothing_exits_1_in_one_line() {
    for (words, what) in [
        (&["-x"][..], "invalid option '-x'"),
        (&["--https"], "--https is not in this build: it has no tls"),
        (&["-o", "/", "-c", "/"], "-o reads no configuration: leave out -c or -o"),
        (&["-p", "70000"], "port cannot be \"70000\": write a whole number from 0 to 65535"),
    ] {
        let ended = run(words);
        let line = format!("monkey: {what}; `monkey --help` lists the options\n");
        assert_eq!((ended.code, ended.out, ended.log), (Some(1), String::new(), line));
    }
}

#[test]
fn a_configuration_without_errors() {
    let setup = Setup::new().server("Timeout 3").argument("--check");
    let ended = setup.run();
    let dir = setup.dir.path("conf");
    assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""));
    assert_eq!(ended.out, format!("{}: 1 sites, no errors\n", dir.display()));
    assert!(!setup.dir.path("monkey.pid").exists());
}

/// The files of the plugins that ask others, as the original's releases have them.
#[cfg(all(feature = "plugin-cgi", feature = "plugin-fastcgi", feature = "plugin-palm", feature = "plugin-proxy"))]
#[test]
fn files_of_the_original() {
    let check = |files: &[(&str, &str)], lines: &[&str]| {
        let setup = Setup::new().server("MemoryLimit 20000").argument("--check");
        let setup = if lines.is_empty() { setup } else { setup.section("HANDLERS", lines) };
        for (path, text) in files {
            setup.dir.write(&format!("conf/plugins/{path}"), text);
        }
        let ended = setup.run();
        let dir = format!("{}/", setup.dir.path("conf/plugins").display());
        (ended.code, ended.log.replace(&dir, ""))
    };
    let fastcgi = "# Before 1.6\n[FASTCGI_SERVER]\n\tServerName php1\n\tServerAddr 127.0.0.1:9000\n\tMaxConnections 5\n\n\
        [FASTCGI_SERVER]\n\tServerName php2\n\tServerPath /tmp/php.sock\n\n\
        [FASTCGI_LOCATION]\n\tLocationName php_location\n\tServerNames php1 php2\n\tKeepAlive On\n\tMatch /.*\\.php /.*\\.phtml\n";
    let cgi = "[CGI]\n\tMatch /cgi-bin/.*\\.cgi\n\tMatch /.*\\.sh /bin/sh text/plain\n";
    let palm = "[PALM]\n    Extension php\n    Mimetype application/x-httpd-php\n    ServerAddr 127.0.0.1\n    ServerPort 2010\n\n\
        [PALM]\n    Extension pl\n    Mimetype application/x-perl\n    ServerHost 127.0.0.1\n    ServerPort 2011\n";
    let proxy = "[PROXY_DEFAULTS]\n    ServerList 127.0.0.1:8080\n    LoadBalancer RoundRobin\n    AttemptsCount 2\n    \
        OfflineTimeOut 60\n\n[PROXY_ENTRY]\n    Match /docs/.*\n    ServerList 127.0.0.1:8081 127.0.0.1:8082\n";
    let old = [
        ("fastcgi/fastcgi.conf", fastcgi),
        ("cgi/cgi.conf", cgi),
        ("palm/palm.conf", palm),
        ("proxy/proxy.conf", proxy),
    ];
    assert_eq!(check(&old, &[]), (Some(0), String::new()));
    let line = [("palm/palm.conf", "Palm   php   application/x-httpd-php     2010\n")];
    assert_eq!(check(&line, &[]), (Some(0), String::new()));
    let new = [("fastcgi/fastcgi.conf", "[FASTCGI_SERVER]\n    ServerName php5-fpm1\n    ServerAddr 127.0.0.1:9000\n")];
    let lines = ["Match /.*\\.php fastcgi", "Match /.*\\.cgi cgi", "Match /.*\\.sh cgi /bin/sh text/plain"];
    assert_eq!(check(&new, &lines), (Some(0), String::new()));
    // A file that can not be run, and one that is none.
    let (code, log) = check(
        &[("cgi/cgi.conf", "[CGI]\n  Match /.*\\.sh sh\n")],
        &["Location /x cgi /etc/passwd", "Location /y cgi /tmp"],
    );
    assert_eq!(code, Some(1));
    for wanted in [
        "cgi/cgi.conf:2:17: sh is not an absolute path: begin it with a slash",
        ":21: /etc/passwd: not executable (chmod +x): name a program that can be run",
        ":21: /tmp: not a regular file: name a program that can be run",
    ] {
        assert!(log.contains(wanted), "{wanted} is not in\n{log}");
    }
}

#[test]
fn all_errors_are_told_and_nothing_is_started() {
    let setup =
        Setup::new().server("Timeout soon").server("Timeut 3").host("Fallback index.html").section("ERORS", &[]);
    setup.dir.write("conf/sites/other", "[HOST]\n    ServerName other\n");
    setup.dir.write("conf/monkey.mime", "[MIMETYPES]\n    html\n");
    let conf = setup.dir.path("conf");
    let at = |file: &str, rest: &str| format!("{}{rest}", conf.join(file).display());
    let wanted = [
        at("monkey.conf", ":4:13: Timeout cannot be \"soon\": write a whole number of seconds from 1 to 3600"),
        at("monkey.conf", ":5:5: unknown key Timeut in [SERVER]: did you mean Timeout?"),
        at("sites/default", ":4:14: Fallback cannot be \"index.html\": write /PATH of a file, such as /index.html"),
        at("sites/default", ":5:1: unknown section [ERORS]: this file has [HOST] [ERROR_PAGES] [HEADERS] [CACHE]"),
        at("sites/other", ":1:1: [HOST] needs DocumentRoot: write a directory"),
    ];
    for check in [true, false] {
        let mut command = setup.command();
        setup.dir.write("conf/monkey.mime", "[MIMETYPES]\n    html\n");
        if check {
            command.arg("--check");
        }
        let ended = Server::run_to_end(command);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "check: {check}");
        for line in &wanted {
            assert!(ended.log.lines().any(|have| have.starts_with(line)), "no line {line}\n{}", ended.log);
        }
        let mime = at("monkey.mime", ":2:");
        assert!(ended.log.lines().any(|line| line.starts_with(&mime)), "no line {mime}\n{}", ended.log);
        let last = "monkey: 6 errors in the configuration, nothing started";
        assert_eq!(ended.log.lines().last(), Some(last), "{}", ended.log);
        assert!(!ended.log.contains("listening"), "{}", ended.log);
    }
}

#[test]
fn what_a_start_would_refuse_a_check_refuses_too() {
    for (key, what) in [
        ("MemoryLimit 600", "MemoryLimit 600 KB is too little for 2 workers"),
        ("FDLimit 40", "this process may open only 40 files"),
        ("User no-such-user", "User no-such-user: no such user in /etc/passwd"),
    ] {
        if key.starts_with("User") && !is_root() {
            skipped("a User counts for root alone");
            continue;
        }
        for word in [&["--check"][..], &[]] {
            let setup = word.iter().fold(Setup::new().server(key), |setup, word| setup.argument(word));
            let ended = setup.run();
            assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{key} {word:?}");
            assert!(ended.log.contains(what), "{}", ended.log);
            assert!(!ended.log.contains("listening"), "{}", ended.log);
        }
    }
}

#[test]
fn fields_that_no_answer_has_room_for() {
    let line = |name: char| format!("Match . X-{name}: {}", "v".repeat(1000));
    let lines = ['A', 'B', 'C', 'D'].map(line);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let ended = Setup::new().section("HEADERS", &lines).run();
    let line = "sites/default:8:5: with this field those of the site come to more than 3072 bytes: take some out";
    assert!(ended.log.contains(line), "{}", ended.log);
    assert_eq!(ended.code, Some(1));
    let answer = Setup::new().section("HEADERS", &lines[..3]).file("a", "b").start().get("/a").is(200);
    assert_eq!(answer.field("X-C").map(str::len), Some(1000));
}

#[test]
fn files_that_are_not_there() {
    let setup = Setup::new();
    let conf = setup.dir.path("conf");
    for (file, what) in [
        ("sites/default", "no such file: the first site must have this name"),
        ("monkey.mime", "no such file or directory: "),
        ("monkey.conf", "no such file or directory: "),
    ] {
        let command = setup.command();
        fs::remove_file(conf.join(file)).expect("the file");
        let ended = Server::run_to_end(command);
        assert_eq!(ended.code, Some(1), "{file}");
        let line = format!("{}: {what}", conf.join(file).display());
        assert!(ended.log.contains(&line), "no {line}\n{}", ended.log);
    }
    let ended = run(&["-c", "nowhere"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("nowhere: no such file or directory: name another"), "{}", ended.log);
}

#[test]
fn a_configuration_that_anyone_may_write_is_refused() {
    let setup = Setup::new();
    setup.write();
    let file = setup.dir.path("conf/sites/default");
    let command = setup.command();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("a mode");
    let ended = Server::run_to_end(command);
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("every user may write here (mode 0666)"), "{}", ended.log);
}

#[test]
fn a_folder_without_any_configuration() {
    let setup = Setup::new().file("page.html", "<p>here").file("sub/x.svg", "<svg/>").file("data", "plain");
    // Relative to the working directory.
    let command = setup.command_as_is(&["-o".into(), "root".into(), "-p".into(), "0".into()]);
    let server = Server::start(setup.dir, command, Default::default());
    assert!(server.addresses[0].ip().is_unspecified(), "{:?}", server.addresses);
    let mut client = server.client();
    let page = client.get("/page.html").is(200);
    assert_eq!((page.text(), page.field("Content-Type")), ("<p>here", Some("text/html; charset=utf-8")));
    assert_eq!(client.get("/sub/x.svg").is(200).field("Content-Type"), Some("image/svg+xml; charset=utf-8"));
    assert_eq!(client.get("/data").is(200).field("Content-Type"), Some("text/plain"));
    client.get("/").is(403);
}

#[test]
fn a_transport_that_is_not_built_in() {
    let ended = Setup::new().argument("-t").argument("mbedtls").run();
    assert_eq!(ended.code, Some(1));
    let line = "command line --transport: the transport mbedtls is not in this build: write liana";
    assert!(ended.log.contains(line), "{}", ended.log);
    Setup::new().argument("--transport=liana").file("a", "alpha").start().get("/a").is(200);
}

#[test]
fn a_folder_that_is_not_there() {
    let ended = run(&["-o", "nowhere", "-p", "0"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.log.contains("not a directory: name one that is there after -o"), "{}", ended.log);
}

#[test]
fn options_override_the_files_and_relative_paths_have_their_places() {
    let setup = Setup::new().listen("127.0.0.1:1").workers(1).server("PidFile ../from-conf.pid").file("a", "alpha");
    setup.write();
    let conf = setup.dir.path("conf");
    // Files named by options are relative to the configuration directory, the PID file to the working directory.
    fs::rename(conf.join("monkey.conf"), conf.join("other.conf")).expect("a rename");
    fs::rename(conf.join("monkey.mime"), conf.join("other.mime")).expect("a rename");
    fs::rename(conf.join("sites"), conf.join("hosts")).expect("a rename");
    let words = "-c conf -s other.conf -m other.mime -S hosts -p 0 -w 2 -I own.pid";
    let words: Vec<_> = words.split(' ').map(|word| word.into()).collect();
    let command = setup.command_as_is(&words);
    let server = Server::start(setup.dir, command, Default::default());
    assert!(server.logged(": 2 workers, up to "), "the option -w");
    assert_eq!(server.get("/a").is(200).text(), "alpha");
    let pid = fs::read_to_string(server.dir.path("own.pid")).expect("a PID file");
    assert_eq!(pid, format!("{}\n", server.pid()));
    assert!(!server.dir.path("from-conf.pid").exists());
}

#[test]
fn included_files_and_repeated_keys() {
    let setup = Setup::new().server("Timeout 7").server("Timeout 8").file("a", "alpha");
    setup.write();
    setup.dir.write("conf/more/one.conf", "[SERVER]\n    HideVersion On\n");
    let text = fs::read_to_string(setup.dir.path("conf/monkey.conf")).expect("the file");
    setup.dir.write("conf/monkey.conf", format!("{text}@INCLUDE more/*.conf\n"));
    let command = setup.command_as_is(&["-c".into(), "conf".into()]);
    let server = Server::start(setup.dir, command, Default::default());
    assert_eq!(server.get("/a").is(200).field("Server"), Some("Monkey"));
    let line = "monkey.conf:5:5: Timeout is already set at ";
    assert!(server.logged(line), "a warning with both positions: {line}");
}
