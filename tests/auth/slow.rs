use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{AL, USERS, basic, setup, small_setup, status};
use crate::util::{Client, Server, Setup, eventually, request};

/// al's password `password` by bcrypt, with a cost that takes a moment even here.
fn users(cost: u32) -> String {
    let setup = Setup::new();
    let file = setup.dir.path("made");
    let words = ["passwd", "-cB", file.to_str().expect("a path"), "al", "password"];
    let ended = Server::run_to_end({
        let mut command = Command::new(env!("CARGO_BIN_EXE_monkey"));
        command.args(words);
        command
    });
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let made = fs::read_to_string(file).expect("a file");
    assert!(made.starts_with("al:$2b$10$") && made.len() == "al:".len() + 60 + 1, "{made}");
    match cost {
        10 => made,
        // Made with cost 5 for `U*U` (Openwall's crypt_blowfish).
        _ => "al:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n".into(),
    }
}

fn threads(server: &Server) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("its threads");
    tasks.flatten().map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default()).collect()
}

fn has_thread(server: &Server) -> bool {
    threads(server).iter().any(|name| name == "monkey: auth\n")
}

#[test]
fn a_password_is_verified_once_and_others_go_on() {
    let setup = setup().workers(1);
    setup.dir.write("conf/users", users(10) + "cy:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let server = setup.start();
    assert!(eventually(|| has_thread(&server)));
    let mut client = server.client();
    let begun = Instant::now();
    client.ask("GET /in/b.txt", &basic(AL)).is(200);
    let first = begun.elapsed();
    let before = server.cpu_ms();
    for _ in 0..100 {
        client.ask("GET /in/b.txt", &basic(AL)).is(200);
    }
    let hundred = server.cpu_ms() - before;
    assert!(u128::from(hundred) < first.as_millis() * 50, "{hundred} ms after {first:?}");
    // While a wrong one is being worked on, others are served.
    let begun = Instant::now();
    let mut slow: Vec<Client> = (0..4).map(|_| server.client()).collect();
    for (number, client) in slow.iter_mut().enumerate() {
        // `al:x0` and so on.
        let token = ["YWw6eDA=", "YWw6eDE=", "YWw6eDI=", "YWw6eDM="][number];
        client.send(request("GET /in/b.txt", &basic(token)));
    }
    for _ in 0..20 {
        client.get("/a.txt").is(200);
        client.ask("GET /in/b.txt", &basic("Y3k6cGFzc3dvcmQ=")).is(200);
    }
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    for client in &mut slow {
        client.answer(false).is(401);
    }
    assert!(begun.elapsed() >= Duration::from_millis(950));
    // Nor is a name with a line by SHA-1 told from one without: `cy:x`, `zy:x`.
    for token in ["Y3k6eA==", "enk6eA=="] {
        let begun = Instant::now();
        assert_eq!(status(&server, token), 401);
        assert!(begun.elapsed() > Duration::from_millis(1040), "{token}: {:?}, {first:?}", begun.elapsed());
    }
    // Who is not in the file, with al's password.
    assert_eq!(status(&server, "eHg6cGFzc3dvcmQ="), 401);
}

#[test]
fn what_was_right_ends_with_the_line() {
    let setup = setup();
    setup.dir.write("conf/users", users(5));
    let server = setup.start();
    // `al:U*U`.
    let token = "YWw6VSpV";
    assert_eq!(status(&server, token), 200);
    fs::write(server.dir.path("conf/users"), USERS).expect("a file");
    assert!(eventually(|| status(&server, token) == 401));
    assert_eq!(status(&server, AL), 200);
    fs::write(server.dir.path("conf/users"), users(10)).expect("a file");
    assert!(eventually(|| status(&server, AL) == 200));
    assert_eq!(status(&server, token), 401);
}

#[test]
fn the_thread_is_there_when_a_file_needs_it() {
    let server = setup().start();
    assert_eq!(status(&server, AL), 200);
    assert!(!has_thread(&server));
    fs::write(server.dir.path("conf/users"), users(5)).expect("a file");
    assert!(eventually(|| status(&server, "YWw6VSpV") == 200));
    assert!(has_thread(&server));
    assert!(!has_thread(&Setup::new().start()));
}

#[test]
fn more_than_can_wait_are_told_to_come_again() {
    let setup = setup().workers(1);
    setup.dir.write("conf/users", users(10));
    let server = setup.start();
    status(&server, AL);
    let mut crowd: Vec<Client> = (0..60).map(|_| server.client()).collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        // `al:` and a number of three digits is five or six bytes: digits are chosen so that the text needs no padding.
        let digits: Vec<u8> = format!("{number:03}").into_bytes();
        let token = format!("YWw6{}", base64_of_three(&digits));
        client.send(request("GET /in/b.txt", &basic(&token)));
    }
    // Who is known gets in meanwhile.
    let begun = Instant::now();
    assert_eq!(status(&server, AL), 200);
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    let (mut full, mut wrong) = (0, 0);
    for client in &mut crowd {
        let answer = client.answer(false);
        match answer.status {
            503 => {
                assert!(answer.field("Retry-After").is_some());
                full += 1;
            }
            status => {
                assert_eq!(status, 401);
                wrong += 1;
            }
        }
    }
    assert!(wrong >= 16 && full > 0, "{wrong} verified, {full} turned away");
}

fn base64_of_three(bytes: &[u8]) -> String {
    let bits = bytes.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..4).map(|place| char::from(digits[(bits >> (18 - 6 * place)) as usize & 63])).collect()
}

#[test]
fn a_request_with_a_body_waits_too() {
    let setup = setup().workers(1);
    setup.dir.write("conf/users", users(10));
    let server = setup.start();
    let fields = basic(AL) + "Content-Length: 3\r\n";
    let (head, get) = (request("POST /in/b.txt", &fields), request("GET /a.txt", ""));
    // In one piece, with a chunked one and another request behind it.
    let chunked = request("POST /in/b.txt", &(basic(AL) + "Transfer-Encoding: chunked\r\n")) + "3\r\nabc\r\n0\r\n\r\n";
    let mut client = server.client();
    client.send(format!("{head}abc{chunked}{get}"));
    assert_eq!(client.answer(false).is(200).text(), "beta");
    assert_eq!(client.answer(false).is(200).text(), "beta");
    assert_eq!(client.answer(false).is(200).text(), "alpha");
    // A body that comes after its head: the question is put before it.
    fs::write(server.dir.path("conf/users"), users(10)).expect("a file");
    std::thread::sleep(Duration::from_millis(1500));
    let mut client = server.client();
    client.send(&head);
    std::thread::sleep(Duration::from_millis(200));
    client.send("a");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(client.send("bc").answer(false).is(200).text(), "beta");
}

/// A request that was put back while the answers before it could not be sent is answered all the same, and is one request.
#[test]
fn a_request_behind_answers_that_nobody_takes_waits_too() {
    let (ks, spare) = (20..60, 3);
    let total: usize = ks.clone().map(|k| k + 1).sum::<usize>() + spare;
    let mut setup = setup().workers(1).server("SendBuffer 16384").server("MaxKeepAliveRequest 1000");
    if cfg!(feature = "plugin-mandril") {
        setup = setup.section("RATE", &[&format!("Requests {total}"), "Seconds 86400"]);
    }
    setup.dir.write("conf/users", users(5));
    let server = setup.file("some.txt", "x".repeat(3000)).start();
    let mut clients: Vec<(usize, Client)> = Vec::new();
    for k in ks {
        let mut client = server.client();
        let wrong = basic(&format!("YWw6{}", base64_of_three(format!("{k:03}").as_bytes())));
        let last = request("GET /in/b.txt", &(wrong + "Connection: close\r\n"));
        client.send(request("GET /some.txt", "").repeat(k) + &last);
        std::thread::sleep(Duration::from_millis(20));
        clients.push((k, client));
    }
    std::thread::sleep(Duration::from_millis(500));
    for (k, mut client) in clients {
        let text = String::from_utf8(client.rest()).expect("text");
        let count = |status: &str| text.matches(&format!("HTTP/1.1 {status} ")).count();
        assert_eq!((count("200"), count("401")), (k, 1));
    }
    if cfg!(feature = "plugin-mandril") {
        (0..spare).for_each(|_| _ = server.get("/a.txt").is(200));
        server.get("/a.txt").is(429);
    }
}

#[test]
fn those_who_wait_give_way_to_others() {
    let setup = small_setup().workers(1);
    setup.dir.write("conf/users", "al:$2y$12$abcdefghijklmnopqrstuuVB3cVCzhnqHY4ZNDGwvYm1DLcVOWVi.\n");
    let server = setup.start();
    let mut crowd: Vec<Client> = (0..200).map(|_| server.client()).collect();
    crowd.iter_mut().for_each(|client| _ = client.send(request("GET /in/b.txt", &basic(AL))));
    // A head in two pieces takes a buffer, and all of them are taken.
    for _ in 0..10 {
        let mut other = server.client();
        other.send("GET /a.txt HTTP/1.1\r\n");
        server.get("/a.txt").is(200);
        other.send("Host: test\r\n\r\n").answer(false).is(200);
    }
}
