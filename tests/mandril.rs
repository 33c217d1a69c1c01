use std::time::{Duration, Instant};

use crate::util::{Answer, Client, Server, Setup, example, moves_all, request};

/// A server with `lines` in mandril.conf and `sections` in its site.
fn setup(own: &str, sections: &str) -> Setup {
    let setup = Setup::new().file("a.txt", "alpha").file("private/x.txt", "secret").file("b.jpg", "picture");
    let setup = setup.file("index.html", "index").file("private/index.html", "hidden");
    setup.dir.write("conf/plugins/mandril/mandril.conf", own);
    setup.text(sections)
}

fn serve(own: &str, sections: &str) -> Server {
    setup(own, sections).start()
}

/// Lines of a section, as they stand in a file.
fn lines(section: &str, lines: &[&str]) -> String {
    lines.iter().fold(format!("[{section}]\n"), |text, line| text + "    " + line + "\n")
}

fn site(rules: &[&str]) -> Server {
    serve("", &lines("MANDRIL", rules))
}

/// What a server says that refuses to start.
fn refused(own: &str, sections: &str) -> String {
    let ended = setup(own, sections).run();
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    ended.log
}

#[track_caller]
fn statuses(server: &Server, cases: &[(&str, u16)]) {
    let mut client = server.client();
    for &(line, status) in cases {
        let answer = client.ask(line, "");
        assert_eq!(answer.status, status, "{line}\n{}", answer.head);
    }
}

/// Whether whoever accepts closes a connection to this listener without a word.
fn closes(server: &Server, listener: usize) -> bool {
    let mut client = server.client_of(server.addresses[listener]);
    client.try_send(request("GET /a.txt", "").as_bytes());
    client.half_close();
    client.rest().is_empty()
}

/// Whether who is turned away can be counted.
const METRICS: bool = cfg!(feature = "plugin-metrics");

fn refused_count(server: &Server) -> u64 {
    let answer = server.get("/metrics").is(200);
    let line = answer.text().lines().find(|line| line.starts_with("monkey_clients_total{result=\"refused\"}"));
    line.and_then(|line| line.rsplit_once(' ')).and_then(|(_, count)| count.parse().ok()).expect("a count")
}

#[test]
fn the_first_line_that_matches_decides() {
    let server =
        site(&["Allow uri ^/private/x", "Deny uri ^/private(/|$)", "Allow method GET", "Deny method POST HEAD"]);
    statuses(
        &server,
        &[
            ("GET /private/x.txt", 200),
            ("HEAD /private/x.txt", 200),
            ("GET /private/", 403),
            ("GET /private", 403),
            ("GET /private/none", 403),
            ("GET /privateer", 404),
            ("GET /a.txt", 200),
            ("HEAD /a.txt", 403),
            // What no line matches is let through.
            ("OPTIONS /a.txt", 200),
        ],
    );
}

#[test]
fn a_request_passes_the_rules_of_the_server_and_of_its_site() {
    let own = lines("RULES", &["Allow uri /x\\.txt$", "Deny uri ^/private/", "Allow uri b"]);
    let setup = setup(&own, &lines("RULES", &["Deny uri b", "Allow uri ."]));
    let setup = setup.site("other", &["ServerName other.example"]);
    setup.dir.write("other/b.jpg", "theirs");
    setup.dir.write("other/private/y.txt", "theirs");
    let server = setup.start();
    // What the server lets through the site can deny; what the server denies the site can not let through.
    statuses(&server, &[("GET /b.jpg", 403), ("GET /private/", 403), ("GET /private/x.txt", 200), ("GET /a.txt", 200)]);
    let mut client = server.client();
    for (path, status) in [("/b.jpg", 200), ("/private/y.txt", 403)] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: other.example\r\n\r\n")).answer(false).is(status);
        // The authority of an absolute target chooses the site, whatever Host says.
        client.send(format!("GET http://other.example{path} HTTP/1.1\r\nHost: test\r\n\r\n")).answer(false).is(status);
        client.send(format!("GET http://test{path} HTTP/1.1\r\nHost: other.example\r\n\r\n")).answer(false).is(403);
    }
    // HTTP/1.0 without Host belongs to the first site.
    let answer = server.exchange("GET /b.jpg HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 403 "), "{}", answer.escape_ascii());
}

#[test]
fn no_spelling_of_a_path_leads_around_a_rule() {
    let server = site(&["Deny uri ^/private(/|$)"]);
    statuses(
        &server,
        &[
            ("GET /private/x.txt", 403),
            ("GET /%70rivate/x.txt", 403),
            ("GET /%50rivate/x.txt", 404),
            ("GET /p%72%69vate/x%2etxt", 403),
            ("GET /p%72%69vate/x%2Etxt", 403),
            ("GET /private%2fx.txt", 403),
            ("GET /private%2Fx.txt", 403),
            ("GET %2Fprivate/x.txt", 400),
            ("GET /%2fprivate/x.txt", 403),
            ("GET //private/x.txt", 403),
            ("GET /private//x.txt", 403),
            ("GET /./private/x.txt", 403),
            ("GET /private/./x.txt", 403),
            ("GET /%2e/private/x.txt", 403),
            ("GET /none/../private/x.txt", 403),
            ("GET /none/%2e%2E/private/x.txt", 403),
            ("GET /none%2f..%2fprivate%2fx.txt", 403),
            ("GET /private/none/../x.txt", 403),
            ("GET /private", 403),
            ("GET /private/", 403),
            ("GET /private/.", 403),
            ("GET /private/x.txt/", 403),
            ("GET /private/x.txt?query", 403),
            ("GET /private/x.txt;params", 403),
            ("GET /private/x.txt.", 403),
            // Other paths: no file is there.
            ("GET /private;params/x.txt", 404),
            ("GET /private./x.txt", 404),
            ("GET /private%20/x.txt", 404),
            ("GET /PRIVATE/x.txt", 404),
            ("GET /%2570rivate/x.txt", 404),
            ("GET /private%5cx.txt", 404),
            ("GET /private%252fx.txt", 404),
            // These mean nothing, or too much.
            ("GET /private%00/x.txt", 400),
            ("GET /a.txt%00/private/", 400),
            ("GET /pri%vate/x.txt", 400),
            ("GET /../private/x.txt", 403),
            ("GET /a.txt?/private/", 200),
            ("GET http://test/private/x.txt", 403),
            ("GET http://nobody/%70rivate/x.txt", 403),
            ("HEAD /%70rivate/x.txt", 403),
            ("get /private/x.txt", 501),
            ("GET /private/%0ax.txt", 403),
            ("GET /private/%ff", 403),
            ("GET /private%0a", 404),
            ("GET /private%3fx", 404),
            ("GET /%c0%afprivate/x.txt", 404),
            ("OPTIONS /%70rivate/x.txt", 403),
            ("GET HTTP://TEST//private/x.txt", 403),
        ],
    );
}

#[test]
fn methods_are_compared_as_they_are() {
    let server = site(&["Deny method get post"]);
    statuses(&server, &[("GET /a.txt", 403), ("HEAD /a.txt", 200), ("Get /a.txt", 501), ("OPTIONS *", 200)]);
    let server = site(&["Allow method GET", "Deny address all"]);
    statuses(&server, &[("GET /a.txt", 200), ("HEAD /a.txt", 403), ("OPTIONS *", 403), ("PUT /a.txt", 411)]);
}

#[test]
fn paths_of_aliases_users_and_indexes() {
    let setup = setup("", &lines("MANDRIL", &["Deny uri ^/extra/in", "Deny uri ^/~", "Deny uri ^/index\\.html$"]));
    setup.dir.write("aside/in.txt", "aside");
    setup.dir.write("aside/out.txt", "aside");
    let server = setup.host("Alias /extra ../aside").server("UserDir public").start();
    statuses(
        &server,
        &[
            ("GET /extra/in.txt", 403),
            ("GET /%65xtra//in.txt", 403),
            ("GET /extra/out.txt", 200),
            ("GET /~root/x", 403),
            ("GET /%7eroot/x", 403),
            // It is the path that is judged, not the file that answers it.
            ("GET /index.html", 403),
            ("GET /", 200),
        ],
    );
}

#[test]
fn pages_of_other_hosts_get_no_pictures() {
    let server = site(&["Deny hotlink \\.jpg$"]);
    let mut client = server.client();
    for (referer, status) in [
        ("", 200),
        ("Referer: http://test/page\r\n", 200),
        ("Referer: https://TEST:8443/page\r\n", 200),
        ("Referer:\r\n", 200),
        ("Referer: http://other/page\r\n", 403),
        ("referer: http://www.test/page\r\n", 403),
        ("Referer: http://test.other/\r\n", 403),
        ("Referer: http://other/?http://test/\r\n", 403),
        ("Referer: http://test@other/\r\n", 403),
        ("Referer: garbage\r\n", 403),
    ] {
        for line in ["GET /b.jpg", "HEAD /b.jpg", "GET /%62.jpg"] {
            let answer = client.ask(line, referer);
            assert_eq!(answer.status, status, "{line} {referer:?}");
        }
        client.ask("GET /a.txt", referer).is(200);
    }
    // The host is that of the target where the target has one.
    let ask = |client: &mut Client, text: &str| client.send(text).answer(false).status;
    let absolute = "GET http://one/b.jpg HTTP/1.1\r\nHost: two\r\nReferer: http://";
    assert_eq!(ask(&mut client, &format!("{absolute}one/\r\n\r\n")), 200);
    assert_eq!(ask(&mut client, &format!("{absolute}two/\r\n\r\n")), 403);
    assert_eq!(ask(&mut client, "GET /b.jpg HTTP/1.0\r\nReferer: http://test/\r\n\r\n"), 403);
}

#[test]
fn addresses_of_both_families() {
    let own = |rules: &[&str]| {
        let metrics = if METRICS { "[HANDLERS]\n    Location /metrics metrics\n" } else { "" };
        let setup = setup(&lines("RULES", rules), metrics);
        let setup = setup.listen("127.0.0.1:0").listen("[::1]:0").listen("[::]:0");
        setup.start()
    };
    // What is closed: IPv4, IPv6. The third listener takes both.
    for (rules, four, six) in [
        (&["Deny address 127.0.0.1"][..], true, false),
        (&["Deny address 127.0.0.0/8"], true, false),
        (&["Deny address 0.0.0.0/0"], true, false),
        (&["Deny address 127.0.0.0/31"], true, false),
        (&["Deny address 127.0.0.2/31"], false, false),
        (&["Deny address 127.0.0.1/32 10.0.0.0/8"], true, false),
        (&["IP 127.0.0.2/24"], true, false),
        (&["Deny address ::1/128"], false, true),
        (&["Deny address ::/0"], false, true),
        (&["Deny address ::2/127"], false, false),
        (&["IP ::1"], false, true),
        (&["Deny address all"], true, true),
        (&["Allow address ::1", "Deny address all"], true, false),
        (&["Deny address all", "Allow address ::1"], true, true),
        (&["Allow address 127.0.0.0/8 ::1", "Deny address all"], false, false),
    ] {
        let server = own(rules);
        let dual = server.addresses[2].port();
        assert_eq!(closes(&server, 0), four, "{rules:?}");
        assert_eq!(closes(&server, 1), six, "{rules:?}");
        for (host, closed) in [("127.0.0.1", four), ("[::1]", six)] {
            let mut client = server.client_of(format!("{host}:{dual}").parse().expect("an address"));
            client.try_send(request("GET /a.txt", "Connection: close\r\n").as_bytes());
            assert_eq!(client.rest().is_empty(), closed, "{rules:?} {host} at the dual-stack listener");
        }
        if METRICS && !four {
            assert_eq!(refused_count(&server), 2 * u64::from(six), "{rules:?}");
        }
    }
}

#[test]
fn addresses_behind_another_rule_and_of_sites_are_refused_with_403() {
    let own = ["Allow address ::1", "Allow uri ^/a", "Deny address 127.0.0.0/8"];
    let server = serve(&lines("RULES", &own), "");
    statuses(&server, &[("GET /a.txt", 200), ("GET /b.jpg", 403)]);
    let answer = server.get("/b.jpg").is(403);
    assert!(!answer.closes() && answer.text().contains("403"), "{}", answer.head);
    let server = site(&["Deny address 127.0.0.0/8"]);
    statuses(&server, &[("GET /a.txt", 403), ("OPTIONS *", 403)]);
    // Host chooses the site, and with it the rules.
    let setup = setup("", "").site("closed", &["ServerName closed.example"]);
    let path = setup.dir.path("conf/sites/closed");
    let text = std::fs::read_to_string(&path).expect("a site");
    std::fs::write(&path, text + &lines("MANDRIL", &["IP 127.0.0.1"])).expect("a site");
    let server = setup.start();
    let mut client = server.client();
    client.get("/a.txt").is(200);
    client.send("GET / HTTP/1.1\r\nHost: closed.example\r\n\r\n").answer(false).is(403);
    client.get("/a.txt").is(200);
}

#[test]
fn an_upload_is_refused_before_its_body_is_read() {
    let server = site(&["Deny method POST"]);
    // Nothing of the body has come, and the answer is there.
    for fields in ["Transfer-Encoding: chunked\r\n", "Content-Length: 100\r\n", "Content-Length: 100000000\r\n"] {
        let mut client = server.client();
        client.send(request("POST /a.txt", fields));
        assert!(client.answer(false).is(403).closes(), "{fields}");
    }
    let mut client = server.client();
    client.send(request("POST /a.txt", "Content-Length: 3\r\nExpect: 100-continue\r\n"));
    assert!(client.answer(false).is(403).closes());
    // Where all of it is there the connection goes on, and the body is no request.
    let mut client = server.client();
    let body = request("GET /b.jpg", "");
    let post = request("POST /a.txt", &format!("Content-Length: {}\r\n", body.len()));
    client.send(post + &body + &request("GET /a.txt", ""));
    let answer = client.answer(false).is(403);
    assert!(!moves_all() || !answer.closes());
    if answer.closes() {
        assert!(client.rest().is_empty());
    } else {
        assert_eq!(client.answer(false).is(200).text(), "alpha");
    }
}

#[test]
fn the_lines_of_the_original() {
    let setup = setup(&example("plugins/MANDRIL.md", "original"), "[HANDLERS]\n    Match /.* mandril\n");
    let setup = setup.file("Imgs/x.gif", "x").file("pictures/x.gif", "x").file("my-IMGS/x.gif", "x");
    let server = setup.start();
    statuses(
        &server,
        &[
            ("GET /Imgs/x.gif", 403),
            ("GET /imgs/x.gif", 403),
            ("GET /I%6Dgs/x.gif", 403),
            ("GET /a/..%2fIMGS/x.gif", 403),
            ("GET /my-IMGS/x.gif", 200),
            ("GET /a.txt", 200),
            ("GET /pictures/x.gif", 200),
        ],
    );
    let mut client = server.client();
    client.ask("GET /pictures/x.gif", "Referer: http://test/\r\n").is(200);
    client.ask("GET /pictures/x.gif", "Referer: http://other.test/\r\n").is(403);
    client.ask("HEAD /pictures/x.gif", "Referer: http://other.test/\r\n").is(403);
}

#[test]
fn the_examples_of_the_page() {
    let page = "plugins/MANDRIL.md";
    let (own, rules) = (example(page, "server"), example(page, "site"));
    let setup = setup(&own, &rules).file("upload/public/a.txt", "public").file("upload/a.txt", "kept");
    let server = setup.start();
    statuses(
        &server,
        &[("GET /upload/public/a.txt", 200), ("GET /upload/a.txt", 403), ("GET /upload", 403), ("GET /a.txt", 200)],
    );
    let mut client = server.client();
    client.send(request("DELETE /a.txt", "")).answer(false).is(403);
    client.ask("GET /b.jpg", "Referer: http://other/\r\n").is(403);

    let server = serve(&example(page, "room"), &example(page, "rate"));
    let mut client = server.client();
    (0..20).for_each(|_| _ = client.get("/a.txt").is(200));
    assert_eq!(client.get("/a.txt").is(429).field("Retry-After"), Some("1"));
}

#[test]
fn bad_lines_are_told_with_their_place() {
    let own = lines(
        "RULES",
        &[
            "Deny address 10.0.0.0/33",
            "Allow address ::1 fe80::/10x",
            "Deny uri a(b",
            "Deny method PATCH PURGE",
            "Allow hotlink x",
            "Deny agent x",
            "Deny uri",
            "IP localhost",
            "Forbid uri x",
        ],
    );
    let said = refused(&own, "");
    for (line, column, what) in [
        (2, 18, "no rule can be about 10.0.0.0/33: write networks such as"),
        (3, 23, "no rule can be about fe80::/10x: write networks"),
        (4, 15, "pattern: "),
        (5, 23, "no rule can be about PURGE: write of GET HEAD POST PUT DELETE OPTIONS PATCH"),
        (6, 11, "write address CIDR... (or all), uri REGEX, method NAME...\n"),
        (7, 10, "write address CIDR... (or all), uri REGEX, method NAME..., hotlink REGEX\n"),
        (8, 10, "write address CIDR"),
        (9, 8, "no rule can be about localhost: write networks"),
        (10, 5, "unknown key Forbid in [RULES]"),
    ] {
        let place = format!("mandril.conf:{line}:{column}: {what}");
        assert!(said.contains(&place), "no {place:?} in\n{said}");
    }
    let said = refused("", "[MANDRIL]\n    Deny uri (\n[RATE]\n    Requests 0\n");
    assert!(
        said.contains("sites/default:5:14: pattern: ") && said.contains("sites/default:7:14: Requests cannot be"),
        "{said}"
    );
    let said = refused("", "[RATE]\n    Seconds 5\n");
    assert!(said.contains("sites/default:4:1: [RATE] needs Requests"), "{said}");
    let said = refused("", "[RATE]\n    Requests 1\n    Seconds 86400\n    Burst 2\n");
    assert!(said.contains("sites/default:7:11: it would take over a day"), "{said}");
    let said = refused("", "[RULES]\n    Deny uri x\n[MANDRIL]\n    Deny uri y\n");
    assert!(said.contains("sites/default:5:5: [RULES] is another name of [MANDRIL]"), "{said}");
    let said = refused("[RATE]\n    Addresses 1\n", "");
    assert!(said.contains("mandril.conf:2:15: Addresses cannot be \"1\""), "{said}");
    let said = refused("", "[HANDLERS]\n    Match /.* mandril x\n");
    assert!(said.contains("mandril takes no parameters"), "{said}");
}

const THREE_A_MINUTE: &str = "[RATE]\n    Requests 3\n    Seconds 60\n";

#[test]
fn more_requests_than_a_client_may_make() {
    let server = setup("", THREE_A_MINUTE).listen("127.0.0.1:0").listen("[::1]:0").workers(2).start();
    // One connection after the other, so that both workers serve some of them; pipelined ones count each.
    server.get("/a.txt").is(200);
    let mut client = server.client();
    client.send(request("GET /a.txt", "").repeat(3));
    client.answer(false).is(200);
    client.answer(false).is(200);
    let answer = client.answer(false).is(429);
    let wait: u32 = answer.field("Retry-After").and_then(|value| value.parse().ok()).expect("a number of seconds");
    assert!((15..=20).contains(&wait), "{wait}");
    assert!(!answer.closes() && answer.head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
    for line in ["GET /none", "HEAD /a.txt", "OPTIONS *"] {
        server.ask(line, "").is(429);
    }
    let mut client = server.client();
    client.send(request("POST /a.txt", "Transfer-Encoding: chunked\r\n"));
    assert!(client.answer(false).is(429).closes());
    // Another client is none the worse for it.
    let mut client = server.client_of(server.addresses[1]);
    (0..3).for_each(|_| _ = client.get("/a.txt").is(200));
    client.get("/a.txt").is(429);
}

#[test]
fn workers_share_the_count_and_sites_do_not() {
    let setup = setup("", "[RATE]\n    Requests 40\n    Seconds 4000\n")
        .server("Scheduler ReusePort")
        .server("MemoryLimit 7000")
        .workers(4);
    let server = setup.site("free", &["ServerName free.example"]).start();
    let mut through = 0;
    let mut clients: Vec<Client> = (0..16).map(|_| server.client()).collect();
    for _ in 0..5 {
        for client in &mut clients {
            let Answer { status, .. } = client.get("/a.txt");
            assert!(status == 200 || status == 429, "{status}");
            through += u32::from(status == 200);
            let other = client.send("GET /none HTTP/1.1\r\nHost: free.example\r\n\r\n").answer(false);
            assert_eq!(other.status, 404);
        }
    }
    assert_eq!(through, 40);
}

#[test]
fn requests_are_let_through_again_after_the_time_that_was_said() {
    let server = serve("", "[RATE]\n    Requests 4\n    Seconds 2\n    Burst 2\n");
    let mut client = server.client();
    let begun = Instant::now();
    let mut through = 0;
    while client.get("/a.txt").status == 200 {
        through += 1;
    }
    // One more for each half second that it took.
    let half_seconds = begun.elapsed().as_millis() as u32 / 500;
    assert!((2..=2 + half_seconds).contains(&through), "{through} in {half_seconds} half seconds");
    assert_eq!(client.get("/a.txt").status, 429);
    std::thread::sleep(Duration::from_millis(1100));
    client.get("/a.txt").is(200);
    client.get("/a.txt").is(200);
}

#[test]
fn what_rules_refuse_is_not_counted() {
    let server = serve("", &(lines("MANDRIL", &["Deny uri ^/x"]) + THREE_A_MINUTE));
    let mut client = server.client();
    for _ in 0..5 {
        client.get("/x").is(403);
        client.ask("BREW /a.txt", "").is(501);
    }
    (0..3).for_each(|_| _ = client.get("/a.txt").is(200));
    client.get("/x").is(403);
    client.get("/a.txt").is(429);
}

#[test]
fn a_body_that_is_passed_over_is_one_request() {
    let server = serve("", THREE_A_MINUTE);
    let mut client = server.client();
    let chunked = request("POST /a.txt", "Transfer-Encoding: chunked\r\n");
    client.send(&chunked);
    client.is_silent(Duration::from_millis(100));
    client.send("3\r\nabc\r\n").is_silent(Duration::from_millis(100));
    client.send("0\r\n\r\n").answer(false).is(200);
    client.send(request("POST /a.txt", "Content-Length: 3\r\n") + "abc").answer(false).is(200);
    client.get("/a.txt").is(200);
    client.get("/a.txt").is(429);
}

#[test]
fn a_full_table_lets_others_through_and_still_counts_those_in_it() {
    let server = serve("[RATE]\n    Addresses 64\n", "[RATE]\n    Requests 1\n    Seconds 86400\n");
    // Each from an address of its own, in one run of curl.
    let round = || -> Vec<String> {
        let mut curl = std::process::Command::new("curl");
        for host in 2..=121 {
            let url = format!("http://{}/a.txt", server.address());
            curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}\n", "--interface"]);
            curl.args([&format!("127.0.0.{host}"), &url, "--next"]);
        }
        let output = curl.args(["-s", &format!("http://{}/a.txt", server.address())]).output().expect("curl");
        String::from_utf8_lossy(&output.stdout).lines().take(120).map(String::from).collect()
    };
    let first = round();
    assert_eq!(first, vec!["200"; 120]);
    let second = round();
    let counted = second.iter().filter(|status| *status == "429").count();
    assert!((40..=64).contains(&counted) && second.iter().filter(|status| *status == "200").count() == 120 - counted);
    assert_eq!(round(), second, "who is counted stays so, and nobody else is");
}

/// Changes the site's file, and reads it anew.
fn change(server: &Server, from: &str, to: &str) {
    let path = server.dir.path("conf/sites/default");
    let text = std::fs::read_to_string(&path).expect("a site");
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).expect("a site");
    server.reload();
}

#[test]
fn a_reload_changes_rules_and_rates_in_place() {
    let server = serve("", &(lines("MANDRIL", &["Deny uri b"]) + THREE_A_MINUTE));
    let mut client = server.client();
    client.get("/b.jpg").is(403);
    change(&server, "Deny uri b", "Deny uri a.txt");
    client.get("/b.jpg").is(200);
    client.get("/a.txt").is(403);
    client.get("/b.jpg").is(200);
    client.get("/b.jpg").is(200);
    client.get("/b.jpg").is(429);
    // What is owed is paid at the new rate.
    change(&server, "Requests 3", "Requests 300");
    std::thread::sleep(Duration::from_millis(300));
    client.get("/b.jpg").is(200);
    change(&server, "[RATE]\n    Requests 300\n    Seconds 60\n", "");
    (0..50).for_each(|_| _ = client.get("/b.jpg").is(200));
    change(&server, "[MANDRIL]", &(THREE_A_MINUTE.to_string() + "[MANDRIL]"));
    assert!(!server.logged("reload refused"), "the room for it was never given back");
    // The rules of the server reach connections that are there.
    server.dir.write("conf/plugins/mandril/mandril.conf", lines("RULES", &["Deny address 127.0.0.0/8"]));
    server.reload();
    client.get("/b.jpg").is(403);
    assert!(closes(&server, 0));
}

#[test]
fn a_first_rate_needs_a_restart_unless_its_room_was_taken() {
    let add = THREE_A_MINUTE.to_string() + "[MANDRIL]";
    let server = serve("", &lines("MANDRIL", &["Deny uri b"]));
    change(&server, "[MANDRIL]", &add);
    assert!(server.logged("reload refused: needs restart: [RATE]"));
    (0..9).for_each(|_| _ = server.get("/a.txt").is(200));

    let server = serve("[RATE]\n    Addresses 64\n", &lines("MANDRIL", &["Deny uri b"]));
    change(&server, "[MANDRIL]", &add);
    (0..3).for_each(|_| _ = server.get("/a.txt").is(200));
    server.get("/a.txt").is(429);
    server.dir.write("conf/plugins/mandril/mandril.conf", "[RATE]\n    Addresses 128\n");
    server.reload();
    assert!(server.logged("reload refused: needs restart: [RATE]"));
}

#[test]
fn the_room_of_a_rate_is_part_of_the_memory_limit() {
    let connections = |own: &str, sections: &str| -> u64 {
        let server = setup(own, sections).server("MemoryLimit 2700").start();
        let log = server.log();
        let before = log.split(" connections;").next().expect("a text");
        before.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("how many connections")
    };
    let (none, some) = (connections("", ""), connections("", THREE_A_MINUTE));
    assert!(none > some && none - some >= 32 * 1024 / 136, "{none} {some}");
    assert_eq!(connections("[RATE]\n    Addresses 4096\n", ""), some);
    let said = {
        let ended = setup("[RATE]\n    Addresses 1000000\n", "").run();
        assert_eq!(ended.code, Some(1));
        ended.log
    };
    assert!(said.contains("MemoryLimit"), "{said}");
}
