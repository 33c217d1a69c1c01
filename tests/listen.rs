use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::util::{Server, Setup, skipped};

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn several_places() {
    let setup = Setup::new().listen("127.0.0.1:0").listen("127.0.0.2:0").listen("0").file("a.txt", "alpha");
    let server = setup.start();
    let hosts: Vec<IpAddr> = server.addresses.iter().map(|address| address.ip()).collect();
    let wanted = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::UNSPECIFIED];
    assert_eq!(hosts, wanted.map(IpAddr::V4));
    for address in &server.addresses {
        assert_ne!(address.port(), 0);
        assert_eq!(server.client_of(*address).get("/a.txt").is(200).text(), "alpha", "{address}");
    }
}

#[test]
fn ipv6_alone_and_with_ipv4() {
    if !has_ipv6() {
        return skipped("no IPv6 here");
    }
    let server = Setup::new().listen("[::1]:0").listen("[::]:0").file("a.txt", "alpha").start();
    let (one, all) = (server.addresses[0], server.addresses[1]);
    assert_eq!((one.ip(), all.ip()), (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into()));
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, all.port()));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, all.port()));
    for address in [one, v4, v6] {
        let mut client = server.client_of(address);
        client.send(format!("GET /a.txt HTTP/1.1\r\nHost: {address}\r\n\r\n"));
        assert_eq!(client.answer(false).is(200).text(), "alpha", "{address}");
    }
}

#[test]
fn both_families_on_one_port() {
    if !has_ipv6() {
        return skipped("no IPv6 here");
    }
    // The port must be known beforehand: one that was free a moment ago.
    for _ in 0..10 {
        let port = TcpListener::bind("0.0.0.0:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let setup = Setup::new().listen(&format!("[::]:{port}")).listen(&port.to_string()).file("a.txt", "alpha");
        let probe = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
        if probe.is_err() {
            continue;
        }
        drop(probe);
        let server = setup.start();
        assert_eq!(server.addresses.len(), 2, "{:?}", server.addresses);
        for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))] {
            server.client_of(address).get("/a.txt").is(200);
        }
        return;
    }
    panic!("no port is free");
}

#[test]
fn a_busy_port() {
    let server = Setup::new().start();
    let place = server.address().to_string();
    let setup = Setup::new().listen(&place);
    let ended = setup.run();
    assert_eq!(ended.code, Some(1));
    let at = setup.dir.path("conf/monkey.conf");
    let start = format!("{}:2:5: cannot listen on {place}: ", at.display());
    assert!(ended.log.contains(&start), "{}", ended.log);
    assert!(ended.log.contains("; stop the server that has it, or choose another port"), "{}", ended.log);
}

#[test]
fn ports_may_be_shared_when_both_servers_say_so() {
    let first = Setup::new().argument("-T").file("a.txt", "alpha").start();
    let place = first.address().to_string();
    let second = Setup::new().listen(&place).argument("-T").file("a.txt", "alpha").start();
    assert_eq!(second.address(), first.address());
    for _ in 0..20 {
        first.get("/a.txt").is(200);
    }
}

#[test]
fn an_address_that_is_not_there_yet_is_listened_on() {
    // TEST-NET-1: on no machine.
    let server = Setup::new().listen("127.0.0.1:0").listen("192.0.2.1:0").file("a.txt", "alpha").start();
    assert_eq!(server.addresses.len(), 2);
    server.get("/a.txt").is(200);
}

#[test]
fn a_listener_named_twice_is_a_warning() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let place = format!("127.0.0.1:{port}");
    let server = Setup::new().listen("127.0.0.1:0").listen(&place).listen(&place).file("a.txt", "alpha").start();
    assert_eq!(server.addresses.len(), 2, "{:?}", server.addresses);
    let line = format!("monkey.conf:4:5: {place} is already listened on at ");
    assert!(server.logged(&line), "no line {line}");
}

/// Both ways of sharing connections out serve many at once.
fn serve_many(server: &Server) {
    let mut clients: Vec<_> = (0..40).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\nGET /nothing HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer(false).is(200).text(), "alpha");
        client.answer(false).is(404);
        assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
    }
}

#[test]
fn the_schedulers() {
    for scheduler in ["Fair", "ReusePort"] {
        let setup = Setup::new().listen("127.0.0.1:0").listen("127.0.0.2:0");
        let server = setup.server(&format!("Scheduler {scheduler}")).file("a.txt", "alpha").start();
        serve_many(&server);
        server.client_of(server.addresses[1]).get("/a.txt").is(200);
    }
    let server = Setup::new().server("Scheduler ReusePort").argument("-B").file("a.txt", "alpha").start();
    serve_many(&server);
}
