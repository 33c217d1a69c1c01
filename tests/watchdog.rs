//! Who waits for signs of life, and when there are none: the board's watchdog (here a file that is written to) and the service manager.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::util::{Setup, eventually};

fn setup() -> Setup {
    Setup::new().file("a.txt", "alpha").server("SendBuffer 131072")
}

/// How often the threads of a process have gone to sleep so far.
fn sleeps(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
    let statuses = tasks.map(|task| fs::read_to_string(task.path().join("status")).expect("a thread"));
    let count = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:").map(str::to_string));
        line.and_then(|number| number.trim().parse::<u64>().ok()).expect("a number")
    };
    statuses.map(count).sum()
}

/// Nobody is woken while nothing is to be done: tries again when something else has happened.
#[test]
fn without_a_watchdog_nobody_wakes_up() {
    let server = setup().start();
    server.get("/a.txt").is(200);
    let still = || {
        let before = sleeps(server.pid());
        sleep(Duration::from_millis(1200));
        sleeps(server.pid()) == before
    };
    assert!(eventually(still), "{} times so far", sleeps(server.pid()));
}

#[test]
fn what_can_not_be_a_watchdog_is_a_warning() {
    let setup = setup();
    setup.dir.write("plain", "kept");
    let plain = setup.dir.path("plain");
    for (path, told) in
        [(plain.clone(), "Inappropriate ioctl for device"), (setup.dir.path("none"), "No such file or directory")]
    {
        let line = format!("Watchdog {}", path.display());
        let server = self::setup().server(&line).start();
        server.get("/a.txt").is(200);
        assert!(server.logged(&format!("WARN: watchdog {}: {told}", path.display())), "{told}");
    }
    assert_eq!(fs::read(plain).expect("the file"), b"kept");
}

#[test]
fn keys_that_are_wrong_have_a_place() {
    for (line, told) in [
        ("Watchdog watchdog", "Watchdog cannot be \"watchdog\": write the path of a device, such as /dev/watchdog"),
        ("Watchdog /dev/watchdog\n    WatchdogTimeout 4", "WatchdogTimeout"),
    ] {
        let ended = setup().server(line).argument("--check").run();
        assert_eq!(ended.code, Some(1), "{line}: {}", ended.log);
        let place = ended.log.lines().find(|line| line.contains("monkey.conf:") && line.contains(told));
        assert!(place.is_some(), "{line}: {}", ended.log);
    }
    let ended = setup().server("WatchdogTimeout 9").argument("--check").run();
    assert!(ended.log.contains("WatchdogTimeout has no effect without Watchdog"), "{}", ended.log);
    assert_eq!(ended.code, Some(0));
}

/// With the file in place of the device, and workers that can be kept from coming round.
#[cfg(feature = "test-switches")]
mod fed {
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;
    use crate::util::{Client, PATIENCE, Server, children, received, request, signal};

    /// A setup whose watchdog is a file; what is fed to it is a point, what stops it a V.
    fn watched(supervised: bool) -> (Setup, PathBuf) {
        let setup = setup();
        setup.dir.write("device", "");
        let device = setup.dir.path("device");
        let setup = setup.server(&format!("Watchdog {}", device.display())).server("WatchdogTimeout 5");
        let setup = setup.environment("MONKEY_TEST_WATCHDOG", "1");
        (if supervised { setup.argument("--supervise") } else { setup }, device)
    }

    fn fed(device: &PathBuf) -> String {
        fs::read_to_string(device).expect("the file")
    }

    /// Waits until it is fed once more.
    #[track_caller]
    fn goes_on(device: &PathBuf) {
        let before = fed(device).len();
        assert!(eventually(|| fed(device).len() > before), "fed no more after {before}");
        assert!(!fed(device).contains('V'), "stopped: {}", fed(device));
    }

    /// Keeps a worker until the file is there.
    fn hang(server: &Server) -> (Client, PathBuf) {
        let until = server.dir.path("until");
        let mut client = server.client();
        client.send(request("GET /.probe/hang", &format!("X-Until: {}\r\n", until.display())));
        (client, until)
    }

    fn edit(server: &Server, old: &str, new: &str) {
        let path = server.dir.path("conf/monkey.conf");
        let text = fs::read_to_string(&path).expect("the file");
        assert!(text.contains(old), "{text}");
        fs::write(path, text.replace(old, new)).expect("the file");
    }

    #[test]
    fn it_is_fed_while_every_worker_comes_round() {
        for supervised in [false, true] {
            let (setup, device) = watched(supervised);
            let mut server = setup.start();
            let line =
                format!("INFO: watchdog {}: resets the board 5 s after the last sign of life\n", device.display());
            assert!(server.logged(&line), "supervised: {supervised}");
            goes_on(&device);
            goes_on(&device);
            let (mut client, until) = hang(&server);
            assert!(eventually(|| server.logged(" makes no progress: no sign of life for the watchdog until it does")));
            let before = fed(&device);
            // Two times the interval between two feeds.
            sleep(Duration::from_millis(3500));
            assert_eq!(fed(&device), before, "supervised: {supervised}");
            fs::write(&until, "").expect("the file");
            client.answer(false).is(200);
            goes_on(&device);
            assert!(server.logged("INFO: every worker makes progress again\n"));
            server.signal("TERM");
            assert_eq!(server.ended(), Some(0));
            let all = fed(&device);
            assert!(all.ends_with(".V") && all.matches('V').count() == 1, "supervised: {supervised}: {all}");
        }
    }

    #[test]
    fn a_server_that_is_killed_does_not_stop_it() {
        for supervised in [false, true] {
            let (setup, device) = watched(supervised);
            let mut server = setup.start();
            goes_on(&device);
            let child = children(server.pid()).first().copied();
            server.signal("KILL");
            assert_eq!(server.ended(), None);
            if let Some(child) = child {
                crate::util::is_gone(child);
            }
            assert!(!fed(&device).contains('V'), "supervised: {supervised}");
        }
    }

    #[test]
    fn the_keeper_has_it_whatever_becomes_of_its_servers() {
        let (setup, device) = watched(true);
        let server = setup.start();
        goes_on(&device);
        let first = children(server.pid());
        signal(first[0], "KILL");
        server.get("/a.txt").is(200);
        goes_on(&device);
        edit(&server, "Workers 2", "Workers 1");
        server.reload();
        assert!(eventually(|| server.logged("INFO: configuration reloaded: server ")));
        server.get("/a.txt").is(200);
        goes_on(&device);
        goes_on(&device);
        edit(&server, "WatchdogTimeout 5", "WatchdogTimeout 6");
        server.reload();
        assert!(eventually(|| server.logged("ERROR: reload refused: needs restart: WatchdogTimeout")));
        edit(&server, "WatchdogTimeout 6", "WatchdogTimeout 5");
        // A server that is told to end ends the keeper too, in order.
        signal(children(server.pid())[0], "TERM");
        assert!(eventually(|| fed(&device).ends_with('V')));
    }

    #[test]
    fn a_reload_does_not_change_it() {
        let (setup, _) = watched(false);
        let server = setup.start();
        edit(&server, "    Watchdog /", "    Watchdog //");
        server.reload();
        assert!(eventually(|| server.logged("ERROR: reload refused: needs restart: Watchdog\n")));
    }

    #[test]
    fn a_server_that_never_came_up_stops_it() {
        let (setup, device) = watched(true);
        let setup = setup.server("MemoryLimit 1048576");
        let plain = setup.command();
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v 600000; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
        command.env("MONKEY_TEST_WATCHDOG", "1");
        let ended = Server::run_to_end(command);
        assert_eq!(ended.code, Some(1), "{}", ended.log);
        assert_eq!(fed(&device), "V");
    }

    #[test]
    fn the_service_manager_hears_that_it_lives() {
        for supervised in [false, true] {
            let setup = setup();
            let path = setup.dir.path("notify");
            let socket = UnixDatagram::bind(&path).expect("a socket");
            let heard = |limit| {
                socket.set_read_timeout(Some(limit)).expect("a limit");
                let mut bytes = [0; 512];
                let count = received(&socket, &mut bytes).ok()?;
                Some(String::from_utf8(bytes[..count].to_vec()).expect("text"))
            };
            let alive = || assert_eq!(heard(PATIENCE).as_deref(), Some("WATCHDOG=1\n"), "supervised: {supervised}");
            let setup = if supervised { setup.argument("--supervise") } else { setup };
            let setup = setup.environment("NOTIFY_SOCKET", path).environment("WATCHDOG_USEC", "2000000");
            let mut server = setup.start();
            assert!(heard(PATIENCE).is_some_and(|word| word.starts_with("READY=1\nSTATUS=serving\n")));
            alive();
            alive();
            let (mut client, until) = hang(&server);
            assert!(eventually(|| server.logged(" makes no progress: ")));
            // What was said before.
            while heard(Duration::from_millis(2500)).is_some() {
                assert!(!until.exists());
            }
            fs::write(&until, "").expect("the file");
            client.answer(false).is(200);
            alive();
            server.signal("TERM");
            while heard(PATIENCE).is_some_and(|word| word != "STOPPING=1\n") {}
            assert_eq!(server.ended(), Some(0));
        }
        // Word for another process is none for this one.
        let server = setup().environment("WATCHDOG_USEC", "1000").environment("WATCHDOG_PID", "1").start();
        assert!(!server.logged("sign of life"));
    }

    #[test]
    fn a_manager_that_waits_for_months_is_not_told_all_the_time() {
        let setup = setup();
        let path = setup.dir.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let mut bytes = [0; 512];
        let setup = setup.environment("NOTIFY_SOCKET", path).environment("WATCHDOG_USEC", "9000000000000");
        let server = setup.start();
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
        while received(&socket, &mut bytes).is_ok_and(|count| !bytes[..count].starts_with(b"WATCHDOG=1")) {}
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a limit");
        assert!(received(&socket, &mut bytes).is_err(), "told again");
        server.get("/a.txt").is(200);
    }

    /// Each sign wakes the scheduler and each worker, and nobody polls.
    #[test]
    fn a_sign_of_life_costs_few_wake_ups() {
        let (setup, device) = watched(false);
        let server = setup.start();
        goes_on(&device);
        goes_on(&device);
        let (signs, before) = (fed(&device).len() as u64, sleeps(server.pid()));
        for _ in 0..3 {
            goes_on(&device);
        }
        let (signs, woken) = (fed(&device).len() as u64 - signs, sleeps(server.pid()) - before);
        // The main thread and two workers, once each. On a busy machine a thread also sleeps for a page or a lock; one that polled every
        // 20 ms would by itself come to 80 a sign.
        assert!(woken <= (signs + 2) * 3 * 10, "{woken} in {signs} signs");
    }
}
