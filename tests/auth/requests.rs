use std::process::Command;
use std::time::{Duration, Instant};

use super::{AL, basic, setup, small_setup, status};
use crate::util::{Answer, Client, Setup, example, request};

/// `WWW-Authenticate` of the protected site.
const CHALLENGE: &str = "WWW-Authenticate: Basic realm=\"In \\\"here\\\"\", charset=\"UTF-8\"";

/// Nearly as long as a wrong password is held back.
const LATE: Duration = Duration::from_millis(950);

/// Sends a request and measures how long its answer takes.
fn timed(client: &mut Client, line: &str, fields: &str) -> (Answer, Duration) {
    let begun = Instant::now();
    (client.ask(line, fields), begun.elapsed())
}

#[test]
fn the_example_of_the_page() {
    let setup = Setup::new().file("admin/a.txt", "alpha").file("admin/log/b.txt", "beta").file("c.txt", "gamma");
    setup.dir.write("conf/plugins/auth/users", "anna:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    setup.dir.write("conf/plugins/auth/readers", "al:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let server = setup.server("MemoryLimit 7000").text(&example("plugins/AUTH.md", "auth")).start();
    let anna = basic("YW5uYTpwYXNzd29yZA==");
    server.get("/c.txt").is(200);
    server.get("/admin").is(401).has_fields(&["WWW-Authenticate: Basic realm=\"Device settings\", charset=\"UTF-8\""]);
    server.ask("GET /admin/a.txt", &anna).is(200);
    server.ask("GET /admin/a.txt", &basic(AL)).is(401);
    server.get("/admin/log/b.txt").is(401).has_fields(&["WWW-Authenticate: Basic realm=\"Logs\", charset=\"UTF-8\""]);
    server.ask("GET /admin/log/b.txt", &anna).is(401);
    assert_eq!(server.ask("GET /admin/log/b.txt", &basic(AL)).is(200).text(), "beta");
}

#[test]
fn who_has_a_password_gets_in() {
    let server = setup().start();
    let mut client = server.client();
    assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
    let answer = client.get("/in/b.txt").is(401);
    answer.has_fields(&[CHALLENGE]);
    assert!(!answer.text().contains("beta"));
    for token in [AL, "Ym86c2U6Y3JldA==", "ZW1wdHk6"] {
        assert_eq!(client.ask("GET /in/b.txt", &basic(token)).is(200).text(), "beta", "{token}");
    }
    for field in
        ["authorization: basic", "AUTHORIZATION: BASIC ", "Authorization:Basic\t", "Authorization: \t bAsIc   "]
    {
        client.ask("GET /in/b.txt", &format!("{field} {AL} \t\r\n")).is(200);
    }
    assert_eq!(client.ask("GET /a.txt", &basic("eHg6")).is(200).text(), "alpha", "an open path asks nobody");
}

#[test]
fn what_is_no_credentials_is_refused_at_once() {
    let server = setup().start();
    let mut client = server.client();
    let long = "YWFh".repeat(300);
    for value in [
        "Basic",
        "Basic ",
        "basicYWw6cGFzc3dvcmQ=",
        "Bearer YWw6cGFzc3dvcmQ=",
        "Digest username=\"al\"",
        "Basic YWw=",
        "Basic YWw6cGFzc3dvcmQ",
        "Basic YWw6cGFzc3dvcmQ= x",
        "Basic al:password",
        "Basic YWw6!GFzc3dvcmQ=",
        "\"Basic\" x",
        &format!("Basic {long}"),
        &format!("Basic YWw6{long}"),
    ] {
        let (answer, took) = timed(&mut client, "GET /in/b.txt", &format!("Authorization: {value}\r\n"));
        answer.is(401).has_fields(&[CHALLENGE]);
        assert!(took < LATE, "{value}: {took:?}");
    }
    let twice = basic(AL) + &basic(AL);
    client.ask("GET /in/b.txt", &twice).is(400);
    client.ask("GET /in/b.txt", &(basic(AL) + "authorization: x\r\n")).is(400);
    client.ask("GET /in/b.txt", &("Authorization: x\r\n".to_string() + &basic(AL))).is(400);
    client.ask("GET /in/b.txt", &basic(AL)).is(200);
}

#[test]
fn a_wrong_password_is_answered_late_and_nobody_else() {
    let server = setup().workers(1).start();
    // In order: wrong, empty, of nobody, not UTF-8, cut at its colon, another case of the name, nothing at all.
    let wrong = ["YWw6UGFzc3dvcmQ=", "YWw6", "eHg6cGFzc3dvcmQ=", "YWw6//4=", "Ym86c2U=", "QUw6cGFzc3dvcmQ=", "Og=="];
    let mut waiting: Vec<Client> = wrong.iter().map(|_| server.client()).collect();
    let begun = Instant::now();
    for (client, token) in waiting.iter_mut().zip(wrong) {
        client.send(request("GET /in/b.txt", &basic(token)));
    }
    let mut other = server.client();
    for _ in 0..20 {
        other.get("/a.txt").is(200);
        other.ask("GET /in/b.txt", &basic(AL)).is(200);
    }
    assert!(begun.elapsed() < LATE, "others waited for {:?}", begun.elapsed());
    for client in &mut waiting {
        let answer = client.answer(false).is(401);
        answer.has_fields(&[CHALLENGE]);
        assert!(begun.elapsed() >= LATE, "after {:?}", begun.elapsed());
    }
    // The connection goes on.
    for client in &mut waiting {
        client.ask("GET /in/b.txt", &basic(AL)).is(200);
    }
}

#[test]
fn every_method_and_every_answer_is_protected() {
    let server = setup()
        .host("Fallback /a.txt")
        .section("ERROR_PAGES", &["401 refused.html", "404 missing.html"])
        .section("HANDLERS", &["Location /in/metrics metrics"])
        .file("refused.html", "page of 401")
        .file("missing.html", "page of 404")
        .start();
    let mut client = server.client();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
        let body = if matches!(method, "POST" | "PUT") { "Content-Length: 0\r\n" } else { "" };
        let answer = client.ask(&format!("{method} /in/b.txt"), body).is(401);
        answer.has_fields(&[CHALLENGE]);
        assert!(answer.field("Allow").is_none());
    }
    assert_eq!(client.get("/in/b.txt").is(401).text(), "page of 401");
    for path in ["/in/nothing", "/in/", "/in", "/in/deep", "/in/b.txt/x"] {
        client.get(path).is(401);
        client.ask(&format!("GET {path}"), "Accept: text/html\r\n").is(401);
    }
    #[cfg(feature = "plugin-metrics")]
    {
        client.get("/in/metrics").is(401);
        client.ask("GET /in/metrics", &basic(AL)).is(200);
    }
    let fields = basic(AL) + "Content-Length: 3\r\n";
    client.send(request("POST /in/b.txt", &fields) + "abc").answer(false).is(200);
    // Where the body comes later than its head the connection ends, for nobody reads it.
    server.client().send(request("POST /in/b.txt", "Content-Length: 3\r\n") + "abc").answer(false).is(401);
    client.ask("GET /in/b.txt", "If-None-Match: *\r\nRange: bytes=0-0\r\n").is(401);
    assert_eq!(client.ask("GET /in/nothing", &basic(AL)).is(404).text(), "page of 404");
    let mut client = server.client();
    let fields = "Content-Length: 3\r\nExpect: 100-continue\r\n";
    assert!(client.ask("POST /in/b.txt", fields).is(401).closes(), "nobody asks for the body");
}

#[test]
fn no_way_to_write_a_path_leads_around() {
    let server = setup().file("inner.txt", "open").start();
    for path in [
        "/in",
        "/in/",
        "/in/b.txt",
        "//in/b.txt",
        "/in//b.txt",
        "/./in/b.txt",
        "/in/./b.txt",
        "/x/../in/b.txt",
        "/in/x/../b.txt",
        "/%69n/b.txt",
        "/%69%6E%2fb.txt",
        "/%2e/in/b.txt",
        "/x/%2e%2E/in/b.txt",
        "/in%2Fb.txt",
        "/in/b%2etxt",
        "/in/b.txt?x",
        "/in/deep/c.txt",
        "http://test/in/b.txt",
        "/in/deep/../b.txt",
        "///in///b.txt",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 401, "{path}");
        server.ask(&format!("GET {path}"), &basic(AL));
    }
    server.get("/inner.txt").is(200);
    server.get("/in/../a.txt").is(200);
    for path in
        ["/IN/b.txt", "/in;x/b.txt", "/in./b.txt", "/in%00/b.txt", "/in%5cb.txt", "/in\\b.txt", "/%252569n/b.txt"]
    {
        let answer = server.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
    }
}

#[test]
fn the_whole_site_and_other_sites() {
    let setup = Setup::new().file("a.txt", "alpha").section("AUTH", &["Location /", "Users users"]);
    setup.dir.write("conf/users", super::USERS);
    let setup = setup.site("open", &["ServerName open"]);
    setup.dir.write("open/a.txt", "open alpha");
    let server = setup.start();
    for path in ["/", "/a.txt", "/nothing"] {
        server.get(path).is(401).has_fields(&["WWW-Authenticate: Basic realm=\"Restricted\", charset=\"UTF-8\""]);
    }
    let answer = server.client().send("GET /a.txt HTTP/1.1\r\nHost: open\r\n\r\n").answer(false).is(200);
    assert_eq!(answer.text(), "open alpha");
    server.client().send("GET /a.txt HTTP/1.1\r\nHost: other\r\n\r\n").answer(false).is(401);
    server.client().send("GET /a.txt HTTP/1.0\r\n\r\n").answer(false).is(401);
}

#[test]
fn requests_behind_one_another_are_each_asked() {
    let server = setup().start();
    let mut client = server.client();
    let with = request("GET /in/b.txt", &basic(AL));
    let without = request("GET /in/b.txt", "");
    let wrong = request("GET /in/b.txt", &basic("YWw6"));
    client.send([&*with, &without, &wrong, &with, &without, &with].concat());
    for status in [200, 401, 401, 200, 401, 200] {
        client.answer(false).is(status);
    }
}

#[test]
fn a_crowd_with_wrong_passwords() {
    let server = small_setup().workers(1).start();
    let mut crowd: Vec<Client> = (0..200).map(|_| server.client()).collect();
    let begun = Instant::now();
    for client in &mut crowd {
        client.send(request("GET /in/b.txt", &basic("YWw6UGFzc3dvcmQ=")));
        // That a client says no more does not hurry the answer.
        client.half_close();
    }
    // Good ones get in, those too whose head takes a buffer meanwhile.
    for round in 0..10 {
        let mut good = server.client();
        good.ask("GET /in/b.txt", &basic(AL)).is(200);
        let text = request("GET /in/b.txt", &basic(AL));
        let (first, second) = text.split_at(20 + round);
        good.send(first);
        server.get("/a.txt").is(200);
        good.send(second).answer(false).is(200);
    }
    // Nobody hears anything before the time, not even that the connection ends.
    let mut heard = 0;
    while begun.elapsed() < Duration::from_millis(800) {
        for client in &mut crowd {
            if begun.elapsed() < Duration::from_millis(800) {
                client.is_silent(Duration::from_millis(1));
                heard += 1;
            }
        }
    }
    assert!(heard >= 30, "only {heard} were looked at");
    // Those for whose answer there was no room just end.
    let answers = crowd.iter_mut().map(Client::rest).filter(|rest| !rest.is_empty());
    let answers: Vec<String> = answers.map(|rest| String::from_utf8_lossy(&rest).into_owned()).collect();
    assert!(!answers.is_empty() && answers.iter().all(|answer| answer.starts_with("HTTP/1.1 401 ")));
    assert_eq!(status(&server, AL), 200);
}

#[test]
fn a_real_client() {
    let server = setup().start();
    let curl = |arguments: &[&str]| {
        let url = format!("http://{}/in/b.txt", server.address());
        let output = Command::new("curl").args(["-s", "-w", " %{http_code}"]).args(arguments).arg(url).output();
        String::from_utf8(output.expect("curl").stdout).expect("text")
    };
    assert_eq!(curl(&["-u", "al:password"]), "beta 200");
    assert_eq!(curl(&["-u", "bo:se:cret"]), "beta 200");
    assert_eq!(curl(&["-u", "empty:"]), "beta 200");
    assert_eq!(curl(&["--anyauth", "-u", "al:password"]), "beta 200");
    assert_eq!(curl(&["-I", "-o", "/dev/null", "-u", "al:password"]), " 200");
    assert!(curl(&["-u", "al:passwort"]).ends_with(" 401"));
    assert!(curl(&[]).ends_with(" 401"));
    assert!(curl(&["--digest", "-u", "al:password"]).ends_with(" 401"));
}

#[test]
fn what_the_configuration_refuses() {
    for (lines, place, what) in [
        (&["Users users"][..], "4:1", "[AUTH] needs Location: write /PREFIX"),
        (&["Location /in"], "4:1", "[AUTH] needs Users: write a file"),
        (&["Location in", "Users users"], "5:14", "the prefix \"in\" never matches"),
        (&["Location /in/../x", "Users users"], "5:14", "the prefix \"/in/../x\" never matches"),
        (&["Location /in", "Users users", "Title \u{e4}"], "7:11", "a field cannot hold '\u{e4}': write ASCII only"),
        (&["Location /in", "Users ."], "6:11", ""),
        (&["Location /in", "Users open"], "6:11", ""),
        (&["Location /in", "Users large"], "6:11", ""),
        (&["Location /in", "Users users", "Realm x"], "7:5", "unknown key Realm in [AUTH]"),
    ] {
        let setup = setup_with(lines);
        let ended = setup.run();
        assert_eq!(ended.code, Some(1), "{lines:?}: {}", ended.log);
        assert!(ended.log.contains(&format!("sites/default:{place}: {what}")), "{place} {what}\n{}", ended.log);
    }
    let title = format!("Title {}", "x".repeat(300));
    let ended = setup_with(&["Location /in", "Users users", &title]).run();
    assert!(ended.code == Some(1) && ended.log.contains("the title is too long"), "{}", ended.log);
    // The second of one prefix counts for nothing, and one that is missing lets nobody in.
    let setup = setup_with(&["Location /in", "Users users"]).section("AUTH", &["Location /in/", "Users gone"]);
    let setup = setup.section("AUTH", &["Location /out", "Users gone"]).file("in/a", "x").file("out/a", "x");
    let server = setup.server("MemoryLimit 7000").start();
    let twice = format!("/in/ already has an [AUTH] at {}:5:5", server.dir.path("conf/sites/default").display());
    assert!(server.logged(&format!("sites/default:8:5: {twice}: this one has no effect")), "{}", server.log());
    server.ask("GET /in/a", &basic(AL)).is(200);
    server.ask("GET /out/a", &basic(AL)).is(401);
    assert!(server.logged("gone is not there: nobody gets in until"));
}

fn setup_with(lines: &[&str]) -> Setup {
    use std::os::unix::fs::PermissionsExt;
    let setup = Setup::new();
    setup.dir.write("conf/users", super::USERS);
    setup.dir.write("conf/large", vec![b'\n'; 300_000]);
    let open = setup.dir.write("conf/open", super::USERS);
    std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o666)).expect("a mode");
    setup.section("AUTH", lines)
}
