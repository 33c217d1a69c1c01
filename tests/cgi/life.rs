use std::fs;
use std::time::{Duration, Instant};

use super::{Programs, TEXT, configure, program, setup};
use crate::util::{Server, eventually, is_gone, is_root, lives, request, signal, skipped, spawner_below};

/// The process ids that a script has left in a file of its directory.
#[track_caller]
fn pids(server: &Server, name: &str, count: usize) -> Vec<u32> {
    let mut pids = Vec::new();
    let read = || fs::read_to_string(server.root(name)).unwrap_or_default();
    let there = eventually(|| {
        pids = read().split_whitespace().filter_map(|word| word.parse().ok()).collect();
        pids.len() == count && read().ends_with('\n')
    });
    assert!(there, "{pids:?}");
    pids
}

#[test]
fn a_program_that_takes_too_long_is_ended_with_all_of_its_group() {
    let setup = setup();
    configure(&setup, &["Timeout 1", "KillAfter 1"]);
    program(&setup, "run/slow", "sleep 1000 & echo $$ $! > pids; wait");
    program(
        &setup,
        "run/stubborn",
        "trap '' TERM; (trap '' TERM; sleep 1000; sleep 1000) & echo $$ $! > pids2; wait; wait",
    );
    program(&setup, "run/half", &format!("{TEXT}; echo some; echo $$ > pids3; exec sleep 1000"));
    let server = setup.start();
    let begun = Instant::now();
    server.get("/run/slow").is(504);
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    pids(&server, "run/pids", 2).into_iter().for_each(is_gone);
    server.get("/run/stubborn").is(504);
    let stubborn = pids(&server, "run/pids2", 2);
    assert!(stubborn.iter().all(|pid| lives(*pid)), "SIGKILL came at once");
    stubborn.into_iter().for_each(is_gone);
    // Where the answer has begun the connection ends in the middle of it.
    let mut client = server.client();
    client.send(request("GET /run/half", ""));
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    assert_eq!(client.rest(), b"0005\r\nsome\n\r\n");
    pids(&server, "run/pids3", 1).into_iter().for_each(is_gone);
    Programs::of(&server).are(0);
}

#[test]
fn a_program_that_writes_now_and_then_is_not_too_slow() {
    let setup = setup();
    configure(&setup, &["Timeout 1"]);
    program(&setup, "run/steady", &format!("{TEXT}; for i in 1 2 3 4 5 6; do echo $i; sleep 0.4; done"));
    let server = setup.start();
    assert_eq!(server.get("/run/steady").is(200).text(), "1\n2\n3\n4\n5\n6\n");
}

#[test]
fn a_program_ends_when_its_client_leaves() {
    let setup = setup();
    program(&setup, "run/silent", "echo $$ > pids; exec sleep 1000");
    program(&setup, "run/busy", &format!("{TEXT}; echo $$ > pids2; exec yes"));
    program(&setup, "run/reads", "echo $$ > pids3; exec cat > /dev/null");
    let server = setup.start();
    let resting = server.descriptors();
    for (line, fields, file) in [
        ("GET /run/silent", "", "run/pids"),
        ("GET /run/busy", "", "run/pids2"),
        ("POST /run/reads", "Content-Length: 100\r\n", "run/pids3"),
    ] {
        let mut client = server.client();
        client.send(request(line, fields));
        let pid = pids(&server, file, 1)[0];
        assert!(lives(pid));
        drop(client);
        is_gone(pid);
    }
    Programs::of(&server).are(0);
    assert!(eventually(|| server.descriptors() <= resting + 2), "{} descriptors, not {resting}", server.descriptors());
}

#[test]
fn a_program_that_has_answered_may_have_more_to_do() {
    let setup = setup();
    configure(&setup, &["Timeout 2", "KillAfter 1"]);
    program(&setup, "run/later", &format!("{TEXT}; echo fine; exec >&- 2>&-; sleep 1; echo done > later"));
    program(&setup, "run/never", &format!("{TEXT}; echo fine; echo $$ > pids; exec >&- 2>&-; exec sleep 1000"));
    let server = setup.start();
    let begun = Instant::now();
    assert_eq!(server.get("/run/later").is(200).text(), "fine\n");
    assert_eq!(server.get("/run/never").is(200).text(), "fine\n");
    assert!(begun.elapsed() < Duration::from_secs(1), "they were waited for");
    assert!(eventually(|| server.root("run/later").exists()
        && fs::read_to_string(server.root("run/later")).is_ok_and(|text| text == "done\n" || text.starts_with("#!"))));
    let pid = pids(&server, "run/pids", 1)[0];
    is_gone(pid);
    let lived = begun.elapsed();
    assert!(lived >= Duration::from_millis(1900), "{lived:?}");
}

#[test]
fn an_answer_ends_when_nobody_can_write_to_it_any_more() {
    let setup = setup();
    program(&setup, "run/behind", &format!("{TEXT}; echo first; (sleep 0.7; echo second) & exit 0"));
    let server = setup.start();
    assert_eq!(server.get("/run/behind").is(200).text(), "first\nsecond\n");
}

#[test]
fn so_many_run_and_so_many_wait() {
    let setup = setup().workers(1);
    configure(&setup, &["Children 2", "Queue 3"]);
    program(&setup, "run/gate", &format!("echo $$ >> pids; until [ -e open ]; do sleep 0.02; done; {TEXT}; echo fine"));
    let server = setup.start();
    let mut running: Vec<_> = (0..2).map(|_| server.client()).collect();
    running.iter_mut().for_each(|client| _ = client.send(request("GET /run/gate", "")));
    pids(&server, "run/pids", 2);
    let mut waiting: Vec<_> = (0..3).map(|_| server.client()).collect();
    for client in &mut waiting {
        client.send(request("GET /run/gate", ""));
        client.is_silent(Duration::from_millis(100));
    }
    Programs::of(&server).are(2);
    let refused = server.get("/run/gate").is(503);
    assert!(refused.field("Retry-After").is_some(), "{}", refused.head);
    assert_eq!(server.get("/a.txt").text(), "alpha");
    // Who leaves while it waits makes room, and is never run.
    drop(waiting.pop());
    let mut last = server.client();
    assert!(eventually(|| {
        last = server.client();
        last.send(request("GET /run/gate", ""));
        last.another().is_silent(Duration::from_millis(100));
        true
    }));
    fs::write(server.root("run/open"), "").expect("a file");
    for client in running.iter_mut().chain(&mut waiting).chain([&mut last]) {
        assert_eq!(client.answer(false).is(200).text(), "fine\n");
    }
    assert_eq!(pids(&server, "run/pids", 5).len(), 5);
    Programs::of(&server).are(0);
}

#[test]
fn a_place_that_is_free_at_one_worker_is_free_for_all() {
    let setup = setup().workers(2);
    configure(&setup, &["Children 1", "Queue 4"]);
    program(&setup, "run/gate", &format!("echo $$ >> pids; until [ -e open ]; do sleep 0.02; done; {TEXT}; echo fine"));
    let server = setup.start();
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    clients.iter_mut().for_each(|client| _ = client.send(request("GET /run/gate", "")));
    pids(&server, "run/pids", 1);
    Programs::of(&server).are(1);
    std::thread::sleep(Duration::from_millis(200));
    Programs::of(&server).are(1);
    let begun = Instant::now();
    fs::write(server.root("run/open"), "").expect("a file");
    clients.iter_mut().for_each(|client| drop(client.answer(false).is(200)));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_program_that_will_not_end_keeps_its_place() {
    let setup = setup().workers(1);
    configure(&setup, &["Children 1", "KillAfter 1"]);
    program(&setup, "run/stubborn", "trap '' TERM; echo $$ > pids; while :; do sleep 0.1; done");
    program(&setup, "run/next", &format!("{TEXT}; kill -0 $(cat pids) && echo both; echo fine"));
    let server = setup.start();
    let mut client = server.client();
    client.send(request("GET /run/stubborn", ""));
    pids(&server, "run/pids", 1);
    drop(client);
    let begun = Instant::now();
    assert_eq!(server.get("/run/next").is(200).text(), "fine\n");
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[test]
fn nothing_is_left_of_many() {
    let setup = setup();
    configure(&setup, &["Children 4", "Queue 64"]);
    program(&setup, "run/x", &format!("{TEXT}; cat; echo fine"));
    program(&setup, "run/bad", "exit 3");
    let setup = setup.file("run/not", "");
    let server = setup.start();
    server.get("/run/x").is(200);
    let programs = Programs::of(&server);
    programs.are(0);
    // One connection more than there are then may not be closed yet.
    let resting = (server.descriptors() - 1, programs.descriptors());
    std::thread::scope(|scope| {
        for number in 0..8 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..25 {
                    let mut client = server.client();
                    match (number + round) % 4 {
                        0 => assert_eq!(client.get("/run/x").is(200).text(), "fine\n"),
                        1 => _ = client.send(request("POST /run/x", "Content-Length: 10\r\n")).send("half"),
                        2 => drop(client.get("/run/bad").is(502)),
                        _ => drop(client.get("/run/not").is(403)),
                    }
                }
            });
        }
    });
    programs.are(0);
    let left = || (server.descriptors(), programs.descriptors());
    assert!(eventually(|| left() <= resting), "{:?}, not {resting:?}", left());
}

#[test]
fn a_program_has_three_descriptors_and_its_limits() {
    let setup = setup();
    configure(&setup, &["Nice 7", "OpenFiles 33", "Memory 500000", "CPU 20"]);
    program(&setup, "run/fds", &format!("{TEXT}; exec ls -l /proc/self/fd"));
    program(&setup, "run/limits", &format!("{TEXT}; ulimit -n; ulimit -v; ulimit -t; nice"));
    let server = setup.start();
    let text = server.get("/run/fds").is(200).text().to_string();
    let links: Vec<&str> = text.lines().filter_map(|line| line.split_once(" -> ").map(|(_, to)| to)).collect();
    // The last one is the directory that is listed.
    assert_eq!(links.len(), 4, "{text}");
    assert!(links[0] == "/dev/null" && links[1].starts_with("pipe:") && links[2].starts_with("pipe:"), "{text}");
    assert!(links[3].starts_with("/proc/"), "{text}");
    let own: i32 = fs::read_to_string("/proc/self/stat")
        .expect("stat")
        .split_whitespace()
        .nth(18)
        .expect("nice")
        .parse()
        .expect("a number");
    assert_eq!(
        server.get("/run/limits").is(200).text(),
        format!("33\n500000\n20\n{}\n", if own > 7 && !is_root() { own } else { 7 })
    );
}

#[test]
fn programs_run_as_a_user_of_their_own() {
    if !is_root() {
        return skipped("needs root");
    }
    let setup = setup();
    configure(&setup, &["User nobody"]);
    program(&setup, "run/who", &format!("{TEXT}; id -u; touch here && echo wrote"));
    let server = setup.start();
    assert_eq!(server.get("/run/who").is(200).text(), "65534\n");
}

#[test]
fn without_its_spawner_the_server_says_so_and_serves_on() {
    let setup = setup();
    program(&setup, "run/x", &format!("{TEXT}; echo $$ > pids; exec sleep 1000"));
    let server = setup.start();
    let mut client = server.client();
    client.send(request("GET /run/x", ""));
    let pid = pids(&server, "run/pids", 1)[0];
    signal(spawner_below(server.pid()), "KILL");
    is_gone(pid);
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    server.get("/run/x").is(502);
    assert_eq!(server.get("/a.txt").text(), "alpha");
    assert!(
        eventually(|| server.logged("cgi: no program is started any more: restart the server")),
        "{}",
        server.log()
    );
}

#[test]
fn an_answer_that_is_cut_by_a_signal_has_no_end() {
    let setup = setup();
    program(&setup, "run/cut", &format!("{TEXT}; echo some; sleep 0.2; kill -KILL $$"));
    program(&setup, "run/on", &format!("{TEXT}; echo all; exec >&-; exec sleep 5"));
    program(&setup, "run/fails", &format!("{TEXT}; echo all; exit 3"));
    let server = setup.start();
    let mut client = server.client();
    client.send(request("GET /run/cut", ""));
    let cut = String::from_utf8(client.rest()).expect("text");
    assert!(cut.ends_with("\r\n\r\n0005\r\nsome\n\r\n"), "{cut}");
    assert!(eventually(|| server.logged("run/cut: ended by signal 9")), "{}", server.log());
    let begun = Instant::now();
    assert_eq!(server.get("/run/on").is(200).text(), "all\n");
    assert!(begun.elapsed() < Duration::from_secs(4), "its output is what counts");
    assert_eq!(server.get("/run/fails").is(200).text(), "all\n");
}
