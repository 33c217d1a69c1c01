use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::util::{Dir, Ended, PATIENCE, Record, Server, Setup, eventually, example, is_root, pattern, run, skipped};

const FILE: &str = "conf/plugins/cheetah/cheetah.conf";
const PROMPT: &str = "cheetah> ";

/// A server with a shell at `run/cheetah.sock` of its directory.
fn setup() -> Setup {
    let setup = Setup::new().server("MemoryLimit 9000").file("a.txt", "alpha");
    setup.dir.write(FILE, example("plugins/CHEETAH.md", "cheetah"));
    fs::create_dir(setup.dir.path("run")).expect("a directory");
    setup.section("HANDLERS", &["Location /metrics metrics"])
}

fn socket(server: &Server) -> PathBuf {
    server.dir.path("run/cheetah.sock")
}

/// Runs `monkey cheetah`.
fn client(words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monkey"));
    command.arg("cheetah").args(words);
    Server::run_to_end(command)
}

/// Runs `monkey cheetah` with this server's socket.
fn ask(server: &Server, words: &[&str]) -> Ended {
    let path = socket(server);
    client(&[&["-s", path.to_str().expect("a path")], words].concat())
}

#[track_caller]
fn answer(server: &Server, command: &str) -> String {
    let ended = ask(server, &command.split(' ').collect::<Vec<_>>());
    assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""), "{command}: {}", ended.out);
    ended.out
}

/// A value of JSON that was parsed by python, by a path such as `["workers"][0]`.
#[track_caller]
fn json(text: &str, path: &str) -> String {
    assert_eq!(text.lines().count(), 1, "{text}");
    let script = format!("import json,sys; print(json.load(sys.stdin){path})");
    let mut python = Command::new("python3")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    python.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("a pipe");
    let output = python.wait_with_output().expect("an end");
    assert!(output.status.success(), "no JSON: {text}");
    String::from_utf8(output.stdout).expect("text").trim().into()
}

/// A raw connection.
fn connect(server: &Server) -> UnixStream {
    let stream = UnixStream::connect(socket(server)).expect("the socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
    stream
}

/// Reads until the text ends in `end`, or to the end.
#[track_caller]
fn read_until(stream: &mut UnixStream, end: &str) -> String {
    let mut all = Vec::new();
    let mut bytes = [0; 4096];
    while end.is_empty() || !all.ends_with(end.as_bytes()) {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8(all).expect("text")
}

#[test]
fn every_command_tells_what_is_so() {
    let server = setup()
        .server("Timeout 7")
        .server("KeepAliveTimeout 20")
        .server("HideVersion On")
        .host("ServerName first first.example")
        .site("second", &["ServerName second"])
        .start();
    let mut visitor = server.client();
    visitor.get("/a.txt").is(200);
    let help = answer(&server, "help");
    for word in ["command", "shortcut", "description", "config", "\\f", "connections", "loglevel", "quit", "\\q"] {
        assert!(help.contains(word), "{help}");
    }
    assert_eq!(answer(&server, "?"), help);

    let port = server.address().port();
    let config = answer(&server, "config");
    assert!(config.starts_with("Basic configuration\n-------------------\n"), "{config}");
    for (key, value) in [
        ("Server Port", port.to_string().as_str()),
        ("Listen", "127.0.0.1:0"),
        ("Workers", "2 threads"),
        ("Timeout", "7 seconds"),
        ("PidFile", "not set"),
        ("IndexFile", "index.html index.htm index.php"),
        ("HideVersion", "On"),
        ("Resume", "On"),
        ("KeepAlive", "On"),
        ("MaxKeepAliveRequest", "1000 req/connection"),
        ("KeepAliveTimeout", "20 seconds"),
        ("MaxRequestSize", "32 KB"),
        ("SymLink", "Off"),
        ("TransportLayer", "liana"),
    ] {
        let line = config.lines().find(|line| line.split(' ').next() == key.split(' ').next()).unwrap_or_default();
        assert_eq!(line.split_once(" : ").map(|(_, value)| value), Some(value), "{key} in\n{config}");
    }
    assert!(config.contains("\nAdvanced configuration\n----------------------\n"), "{config}");

    let plugins = answer(&server, "plugins");
    // Which others are built in is the features' choice.
    let of = |title: &str| plugins.split("\n[").find_map(|group| group.strip_prefix(title)).unwrap_or_default();
    assert!(of("CORE PROCESS CONTEXT]\n").contains("  [cheetah] v"), "{plugins}");
    assert!(of("STAGE_30]\n").contains("  [metrics] v"), "{plugins}");
    assert!(plugins.contains("[NETWORK I/O]\n  [liana] v"), "{plugins}");

    let status = answer(&server, "status");
    let conf = server.dir.path("conf");
    for line in [
        format!("Monkey Version     : {}", env!("CARGO_PKG_VERSION")),
        format!("Configuration path : {}", conf.display()),
        format!("Cheetah! mode      : SERVER @ {}/../run/cheetah.sock", conf.display()),
        format!("Process ID         : {}", server.pid()),
        format!("Server Port        : 127.0.0.1:{port}"),
        "Worker Threads     : 2 (per configuration: 2)".into(),
        "Connections        : 1".into(),
        "Events backend     : epoll".into(),
    ] {
        assert!(status.lines().any(|have| have == line), "no {line} in\n{status}");
    }

    let uptime = answer(&server, "uptime");
    assert!(uptime.starts_with("Server has been running: 0 days, 0 hours, 0 minutes and "), "{uptime}");

    let vhosts = answer(&server, "vhosts");
    for part in [
        "[VHost 'first']\n  - Names         : first first.example\n",
        &format!("  - Config file   : {}/sites/default\n", conf.display()),
        "  + [HOST]\n",
        "      - ServerName : first first.example\n",
        "  + [HANDLERS]\n      - Location : /metrics metrics\n",
        "[VHost 'second']\n",
    ] {
        assert!(vhosts.contains(part), "no {part} in\n{vhosts}");
    }

    let workers = answer(&server, "workers");
    assert!(workers.contains("* Worker 0\n    - Task ID            : "), "{workers}");
    for line in workers.lines().filter(|line| line.contains("Task ID")) {
        let task = line.rsplit(' ').next().expect("a number");
        let name = fs::read_to_string(format!("/proc/{}/task/{task}/comm", server.pid())).expect("a thread");
        assert!(name.starts_with("monkey: wrk/"), "{name}");
    }
    assert_eq!(workers.matches("Active Connections : 1\n").count(), 1, "{workers}");

    let connections = answer(&server, "connections");
    let lines: Vec<&str> = connections.lines().collect();
    assert_eq!((lines.len(), &lines[2..]), (4, &["Shown : 1", "Of : 1"][..]), "{connections}");
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert!(words[1] == "127.0.0.1" && words[3] == "idle" && words[6] == "1", "{connections}");
    assert!(words[5].parse::<u64>().is_ok_and(|bytes| bytes > 100), "{connections}");

    let memory = answer(&server, "memory");
    assert!(
        memory.contains("\nResident            : ") && memory.contains("* Worker 1\n    - Buffers            : "),
        "{memory}"
    );
    assert_eq!(answer(&server, "clear"), "\u{1b}[2J\u{1b}[1;1H");
    assert_eq!(answer(&server, "quit"), "Cheetah says: Good Bye!\n");
    visitor.get("/a.txt").is(200);
}

#[test]
fn short_forms_are_the_same_commands() {
    let server = setup().start();
    for (long, short) in [
        ("?", "\\?"),
        ("help", "\\h"),
        ("config", "\\f"),
        ("plugins", "\\g"),
        ("status", "\\s"),
        ("vhosts", "\\v"),
        ("workers", "\\w"),
        ("connections", "\\n"),
        ("loglevel", "\\l"),
        ("reload", "\\r"),
        ("clear", "\\c"),
        ("quit", "\\q"),
    ] {
        assert_eq!(answer(&server, short), answer(&server, long), "{long}");
    }
    assert!(answer(&server, "\\u").starts_with("Server has been running: "));
    assert!(answer(&server, "\\m").starts_with("Ceiling "));
}

#[test]
fn json_is_json() {
    let server = setup().server("KeepAliveTimeout 60").start();
    let mut visitor = server.client();
    visitor.get("/a.txt").is(200);
    let port = server.address().port();
    for (command, path, value) in [
        ("config", "['server_port']", format!("['{port}']")),
        ("config", "['pidfile']", "None".into()),
        ("config", "['keepalive']", "True".into()),
        ("plugins", "['network_i_o']", "['liana']".into()),
        ("status", "['process_id']", server.pid().to_string()),
        ("uptime", "['seconds'] < 60", "True".into()),
        ("vhosts", "['vhosts'][0]['names']", "['test']".into()),
        ("vhosts", "['vhosts'][0]['sections'][1]['section']", "HANDLERS".into()),
        ("vhosts", "['vhosts'][0]['sections'][1]['entries'][0]['value']", "/metrics metrics".into()),
        ("workers", "['workers'][1]['worker']", "1".into()),
        ("connections", "['connections'][0]['requests']", "1".into()),
        ("connections", "['shown']", "1".into()),
        ("memory", "['pools'][0]['lent']", "0".into()),
        ("loglevel", "['log_level']", "info".into()),
        ("reload", "['reload']", "asked".into()),
        ("help", "['commands'][0]", "?".into()),
    ] {
        let text = answer(&server, &format!("--json {command}"));
        assert_eq!(json(&text, path), value, "{command}{path}");
    }
    let ended = ask(&server, &["nonsense", "--json"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(json(&ended.out, "['error'][:15]"), "Invalid command");

    // A program of its own: lines of JSON and nothing else.
    let mut stream = connect(&server);
    stream.write_all(b"status --json\nuptime --json\nno-such --json\n").expect("it is read");
    let lines = read_until(&mut stream, "commands\"}\n");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(json(lines[0], "['events_backend']"), "epoll");
    assert_eq!(json(lines[1], "['seconds'] < 60"), "True");
    assert_eq!(json(lines[2], "['error'][:15]"), "Invalid command");
    // And so it stays, whatever it says.
    stream.write_all(b"uptime\n").expect("it is read");
    assert_eq!(json(&read_until(&mut stream, "}\n"), "['seconds'] < 60"), "True");
}

#[test]
fn what_fails_says_so_and_exits_1() {
    let server = setup().start();
    for (words, why) in [
        (&["nonsense"][..], "Invalid command, type 'help' for a list of available commands\n"),
        (&["status", "now"], "Too many words, type 'help' for what each command takes\n"),
        (&["loglevel", "loud"], "There is no such level: write error, warn, info or debug\n"),
        (&["log", "many"], "The number of lines is a whole number\n"),
        (&["log"], "no memory log is configured\n"),
    ] {
        let ended = ask(&server, words);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), why), "{words:?}");
    }
    assert_eq!(client(&["--frob"]).code, Some(1));
    // A server was reached; it is the output that fails.
    let path = socket(&server);
    let mut command = Command::new(env!("CARGO_BIN_EXE_monkey"));
    command.args(["cheetah", "-s"]).arg(path).arg("status");
    let full = fs::File::options().write(true).open("/dev/full").expect("a device");
    let output = command.stdout(full).output().expect("an end");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("monkey: cheetah: the answer can not be written: No space left"), "{text}");
    let help = client(&["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.out.starts_with("Usage: monkey cheetah "));
}

#[test]
fn without_a_server_it_exits_2_and_says_what_to_check() {
    let setup = setup();
    setup.write();
    let conf = setup.dir.path("conf");
    let conf = conf.to_str().expect("a path");
    let why = |words: &[&str]| {
        let ended = client(words);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{}", ended.log);
        ended.log
    };
    assert!(why(&["-c", conf, "status"]).contains("does the server run"));
    drop(UnixListener::bind(setup.dir.path("run/cheetah.sock")).expect("a socket"));
    assert!(why(&["-c", conf, "status"]).contains("has ended"));
    setup.dir.write(FILE, "# nothing\n");
    assert!(why(&["-c", conf, "status"]).contains("write Listen SERVER below [CHEETAH]"));
    assert!(why(&["-c", "/nonexistent"]).contains("name its directory with -c DIR"));
}

#[test]
fn the_client_finds_the_socket_by_the_configuration_and_by_its_name() {
    let server = setup().server("PidFile ../run/pid").start();
    let conf = server.dir.path("conf");
    let ended = client(&["-c", conf.to_str().expect("a path"), "uptime"]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let link = server.dir.path("cheetah");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_monkey"), &link).expect("a link");
    let mut command = Command::new(link);
    command.arg("-c").arg(conf).arg("uptime");
    assert_eq!(Server::run_to_end(command).code, Some(0));
}

#[test]
fn beside_the_pid_file_unless_it_is_named() {
    let setup = setup().server("PidFile ../run/pid");
    setup.dir.write(FILE, "[CHEETAH]\n    Listen SERVER\n");
    let mut server = setup.start();
    let path = socket(&server);
    let about = fs::symlink_metadata(&path).expect("a socket");
    assert_eq!(about.permissions().mode() & 0o7777, 0o600);
    assert!(answer(&server, "uptime").starts_with("Server has"));
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(!path.exists());
}

#[test]
fn as_shipped_there_is_no_shell() {
    let shipped = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/plugins/cheetah/cheetah.conf"));
    let setup = setup().server("PidFile ../run/pid");
    setup.dir.write(FILE, shipped.expect("the shipped file"));
    let server = setup.start();
    assert!(!socket(&server).exists());
    assert!(!server.logged("cheetah:"), "{}", server.log());
    let sockets = server.open_paths().into_iter().filter(|path| path.to_string_lossy().starts_with("socket:"));
    assert_eq!(sockets.count(), 1, "the listener and nothing else");
}

#[test]
fn a_socket_that_can_not_be_made_costs_a_warning() {
    for (socket, why) in
        [("../none/sock", "No such file"), ("../root", "something that is no socket"), (&"x".repeat(200), "too long")]
    {
        let setup = setup();
        setup.dir.write(FILE, format!("[CHEETAH]\n    Socket {socket}\n"));
        let server = setup.start();
        assert!(
            server.log().lines().any(|line| line.contains("no admin shell") && line.contains(why)),
            "{}",
            server.log()
        );
        server.get("/a.txt").is(200);
    }
    let setup = setup();
    setup.dir.write(FILE, "[CHEETAH]\n    Listen TELNET\n");
    let ended = setup.run();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.log.contains("cheetah.conf:2:12: Listen cannot be \"TELNET\": write one of SERVER, STDIN"),
        "{}",
        ended.log
    );
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let setup = setup();
    drop(UnixListener::bind(setup.dir.path("run/cheetah.sock")).expect("a socket"));
    let server = setup.start();
    assert!(answer(&server, "uptime").starts_with("Server has"));
    let inode = fs::symlink_metadata(socket(&server)).expect("a socket").ino();

    let other = Setup::new().server("MemoryLimit 9000");
    other.dir.write(FILE, format!("[CHEETAH]\n    Socket {}\n", socket(&server).display()));
    let mut other = other.start();
    assert!(other.logged("no admin shell") && other.logged("in use"), "{}", other.log());
    other.signal("TERM");
    assert_eq!(other.ended(), Some(0));
    assert_eq!(fs::symlink_metadata(socket(&server)).expect("a socket").ino(), inode);
    assert!(answer(&server, "status").contains(&server.pid().to_string()));
}

#[test]
fn only_root_and_the_user_of_the_server_come_in() {
    if !is_root() {
        return skipped("only root can be another user");
    }
    let setup = setup().server("User 12345");
    let _ = run("chown", &["12345", setup.dir.path("run").to_str().expect("a path")]);
    let mut server = setup.start();
    let path = socket(&server);
    let about = fs::symlink_metadata(&path).expect("a socket");
    assert_eq!((about.uid(), about.permissions().mode() & 0o7777), (12345, 0o600));
    assert!(answer(&server, "status").contains("Process User       : 12345\n"));
    let ask_as = |user: &str| {
        let script = "import os,socket,sys\nos.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))\n\
                      s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[2])\n\
                      try: s.sendall(b'uptime --json\\n')\nexcept BrokenPipeError: pass\nprint(s.recv(1000).decode())";
        let output = Command::new("python3").args(["-c", script, user]).arg(&path).output().expect("python3");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    assert!(ask_as("12345").starts_with("{\"seconds\": "));
    assert!(ask_as("12346").contains("Permission"), "the mode keeps others out");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("a mode");
    assert_eq!(ask_as("12346").trim(), "cheetah: only root and the user of the server may come in");
    assert!(server.logged("user 12346"));
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(!path.exists(), "removed by the user that owns the directory");
}

#[test]
fn it_works_in_another_root() {
    if !is_root() {
        return skipped("chroot needs root");
    }
    let server = setup().server("Chroot ..").start();
    assert!(answer(&server, "uptime").starts_with("Server has"));
    assert!(
        answer(&server, "config")
            .contains(format!("Chroot                   : {}", server.dir.path("").display()).trim_end_matches('/'))
    );
    let mut server = server;
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(!socket(&server).exists());
}

#[test]
fn a_greeting_for_people_and_colours_for_terminals() {
    let server = setup().start();
    let mut stream = connect(&server);
    let greeting = read_until(&mut stream, PROMPT);
    assert!(greeting.contains("Welcome to Cheetah!, the Monkey Shell :)") && greeting.contains("\\h"), "{greeting}");
    assert!(!greeting.contains('\u{1b}'));
    stream.write_all(b"uptime\r\n").expect("it is read");
    assert!(read_until(&mut stream, PROMPT).starts_with("Server has been running"));
    stream.write_all(b"\n").expect("it is read");
    assert_eq!(read_until(&mut stream, PROMPT), PROMPT);
    stream.write_all(b"quit\nuptime\n").expect("it is read");
    assert_eq!(read_until(&mut stream, ""), "Cheetah says: Good Bye!\n");

    let mut stream = connect(&server);
    stream.write_all(b"\x01tty\n").expect("it is read");
    let greeting = read_until(&mut stream, "\u{1b}[0m ");
    assert!(greeting.starts_with("\u{2}\n\u{1b}[1;33m"), "{greeting:?}");

    // A pipe in place of a terminal.
    let mut command = Command::new(env!("CARGO_BIN_EXE_monkey"));
    command.args(["cheetah", "-s"]).arg(socket(&server));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the client");
    child.stdin.take().expect("a pipe").write_all(b"uptime\nworkers").expect("a pipe");
    let output = child.wait_with_output().expect("an end");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success());
    assert!(text.contains("cheetah> Server has been running") && text.contains("* Worker 1"), "{text}");
}

#[test]
fn reload_and_loglevel_take_effect() {
    let server = setup().server("Timeout 7").start();
    let path = server.dir.path("conf/monkey.conf");
    let text = fs::read_to_string(&path).expect("the file").replace("Timeout 7", "Timeout 9");
    fs::write(path, text).expect("the file");
    answer(&server, "reload");
    assert!(eventually(|| server.logged("configuration reloaded")));
    assert!(answer(&server, "config").contains("Timeout                  : 9 seconds"));

    assert!(answer(&server, "loglevel error").contains("Log level : error\n"));
    server.signal("USR1");
    assert!(answer(&server, "loglevel").contains("Log level : error\n"));
    answer(&server, "loglevel info");
    server.signal("USR1");
    assert!(eventually(|| server.logged("USR1")));
    assert_eq!(server.log().matches("USR1").count(), 1, "{}", server.log());

    server.dir.write(FILE, "[CHEETAH]\n    Socket ../run/other.sock\n");
    server.reload();
    assert!(server.logged("the change of [CHEETAH] takes effect at the next start"));
    assert!(answer(&server, "uptime").starts_with("Server has"));
}

#[test]
fn a_second_server_of_the_keeper_takes_the_path_over() {
    let server = setup().argument("--supervise").server("Timeout 7").server("KeepAliveTimeout 1").start();
    let process = || json(&answer(&server, "--json status"), "['process_id']");
    let first = process();
    assert_ne!(first, server.pid().to_string());
    let path = server.dir.path("conf/monkey.conf");
    let text = fs::read_to_string(&path).expect("the file").replace("Workers 2", "Workers 3");
    fs::write(path, text).expect("the file");
    answer(&server, "reload");
    assert!(eventually(|| server.logged("takes over, server")), "{}", server.log());
    let second = process();
    assert_ne!(second, first);
    assert!(eventually(|| !Path::new(&format!("/proc/{first}")).exists()));
    assert_eq!(process(), second, "the first has left the socket of the second alone");
    assert!(answer(&server, "status").contains("Worker Threads     : 3"));

    // One that dies leaves its socket to the next.
    assert!(run("sh", &["-c", &format!("kill -KILL {second}")]));
    assert!(eventually(|| ask(&server, &["uptime"]).code == Some(0)));
    assert_ne!(process(), second);
    let mut server = server;
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(!socket(&server).exists());
}

#[test]
fn odd_input_is_survived() {
    let server = setup().start();
    for bytes in [
        &b"\0\0\0\n"[..],
        b"\xff\xfe\n",
        b"\x1b[2J\n",
        b"\x01\n",
        b"\x01run\n",
        b"\x01run \x01run status\n",
        b"\n\n\n\n",
        &[b'x'; 5000],
        b"status",
        b"--json\n",
        b"",
    ] {
        let mut stream = connect(&server);
        stream.write_all(bytes).expect("it is read");
        stream.shutdown(std::net::Shutdown::Write).expect("half an end");
        let text = read_until(&mut stream, "");
        let odd = |c: &char| c.is_control() && !['\n', '\u{2}', '\u{3}'].contains(c);
        assert_eq!(text.chars().find(odd), None, "{text:?}");
    }
    // An overlong line is one error, and the next line counts.
    let mut stream = connect(&server);
    read_until(&mut stream, PROMPT);
    stream.write_all(&[b'x'; 3000]).expect("it is read");
    assert!(read_until(&mut stream, PROMPT).starts_with("The line is too long"));
    stream.write_all(b"xx\nuptime\n").expect("it is read");
    assert!(read_until(&mut stream, PROMPT).starts_with("Server has"));
    // Random bytes, in pieces, from clients that leave in the middle.
    let noise = pattern(200_000);
    for (turn, piece) in noise.chunks(1500).enumerate() {
        let mut stream = connect(&server);
        for part in piece.chunks(1 + turn * 7 % 400) {
            if stream.write_all(part).is_err() {
                break;
            }
        }
        let _ = stream.write_all(b"\nconnections\nstatus\n");
    }
    assert!(eventually(|| ask(&server, &["uptime"]).code == Some(0)));
    server.get("/a.txt").is(200);
}

#[test]
fn many_clients_and_their_end() {
    let server = setup().start();
    let before = server.descriptors();
    let mut held: Vec<UnixStream> = (0..4).map(|_| connect(&server)).collect();
    for stream in &mut held {
        read_until(stream, PROMPT);
    }
    let mut fifth = connect(&server);
    assert_eq!(read_until(&mut fifth, ""), "cheetah: there are four clients already\n");
    let ended = ask(&server, &["status"]);
    assert_eq!((ended.code, ended.log.contains("four clients")), (Some(2), true), "{}", ended.log);
    held.clear();
    assert!(eventually(|| ask(&server, &["uptime"]).code == Some(0)));
    for turn in 0..2000 {
        let mut stream = connect(&server);
        if turn % 3 == 0 {
            let _ = stream.write_all(b"status\n");
        }
    }
    assert!(eventually(|| ask(&server, &["uptime"]).code == Some(0)));
    assert!(eventually(|| server.descriptors() == before), "{} of {before}", server.descriptors());
}

#[test]
fn who_does_not_read_holds_nobody_up() {
    let server = setup().start();
    let mut deaf = connect(&server);
    deaf.write_all(b"\n").expect("it is read");
    deaf.set_nonblocking(true).expect("a mode");
    // Commands until the server takes no more: it waits for the answers to be read.
    let mut taken = 0;
    for _ in 0..100_000 {
        match deaf.write(b"config\nconnections\n") {
            Ok(count) => taken += count,
            Err(_) => break,
        }
    }
    assert!(taken < 1_000_000, "it takes what it can not answer: {taken} bytes");
    for _ in 0..50 {
        server.get("/a.txt").is(200);
    }
    assert!(answer(&server, "uptime").starts_with("Server has"));
    // Read at last, everything is there.
    deaf.set_nonblocking(false).expect("a mode");
    deaf.shutdown(std::net::Shutdown::Write).expect("half an end");
    let text = read_until(&mut deaf, "");
    assert!(text.matches("Basic configuration").count() > 100, "{}", text.len());
    assert!(text.matches("Shown : ").count() > 100);
}

#[test]
fn hundreds_of_connections_are_all_told() {
    let server = setup().server("KeepAliveTimeout 60").start();
    let mut clients: Vec<_> = (0..600).map(|_| server.client()).collect();
    for client in &mut clients {
        client.get("/a.txt").is(200);
    }
    // The first client takes its time.
    let mut slow = connect(&server);
    slow.write_all(b"connections --json\nconnections --json\n").expect("it is read");
    std::thread::sleep(Duration::from_millis(300));
    slow.shutdown(std::net::Shutdown::Write).expect("half an end");
    let lines = read_until(&mut slow, "");
    assert_eq!(lines.matches("\"shown\": 600").count(), 2);
    let text = answer(&server, "--json connections");
    assert_eq!(json(&text, "['shown']"), "600");
    assert_eq!(json(&text, "['of']"), "600");
    assert_eq!(json(&text, "['connections'].__len__()"), "600");
}

#[test]
fn a_long_answer_is_cut_and_says_so() {
    let mut setup = setup();
    for number in 0..60 {
        let name = format!("site{number}");
        setup = setup.site(&name, &[&format!("ServerName {name}"), &format!("EtagSeed {}", "s".repeat(1500))]);
    }
    let server = setup.start();
    let ended = ask(&server, &["vhosts"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.out.len() < 34_000 && ended.out.ends_with("... the rest is left out: the answer is longer than 32 KB\n")
    );
    let ended = ask(&server, &["vhosts", "--json"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(json(&ended.out, "['error']"), "The answer is longer than 32 KB");
}

#[test]
fn the_shell_on_standard_input() {
    let setup = setup();
    setup.dir.write(FILE, "[CHEETAH]\n    Listen STDIN\n");
    let mut child = setup
        .command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = child.stdout.take().expect("a pipe");
    let mut read_until = |end: &str| {
        let mut all = Vec::new();
        let mut byte = [0];
        while !all.ends_with(end.as_bytes()) && output.read(&mut byte).is_ok_and(|count| count > 0) {
            all.push(byte[0]);
        }
        String::from_utf8(all).expect("text")
    };
    assert!(read_until(PROMPT).contains("Welcome to Cheetah!"));
    input.write_all(b"status\n").expect("it is read");
    assert!(read_until(PROMPT).contains("Cheetah! mode      : STDIN\n"));
    input.write_all(b"connections\n").expect("it is read");
    assert!(read_until(PROMPT).contains("Shown : 0\nOf : 0\n"));
    // The end of the input is not the end of the server.
    drop(input);
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().expect("a child").is_none());
    crate::util::signal(child.id(), "TERM");
    let ended = child.wait_with_output().expect("an end");
    assert_eq!(ended.status.code(), Some(0));

    // What can not be watched is a warning.
    let server = Server::start(Dir::new(), setup.command(), Record::default());
    assert!(server.logged("Listen STDIN needs a terminal or a pipe"), "{}", server.log());
}
