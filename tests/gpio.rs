//! The plugin gpio: what each role and each pattern does to its line, edge by edge; what is there before and after; buttons; what is not
//! there at all. LEDs and pins are files to which each level is appended.

use std::fs;

use crate::util::{Ended, Setup, is_root, skipped};
#[cfg(feature = "test-switches")]
use crate::util::{Server, State, eventually, example, lives, parent, signal, spawner_below};

const FILE: &str = "conf/plugins/gpio/gpio.conf";

/// A server with this gpio.conf, and nothing on the board.
fn bare(conf: &str) -> Setup {
    let setup = Setup::new().file("a.txt", "alpha").server("KeepAliveTimeout 1").server("MemoryLimit 4000");
    setup.dir.write(FILE, conf);
    setup
}

#[test]
fn what_is_not_there_is_one_warning_and_the_server_serves() {
    let server = bare(
        "[OUTPUT]\n  Role ready\n  Led no-such-led\n[OUTPUT]\n  Role activity\n  Led nor-this\n\
         [OUTPUT]\n  Role error\n  Led nor-that\n",
    )
    .start();
    server.get("/a.txt").is(200);
    let warnings: Vec<String> =
        server.log().lines().filter(|line| line.contains("WARN: gpio")).map(str::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let text = "WARN: gpio: serving without LED no-such-led, LED nor-this, LED nor-that: No such file or directory \
                (os error 2); ls /sys/class/leds shows what there is";
    assert!(warnings[0].ends_with(text), "{warnings:?}");
}

#[test]
fn a_machine_that_is_no_raspberry_pi_says_so() {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if cpu.contains("Raspberry Pi") || cpu.contains("BCM2") {
        return crate::util::skipped("this is a Raspberry Pi");
    }
    let server = bare("[OUTPUT]\n  Role ready\n  Pin 17\n[INPUT]\n  Pin 27\n  Action reload\n").start();
    server.get("/a.txt").is(200);
    let text =
        "WARN: gpio: serving without pin 17, pin 27: not a Raspberry Pi that is known; write Led in place of Pin";
    assert!(server.logged(text));
    assert_eq!(server.log().matches("WARN: gpio").count(), 1);
}

#[test]
fn a_check_reads_it_and_a_mistake_has_its_place() {
    let check = |conf: &str| -> Ended { bare(conf).argument("--check").run() };
    let good = check("[OUTPUT]\n  Role ready\n  Pin 17\n");
    assert_eq!(good.code, Some(0), "{}", good.log);
    let bad = check("[OUTPUT]\n  Role ready\n  Pin 17\n[OUTPUT]\n  Role busy\n  Pin 17\n");
    assert_eq!(bad.code, Some(1));
    assert!(bad.log.contains("plugins/gpio/gpio.conf:6:7: pin 17 is in use already: name another"), "{}", bad.log);
}

#[test]
fn a_check_looks_for_the_user_of_programs() {
    if !is_root() {
        return skipped("only root starts programs as somebody else");
    }
    let conf = "[GPIO]\n  User nobody-at-all\n[INPUT]\n  Pin 20\n  Action run /bin/true\n";
    let ended = bare(conf).argument("--check").run();
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(ended.log.contains("User nobody-at-all: no such user in /etc/passwd"), "{}", ended.log);
}

/// With files in place of the board.
#[cfg(feature = "test-switches")]
mod on_a_board {
    use std::fs;
    use std::os::unix::fs::{FileExt, PermissionsExt};
    use std::path::Path;
    use std::process::Command;
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    /// A board with these LEDs and pins, and a server with this gpio.conf.
    fn board(lines: &[&str], conf: &str) -> Setup {
        let setup = bare(conf);
        for line in lines {
            match line.parse::<u8>() {
                Ok(_) => setup.dir.write(&format!("board/pins/{line}"), ""),
                Err(_) => {
                    setup.dir.write(&format!("board/leds/{line}/trigger"), "none [mmc0] timer\n");
                    setup.dir.write(&format!("board/leds/{line}/brightness"), "")
                }
            };
        }
        let dir = setup.dir.path("board");
        setup.environment("MONKEY_TEST_GPIO", dir)
    }

    /// A pin that is an input, with a level.
    fn input(setup: Setup, pin: u8, level: &str) -> Setup {
        setup.dir.write(&format!("board/pins/{pin}"), level);
        setup
    }

    /// Every level that a line had, from the first on.
    fn levels(server: &Server, line: &str) -> String {
        let name = match line.parse::<u8>() {
            Ok(_) => format!("board/pins/{line}"),
            Err(_) => format!("board/leds/{line}/brightness"),
        };
        let text = fs::read_to_string(server.dir.path(&name)).expect("a line");
        assert!(text.lines().all(|level| level == "0" || level == "1"), "{line}: {text:?}");
        text.replace('\n', "")
    }

    #[track_caller]
    fn becomes(server: &Server, line: &str, wanted: &str) {
        assert!(eventually(|| levels(server, line) == wanted), "{line}: {}, not {wanted}", levels(server, line));
    }

    /// How many times a line rose.
    fn pulses(server: &Server, line: &str) -> usize {
        levels(server, line).matches('1').count()
    }

    #[track_caller]
    fn pulses_become(server: &Server, line: &str, wanted: usize) {
        assert!(eventually(|| pulses(server, line) >= wanted), "{line}: {}", levels(server, line));
    }

    /// No level twice in a row.
    #[track_caller]
    fn alternates(server: &Server, line: &str) {
        let levels = levels(server, line);
        assert!(!levels.contains("00") && !levels.contains("11"), "{line}: {levels}");
    }

    /// The line of the plugin in the answer to SIGUSR2.
    #[track_caller]
    fn state(server: &Server) -> String {
        let count = || server.log().matches("INFO: gpio: ").count() - server.log().matches("INFO: gpio: pin").count();
        let before = count();
        State::of(server);
        assert!(eventually(|| count() > before), "no word of gpio");
        server.log().lines().rfind(|line| line.contains(" wake-ups, ")).expect("a line").to_string()
    }

    fn wakes(server: &Server) -> u64 {
        let state = state(server);
        let before = state.split(" wake-ups").next().and_then(|before| before.rsplit(' ').next());
        before.and_then(|number| number.parse().ok()).expect("a number")
    }

    /// How often the threads of a process have gone to sleep so far.
    fn sleeps(pid: u32) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
        let count = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).expect("a thread");
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:").map(str::trim));
            line.and_then(|number| number.parse::<u64>().ok()).expect("a number")
        };
        tasks.map(count).sum()
    }

    /// Nobody is woken any more, after whatever there was to be done.
    #[track_caller]
    fn sleeps_on(server: &Server) {
        let still = || {
            let before = sleeps(server.pid());
            sleep(Duration::from_millis(1200));
            sleeps(server.pid()) == before
        };
        assert!(eventually(still), "woken {} times", sleeps(server.pid()));
    }

    /// The server below a keeper.
    #[track_caller]
    fn child(keeper: u32, but: u32) -> u32 {
        let mut found = None;
        let children = || {
            let all = fs::read_dir("/proc").expect("/proc").flatten();
            let mut all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            let is_server = |pid: &u32| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "monkey: server\n")
            };
            all.find(|pid| *pid != but && parent(*pid) == keeper && lives(*pid) && is_server(pid))
        };
        assert!(eventually(|| {
            found = children();
            found.is_some()
        }));
        found.expect("a server")
    }

    #[test]
    fn ready_begins_dark_is_lit_while_it_serves_and_ends_as_it_is_safe() {
        let conf = "[OUTPUT]\n  Role ready\n  Pin 17\n[OUTPUT]\n  Role ready\n  Led ACT\n  ActiveLow On\n\
            [OUTPUT]\n  Role ready\n  Pin 4\n  Safe high\n[OUTPUT]\n  Role ready\n  Pin 5\n  ActiveLow On\n  Safe on\n\
            [OUTPUT]\n  Role busy\n  Pin 6\n  Safe on\n";
        let mut server = board(&["17", "ACT", "4", "5", "6"], conf).start();
        for (line, wanted) in [("17", "01"), ("ACT", "10"), ("4", "01"), ("5", "10"), ("6", "0")] {
            becomes(&server, line, wanted);
        }
        assert_eq!(fs::read_to_string(server.dir.path("board/leds/ACT/trigger")).expect("a file"), "none\n");
        server.get("/a.txt").is(200);
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0));
        // Off while it stops, then what is left behind.
        for (line, wanted) in [("17", "010"), ("ACT", "101"), ("4", "0101"), ("5", "1010"), ("6", "01")] {
            assert_eq!(levels(&server, line), wanted, "{line}");
        }
    }

    #[test]
    fn it_is_dark_while_the_server_stops() {
        let mut server =
            board(&["17"], "[OUTPUT]\n  Role ready\n  Pin 17\n  Safe on\n").file("big.bin", vec![0; 9 << 20]).start();
        becomes(&server, "17", "01");
        let mut client = server.client();
        client.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n").take(1);
        server.signal("TERM");
        becomes(&server, "17", "010");
        assert!(server.is_running(), "there is somebody to be waited for");
        client.rest();
        assert_eq!(server.ended(), Some(0));
        assert_eq!(levels(&server, "17"), "0101");
    }

    #[test]
    fn what_is_steady_wakes_nobody() {
        let conf = "[OUTPUT]\n  Role ready\n  Pin 17\n[OUTPUT]\n  Role activity\n  Led ACT\n[OUTPUT]\n  Role busy\n  Pin 4\n\
            [OUTPUT]\n  Role error\n  Pin 5\n[GPIO]\n  Check 0\n";
        let server = board(&["17", "ACT", "4", "5"], conf).start();
        becomes(&server, "17", "01");
        sleeps_on(&server);
        let before = wakes(&server);
        for _ in 0..3 {
            state(&server);
        }
        assert_eq!(wakes(&server), before);
        // Somebody comes, is seen, and is gone.
        server.get("/a.txt").is(200);
        pulses_become(&server, "ACT", 1);
        assert!(wakes(&server) > before);
        sleeps_on(&server);
        let after = wakes(&server);
        sleep(Duration::from_millis(300));
        assert_eq!(wakes(&server), after);
        assert!(levels(&server, "ACT").ends_with('0'));
        assert_eq!(
            (levels(&server, "17"), levels(&server, "4"), levels(&server, "5")),
            ("01".into(), "0".into(), "0".into())
        );
    }

    #[test]
    fn each_burst_of_requests_is_a_pulse_at_least() {
        for scheduler in ["Fair", "ReusePort"] {
            let conf = "[OUTPUT]\n  Role activity\n  Led ACT\n[OUTPUT]\n  Role activity\n  Pin 4\n  Pattern on\n\
                [OUTPUT]\n  Role activity\n  Pin 5\n  Pattern blink 20\n";
            let server = board(&["ACT", "4", "5"], conf).server(&format!("Scheduler {scheduler}")).start();
            for _ in 0..4 {
                let before = pulses(&server, "ACT");
                server.get("/a.txt").is(200);
                pulses_become(&server, "ACT", before + 1);
                assert!(eventually(|| levels(&server, "ACT").ends_with('0')));
            }
            // One connection that stays is seen too.
            let mut client = server.client();
            for _ in 0..3 {
                let before = pulses(&server, "ACT");
                client.get("/a.txt").is(200);
                pulses_become(&server, "ACT", before + 1);
                assert!(eventually(|| levels(&server, "ACT").ends_with('0')));
            }
            for line in ["ACT", "4", "5"] {
                assert!(eventually(|| levels(&server, line).ends_with('0')), "{scheduler} {line}");
                assert!(pulses(&server, line) > 0, "{scheduler} {line}");
                alternates(&server, line);
            }
            assert!(pulses(&server, "5") > pulses(&server, "4"), "{scheduler}");
        }
    }

    #[test]
    fn a_long_answer_is_activity_all_along() {
        let server = board(&["ACT"], "[OUTPUT]\n  Role activity\n  Led ACT\n  Pattern pulse 10\n")
            .server("SendBuffer 131072")
            .file("big.bin", vec![0; 30 << 20])
            .start();
        let mut client = server.client();
        client.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n");
        for step in 1..8 {
            client.take(3 << 20);
            pulses_become(&server, "ACT", step);
            assert!(eventually(|| levels(&server, "ACT").ends_with('0')));
        }
    }

    #[test]
    fn a_heartbeat_beats_in_every_pattern() {
        let conf = "[OUTPUT]\n  Role heartbeat\n  Led ACT\n  Pattern blink 10\n[OUTPUT]\n  Role heartbeat\n  Pin 4\n  Pattern on\n\
            [OUTPUT]\n  Role heartbeat\n  Pin 5\n  Pattern pulse 30\n  ActiveLow On\n";
        let server = board(&["ACT", "4", "5"], conf).start();
        pulses_become(&server, "ACT", 10);
        assert!(eventually(|| levels(&server, "5").matches('0').count() >= 3));
        assert_eq!(levels(&server, "4"), "01");
        alternates(&server, "ACT");
        alternates(&server, "5");
        assert!(levels(&server, "5").starts_with("1010"));
    }

    #[test]
    fn a_worker_that_hangs_stops_the_heartbeat_and_is_an_error() {
        let conf = "[OUTPUT]\n  Role heartbeat\n  Led ACT\n  Pattern blink 10\n[OUTPUT]\n  Role error\n  Pin 4\n\
            [OUTPUT]\n  Role ready\n  Pin 5\n[GPIO]\n  Check 1\n";
        let server = board(&["ACT", "4", "5"], conf).start();
        pulses_become(&server, "ACT", 3);
        becomes(&server, "5", "01");
        let until = server.dir.path("until");
        let mut client = server.client();
        client.send(format!("GET /.probe/hang HTTP/1.1\r\nHost: test\r\nX-Until: {}\r\n\r\n", until.display()));
        becomes(&server, "5", "010");
        pulses_become(&server, "4", 3);
        let still = || {
            let before = levels(&server, "ACT");
            sleep(Duration::from_millis(500));
            levels(&server, "ACT") == before
        };
        assert!(eventually(still));
        assert!(levels(&server, "ACT").ends_with('0'));
        fs::write(until, "").expect("a file");
        client.answer(false).is(200);
        becomes(&server, "5", "0101");
        assert!(eventually(|| levels(&server, "4").ends_with('0') && state(&server).ends_with("errors none")));
        let before = pulses(&server, "ACT");
        pulses_become(&server, "ACT", before + 3);
    }

    #[test]
    fn an_led_that_goes_away_is_named_and_wakes_nobody_any_more() {
        let conf = "[OUTPUT]\n  Role activity\n  Led ACT\n[OUTPUT]\n  Role ready\n  Pin 4\n";
        let setup = board(&["ACT", "4"], conf);
        // What is written to it fails once nobody reads.
        let path = setup.dir.path("board/leds/ACT/brightness");
        fs::remove_file(&path).expect("the file");
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
        let reader = fs::OpenOptions::new().read(true).write(true).open(&path).expect("a pipe");
        let server = setup.start();
        let mut client = server.client();
        drop(reader);
        client.get("/a.txt").is(200);
        assert!(eventually(|| server.logged("WARN: gpio: LED ACT cannot be set: Broken pipe")));
        assert!(state(&server).contains("gpio: 1 outputs"));
        let still = || {
            let before = wakes(&server);
            sleep(Duration::from_millis(300));
            wakes(&server) == before
        };
        assert!(eventually(still), "{}", state(&server));
        server.get("/a.txt").is(200);
        becomes(&server, "4", "01");
    }

    #[test]
    fn errors_have_their_numbers_and_go_when_they_are_mended() {
        let conf = "[OUTPUT]\n  Role error\n  Led ACT\n[OUTPUT]\n  Role error\n  Pin 4\n  Pattern on\n\
            [OUTPUT]\n  Role error\n  Pin 5\n  Pattern blink 10\n[OUTPUT]\n  Role error\n  Pin 6\n  Pattern pulse 20\n\
            [GPIO]\n  Check 1\n";
        let lines = ["ACT", "4", "5", "6"];
        let setup = board(&lines, conf).section("LOGGER", &["AccessLog ../logs/access"]);
        fs::create_dir(setup.dir.path("logs")).expect("a directory");
        let server = setup.start();
        assert!(lines.iter().all(|line| levels(&server, line) == "0"));
        let errors = |numbers: &str| {
            assert!(eventually(|| state(&server).ends_with(&format!("errors {numbers}"))), "{}", state(&server));
        };
        errors("none");
        fs::rename(server.root(""), server.dir.path("away")).expect("a new name");
        errors("1");
        pulses_become(&server, "ACT", 3);
        pulses_become(&server, "5", 3);
        becomes(&server, "4", "01");
        becomes(&server, "6", "010");
        let site = fs::read_to_string(server.dir.path("conf/sites/default")).expect("the file");
        fs::write(server.dir.path("conf/sites/default"), "[HOST]\n    Nothing here\n").expect("the file");
        server.reload();
        errors("1 2");
        fs::rename(server.dir.path("away"), server.root("")).expect("a new name");
        errors("2");
        fs::write(server.dir.path("conf/sites/default"), site).expect("the file");
        server.reload();
        errors("none");
        for line in lines {
            assert!(eventually(|| levels(&server, line).ends_with('0')), "{line}");
            alternates(&server, line);
        }
        fs::rename(server.dir.path("logs/access"), server.dir.path("logs/old")).expect("a new name");
        fs::create_dir(server.dir.path("logs/access")).expect("a directory");
        server.get("/a.txt").is(200);
        errors("3");
        fs::remove_dir(server.dir.path("logs/access")).expect("no directory");
        errors("none");
        assert_eq!(pulses(&server, "6"), 2, "once for each that began alone: {}", levels(&server, "6"));
    }

    #[test]
    fn a_reload_that_is_refused_shows_without_a_look_at_anything() {
        let server = board(&["4"], "[OUTPUT]\n  Role error\n  Pin 4\n  Pattern on\n[GPIO]\n  Check 0\n").start();
        let site = fs::read_to_string(server.dir.path("conf/sites/default")).expect("the file");
        fs::write(server.dir.path("conf/sites/default"), "[HOST]\n    Nothing here\n").expect("the file");
        server.reload();
        becomes(&server, "4", "01");
        fs::write(server.dir.path("conf/sites/default"), site).expect("the file");
        server.reload();
        becomes(&server, "4", "010");
    }

    #[test]
    fn busy_is_lit_for_a_while_when_somebody_finds_no_room() {
        for scheduler in ["Fair", "ReusePort"] {
            let conf = "[OUTPUT]\n  Role busy\n  Pin 4\n[OUTPUT]\n  Role busy\n  Pin 5\n  Pattern blink 10\n[GPIO]\n  Hold 1\n";
            // Room for very few: see the test of capacity.
            let server = board(&["4", "5"], conf)
                .workers(1)
                .server("FDLimit 289")
                .server("DeferAccept 0")
                .server("OverCapacity TooBusy")
                .server(&format!("Scheduler {scheduler}"))
                .server("SendBuffer 131072")
                .file("big.bin", vec![0; 4 << 20])
                .start();
            server.get("/a.txt").is(200);
            assert_eq!(levels(&server, "4"), "0", "{scheduler}");
            let mut busy = Vec::new();
            assert!(
                eventually(|| {
                    let mut client = server.client();
                    client.try_send(b"GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n");
                    busy.push(client);
                    levels(&server, "4") == "01"
                }),
                "{scheduler}: {} clients",
                busy.len()
            );
            pulses_become(&server, "5", 3);
            drop(busy);
            becomes(&server, "4", "010");
            assert!(eventually(|| levels(&server, "5").ends_with('0')), "{scheduler}");
            alternates(&server, "5");
        }
    }

    #[test]
    fn what_works_goes_on_without_what_does_not() {
        let conf = "[OUTPUT]\n  Role ready\n  Led ACT\n[OUTPUT]\n  Role ready\n  Led PWR\n[OUTPUT]\n  Role ready\n  Pin 9\n\
            [INPUT]\n  Pin 10\n  Action reload\n";
        let server = board(&["ACT"], conf).start();
        becomes(&server, "ACT", "01");
        assert_eq!(server.log().matches("WARN: gpio").count(), 1);
        assert!(server.logged("WARN: gpio: serving without LED PWR: No such file or directory (os error 2); ls /sys/class/leds shows what there is. Nor pin 9, pin 10: "));
        assert!(state(&server).contains("gpio: 1 outputs, 0 inputs, "));
    }

    #[test]
    fn lines_are_taken_before_rights_are_given_up() {
        if !is_root() {
            return skipped("only root has rights to give up");
        }
        let conf = "[OUTPUT]\n  Role activity\n  Led ACT\n[OUTPUT]\n  Role ready\n  Pin 4\n  Safe on\n";
        let setup = board(&["ACT", "4"], conf).server("User nobody");
        for file in ["leds/ACT/brightness", "leds/ACT/trigger", "pins/4"] {
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(setup.dir.path("board").join(file), mode).expect("its mode");
        }
        let mut server = setup.start();
        becomes(&server, "4", "01");
        server.get("/a.txt").is(200);
        pulses_become(&server, "ACT", 1);
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0));
        assert_eq!(levels(&server, "4"), "0101");
        assert!(levels(&server, "ACT").ends_with('0'));
    }

    #[test]
    fn a_reload_changes_patterns_in_place_and_pins_not_at_all() {
        let server = board(&["4", "5"], "[OUTPUT]\n  Role ready\n  Pin 4\n").start();
        becomes(&server, "4", "01");
        let change = |conf: &str| {
            fs::write(server.dir.path(FILE), conf).expect("the file");
            server.reload();
        };
        change("[OUTPUT]\n  Role ready\n  Pin 4\n  Pattern blink 10\n");
        pulses_become(&server, "4", 3);
        alternates(&server, "4");
        change("[OUTPUT]\n  Role busy\n  Pin 4\n");
        assert!(eventually(|| levels(&server, "4").ends_with('0')));
        change("[OUTPUT]\n  Role error\n  Pin 4\n  Safe high\n[GPIO]\n  Check 1\n");
        fs::rename(server.root(""), server.dir.path("away")).expect("a new name");
        assert!(eventually(|| state(&server).ends_with("errors 1")));
        change("[OUTPUT]\n  Role busy\n  Pin 4\n");
        fs::rename(server.dir.path("away"), server.root("")).expect("a new name");
        // Nobody looks any more.
        assert!(state(&server).ends_with("errors none"));
        assert!(eventually(|| levels(&server, "4").ends_with('0')));
        let dark = levels(&server, "4");
        change("[OUTPUT]\n  Role ready\n  Pin 5\n");
        assert!(server.logged("ERROR: reload refused: needs restart: Pin, Led or Pull in gpio.conf"));
        change("[OUTPUT]\n  Role ready\n  Pin 4\n  ActiveLow On\n");
        // Lit is low, and it was.
        assert_eq!(levels(&server, "4"), dark);
        assert_eq!(levels(&server, "5"), "");
    }

    #[test]
    fn the_keeper_shows_that_its_server_died() {
        let conf = "[OUTPUT]\n  Role error\n  Led ACT\n[OUTPUT]\n  Role ready\n  Pin 4\n  ActiveLow On\n[OUTPUT]\n  Role busy\n  Pin 5\n  Safe on\n";
        let mut server = board(&["ACT", "4", "5"], conf).argument("--supervise").start();
        becomes(&server, "4", "10");
        assert_eq!((levels(&server, "ACT"), levels(&server, "5")), ("0".into(), "0".into()));
        let first = child(server.pid(), 0);
        signal(first, "KILL");
        let second = child(server.pid(), first);
        // Its own, then the keeper's, then those of the next one, which is ready, and tells of the death as number 4.
        becomes(&server, "4", "10110");
        becomes(&server, "5", "010");
        assert!(eventually(|| levels(&server, "ACT").starts_with("010101010")), "{}", levels(&server, "ACT"));
        signal(second, "USR2");
        assert!(eventually(|| server.logged(" wake-ups, errors 4\n")));
        server.get("/a.txt").is(200);
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0));
        for (line, last) in [("ACT", '0'), ("4", '1'), ("5", '1')] {
            assert!(levels(&server, line).ends_with(last), "{line}: {}", levels(&server, line));
        }
    }

    #[test]
    fn a_server_that_takes_over_has_the_lines() {
        let conf = "[OUTPUT]\n  Role ready\n  Led ACT\n";
        let mut server = board(&["ACT", "PWR"], conf).argument("--supervise").start();
        becomes(&server, "ACT", "01");
        let first = child(server.pid(), 0);
        // The first has something to finish, and would be seen to if it set a line at its end.
        fs::write(server.dir.path(FILE), format!("{conf}  Safe on\n[OUTPUT]\n  Role ready\n  Led PWR\n"))
            .expect("the file");
        server.reload();
        assert!(eventually(|| !Path::new(&format!("/proc/{first}")).exists()));
        becomes(&server, "ACT", "0101");
        becomes(&server, "PWR", "01");
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0));
        assert!(eventually(|| levels(&server, "ACT").ends_with('1') && levels(&server, "PWR").ends_with('0')));
        assert!(!server.logged("needs restart"));
    }

    #[test]
    fn a_death_undoes_nothing_of_a_server_that_takes_over() {
        let conf = "[OUTPUT]\n  Role error\n  Led ACT\n  Pattern on\n";
        let setup = board(&["ACT", "PWR"], conf).argument("--supervise");
        // The second one stands still at this line until somebody reads.
        let path = setup.dir.path("board/leds/PWR/brightness");
        fs::remove_file(&path).expect("the file");
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
        let mut server = setup.start();
        let first = child(server.pid(), 0);
        fs::write(server.dir.path(FILE), format!("{conf}[OUTPUT]\n  Role ready\n  Led PWR\n")).expect("the file");
        server.signal("HUP");
        becomes(&server, "ACT", "010");
        signal(first, "KILL");
        assert!(eventually(|| server.logged("died after")));
        sleep(Duration::from_millis(300));
        let _reader = fs::OpenOptions::new().read(true).write(true).open(&path).expect("a pipe");
        assert!(eventually(|| server.logged("configuration reloaded")));
        server.get("/a.txt").is(200);
        assert_eq!(levels(&server, "ACT"), "010");
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0));
    }

    #[test]
    fn the_keeper_leaves_what_is_safe_when_its_server_can_not() {
        let conf = "[OUTPUT]\n  Role ready\n  Led ACT\n[OUTPUT]\n  Role busy\n  Pin 4\n  Safe on\n";
        let mut server = board(&["ACT", "4"], conf).argument("--supervise").server("Timeout 1").start();
        becomes(&server, "ACT", "01");
        let first = child(server.pid(), 0);
        signal(first, "STOP");
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0));
        assert!(server.logged("not ended in time: the server is killed"));
        assert_eq!((levels(&server, "ACT"), levels(&server, "4")), ("010".into(), "01".into()));
    }

    /// Lets a pin have another level.
    fn press(server: &Server, pin: u8, level: &str) {
        let file = fs::OpenOptions::new().write(true).open(server.dir.path(&format!("board/pins/{pin}")));
        file.expect("a pin").write_all_at(level.as_bytes(), 0).expect("a level");
    }

    #[test]
    fn a_button_reloads_and_another_one_stops() {
        let conf = "[INPUT]\n  Pin 20\n  Action reload\n[INPUT]\n  Pin 21\n  Pull down\n  Edge rising\n  Debounce 0\n  Action stop\n";
        let mut server = input(input(board(&[], conf), 20, "1"), 21, "0").start();
        for (pin, pull) in [(20, "Up\n"), (21, "Down\n")] {
            let path = server.dir.path(&format!("board/pins/{pin}.pull"));
            assert_eq!(fs::read_to_string(path).expect("a file"), pull);
        }
        let reloads = || server.log().matches("configuration reloaded").count();
        for wanted in 1..=2 {
            press(&server, 20, "0");
            assert!(eventually(|| reloads() == wanted));
            press(&server, 20, "1");
            // It is seen to be let go.
            sleep(Duration::from_millis(300));
            assert_eq!(reloads(), wanted);
        }
        assert!(server.logged("INFO: gpio: pin 20: reload"));
        server.get("/a.txt").is(200);
        press(&server, 21, "1");
        assert_eq!(server.ended(), Some(0));
        assert!(server.logged("INFO: gpio: pin 21: stop"));
        assert!(server.logged("signal Term"));
    }

    #[test]
    fn a_button_runs_a_program_once_at_a_time() {
        let program = "#!/bin/sh\ndir=$(dirname \"$0\")\necho \"$GPIO_PIN $PATH $(id -un) $#\" >>\"$dir/told/it\"\n\
            while ! [ -e \"$dir/told/go\" ]; do sleep 0.02; done\nrm \"$dir/told/go\"\nexit $(cat \"$dir/status\")\n";
        let mut setup = board(&[], "");
        let path = setup.dir.write("run.sh", program);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        setup.dir.write("status", "0");
        fs::create_dir(setup.dir.path("told")).expect("a directory");
        fs::set_permissions(setup.dir.path("told"), fs::Permissions::from_mode(0o777)).expect("its mode");
        let user = if is_root() { "[GPIO]\n  User nobody\n" } else { "" };
        setup.dir.write(FILE, format!("[INPUT]\n  Pin 20\n  Debounce 0\n  Action run {}\n{user}", path.display()));
        setup = input(setup, 20, "1");
        let server = setup.start();
        spawner_below(server.pid());
        let name = if is_root() { "nobody".into() } else { std::env::var("USER").unwrap_or_default() };
        let told = || fs::read_to_string(server.dir.path("told/it")).unwrap_or_default();
        let push = || {
            press(&server, 20, "0");
            sleep(Duration::from_millis(200));
            press(&server, 20, "1");
            sleep(Duration::from_millis(200));
        };
        push();
        assert!(eventually(|| told().ends_with(" 0\n")));
        assert!(told().starts_with("20 /usr/local/sbin:") && told().contains(&format!("/bin {name} ")), "{}", told());
        push();
        assert!(server.logged(&format!("WARN: gpio: pin 20: {} still runs", path.display())));
        assert_eq!(told().lines().count(), 1);
        fs::write(server.dir.path("told/go"), "").expect("a file");
        assert!(eventually(|| server.logged(&format!("INFO: gpio: pin 20: {} is done", path.display()))));
        fs::write(server.dir.path("status"), "3").expect("a file");
        push();
        assert!(eventually(|| told().lines().count() == 2));
        fs::write(server.dir.path("told/go"), "").expect("a file");
        let failed = format!("WARN: gpio: pin 20: {}: exit status 3", path.display());
        assert!(eventually(|| server.logged(&failed)));
        fs::remove_file(&path).expect("the program");
        push();
        let missing = format!("WARN: gpio: pin 20: cannot run {}: No such file or directory", path.display());
        assert!(eventually(|| server.logged(&missing)));
        server.get("/a.txt").is(200);
    }

    #[test]
    fn a_program_in_a_chroot_is_found_there() {
        if !is_root() {
            return skipped("only root can change its root directory");
        }
        let setup = board(&[], "").server("Chroot ..");
        let Ok(needs) = Command::new("ldd").arg("/bin/sh").output() else {
            return skipped("no ldd(1) to tell what a shell needs");
        };
        let text = String::from_utf8(needs.stdout).expect("a text");
        for path in text.split_whitespace().filter(|word| word.starts_with('/')).chain(["/bin/sh"]) {
            let inside = setup.dir.path(path.trim_start_matches('/'));
            fs::create_dir_all(inside.parent().expect("a directory")).expect("a directory");
            fs::copy(path, inside).expect("a copy");
        }
        let path = setup.dir.write("run.sh", "#!/bin/sh\necho \"$GPIO_PIN $0\" >/told\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        setup.dir.write(FILE, format!("[INPUT]\n  Pin 20\n  Debounce 0\n  Action run {}\n", path.display()));
        let server = input(setup, 20, "1").start();
        press(&server, 20, "0");
        let told = || fs::read_to_string(server.dir.path("told")).unwrap_or_default();
        assert!(eventually(|| told() == "20 /run.sh\n"), "{}", told());
    }

    #[test]
    fn a_reload_gives_a_button_a_program_where_others_were_started() {
        let conf = "[INPUT]\n  Pin 20\n  Debounce 0\n  Action reload\n";
        let server = input(board(&[], conf), 20, "1").section("HANDLERS", &["Match \\.sh$ cgi"]).start();
        let site = fs::read_to_string(server.dir.path("conf/sites/default")).expect("the file");
        let without = site.split("[HANDLERS]").next().expect("a site");
        fs::write(server.dir.path("conf/sites/default"), without).expect("the file");
        fs::write(server.dir.path(FILE), conf.replace("reload", "run /bin/true")).expect("the file");
        server.reload();
        assert!(server.logged("configuration reloaded"));
        press(&server, 20, "0");
        assert!(eventually(|| server.logged("INFO: gpio: pin 20: /bin/true is done")), "{}", server.log());
    }

    #[test]
    fn a_spawner_that_died_is_an_error_and_runs_nothing() {
        let conf =
            "[OUTPUT]\n  Role error\n  Pin 4\n  Pattern on\n[INPUT]\n  Pin 20\n  Debounce 0\n  Action run /bin/true\n";
        let server = input(board(&["4"], conf), 20, "1").start();
        signal(spawner_below(server.pid()), "KILL");
        becomes(&server, "4", "01");
        assert!(state(&server).ends_with("errors 6"));
        press(&server, 20, "0");
        assert!(eventually(|| server.logged("WARN: gpio: pin 20: cannot run /bin/true: Broken pipe")));
        server.get("/a.txt").is(200);
    }

    #[test]
    fn the_example_of_the_page_works_as_it_stands() {
        let conf = example("plugins/GPIO.md", "gpio");
        let server = input(board(&["17", "27", "22", "ACT"], &conf), 23, "1").start();
        becomes(&server, "17", "01");
        server.get("/a.txt").is(200);
        pulses_become(&server, "27", 1);
        pulses_become(&server, "ACT", 2);
        fs::rename(server.root(""), server.dir.path("away")).expect("a new name");
        pulses_become(&server, "22", 2);
        press(&server, 23, "0");
        assert!(eventually(|| server.logged("configuration reloaded")));
        assert_eq!(server.log().matches("WARN: gpio").count(), 0);
    }
}
