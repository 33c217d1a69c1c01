use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{TEXT, program};
use crate::util::{Setup, example};

const PAGE: &str = "plugins/CGI.md";

/// The examples of the page, with scripts for their lines.
fn setup() -> Setup {
    let setup = Setup::new().server("MemoryLimit 9000").environment("TZ", "UTC");
    program(&setup, "../clock", &format!("{TEXT}; echo \"$SCRIPT_NAME $PATH_INFO\""));
    let clock = setup.dir.path("clock").display().to_string();
    let setup = setup.text(&example(PAGE, "site").replace("/usr/lib/cgi-bin/clock", &clock));
    setup.dir.write("conf/plugins/cgi/cgi.conf", example(PAGE, "file"));
    program(&setup, "cgi-bin/itself", &format!("{TEXT}; exec env"));
    setup
        .file("cgi-bin/by.sh", "echo X-A: b; echo; echo \"$DEVICE $TZ $SCRIPT_NAME$PATH_INFO\"")
        .file("cgi-bin/not", "secret")
}

#[test]
fn the_examples() {
    let server = setup().start();
    let answer = server.get("/cgi-bin/by.sh/more").is(200);
    assert_eq!(answer.text(), "kitchen UTC /cgi-bin/by.sh/more\n");
    assert_eq!(answer.field("Content-Type"), Some("text/plain"));
    let text = server.get("/cgi-bin/itself").is(200).text().to_string();
    assert!(text.contains("DEVICE=kitchen\n"), "{text}");
    assert!(!server.get("/cgi-bin/not").is(403).text().contains("secret"));
    assert_eq!(server.get("/clock/now").is(200).text(), "/clock /now\n");
    let limits = fs::read_to_string(server.dir.path("conf/plugins/cgi/cgi.conf")).expect("a file");
    assert!(limits.contains("Memory 262144"), "{limits}");
}

/// The names in the first column of the table of variables.
fn names() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(PAGE);
    let text = fs::read_to_string(path).expect("the page");
    let (_, rest) = text.split_once("| variable | |").expect("the table");
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with("| "));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`'));
    names
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_') && name.len() > 1)
        .map(str::to_string)
        .collect()
}

#[test]
fn the_table_of_variables_is_whole() {
    let setup = setup();
    let setup = setup.section("AUTH", &["Location /cgi-bin/in", "Users users"]);
    setup.dir.write("conf/users", "al:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    program(&setup, "cgi-bin/in/env", &format!("{TEXT}; exec env"));
    let server = setup.start();
    let fields = "Authorization: Basic YWw6cGFzc3dvcmQ=\r\nContent-Type: a/b\r\n";
    let text = server.ask("GET /cgi-bin/in/env/info", fields).is(200).text().to_string();
    let own = ["PWD", "_", "SHLVL", "OLDPWD", "DEVICE", "TZ"];
    let told: BTreeSet<String> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.to_string()).collect();
    let told: BTreeSet<String> =
        told.into_iter().filter(|name| !own.contains(&name.as_str()) && !name.starts_with("HTTP_")).collect();
    let mut named = names();
    if cfg!(not(feature = "plugin-auth")) {
        named.retain(|name| name != "AUTH_TYPE" && name != "REMOTE_USER");
    }
    assert_eq!(told, named);
}
