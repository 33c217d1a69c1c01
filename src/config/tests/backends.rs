//! The plugins that have their answers made by programs and servers behind this one: their lines, their files in the forms of the
//! original's releases, and what is wrong in them.

use super::super::plugins::OfServer;
use super::super::plugins::backend::{Address, Balance, Limits};
use super::super::plugins::cgi;
use super::super::plugins::fastcgi;
use super::super::plugins::handlers::{Applies, HandlerLine};
use super::super::plugins::palm;
use super::super::plugins::proxy;
use super::*;

const CGI: &str = "/c/plugins/cgi/cgi.conf";
const FASTCGI: &str = "/c/plugins/fastcgi/fastcgi.conf";
const PALM: &str = "/c/plugins/palm/palm.conf";
const PROXY: &str = "/c/plugins/proxy/proxy.conf";

/// The lines of sites/default, as `PLUGIN NUMBER`; what the plugins know; what was found.
fn all(site: &str, files: &[(&str, &str)]) -> (Site, OfServer, Vec<String>) {
    let site = format!("{SITE}{site}");
    let mut all = vec![("/c/sites/default", &*site), ("/bin/run", ""), ("/bin/php", "")];
    all.extend(files);
    let (config, found) = read(Options::default(), &all);
    let mut config = config.unwrap();
    (config.sites.remove(0), config.plugins, found)
}

/// The same of lines of `[HANDLERS]`.
fn lines(lines: &[&str], files: &[(&str, &str)]) -> (Site, OfServer, Vec<String>) {
    all(&format!("[HANDLERS]\n  {}\n", lines.join("\n  ")), files)
}

fn numbers(site: &Site) -> Vec<String> {
    site.handlers.iter().map(|line| format!("{} {}", line.plugin, line.number)).collect()
}

fn net(text: &str) -> Address {
    Address::Net(text.parse().unwrap())
}

fn matches(line: &HandlerLine, path: &str) -> bool {
    matches!(line.applies, Applies::Match(_)) && line.applies_to(path.as_bytes()).is_some()
}

#[test]
fn without_a_word_about_them() {
    let (site, own, found) = all("", &[]);
    assert_eq!(found, [""; 0]);
    assert!(site.handlers.is_empty());
    let limits = Limits { timeout: 60_000, queue: 128, requests: 64 };
    assert_eq!((own.fastcgi.limits, own.palm.limits, own.proxy.limits), (limits, limits, limits));
    assert_eq!((own.fastcgi.attempts, own.fastcgi.offline), (2, 5000));
    assert_eq!((own.proxy.attempts, own.proxy.offline), (2, 5000));
    assert_eq!((own.cgi.limits.requests, own.cgi.children, own.cgi.grace, own.cgi.child.nice), (8, 8, 2000, 5));
    assert!(own.cgi.lines.is_empty() && own.fastcgi.servers.is_empty() && own.proxy.servers.is_empty());
}

#[test]
fn programs() {
    let file = "[CGI]\n  Match /.*\\.pl /bin/run\n  Timeout 9\n  Queue 3\n  Children 4\n  KillAfter 1\n  User nobody\n  Nice 7\n  \
        Memory 100\n  CPU 20\n  Processes 30\n  OpenFiles 40\n";
    let site = "[HANDLERS]\n  Match \\.(cgi|PY)$ cgi\n  Match \\.php(/|$) cgi /bin/php text/html\n  Location /git/ cgi /bin/run\n\
        [CGI]\n  Match ^/bin/ text/plain\n  SetEnv A b c\n  PassEnv PATH NOT_THERE_AT_ALL\n  Authorization On\n";
    let (site, own, found) = all(site, &[(CGI, file)]);
    assert_eq!(found, [""; 0]);
    assert_eq!(numbers(&site), ["cgi 1", "cgi 2", "cgi 3", "cgi 4", "cgi 0"]);
    assert!(matches(&site.handlers[4], "/a.pl"));
    assert_eq!(site.script_extensions, ["php", "phtml", "phar", "cgi", "py", "pl"]);
    let path = std::env::var_os("PATH").unwrap();
    let wanted = [("A".into(), b"b c".as_slice().into()), ("PATH".into(), path.into_encoded_bytes().into())];
    assert_eq!(site.plugins.cgi, cgi::OfSite { variables: wanted.into(), authorization: true });
    let of = |program: Option<&str>, interpreter: Option<&str>, media_type: Option<&str>| {
        let own = |text: Option<&str>| text.map(Box::from);
        cgi::Line { program: own(program), interpreter: own(interpreter), media_type: own(media_type) }
    };
    let lines = vec![
        of(None, Some("/bin/run"), None),
        of(None, None, None),
        of(None, Some("/bin/php"), Some("text/html")),
        of(Some("/bin/run"), None, None),
        of(None, None, Some("text/plain")),
    ];
    let child = crate::sys::spawn::Limits { memory: 100, processor: 20, processes: 30, files: 40, nice: 7 };
    let limits = Limits { timeout: 9000, queue: 3, requests: 4 };
    assert_eq!(own.cgi, cgi::Cgi { limits, children: 4, child, user: Some("nobody".into()), grace: 1000, lines });
}

#[test]
fn programs_that_are_wrong() {
    for (line, column, message) in [
        ("Match \\.a$ cgi run", 18, "run is not an absolute path: begin it with a slash"),
        (
            "Match \\.a$ cgi text/html /bin/run",
            18,
            "\"text/html /bin/run\" is not a media type: write one such as text/plain; charset=utf-8",
        ),
        (
            "Match \\.a$ cgi /bin/run text",
            27,
            "\"text\" is not a media type: write one such as text/plain; charset=utf-8",
        ),
        ("Location /x cgi", 12, "write /PREFIX cgi PROGRAM: one program, which gets no arguments"),
        ("Location /x cgi /bin/run -v", 12, "write /PREFIX cgi PROGRAM: one program, which gets no arguments"),
        ("Location /x cgi run", 19, "run is not an absolute path: begin it with a slash"),
        ("Location /x cgi /no", 19, "/no: no such file or directory: name a program that can be run"),
        ("Match \\.a$ cgi /no", 18, "/no: no such file or directory: until it can be run it is answered 500"),
    ] {
        assert_eq!(lines(&[line], &[]).2, [format!("/c/sites/default:5:{column}: {message}")], "{line}");
    }
    let names = "write NAME VALUE, or the names to pass: letters, digits and _, but not HTTP_ before them";
    for (line, column, message) in [
        ("SetEnv A", 10, names),
        ("SetEnv A-B b", 10, names),
        ("PassEnv A= B", 11, names),
        ("SetEnv HTTP_X y", 10, names),
        ("Match \\.a$ x", 14, "x is not an absolute path: begin it with a slash"),
        ("Children 3", 3, "unknown key Children in [CGI]: the keys here are Match SetEnv PassEnv Authorization"),
    ] {
        let found = all(&format!("[CGI]\n  {line}\n"), &[]).2;
        assert_eq!(found, [format!("/c/sites/default:5:{column}: {message}")], "{line}");
    }
    let (site, _, found) = all("[CGI]\n  SetEnv A b\n  SetEnv A c\n", &[]);
    assert_eq!((found.len(), &*site.plugins.cgi.variables[0].1, site.plugins.cgi.variables.len()), (0, &b"b"[..], 1));
    let what = "a site adds at most 256 variables, and 16384 bytes with their names: take some out";
    let long: String = (0..5).map(|n| format!("  SetEnv A{n} {}\n", "x".repeat(4000))).collect();
    let many: String = (0..257).map(|n| format!("  SetEnv A{n} x\n")).collect();
    for (text, line) in [(long, 9), (many, 261)] {
        assert_eq!(all(&format!("[CGI]\n{text}"), &[]).2, [format!("/c/sites/default:{line}:10: {what}")]);
    }
}

/// As the releases 1.2 to 1.5 have it.
const OLD_FASTCGI: &str = "[FASTCGI_SERVER]\n    ServerName php1\n    ServerAddr 127.0.0.1:9000\n    MaxConnections 5\n\n\
    [FASTCGI_SERVER]\n    ServerName php2\n    ServerPath /run/php.sock\n\n\
    [FASTCGI_SERVER]\n    ServerName php3\n    ServerAddr [::1]:9001\n\n\
    [FASTCGI_LOCATION]\n    LocationName php\n    ServerNames php1 php2\n    KeepAlive On\n    Match /.*\\.php /.*\\.phtml\n\n\
    [FASTCGI_LOCATION]\n    LocationName fresh\n    ServerNames php3\n";

/// As those from 1.6 on do.
const NEW_FASTCGI: &str = "[FASTCGI_SERVER]\n    ServerName php5-fpm1\n    ServerAddr localhost:9000\n";

#[test]
fn fastcgi_servers_in_the_old_form() {
    let (site, own, found) = all("", &[(FASTCGI, OLD_FASTCGI)]);
    assert_eq!(found, [""; 0]);
    assert_eq!(numbers(&site), ["fastcgi 0", "fastcgi 0"]);
    assert!(matches(&site.handlers[0], "/a.php") && matches(&site.handlers[1], "/a.phtml"));
    let server = |name: &str, address, connections| fastcgi::Server { name: name.into(), address, connections };
    assert_eq!(
        own.fastcgi.servers,
        [
            server("php1", net("127.0.0.1:9000"), 5),
            server("php2", Address::Local("/run/php.sock".into()), 1),
            server("php3", net("[::1]:9001"), 65_535),
        ]
    );
    let line = |servers: &[u16], keep_alive, balance| fastcgi::Line { servers: servers.into(), keep_alive, balance };
    let kept = line(&[0, 1], true, Balance::RoundRobin);
    let fresh = line(&[2], false, Balance::RoundRobin);
    assert_eq!(own.fastcgi.lines, [kept.clone(), fresh.clone()]);

    let settings = "[FASTCGI]\n    Balance LeastConnections\n    Timeout 0\n    Queue 0\n    Requests 200\n    Attempts 3\n    \
        OfflineTimeOut 0\n    Authorization On\n";
    let named = [
        "Match \\.x fastcgi php",
        "Match \\.y fastcgi fresh",
        "Location /app fastcgi php3 /run/php.sock unix:/run/b [::1]:9001",
    ];
    let (site, own, found) = lines(&named, &[(FASTCGI, &format!("{OLD_FASTCGI}{settings}"))]);
    assert_eq!(found, [""; 0]);
    assert_eq!(numbers(&site), ["fastcgi 0", "fastcgi 1", "fastcgi 2", "fastcgi 0", "fastcgi 0"]);
    assert_eq!(own.fastcgi.lines, [kept, fresh, line(&[2, 1, 3, 2], false, Balance::LeastConnections)]);
    assert_eq!(own.fastcgi.servers[3], server("unix:/run/b", Address::Local("/run/b".into()), 65_535));
    assert_eq!(own.fastcgi.limits, Limits { timeout: 0, queue: 0, requests: 200 });
    assert_eq!((own.fastcgi.attempts, own.fastcgi.offline, own.fastcgi.authorization), (3, 0, true));
}

#[test]
fn fastcgi_servers_in_the_new_form() {
    let line = "Match /.*\\.php fastcgi";
    let (site, own, found) = lines(&[line, line], &[(FASTCGI, NEW_FASTCGI)]);
    assert_eq!(found, [""; 0]);
    assert_eq!(numbers(&site), ["fastcgi 0", "fastcgi 1"]);
    assert_eq!(own.fastcgi.servers[0].address, net("127.0.0.1:9000"));
    assert_eq!((own.fastcgi.lines.len(), own.fastcgi.servers.len()), (2, 1));
    let kept = format!("{NEW_FASTCGI}[FASTCGI]\n    KeepAlive On\n");
    let (_, own, _) = lines(&[line], &[(FASTCGI, &kept)]);
    assert_eq!((own.fastcgi.lines[0].keep_alive, own.fastcgi.servers[0].connections), (true, 1));
    // Nothing comes of it alone.
    let (site, own, found) = all("", &[(FASTCGI, NEW_FASTCGI)]);
    assert!(found.is_empty() && site.handlers.is_empty() && own.fastcgi.lines.is_empty());
}

#[test]
fn fastcgi_that_is_wrong() {
    let not = "is not an address: write 127.0.0.1:PORT, [::1]:PORT, localhost:PORT or the /PATH of a socket; other names are not looked up";
    let no_name = "is not the name of a [FASTCGI_SERVER] in fastcgi.conf, nor, alone, of a [FASTCGI_LOCATION], nor an ADDRESS:PORT or the /PATH of a socket";
    for (line, files, column, message) in [
        ("Match x fastcgi", "", 9, "name a server, as fastcgi.conf has not one [FASTCGI_SERVER] but 0".to_string()),
        ("Match x fastcgi", OLD_FASTCGI, 9, "name a server, as fastcgi.conf has not one [FASTCGI_SERVER] but 3".into()),
        ("Match x fastcgi phq", OLD_FASTCGI, 19, format!("phq {no_name}")),
        ("Match x fastcgi php1 php", OLD_FASTCGI, 24, format!("php {no_name}")),
        ("Match x fastcgi a:1", "", 19, format!("\"a:1\" {not}")),
        ("Match x fastcgi 127.0.0.1:0", "", 19, format!("\"127.0.0.1:0\" {not}")),
        ("Match x fastcgi ::1:9", "", 19, format!("\"::1:9\" {not}")),
        ("Match x fastcgi localhost:70000", "", 19, format!("\"localhost:70000\" {not}")),
    ] {
        assert_eq!(
            lines(&[line], &[(FASTCGI, files)]).2,
            [format!("/c/sites/default:5:{column}: {message}")],
            "{line}"
        );
    }
    let long = format!("Match x fastcgi /{}", "a".repeat(107));
    let what = "no socket has a path of more than 107 bytes: shorten it";
    assert_eq!(lines(&[&long], &[]).2, [format!("/c/sites/default:5:19: {what}")]);
    for (text, message) in [
        ("[FASTCGI_SERVER]\n  ServerAddr 127.0.0.1:1\n", "1:1: [FASTCGI_SERVER] needs ServerName: write a name"),
        ("[FASTCGI_SERVER]\n  ServerName a\n", "1:1: [FASTCGI_SERVER] needs ServerAddr or ServerPath, and not both"),
        (
            "[FASTCGI_SERVER]\n  ServerName a\n  ServerPath /a\n  ServerAddr 127.0.0.1:1\n",
            "1:1: [FASTCGI_SERVER] needs ServerAddr or ServerPath, and not both",
        ),
        (
            "[FASTCGI_SERVER]\n  ServerName a\n  ServerAddr 127.0.0.1:1\n  MaxConnections 0\n",
            "4:18: MaxConnections cannot be \"0\": write a whole number of connections from 1 to 65535",
        ),
        (
            "[FASTCGI_SERVER]\n  ServerName a\n  ServerPath /a\n[FASTCGI_SERVER]\n  ServerName a\n  ServerPath /b\n",
            "5:14: a is there already: this one has no effect",
        ),
        ("[FASTCGI_LOCATION]\n  LocationName a\n  ServerNames b\n", &format!("3:15: b {no_name}")),
        (
            "[FASTCGI_LOCATION]\n  LocationName a\n",
            "1:1: [FASTCGI_LOCATION] needs ServerNames: write names of servers, or addresses",
        ),
    ] {
        assert_eq!(all("", &[(FASTCGI, text)]).2, [format!("{FASTCGI}:{message}")], "{text}");
    }
}

#[test]
fn palm_servers() {
    let file = "# As it was told in 2010.\nPalm   php   application/x-httpd-php     2010\nPalm pl application/x-perl 10.0.0.1 2011\n\
        [PALM]\n  Extension .cgi\n  ServerHost localhost\n  ServerPort 2012\n[LIMITS]\n  Timeout 5\n  Queue 6\n  Requests 7\n  \
        Authorization On\n";
    let named = [
        "Match \\.a$ palm 1",
        "Match \\.b$ palm ::1 2 text/html",
        "Match \\.c$ palm [::1]:3",
        "Match \\.d palm /run/palm",
    ];
    let (site, own, found) = lines(&named, &[(PALM, file)]);
    assert_eq!(found, [""; 0]);
    assert_eq!(numbers(&site), ["palm 3", "palm 4", "palm 5", "palm 6", "palm 0", "palm 1", "palm 2"]);
    assert!(matches(&site.handlers[6], "/a.cgi") && matches(&site.handlers[6], "/a.cgi/b"));
    assert!(!matches(&site.handlers[6], "/a.cgic") && !matches(&site.handlers[6], "/acgi"));
    assert_eq!(site.script_extensions, ["php", "phtml", "phar", "a", "b", "c", "d", "pl", "cgi"]);
    let line = |address, media_type: &str| palm::Line { address, media_type: media_type.into() };
    let wanted = palm::PalmClient {
        limits: Limits { timeout: 5000, queue: 6, requests: 7 },
        authorization: true,
        lines: vec![
            line(net("127.0.0.1:2010"), "application/x-httpd-php"),
            line(net("10.0.0.1:2011"), "application/x-perl"),
            line(net("127.0.0.1:2012"), ""),
            line(net("127.0.0.1:1"), ""),
            line(net("[::1]:2"), "text/html"),
            line(net("[::1]:3"), ""),
            line(Address::Local("/run/palm".into()), ""),
        ],
    };
    assert_eq!(own.palm, wanted);
}

#[test]
fn palm_that_is_wrong() {
    let ip = "\"a\" is not an IP address: write one, or localhost; other names are not looked up";
    for (line, column, message) in [
        ("Location /x palm 2010", 12, "palm runs files: write Match REGEX palm [ADDRESS] PORT [MIMETYPE]"),
        ("Match x palm", 9, "name the application server: [ADDRESS] PORT"),
        ("Match x palm a 1", 16, ip),
        ("Match x palm 1 text", 18, "\"text\" is not a media type: write one such as text/plain; charset=utf-8"),
    ] {
        assert_eq!(lines(&[line], &[]).2, [format!("/c/sites/default:5:{column}: {message}")], "{line}");
    }
    for (text, message) in [
        ("Palm\n", "1:1: write Palm EXTENSION MIMETYPE [ADDRESS] PORT"),
        ("Palm php text/html\n", "1:6: name the application server: [ADDRESS] PORT"),
        ("Palm php text 1\n", "1:10: \"text\" is not a media type: write one such as text/plain; charset=utf-8"),
        ("Palm php text/html 1 2\n", "1:22: nothing stands behind the PORT: take it out"),
        ("Palm p*p text/html 1\n", "1:6: \"p*p\" is not an extension: write a word such as php"),
        ("Palm php text/html 1\n  ServerPort 2\n", "2:3: a line Palm is a whole section: write [PALM] above this"),
        ("[PALM]\n  Extension php\n", "1:1: [PALM] needs Extension and ServerPort"),
        ("[PALM]\n  Extension php\n  ServerPort 1\n  ServerAddr a\n", &format!("4:14: {ip}")),
        ("Palms php\n", "1:1: indentation level is too low: a key stands indented below its [SECTION]"),
    ] {
        assert_eq!(all("", &[(PALM, text)]).2, [format!("{PALM}:{message}")], "{text}");
    }
    // The one-line form is for this file alone.
    let found = all("", &[(FASTCGI, "Palm php text/html 1\n")]).2;
    assert_eq!(
        found,
        [format!("{FASTCGI}:1:1: indentation level is too low: a key stands indented below its [SECTION]")]
    );
}

#[test]
fn web_servers_behind_this_one() {
    // As the original has it, of 1.3 to 1.5.
    let file = "[PROXY_DEFAULTS]\n    LoadBalancer First-Alive\n    AttemptsCount 4\n    OfflineTimeOut 60\n\
        [PROXY_ENTRY]\n    ServerList 10.0.0.1:80 10.0.0.2:80 10.0.0.1:80\n    Match /a /b\n    LoadBalancer LockingRoundRobin\n\
        [PROXY_ENTRY]\n    ServerList localhost:8080\n    Match /c\n\
        [PROXY]\n    Timeout 3\n    Queue 2\n    Requests 1\n    KeepAlive 9\n    Host Server\n    Balance LeastConnections\n";
    let site = "[HANDLERS]\n  Location /api proxy 10.0.0.2:80 /run/app\n\
        [PROXY]\n  Match ^/x\n  Match ^/y\n  Server localhost:8080\n  Server [::1]:1\n  Balance RoundRobin\n  KeepAlive 0\n  Host Client\n\
        [PROXY]\n  Match ^/z\n  Server [::1]:1\n";
    let (site, own, found) = all(site, &[(PROXY, file)]);
    assert_eq!(found, [format!("{PROXY}:2:18: First-Alive is taken for LeastConnections, the nearest there is")]);
    assert_eq!(numbers(&site), ["proxy 2", "proxy 3", "proxy 3", "proxy 4", "proxy 0", "proxy 0", "proxy 1"]);
    assert!(matches(&site.handlers[5], "/b") && matches(&site.handlers[2], "/y"));
    assert_eq!(site.script_extensions, ["php", "phtml", "phar"]);
    let (first, least) = (Balance::RoundRobin, Balance::LeastConnections);
    let line =
        |servers: &[u16], balance, keep, pass_host| proxy::Line { servers: servers.into(), balance, keep, pass_host };
    assert_eq!(
        own.proxy.lines,
        [
            line(&[0, 1, 0], first, 9, false),
            line(&[2], least, 9, false),
            line(&[1, 3], least, 9, false),
            line(&[2, 4], first, 0, true),
            line(&[4], least, 9, false),
        ]
    );
    let servers: Vec<_> = own.proxy.servers.iter().map(|server| (&*server.host, server.address.clone())).collect();
    assert_eq!(
        servers,
        [
            ("10.0.0.1:80", net("10.0.0.1:80")),
            ("10.0.0.2:80", net("10.0.0.2:80")),
            ("localhost:8080", net("127.0.0.1:8080")),
            ("localhost", Address::Local("/run/app".into())),
            ("[::1]:1", net("[::1]:1")),
        ]
    );
    assert_eq!(own.proxy.limits, Limits { timeout: 3000, queue: 2, requests: 1 });
    assert_eq!((own.proxy.attempts, own.proxy.offline), (4, 60_000));
    let (_, own, found) = lines(&["Match ^/ proxy 127.0.0.1:1"], &[]);
    assert_eq!((found, &own.proxy.lines[0]), (vec![], &line(&[0], first, 4, true)));
}

#[test]
fn proxies_that_are_wrong() {
    for (line, column, message) in [
        ("Match x proxy", 9, "name who is asked: ADDRESS:PORT, or the /PATH of a socket"),
        (
            "Match x proxy example.org:80",
            17,
            "\"example.org:80\" is not an address: write 127.0.0.1:PORT, [::1]:PORT, localhost:PORT or the /PATH of a socket; other names are not looked up",
        ),
    ] {
        assert_eq!(lines(&[line], &[]).2, [format!("/c/sites/default:5:{column}: {message}")], "{line}");
    }
    for (plugin, column) in [("proxy", 9), ("fastcgi", 9)] {
        let line = format!("Match x {plugin}{}", " 127.0.0.1:1".repeat(64));
        assert_eq!(lines(&[&line], &[]).2, [""; 0]);
        let found = lines(&[&format!("{line} 127.0.0.1:2")], &[]).2;
        assert_eq!(found, [format!("/c/sites/default:5:{column}: more than 64 servers: leave some out")]);
    }
    let found = all("[PROXY]\n  Match x\n[PROXY]\n  Server 127.0.0.1:1\n  Balance Random\n", &[]).2;
    assert_eq!(
        found,
        [
            "/c/sites/default:4:1: [PROXY] needs Server: write ADDRESS:PORT, or several",
            "/c/sites/default:6:1: [PROXY] needs Match: write REGEX, or several",
            "/c/sites/default:8:11: Balance cannot be \"Random\": write one of RoundRobin, LeastConnections",
        ]
    );
    let file = "[PROXY_DEFAULTS]\n  StatisticsURL /proxy-status\n[PROXY_ENTRY]\n  Match /a\n  OfflineTimeOut 3\n  LoadBalancer SourceHash\n";
    assert_eq!(
        all("", &[(PROXY, file)]).2,
        [
            format!("{PROXY}:2:3: no effect: the plugin metrics has the numbers"),
            format!("{PROXY}:5:3: no effect here: write it in [PROXY_DEFAULTS], for all servers"),
            format!("{PROXY}:6:16: SourceHash is taken for RoundRobin, the nearest there is"),
            format!("{PROXY}:3:1: [PROXY_ENTRY] needs ServerList, or [PROXY_DEFAULTS] has to have one"),
        ]
    );
}

#[test]
fn which_extensions_are_run() {
    for (pattern, extensions) in [
        ("\\.pl$", &["pl"][..]),
        ("\\.pl", &["pl"]),
        ("/.*\\.pl", &["pl"]),
        ("^/.*\\.pl$", &["pl"]),
        ("^.+\\.php$", &[]), // It is one anyway.
        (".*\\.(cgi|Pl)$", &["cgi", "pl"]),
        ("\\.py(/|$)", &["py"]),
        ("\\.py($|/)", &["py"]),
        ("\\.(a)$", &["a"]),
        ("^/cgi-bin/.*\\.html$", &[]),
        ("\\.ph.$", &[]),
        ("\\.p|\\.q", &[]),
        ("\\.p|q", &[]),
        ("\\.(a|b*)$", &[]),
        ("\\.$", &[]),
        ("/.*", &[]),
        ("php$", &[]),
    ] {
        for plugin in ["cgi", "palm 1", "fastcgi /a"] {
            let (site, _, found) = lines(&[&format!("Match {pattern} {plugin}")], &[]);
            assert_eq!(found, [""; 0]);
            assert_eq!(site.script_extensions[3..], *extensions, "{pattern}");
        }
        let (site, ..) = all(&format!("[HANDLERS]\n  Match {pattern} proxy /a\n"), &[]);
        assert_eq!(site.script_extensions.len(), 3);
    }
}

#[test]
fn sockets_are_named_from_outside_of_a_root_directory() {
    let server = "[SERVER]\n  Chroot /srv\n";
    let site = "[HOST]\n  ServerName a\n  DocumentRoot /srv/www\n[HANDLERS]\n  Match x fastcgi /srv/run/a\n  Match x proxy /run/a\n";
    let (config, found) =
        read(Options::default(), &[("/c/monkey.conf", server), ("/c/sites/default", site), ("/srv/x", "")]);
    assert_eq!(config.unwrap().plugins.fastcgi.servers[0].address, Address::Local("/run/a".into()));
    let what = "/run/a is out of reach once Chroot /srv is the root directory: name one in it";
    assert_eq!(found, [format!("/c/sites/default:6:17: {what}")]);
}

/// Everything that the shipped files have commented out, with the marks taken away.
#[test]
fn the_shipped_examples_are_right() {
    for (name, file) in [("cgi", CGI), ("fastcgi", FASTCGI), ("palm", PALM), ("proxy", PROXY)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(Path::new(file).strip_prefix("/c").unwrap());
        let text = fs::read_to_string(path).unwrap();
        let (site, _, found) = all("", &[(file, &text)]);
        assert!(found.is_empty() && site.handlers.is_empty(), "{name} is not inert: {found:?}");
        let (mut examples, mut lines) = (String::new(), text.lines().skip_while(|line| !line.is_empty()));
        while let Some(line) = lines.by_ref().next() {
            let example = ["# [", "#     ", "# Palm php", "# Palm pl"].iter().any(|start| line.starts_with(start));
            examples.push_str(
                line.strip_prefix(if line.starts_with("#  ") { "#" } else { "# " })
                    .filter(|_| example)
                    .unwrap_or_default(),
            );
            examples.push('\n');
        }
        let (site, _, found) = all("", &[(file, &examples), ("/usr/bin/php-cgi", "")]);
        assert_eq!(found, [""; 0], "{name}\n{examples}");
        assert!(!site.handlers.is_empty(), "{name}\n{examples}");
    }
}
