use std::fs;
use std::path::Path;

use super::{TEXT, configure, program, setup};
use crate::util::{Server, chunked, eventually, moves_all, pattern, request};

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// The environment that a script is told, sorted, without what the shell adds.
#[track_caller]
fn environment(server: &Server, line: &str, fields: &str) -> Vec<String> {
    let answer = server.ask(line, fields).is(200);
    let mut lines: Vec<String> = answer.text().lines().map(str::to_string).collect();
    lines.retain(|line| !["PWD=", "_=", "SHLVL=", "OLDPWD="].iter().any(|own| line.starts_with(own)));
    lines.sort();
    lines
}

const ENVIRONMENT: &str = "printf 'Content-Type: text/plain\\n\\n'; exec env";

#[test]
fn the_environment() {
    let setup =
        setup().text("[CGI]\n    SetEnv NAME of device\n    SetEnv PATH /bin:/usr/bin\n    PassEnv GIVEN MISSING\n");
    let setup = setup.environment("GIVEN", "by the shell").environment("SECRET", "not told");
    program(&setup, "run/env", ENVIRONMENT);
    let server = setup.start();
    let (address, root) = (server.address(), server.dir.path("root").display().to_string());
    let mut expected = vec![
        "CONTENT_LENGTH=0".to_string(),
        format!("DOCUMENT_ROOT={root}"),
        "GATEWAY_INTERFACE=CGI/1.1".into(),
        "GIVEN=by the shell".into(),
        "HTTP_ACCEPT_LANGUAGE=de, en".into(),
        "HTTP_COOKIE=a=1; b=2".into(),
        "HTTP_HOST=test".into(),
        "HTTP_X_1=".into(),
        "NAME=of device".into(),
        "PATH=/bin:/usr/bin".into(),
        "PATH_INFO=/p q/r".into(),
        format!("PATH_TRANSLATED={root}/p q/r"),
        "QUERY_STRING=x+y&z=%20".into(),
        "REDIRECT_STATUS=200".into(),
        "REMOTE_ADDR=127.0.0.1".into(),
        "REQUEST_METHOD=GET".into(),
        "REQUEST_URI=/run/./env/p%20q//r?x+y&z=%20".into(),
        format!("SCRIPT_FILENAME={root}/run/env"),
        "SCRIPT_NAME=/run/env".into(),
        "SERVER_ADDR=127.0.0.1".into(),
        "SERVER_NAME=test".into(),
        format!("SERVER_PORT={}", address.port()),
        "SERVER_PROTOCOL=HTTP/1.1".into(),
        concat!("SERVER_SOFTWARE=Monkey/", env!("CARGO_PKG_VERSION")).into(),
    ];
    let fields = "Accept-Language: de\r\nCookie: a=1\r\nX-1:\r\naccept-language: en\r\ncookie: b=2\r\n\
                  Proxy: http://evil/\r\nX_2: two\r\nAuthorization: Basic eDp5\r\nContent-Type: a/b\r\n";
    let mut told = environment(&server, "GET /run/./env/p%20q//r?x+y&z=%20", fields);
    let port = told.iter().position(|line| line.starts_with("REMOTE_PORT=")).expect("a port");
    let port = told.remove(port);
    assert!(port["REMOTE_PORT=".len()..].parse::<u16>().is_ok_and(|port| port >= 1024), "{port}");
    expected.insert(3, "CONTENT_TYPE=a/b".into());
    expected.sort();
    assert_eq!(told, expected);
    // Without what there need not be.
    let bare = server.client().send("GET /run/env HTTP/1.0\r\n\r\n").answer(false).is(200);
    for absent in ["PATH_INFO=", "PATH_TRANSLATED=", "CONTENT_TYPE=", "HTTP_", "HTTPS=", "REMOTE_USER=", "AUTH_TYPE="] {
        assert!(!bare.text().lines().any(|line| line.starts_with(absent)), "{absent} {}", bare.text());
    }
    for there in ["QUERY_STRING=", "SERVER_PROTOCOL=HTTP/1.0", "SERVER_NAME=test"] {
        assert!(bare.text().lines().any(|line| line == there), "{there} {}", bare.text());
    }
}

#[test]
fn what_is_left_of_the_path() {
    let setup = setup();
    program(&setup, "run/a.sh", &format!("{TEXT}; echo \"$SCRIPT_NAME|$PATH_INFO|$SCRIPT_FILENAME\"; pwd -P"));
    program(&setup, "run/d/b.sh", &format!("{TEXT}; echo \"$SCRIPT_NAME|$PATH_INFO|$SCRIPT_FILENAME\"; pwd -P"));
    let server = setup.start();
    let root = fs::canonicalize(server.root("")).expect("a path");
    for (path, name, info) in [
        ("/run/a.sh", "/run/a.sh", ""),
        ("/run/a.sh/", "/run/a.sh", "/"),
        ("/run/a.sh/run/a.sh", "/run/a.sh", "/run/a.sh"),
        ("/run/a.sh/../d/b.sh/x", "/run/d/b.sh", "/x"),
        ("/run/d/b.sh", "/run/d/b.sh", ""),
        ("/%72un/a%2esh%2f%2e%2e%2fd/b.sh/%20", "/run/d/b.sh", "/ "),
    ] {
        let text = server.get(path).is(200).text().to_string();
        let (first, directory) = text.split_once('\n').expect("two lines");
        let parts: Vec<&str> = first.split('|').collect();
        assert_eq!(parts[..2], [name, info], "{path}");
        let file = fs::canonicalize(parts[2]).expect("a path");
        assert_eq!(file, root.join(&name[1..]));
        assert_eq!(Path::new(directory.trim_end()), file.parent().expect("a directory"));
    }
    server.get("/run/none.sh").is(404);
    server.get("/run/d/").is(403);
}

#[test]
fn credentials_are_told_where_that_is_chosen_and_users_where_they_are_checked() {
    for (chosen, told) in [("Off", None), ("On", Some("HTTP_AUTHORIZATION=Basic YWw6cGFzc3dvcmQ="))] {
        let setup = setup().text(&format!("[CGI]\n    Authorization {chosen}\n"));
        let setup = setup.section("AUTH", &["Location /run/in", "Users users"]);
        let setup = setup.section("AUTH", &["Location /run/dir/index.php", "Users users"]);
        program(&setup, "run/dir/index.php", ENVIRONMENT);
        // `password`, RFC 2307.
        setup.dir.write("conf/users", "al:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
        program(&setup, "run/env", ENVIRONMENT);
        program(&setup, "run/in/env", ENVIRONMENT);
        program(&setup, "run/leads", "printf 'Location: /run/in/env\n\n'");
        let server = setup.start();
        let fields = "Authorization: Basic YWw6cGFzc3dvcmQ=\r\n";
        let out = environment(&server, "GET /run/env", fields);
        assert_eq!(out.iter().find(|line| line.starts_with("HTTP_AUTH")).map(String::as_str), told);
        assert!(!out.iter().any(|line| line.starts_with("REMOTE_USER") || line.starts_with("AUTH_TYPE")), "{out:?}");
        server.get("/run/in/env").is(401);
        if cfg!(feature = "plugin-auth") {
            let within = environment(&server, "GET /run/in/env", fields);
            assert!(within.contains(&"REMOTE_USER=al".into()) && within.contains(&"AUTH_TYPE=Basic".into()));
            // The password is not looked at on this way: root:wrong
            let led = environment(&server, "GET /run/leads", "Authorization: Basic cm9vdDp3cm9uZw==\r\n");
            assert!(
                !led.iter().any(|line| line.starts_with("REMOTE_USER") || line.starts_with("AUTH_TYPE")),
                "{led:?}"
            );
            // Nor where it is the directory that was asked for, and its index file that has one.
            let index = environment(&server, "GET /run/dir/", "Authorization: Basic cm9vdDp3cm9uZw==\r\n");
            assert!(index.contains(&"SCRIPT_NAME=/run/dir/index.php".into()), "{index:?}");
            assert!(!index.iter().any(|line| line.starts_with("REMOTE_USER")), "{index:?}");
            server.get("/run/dir/index.php").is(401);
        }
    }
}

#[test]
fn a_query_is_no_argument() {
    let setup = setup();
    program(&setup, "run/args", &format!("{TEXT}; echo \"$#\""));
    let server = setup.start();
    assert_eq!(server.get("/run/args?-s+-x").is(200).text(), "0\n");
}

#[test]
fn a_body_reaches_the_program_whole() {
    let setup = setup();
    program(&setup, "run/keep", &format!("cat > kept; {TEXT}; wc -c < kept; echo \"${{CONTENT_LENGTH-none}}\""));
    let server = setup.start();
    let body = pattern(if moves_all() { 1_000_000 } else { 200_000 });
    let mut client = server.client();
    let kept = || fs::read(server.root("run/kept")).expect("a file");
    client.send(request("POST /run/keep", &format!("Content-Length: {}\r\n", body.len()))).send(&body);
    assert_eq!(client.answer(false).is(200).text(), format!("{0}\n{0}\n", body.len()));
    assert!(kept() == body, "the body differs");
    fs::write(server.root("run/kept"), "").expect("a file");
    client.send(request("PUT /run/keep", CHUNKED)).send(chunked(&body, 7777));
    assert_eq!(client.answer(false).is(200).text(), format!("{}\nnone\n", body.len()));
    assert!(kept() == body, "the body in chunks differs");
    // None at all, and one byte.
    assert_eq!(client.ask("POST /run/keep", "Content-Length: 0\r\n").is(200).text(), "0\n0\n");
    client.send(request("POST /run/keep", "Content-Length: 1\r\n")).send("x");
    assert_eq!(client.answer(false).is(200).text(), "1\n1\n");
    client.send(request("POST /run/keep", "Expect: 100-continue\r\nContent-Length: 2\r\n"));
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    assert_eq!(client.send("yz").answer(false).is(200).text(), "2\n2\n");
    assert_eq!(client.get("/a.txt").text(), "alpha");
}

#[test]
fn a_body_that_nobody_reads_keeps_no_answer_back() {
    let setup = setup();
    program(&setup, "run/deaf", &format!("exec <&-; {TEXT}; echo fine"));
    let server = setup.start();
    let body = pattern(3_000_000);
    let mut client = server.client();
    let mut sender = client.another();
    let sending = std::thread::spawn(move || {
        sender.try_send(request("POST /run/deaf", "Content-Length: 3000000\r\n").as_bytes());
        sender.try_send(&body);
    });
    assert_eq!(client.answer(false).is(200).text(), "fine\n");
    drop(client);
    sending.join().expect("the sender ends");
}

#[test]
fn twenty_megabytes_come_back() {
    let setup = setup();
    let length = if moves_all() { 20_000_000 } else { 300_000 };
    let all = pattern(length);
    let setup = setup.file("run/big", &all);
    program(&setup, "run/send", "printf 'Content-Type: a/b\\n\\n'; exec cat big");
    program(&setup, "run/known", &format!("printf 'Content-Type: a/b\\nContent-Length: {length}\\n\\n'; exec cat big"));
    let server = setup.start();
    let mut client = server.client();
    for path in ["/run/send", "/run/known"] {
        let answer = client.get(path).is(200);
        assert_eq!(answer.length(), (path == "/run/known").then_some(length as u64));
        assert!(answer.body == all, "the answer differs: {} bytes", answer.body.len());
    }
    let answer = server.client().send("GET /run/send HTTP/1.0\r\n\r\n").answer(false).is(200);
    assert!(answer.closes() && answer.field("Transfer-Encoding").is_none() && answer.body == all);
}

#[test]
fn an_echo_of_five_megabytes_goes_both_ways_at_once() {
    let setup = setup();
    program(&setup, "run/echo", "printf 'Content-Type: a/b\\n\\n'; exec cat");
    let server = setup.start();
    let length = if moves_all() { 5_000_000 } else { 300_000 };
    let body = pattern(length);
    let known = format!("Content-Length: {length}\r\n");
    for framing in [known.as_str(), CHUNKED] {
        let mut client = server.client();
        let mut sender = client.another();
        let bytes = if framing == CHUNKED { chunked(&body, 60_000) } else { body.clone() };
        std::thread::scope(|scope| {
            scope.spawn(move || _ = sender.send(request("POST /run/echo", framing)).send(bytes));
            let answer = client.answer(false).is(200);
            assert!(answer.body == body, "the echo differs: {} bytes", answer.body.len());
        });
        assert_eq!(client.get("/a.txt").text(), "alpha");
    }
}

#[test]
fn heads_of_answers() {
    let setup = setup();
    let answers = [
        ("plain", "printf 'Content-Type: text/plain\\r\\nX-Own: 1\\r\\n\\r\\nbody'"),
        ("status", "printf 'Status: 404 No Such Thing\\nContent-Type: text/plain\\n\\nbody'"),
        ("line", "printf 'HTTP/1.1 418 Teapot\\nContent-Type: text/plain\\n\\nbody'"),
        ("away", "printf 'Location: http://other/?a=b\\n\\n'"),
        ("see", "printf 'Status: 303 See Other\\nLocation: /a.txt\\n\\n'"),
        ("unchanged", "printf 'Status: 304 Not Modified\\nETag: \"x\"\\n\\n'"),
        ("nothing", "printf 'Status: 204 No Content\\n\\n'"),
        ("untyped.cgi", "printf 'X-A: b\\n\\n<p>'"),
        ("typed.cgi", "printf 'Content-Type: text/plain\\n\\nx'"),
        ("hop", "printf 'Content-Type: text/plain\\nConnection: close, X-B\\nX-B: 1\\nKeep-Alive: 5\\n\\nx'"),
    ];
    for (name, script) in answers {
        program(&setup, &format!("run/{name}"), script);
        if name.ends_with(".cgi") {
            program(&setup, name, script);
        }
    }
    let server = setup.start();
    let mut client = server.client();
    let answer = client.get("/run/plain").is(200);
    assert_eq!(
        (answer.text(), answer.field("X-Own"), answer.field("Content-Type")),
        ("body", Some("1"), Some("text/plain"))
    );
    let answer = client.get("/run/status").is(404);
    assert_eq!(answer.text(), "body");
    assert_eq!(client.get("/run/line").is(418).text(), "body");
    assert_eq!(client.get("/run/away").is(302).field("Location"), Some("http://other/?a=b"));
    assert_eq!(client.get("/run/see").is(303).field("Location"), Some("/a.txt"));
    assert_eq!(client.get("/run/unchanged").is(304).field("ETag"), Some("\"x\""));
    let answer = client.send(request("GET /run/nothing", "")).head();
    assert!(answer.starts_with("HTTP/1.1 204 ") && !answer.contains("Transfer-Encoding"), "{answer}");
    assert_eq!(client.get("/untyped.cgi").is(200).field("Content-Type"), Some("text/x-cgi"));
    assert_eq!(client.get("/typed.cgi").is(200).field("Content-Type"), Some("text/plain"));
    assert_eq!(client.get("/run/untyped.cgi").is(200).field("Content-Type"), None, "the first line has none");
    let answer = client.get("/run/hop").is(200);
    assert!(answer.field("X-B").is_none() && answer.field("Keep-Alive").is_none() && !answer.closes());
    // A head is all there is to HEAD.
    let head = client.send(request("HEAD /run/plain", "")).head();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("\r\nX-Own: 1\r\n"), "{head}");
    assert_eq!(client.get("/a.txt").text(), "alpha");
}

#[test]
fn what_is_no_answer() {
    let setup = setup();
    for (name, script) in [
        ("empty", "exit 0"),
        ("text", "echo no head at all"),
        ("half", "printf 'Content-Type: text/plain\\n'"),
        ("killed", "kill -KILL $$"),
        ("endless", "yes 'X-A: b'"),
    ] {
        program(&setup, &format!("run/{name}"), script);
    }
    program(&setup, "run/short", "printf 'Content-Type: text/plain\\nContent-Length: 10\\n\\nabc'");
    let setup = setup.file("run/data", "secret source").file("run/d/x", "");
    let setup = setup.file("sh/not.sh", format!("{TEXT}; echo run by a shell"));
    program(&setup, "run/lost", "");
    fs::write(setup.root("run/lost"), "#!/no/such/interpreter\n").expect("a file");
    let server = setup.start();
    for name in ["empty", "text", "half", "killed", "endless", "lost"] {
        server.get(&format!("/run/{name}")).is(502);
    }
    for said in [
        "run/empty: ended without an answer: exit status 0",
        "run/killed: ended without an answer: signal 9 (SIGKILL)",
        "run/text: its output is no answer",
        "run/half: its output is no answer",
        "run/endless: its output is no answer",
        "run/lost: can not be started: No such file or directory",
    ] {
        assert!(eventually(|| server.logged(said)), "{said}\n{}", server.log());
    }
    // What may not be executed is neither run nor shown.
    let answer = server.get("/run/data").is(403);
    assert!(!answer.text().contains("secret"));
    assert!(eventually(|| server.logged("run/data: can not be started: Permission denied")));
    server.ask("HEAD /run/data", "").is(403);
    // An interpreter needs nothing but to read it.
    assert_eq!(server.get("/sh/not.sh").is(200).text(), "run by a shell\n");
    // One that breaks off.
    let mut client = server.client();
    client.send(request("GET /run/short", ""));
    let head = client.head();
    assert!(head.contains("Content-Length: 10\r\n"), "{head}");
    assert_eq!(client.rest(), b"abc");
    assert!(eventually(|| server.logged("run/short: its output is shorter than it said")), "{}", server.log());
    assert_eq!(server.get("/a.txt").text(), "alpha");
}

#[test]
fn local_redirects() {
    let setup = setup().file("b c.txt", "beta");
    program(&setup, "run/file", "echo Location: /a.txt; echo");
    program(&setup, "run/encoded", "echo Location: /b%20c.txt; echo");
    program(&setup, "run/script", "cat > /dev/null; echo 'Location: /run/env/in?x=y'; echo");
    program(&setup, "run/env", ENVIRONMENT);
    program(&setup, "run/nowhere", "echo Location: /nowhere; echo");
    program(&setup, "run/loop", "echo Location: /run/loop; echo");
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.get("/run/file").is(200).text(), "alpha");
    assert_eq!(client.get("/run/encoded").is(200).text(), "beta");
    assert_eq!(client.ask("HEAD /run/file", "").is(200).length(), Some(5));
    let text = client.get("/run/script").is(200).text().to_string();
    for line in ["SCRIPT_NAME=/run/env", "PATH_INFO=/in", "QUERY_STRING=x=y", "REQUEST_METHOD=GET"] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    client.send(request("POST /run/script", "Content-Length: 3\r\n")).send("abc");
    let text = client.answer(false).is(200).text().to_string();
    for line in ["REQUEST_METHOD=GET", "CONTENT_LENGTH=0"] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    client.get("/run/nowhere").is(404);
    server.get("/run/loop").is(500);
    assert_eq!(client.get("/a.txt").text(), "alpha");
}

#[test]
fn heads_that_are_not_parsed() {
    let setup = setup();
    let head = "HTTP/1.1 203 Own Words\\r\\nX-Odd:  as it is \\r\\nContent-Length: 4\\r\\n\\r\\n";
    program(&setup, "run/nph-whole", &format!("printf '{head}body'"));
    program(
        &setup,
        "run/nph-pieces",
        "printf HTTP; sleep 0.1; printf '/1.1 200'; sleep 0.1; printf ' OK\\r\\n\\r\\nab'; sleep 0.1; printf c",
    );
    program(&setup, "run/nph-cgi", "printf 'Content-Type: text/plain\\n\\nbody'");
    program(&setup, "run/nph-short", "printf HTTP/1.1");
    let server = setup.start();
    let whole = server.client().send(request("GET /run/nph-whole", "")).rest();
    let head = "HTTP/1.1 203 Own Words\r\nX-Odd:  as it is \r\nContent-Length: 4\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&whole), format!("{head}body"));
    // Whatever was asked for behind it: the connection ends.
    let mut client = server.client();
    client.send(request("GET /run/nph-pieces", "") + &request("GET /a.txt", ""));
    assert_eq!(String::from_utf8_lossy(&client.rest()), "HTTP/1.1 200 OK\r\n\r\nabc");
    server.get("/run/nph-cgi").is(502);
    server.get("/run/nph-short").is(502);
}

#[test]
fn index_files_and_sources() {
    // The last one is a program by its path alone.
    let setup = setup().server("Indexfile index.cgi index.php index.html").host("Fallback /run/g/index.html");
    program(&setup, "run/h/index.html", "printf 'Content-Type: text/plain\n\n'; echo \"$SCRIPT_NAME\"");
    let setup = setup.file("run/g/index.html", "secret").file("g/index.html", "fine");
    program(
        &setup,
        "d/index.cgi",
        "printf 'Content-Type: text/plain\\n\\n'; echo \"$SCRIPT_NAME|$PATH_INFO|$REQUEST_URI\"",
    );
    let setup =
        setup.file("e/index.php", "<?php secret ?>").file("run.php", "<?php secret ?>").file("f/index.cgi", "secret");
    let server = setup.start();
    assert_eq!(server.get("/d/?q").is(200).text(), "/d/index.cgi||/d/?q\n");
    assert_eq!(server.get("/d").is(301).field("Location"), Some("/d/"));
    assert_eq!(server.get("/run/h/").is(200).text(), "/run/h/index.html\n");
    assert_eq!(server.get("/g/").is(200).text(), "fine");
    let missed = server.ask("GET /none", "Accept: text/html\r\n");
    assert!(!missed.text().contains("secret"), "{}", missed.head);
    for path in ["/e/", "/e/index.php", "/run.php", "/f/", "/f/index.cgi", "/run.php/x", "/run/g/"] {
        for method in ["GET", "HEAD", "POST"] {
            let answer = server.ask(&format!("{method} {path}"), "Content-Length: 0\r\n");
            let refused = [403, 404].contains(&answer.status);
            assert!(
                refused && !String::from_utf8_lossy(&answer.body).contains("secret"),
                "{method} {path}\n{}",
                answer.head
            );
        }
    }
}

#[test]
fn a_program_outside_of_the_root() {
    let setup = setup();
    let tool = setup.dir.write(
        "tools/tool",
        format!("#!/bin/sh\n{TEXT}; echo \"$SCRIPT_NAME|$PATH_INFO|$0|${{SCRIPT_FILENAME-none}}\"; pwd\n"),
    );
    std::process::Command::new("chmod").arg("755").arg(&tool).status().expect("chmod");
    let line = format!("Location /tool cgi {}", tool.display());
    let server = setup.section("HANDLERS", &[&line]).start();
    let expected = |info: &str| {
        format!("/tool|{info}|{0}|none\n{1}\n", tool.display(), tool.parent().expect("a directory").display())
    };
    for (path, info) in [("/tool", ""), ("/tool/", "/"), ("/tool/a/b.txt", "/a/b.txt")] {
        assert_eq!(server.get(path).is(200).text(), expected(info));
    }
    server.get("/tools").is(404);
}

#[test]
fn what_a_program_complains_of_is_in_the_log() {
    let setup = setup().workers(1);
    program(
        &setup,
        "run/loud",
        &format!("printf 'one\\ntwo \\033[31m\\377 three\\n\\nunfinished' >&2; {TEXT}; echo fine"),
    );
    program(&setup, "run/long", &format!("head -c 2000 /dev/zero | tr '\\0' x >&2; {TEXT}"));
    program(&setup, "run/flood", &format!("yes complaint | head -n 100000 >&2; {TEXT}; echo fine"));
    program(&setup, "run/later", &format!("{TEXT}; echo fine; exec >&-; sleep 0.3; echo afterwards >&2"));
    let server = setup.start();
    assert_eq!(server.get("/run/loud").is(200).text(), "fine\n");
    let logged = |what: &str| assert!(eventually(|| server.logged(what)), "{what}\n{}", server.log());
    logged("/run/loud: one\n");
    logged("/run/loud: two \\x1b[31m\u{fffd} three\n");
    logged("/run/loud: unfinished\n");
    assert_eq!(server.get("/run/later").is(200).text(), "fine\n");
    logged("/run/later: afterwards\n");
    server.get("/run/long").is(200);
    logged(&format!("/run/long: {} ...\n", "x".repeat(512)));
    assert_eq!(server.get("/run/flood").is(200).text(), "fine\n");
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.get("/run/later").is(200);
    logged(" lines before this one were left out)");
    let count = server.log().matches("complaint").count();
    assert!((1..=200).contains(&count), "{count} lines");
}

#[test]
fn a_reload_under_load() {
    let setup = setup();
    configure(&setup, &["Children 16"]);
    program(&setup, "run/x", &format!("{TEXT}; echo itself"));
    let setup = setup.file("sh/x.sh", format!("{TEXT}; echo \"${{MARK-none}}\""));
    let server = setup.start();
    let site = server.dir.path("conf/sites/default");
    let before = fs::read_to_string(&site).expect("a site");
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut client, mut marked) = (server.client(), 0);
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        assert_eq!(client.get("/run/x").is(200).text(), "itself\n");
                        let text = client.get("/sh/x.sh").is(200).text().to_string();
                        assert!(["none\n", "new\n"].contains(&text.as_str()), "{text}");
                        marked += usize::from(text == "new\n");
                        // A connection has so many requests.
                        client = server.client();
                    }
                    marked
                })
            })
            .collect();
        for round in 0..6 {
            let text = if round % 2 == 0 {
                // Other lines, so that each has another number.
                before.replace("[HANDLERS]\n", "[HANDLERS]\n    Match ^/none cgi /bin/true\n")
                    + "[CGI]\n    SetEnv MARK new\n"
            } else {
                before.clone()
            };
            fs::write(&site, text).expect("a site");
            server.reload();
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let marked: usize = load.into_iter().map(|thread| thread.join().expect("no failure")).sum();
        assert!(marked > 0, "nothing has changed");
    });
    assert_eq!(server.log().matches("configuration reloaded").count(), 6, "{}", server.log());
}

#[test]
fn a_body_whose_length_is_not_known_is_not_for_php() {
    let setup = setup();
    // It is called so, that is all.
    program(&setup, "php-like", "printf 'Content-Type: text/plain\\n\\n'; cat");
    let php = setup.root("php-like");
    let setup = setup.file("a.php", "").section("HANDLERS", &[&format!(r"Match \.php$ cgi {}", php.display())]);
    let server = setup.start();
    let chunks = "Transfer-Encoding: chunked\r\n";
    let mut client = server.client();
    client.send(request("POST /a.php", chunks)).send("3\r\nabc\r\n0\r\n\r\n").answer(false).is(411);
    let mut client = server.client();
    let answer = client.send(request("POST /a.php", "Content-Length: 3\r\n")).send("abc").answer(false);
    assert_eq!(answer.is(200).text(), "abc");
}
