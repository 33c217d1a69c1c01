use crate::util::{Server, Setup, example, moves_all, request};

fn serve(lines: &[&str]) -> Server {
    Setup::new().file("a.txt", "alpha").section("HANDLERS", lines).start()
}

/// `name{labels} value` lines as pairs.
fn samples(text: &str) -> Vec<(&str, u64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').map(|(name, value)| (name, value.parse().expect("a number"))).expect(line))
        .collect()
}

fn sum(text: &str, name: &str) -> u64 {
    samples(text).iter().filter(|(sample, _)| sample.starts_with(name)).map(|(_, value)| value).sum()
}

#[test]
fn metrics_as_text() {
    let server = Setup::new().file("a.txt", "alpha").text(&example("plugins/METRICS.md", "metrics")).start();
    let mut client = server.client();
    for _ in 0..3 {
        client.get("/a.txt").is(200);
        client.get("/nothing").is(404);
    }
    let answer = client.get("/metrics").is(200);
    answer.has_fields(&["Content-Type: text/plain; version=0.0.4; charset=utf-8", "Transfer-Encoding: chunked"]);
    let text = answer.text();
    assert_eq!(
        (sum(text, "monkey_answers_total{worker=\"0\",class=\"2xx\"")
            + sum(text, "monkey_answers_total{worker=\"1\",class=\"2xx\"")),
        3
    );
    assert_eq!(sum(text, "monkey_connections "), 0, "names end where their value or a label begins");
    assert_eq!(sum(text, "monkey_connections"), 1 + sum(text, "monkey_connections_max"));
    assert_eq!(sum(text, "monkey_clients_total{result=\"accepted\"}"), 1);
    assert!(sum(text, "monkey_sent_bytes_total") > 15);
    let limit = if moves_all() { 2500 } else { 7000 };
    assert_eq!(sum(text, "monkey_memory_limit_bytes"), limit * 1024);
    assert!(sum(text, "monkey_resident_bytes") > 0);
    // A family stands together, behind its two lines of comment.
    let mut seen = Vec::new();
    for line in text.lines() {
        let name =
            line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").split([' ', '{']).next().expect("a name");
        if seen.last() != Some(&name) {
            assert!(!seen.contains(&name), "{name} comes twice");
            seen.push(name);
        }
    }
    let answer = client.get("/metrics").is(200);
    assert_eq!(sum(answer.text(), "monkey_answers_total"), 7);
}

#[test]
fn metrics_as_json() {
    let server = serve(&["Location /metrics metrics"]);
    let mut client = server.client();
    let answer = client.send(request("GET /metrics", "Accept: application/json\r\n")).answer(false).is(200);
    answer.has_fields(&["Content-Type: application/json", "Vary: Accept"]);
    let text = answer.text();
    let count = |part: &str| text.matches(part).count();
    assert_eq!((count("{"), count("["), count("\"worker_connections\": ")), (count("}"), count("]"), 2), "{text}");
    assert!(text.starts_with("{\"uptime_seconds\": ") && text.ends_with("}]}\n"), "{text}");
    // Without that wish, and for whoever takes anything, the text.
    for accept in ["", "Accept: */*\r\n", "Accept: application/json;q=0\r\n"] {
        let answer = client.send(request("GET /metrics", accept)).answer(false).is(200);
        assert!(answer.text().starts_with("# HELP "));
    }
}

#[test]
fn metrics_take_no_other_method_and_any_version() {
    let server = serve(&["Location /metrics metrics"]);
    let mut client = server.client();
    client
        .send(request("POST /metrics", "Content-Length: 3\r\n") + "abc")
        .answer(false)
        .is(405)
        .has_fields(&["Allow: GET, HEAD"]);
    client.send(request("HEAD /metrics", "")).answer(true).is(200);
    client.get("/metrics").is(200);
    let old = server.client().send("GET /metrics HTTP/1.0\r\n\r\n").answer(false).is(200);
    assert!(old.closes() && old.text().ends_with('\n') && old.field("Transfer-Encoding").is_none());
}

#[test]
fn lines_are_tried_in_their_order_and_files_come_last() {
    let server = serve(&["Location /a.txt/b metrics", r"Match ^/m\d+$ metrics", "Location /deep/er/ metrics"]);
    let mut client = server.client();
    assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
    for (path, status) in [
        ("/m1", 200),
        ("/%6d12", 200),
        ("/x/../m7", 200),
        ("/m", 404),
        ("/deep/er", 200),
        ("/deep/er/x", 200),
        ("/deep/erx", 404),
    ] {
        client.get(path).is(status);
    }
}

#[test]
fn many_answers_of_unknown_length_in_one_write() {
    let server = serve(&["Location /metrics metrics"]);
    let mut client = server.client();
    let bytes = [request("GET /metrics", ""), request("GET /a.txt", "")].concat().repeat(20);
    client.send(bytes);
    for _ in 0..20 {
        assert!(client.answer(false).is(200).text().starts_with("# HELP "));
        assert_eq!(client.answer(false).is(200).text(), "alpha");
    }
}

#[cfg(feature = "test-switches")]
#[test]
fn a_part_with_nothing_in_it_does_not_end_the_answer() {
    let server = serve(&[]);
    let mut client = server.client();
    for _ in 0..2 {
        assert_eq!(client.get("/.probe/empty").is(200).text(), "");
        assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
    }
}

#[test]
fn lines_that_are_wrong() {
    for (line, column, what) in [
        ("Match /x", 11, "write REGEX PLUGIN, such as /.* dirlisting"),
        ("Location /x nonesuch", 17, "there is no plugin nonesuch; plugins built in: "),
        ("Location /x liana", 17, "the plugin liana answers no requests: take the line out"),
        ("Location /x duda", 17, "the plugin duda is not in this build; plugins built in: "),
        ("Location x metrics", 14, "the prefix \"x\" never matches: begin it with a slash"),
        ("Location /a/../b metrics", 14, "the prefix \"/a/../b\" never matches"),
        ("Match /( metrics", 12, "pattern: "),
        ("Location /x metrics now", 25, "metrics takes no parameters: take \"now\" out"),
    ] {
        let setup = Setup::new().section("HANDLERS", &[line]);
        let ended = setup.run();
        assert_eq!(ended.code, Some(1), "{line}: {}", ended.log);
        let wanted = format!("conf/sites/default:5:{column}: {what}");
        assert!(ended.log.contains(&wanted), "{wanted} is not in\n{}", ended.log);
    }
}

#[cfg(feature = "plugin-hello")]
#[test]
fn the_example_plugin() {
    let server = Setup::new().workers(1).text(&example("PLUGINS.md", "hello")).start();
    let mut client = server.client();
    assert_eq!(client.get("/hello").is(200).text(), "Hello dear reader, this is your request number 1.\n");
    assert_eq!(client.get("/hello/there").is(200).text(), "Hello dear reader, this is your request number 2.\n");
    client.send(request("HEAD /hello", "")).answer(true).is(200);
    client.send(request("DELETE /hello", "")).answer(false).is(405);
    let lines = include_str!("../src/plugins/hello/mod.rs").lines().count();
    assert!(lines < 80, "the example is to be under 80 lines, and has {lines}");
}

/// Of what is watched in the main thread and in a worker each thing that happens is told, a time-out not before its time.
#[cfg(feature = "test-switches")]
#[test]
fn what_plugins_watch() {
    use crate::util::eventually;

    for scheduler in ["Fair", "ReusePort"] {
        let setup = Setup::new().workers(1).server(&format!("Scheduler {scheduler}"));
        let server = setup.environment("MONKEY_TEST_BEAT", "1").start();
        let told = |key: u32| {
            let start = format!("INFO: beat {key}: ");
            server.log().lines().filter_map(|line| line.split_once(&start)).map(|(_, it)| it.to_string()).collect()
        };
        for key in [1, 2] {
            let wanted = ["TimedOut", "Readable", "Closed"];
            assert!(
                eventually(|| {
                    let told: Vec<String> = told(key);
                    told.len() >= 3
                }),
                "{key}: {}",
                server.log()
            );
            std::thread::sleep(std::time::Duration::from_millis(100));
            let told: Vec<String> = told(key);
            assert_eq!(told, wanted, "{scheduler}: {}", server.log());
        }
    }
}
