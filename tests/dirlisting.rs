use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::util::{Client, Server, Setup, eventually, example, is_root, request, run, set_mtime, skipped};

const JSON: &str = "Accept: application/json\r\n";

/// Listings everywhere.
fn setup() -> Setup {
    bare().section("HANDLERS", &["Match /.* dirlisting"])
}

/// None yet. The stacks of a build for tests are large: what is left of the usual memory is little.
fn bare() -> Setup {
    Setup::new().server("MemoryLimit 7000")
}

/// Undoes percent escapes.
fn decoded(url: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = url.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let digits = std::str::from_utf8(&after[..2]).expect("two digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    bytes
}

/// The links of a page, but for those that sort it.
fn links(page: &str) -> Vec<String> {
    let links = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().expect("an end").to_string());
    links.filter(|link| !link.starts_with('?')).collect()
}

/// The same as names.
fn names(page: &str) -> Vec<String> {
    links(page).iter().map(|link| String::from_utf8_lossy(&decoded(link)).into_owned()).collect()
}

/// The strings of a member of the entries of a listing in JSON.
fn members<'t>(json: &'t str, name: &str) -> Vec<&'t str> {
    let start = format!("\"{name}\": ");
    let after_start = json.split("\"entries\": [").nth(1).expect("entries");
    after_start
        .split(&start)
        .skip(1)
        .map(|rest| rest.split([',', '}']).next().expect("a value").trim_matches('"'))
        .collect()
}

/// Whether a program of the system reads this without a complaint; what it says.
fn python(script: &str, input: &[u8]) -> Option<String> {
    let python = Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut python = python.ok()?;
    python.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "python3 failed");
    Some(String::from_utf8(output.stdout).expect("text"))
}

fn json(server: &Server, path: &str) -> String {
    server.ask(&format!("GET {path}"), JSON).is(200).text().to_string()
}

fn make_many(dir: &Path, count: usize) {
    fs::create_dir_all(dir).expect("a directory");
    for number in 0..count {
        File::create(dir.join(format!("entry-{number:05}.txt"))).expect("a file");
    }
}

#[test]
fn a_line_of_handlers_turns_it_on_for_its_paths() {
    let server = bare()
        .file("files/a.txt", "alpha")
        .file("files/sub/b.txt", "")
        .file("other/c.txt", "")
        .file("files/page/index.html", "the page")
        .text(&example("plugins/DIRLISTING.md", "site"))
        .start();
    let mut client = server.client();
    let answer = client.get("/files/").is(200);
    answer.has_fields(&[
        "Content-Type: text/html; charset=utf-8",
        "Transfer-Encoding: chunked",
        "Vary: Accept",
        "Cache-Control: no-cache",
    ]);
    assert_eq!(links(answer.text()), ["../", "page/", "sub/", "a.txt"]);
    assert!(answer.text().contains("<title>Index of /files/</title>") && answer.text().ends_with("</html>\n"));
    assert!(answer.text().contains("<p></p>"), "there is nothing to note");
    client.get("/other/").is(403);
    client.get("/").is(403);
    assert_eq!(client.get("/files").is(301).field("Location").map(|to| to.ends_with("/files/")), Some(true));
    assert_eq!(client.get("/files/page/").is(200).text(), "the page");
    client.get("/files/none/").is(404);
    client.get("/files/a.txt/").is(404);
    // Whoever sends something is answered as by a file.
    client.send(request("POST /files/", "Content-Length: 3\r\n") + "abc").answer(false).is(200);
    client.ask("DELETE /files/", "").is(405);
    client.ask("HEAD /files/", "").is(200).has_fields(&["Transfer-Encoding: chunked"]);
    client.get("/files/a.txt").is(200);
}

#[test]
fn the_file_of_the_plugin_turns_it_on_everywhere() {
    let setup = bare().file("a.txt", "").file(".hidden", "").file("sub/.x", "");
    setup.dir.write("conf/plugins/dirlisting/dirhtml.conf", example("plugins/DIRLISTING.md", "everywhere"));
    make_many(&setup.root("full"), 500);
    make_many(&setup.root("over"), 501);
    let server = setup.start();
    assert_eq!(names(server.get("/").is(200).text()), ["full/", "over/", "sub/", "a.txt"]);
    assert_eq!(names(server.get("/sub/").is(200).text()), ["../"]);
    assert!(server.get("/full/").is(200).text().contains("<p></p>"));
    let note = "<p>This directory has more than 500 entries: they stand in its own order, unsorted.</p>";
    assert!(server.get("/over/").is(200).text().contains(note));
    // As shipped the file asks for nothing.
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/plugins/dirlisting/dirhtml.conf");
    let setup = bare();
    setup.dir.write("conf/plugins/dirlisting/dirhtml.conf", fs::read(shipped).expect("the shipped file"));
    setup.start().get("/").is(403);
}

#[test]
fn hidden_names_are_shown_where_that_is_wanted() {
    let setup = setup().file("a.txt", "").file(".hidden", "x").file("...", "y");
    setup.dir.write("conf/plugins/dirlisting/dirhtml.conf", "[DIRLISTING]\n    Hidden On\n");
    let server = setup.start();
    assert_eq!(names(server.get("/").is(200).text()), ["...", ".hidden", "a.txt"]);
}

/// Names with every byte there can be, and others that are hard to write right.
fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> =
        (1..=255).filter(|&byte| byte != b'/').map(|byte| vec![b'n', byte, b'-', byte]).collect();
    let more: [&[u8]; 14] = [
        b"<script>alert(1)<",
        b"\"><img src=x onerror=alert(1)>",
        b"' onmouseover='alert(1)",
        b"javascript:alert(1)",
        b"&lt;b&gt;&amp;",
        b"%_target_url_%",
        b"%41%2f%00",
        b"?sort=size",
        b"#top",
        b"a b  c ",
        b"-->",
        b"\\..\\x",
        b"\xe2\x80\xae.txt",
        b"c:",
    ];
    names.extend(more.iter().map(|name| name.to_vec()));
    names.push(vec![b'l'; 255]);
    names.push(vec![b'"'; 255]);
    names.push([&[0xC3; 254][..], b"x"].concat());
    names
}

#[test]
fn every_name_is_linked_and_shown_right() {
    let setup = setup();
    for name in odd_names() {
        fs::write(setup.root("").join(OsStr::from_bytes(&name)), &name).expect("a file");
    }
    let mut directory = odd_names().pop().expect("a name");
    directory.truncate(200);
    fs::create_dir(setup.root("").join(OsStr::from_bytes(&directory))).expect("a directory");
    fs::write(setup.root("").join(OsStr::from_bytes(&directory)).join("in"), "inside").expect("a file");
    let server = setup.start();
    let mut client = server.client();
    let page = client.get("/").is(200).text().to_string();
    let document = json(&server, "/");
    let mut wanted = odd_names();
    wanted.push([&directory[..], b"/"].concat());
    wanted.sort();
    for urls in [links(&page), members(&document, "url").into_iter().map(str::to_string).collect()] {
        let mut got: Vec<Vec<u8>> = urls.iter().map(|url| decoded(url)).collect();
        got.sort();
        assert!(got == wanted, "the names are not all there");
        for url in urls {
            let answer = client.get(&format!("/{url}")).is(200);
            match url.strip_suffix('/') {
                Some(_) => assert_eq!(links(answer.text()), ["../", "in"]),
                None => assert_eq!(answer.body, decoded(&url)),
            }
        }
    }
    assert_eq!(client.get("/?sort=size&order=desc").is(200).text().matches("<tr").count(), wanted.len() + 1);
    // By readers that others have written.
    let script = "
import sys, html.parser, urllib.parse
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.href, self.text, self.rows = set(), None, '', []
    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            assert name in ('lang', 'charset', 'name', 'content', 'class', 'href', 'scope', 'title', 'aria-sort'), name
        if tag == 'a':
            self.href, self.text = dict(attrs)['href'], ''
    def handle_data(self, data):
        self.text += data
    def handle_endtag(self, tag):
        if tag == 'a' and not self.href.startswith('?'):
            self.rows.append((self.href, self.text))
page = Page()
page.feed(sys.stdin.buffer.read().decode('utf-8', 'strict'))
page.close()
print(' '.join(sorted(page.tags)))
for href, text in page.rows:
    name = urllib.parse.unquote_to_bytes(href)
    shown = ''.join(chr(0x2400 + ord(c)) if c < ' ' else '\\u2421' if c == '\\x7f' else c for c in name.decode('utf-8', 'replace'))
    assert shown == text, (shown, text)
    assert urllib.parse.urljoin('http://h/d/', href) == 'http://h/d/' + href, href
print(len(page.rows))
";
    match python(script, page.as_bytes()) {
        None => skipped("there is no python3"),
        Some(said) => {
            let tags = "a bdi h1 head html meta p style table tbody td th thead title tr".replace("head html", "html");
            assert_eq!(said, format!("{tags}\n{}\n", wanted.len()));
            let script = "
import sys, json, urllib.parse
for entry in json.load(sys.stdin.buffer)['entries']:
    name = urllib.parse.unquote_to_bytes(entry['url'])
    if entry['type'] == 'directory':
        assert name.endswith(b'/') and entry['size'] is None
    else:
        assert entry['size'] == len(name)
    assert entry['name'] == name.removesuffix(b'/').decode('utf-8', 'replace'), entry
print('fine')
";
            assert_eq!(python(script, document.as_bytes()).as_deref(), Some("fine\n"));
        }
    }
}

#[test]
fn columns_sort_by_links() {
    let setup = setup().file("b.txt", "12345").file("A.txt", "1").file("c.txt", "123").file("z/x", "").file("Y/x", "");
    for (name, time) in [("b.txt", 1_000_000_000), ("A.txt", 1_600_000_000), ("c.txt", 1_293_926_400)] {
        set_mtime(&setup.root(name), time);
    }
    set_mtime(&setup.root("z"), 1_400_000_000);
    set_mtime(&setup.root("Y"), 1_700_000_000);
    let server = setup.start();
    let mut client = server.client();
    for (query, order) in [
        ("", "Y/ z/ A.txt b.txt c.txt"),
        ("?sort=name&order=desc", "z/ Y/ c.txt b.txt A.txt"),
        ("?sort=size", "Y/ z/ A.txt c.txt b.txt"),
        ("?sort=size&order=desc", "Y/ z/ b.txt c.txt A.txt"),
        ("?sort=date&order=asc", "b.txt c.txt z/ A.txt Y/"),
        ("?sort=date&order=desc", "Y/ A.txt z/ c.txt b.txt"),
        ("?sort=%22%3E&order=<x>", "Y/ z/ A.txt b.txt c.txt"),
    ] {
        let answer = client.get(&format!("/{query}")).is(200);
        assert_eq!(names(answer.text()).join(" "), order, "{query}");
        let document = json(&server, &format!("/{query}"));
        let urls: Vec<String> = members(&document, "url").iter().map(|url| url.to_string()).collect();
        assert_eq!(urls.join(" "), order, "{query}");
    }
    let page = client.get("/").is(200).text().to_string();
    for part in [
        "<td class=\"time\">09-Sep-2001 01:46</td><td title=\"5\">5 B</td>",
        "<td class=\"time\">02-Jan-2011 00:00</td>",
        "<tr class=\"directory\">",
        "<th scope=\"col\" aria-sort=\"ascending\"><a href=\"?sort=name&amp;order=desc\">Name</a>",
        "<th scope=\"col\" aria-sort=\"none\"><a href=\"?sort=size&amp;order=asc\">Size</a>",
    ] {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
    let page = client.get("/?sort=size&order=desc").is(200).text().to_string();
    assert!(page.contains("aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc\">"), "{page}");
}

#[test]
fn as_json() {
    let setup = setup().file("d e/x", "").file("a.txt", "12345").section("HEADERS", &["Match ^/ X-Own: yes"]);
    set_mtime(&setup.root("a.txt"), 784_111_777);
    set_mtime(&setup.root("d e"), 951_782_400);
    let server = setup.start();
    let answer = server.ask("GET /", JSON).is(200);
    answer.has_fields(&["Content-Type: application/json", "Vary: Accept", "X-Own: yes", "Cache-Control: no-cache"]);
    let wanted = "{\"path\": \"/\", \"entries\": [
  {\"name\": \"d e\", \"url\": \"d%20e/\", \"type\": \"directory\", \"size\": null, \"modified\": \"2000-02-29T00:00:00Z\"},
  {\"name\": \"a.txt\", \"url\": \"a.txt\", \"type\": \"file\", \"size\": 5, \"modified\": \"1994-11-06T08:49:37Z\"}], \"sorted\": true}\n";
    assert_eq!(answer.text(), wanted);
    server.get("/").is(200).has_fields(&["Content-Type: text/html; charset=utf-8", "X-Own: yes"]);
    fs::remove_dir_all(server.root("d e")).expect("a directory");
    fs::remove_file(server.root("a.txt")).expect("a file");
    assert_eq!(json(&server, "/"), "{\"path\": \"/\", \"entries\": [], \"sorted\": true}\n");
}

#[test]
fn older_clients_and_heads() {
    let server = setup().file("a.txt", "").start();
    let old = server.client().send("GET / HTTP/1.0\r\n\r\n").answer(false).is(200);
    assert!(old.closes() && old.text().ends_with("</html>\n") && old.field("Transfer-Encoding").is_none());
    let mut client = server.client();
    client.send("HEAD / HTTP/1.0\r\n\r\n").answer(true).is(200);
    client.is_closed();
    let mut client = server.client();
    for _ in 0..3 {
        let head = client.ask("HEAD /", JSON).is(200);
        head.has_fields(&["Transfer-Encoding: chunked", "Content-Type: application/json"]);
    }
    client.send([request("GET /", ""), request("GET /a.txt", "")].concat().repeat(10));
    for _ in 0..10 {
        assert_eq!(names(client.answer(false).is(200).text()), ["a.txt"]);
        assert_eq!(client.answer(false).is(200).body, b"");
    }
}

#[test]
fn links_and_what_is_no_file() {
    for (symlinks, walk, shown) in [
        ("Off", false, "dir/ real.txt"),
        ("On", false, "dir/ dirlink/ link.txt real.txt up.txt"),
        ("On", true, "dir/ dirlink/ link.txt real.txt up.txt"),
    ] {
        let mut setup = setup().server(&format!("SymLink {symlinks}")).file("in/real.txt", "").file("in/dir/x", "");
        if walk {
            if !cfg!(feature = "test-switches") {
                continue;
            }
            setup = setup.environment("MONKEY_TEST_WALK", "1");
        }
        setup.dir.write("root/above.txt", "above");
        setup.dir.write("outside.txt", "outside");
        let root = setup.root("in");
        for (to, name) in [
            ("real.txt", "link.txt"),
            ("dir", "dirlink"),
            ("../above.txt", "up.txt"),
            ("../../outside.txt", "out.txt"),
            ("/etc/passwd", "absolute"),
            ("nothing", "broken"),
            ("loop", "loop"),
            ("fifo", "to-fifo"),
        ] {
            symlink(to, root.join(name)).expect("a link");
        }
        assert!(run("mkfifo", &[root.join("fifo").to_str().expect("a path")]), "mkfifo");
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("a socket");
        let server = setup.start();
        for query in ["", "?sort=date", "?sort=size"] {
            let page = server.get(&format!("/in/{query}")).is(200).text().to_string();
            let mut got = names(&page);
            got.sort();
            assert_eq!(got.join(" "), format!("../ {shown}"), "SymLink {symlinks} {query}");
            for link in links(&page) {
                server.get(&format!("/in/{link}")).is(200);
            }
        }
        assert_eq!(members(&json(&server, "/in/"), "url").len(), shown.split(' ').count());
    }
}

#[test]
fn there_is_no_way_up_from_the_top() {
    let setup = setup().host("Alias /more/here ../aliased").file("sub/x", "").file("more/y", "");
    setup.dir.write("aliased/deep/z", "");
    let server = setup.start();
    for (path, entries) in [
        ("/", "more/ sub/"),
        ("/sub/", "../ x"),
        ("/more/here/", "deep/"),
        ("/more/here/deep/", "../ z"),
        ("/sub/../more/here/", "deep/"),
    ] {
        assert_eq!(names(server.get(path).is(200).text()).join(" "), entries, "{path}");
    }
}

#[test]
fn ten_thousand_entries_in_their_own_order_and_sorted() {
    let setup = setup();
    make_many(&setup.root("many"), 10_000);
    let server = setup.start();
    let all: Vec<String> = (0..10_000).map(|number| format!("entry-{number:05}.txt")).collect();
    let page = server.get("/many/").is(200).text().to_string();
    assert!(page.contains("more than 2000 entries") && !page.contains("aria-sort=\"ascending\""));
    let mut got = names(&page);
    assert_eq!(got.remove(0), "../");
    assert_ne!(got, all, "a directory that happens to be in order shows nothing here");
    got.sort();
    assert_eq!(got, all);
    let document = json(&server, "/many/");
    assert!(document.ends_with("], \"sorted\": false}\n"));
    let mut got = members(&document, "name");
    got.sort();
    assert_eq!(got, all);

    server.dir.write("conf/plugins/dirlisting/dirhtml.conf", "[DIRLISTING]\n    SortLimit 10000\n");
    server.reload();
    assert_eq!(names(server.get("/many/").is(200).text())[1..], all);
    let document = json(&server, "/many/?order=desc");
    assert!(document.ends_with("], \"sorted\": true}\n"));
    assert!(members(&document, "name").into_iter().rev().eq(all.iter().map(String::as_str)));
    // All of them are of one size and most of one second: the names decide.
    assert_eq!(names(server.get("/many/?sort=size&order=desc").is(200).text())[1..], all);
}

/// Asks for a listing whose client takes nothing of it, with as little as can be on its way.
fn ask_and_wait(server: &Server, path: &str) -> Client {
    let mut client = server.client();
    client.send(request(&format!("GET {path}"), ""));
    client
}

#[test]
fn slow_readers_get_the_whole_and_hold_little() {
    let setup = setup().workers(1).server("SendBuffer 4096").server("RateWindow 100");
    make_many(&setup.root("sorted"), 1_900);
    make_many(&setup.root("many"), 30_000);
    let server = setup.start();
    let quiet = server.descriptors();
    let mut clients: Vec<(Client, usize)> = Vec::new();
    for _ in 0..4 {
        clients.push((ask_and_wait(&server, "/many/"), 30_000));
        clients.push((ask_and_wait(&server, "/sorted/?order=desc"), 1_900));
    }
    // The others are served meanwhile, each from the beginning.
    for _ in 0..3 {
        assert_eq!(names(server.get("/sorted/").is(200).text())[1900], "entry-01899.txt");
    }
    for (client, count) in &mut clients {
        let answer = client.answer(false).is(200);
        let mut got = names(answer.text());
        assert_eq!(got.len(), *count + 1);
        if *count == 1_900 {
            assert!(got[1..].iter().rev().is_sorted());
        }
        got.sort();
        got.dedup();
        assert_eq!(got.len(), *count + 1);
    }
    drop(clients);
    assert!(eventually(|| server.descriptors() <= quiet + 1), "directories stay open");
}

#[test]
fn no_more_listings_than_there_are_places_for() {
    let setup = Setup::new().section("HANDLERS", &["Match / dirlisting"]).workers(1).server("SendBuffer 4096");
    let setup = setup.server("MemoryLimit 20000").file("a.txt", "alpha");
    make_many(&setup.root("many"), 30_000);
    let server = setup.start();
    let mut waiting: Vec<Client> = (0..32).map(|_| ask_and_wait(&server, "/many/")).collect();
    let mut one_more = server.client();
    assert!(eventually(|| one_more.get("/many/").status == 503));
    one_more.get("/").is(503);
    // What needs no place, and what is no listing.
    one_more.ask("HEAD /", "").is(200);
    one_more.get("/a.txt").is(200);
    waiting.pop();
    assert!(eventually(|| server.get("/").status == 200), "a place is free again");
    waiting.truncate(1);
    assert_eq!(names(waiting[0].answer(false).is(200).text()).len(), 30_001);
}

#[test]
fn directories_that_change_while_they_are_sent() {
    let setup = setup().workers(1).server("SendBuffer 4096");
    make_many(&setup.root("gone"), 30_000);
    make_many(&setup.root("sorted"), 1_999);
    make_many(&setup.root("removed"), 1_999);
    let server = setup.start();
    let mut clients: Vec<Client> =
        ["/gone/", "/sorted/", "/removed/?sort=date"].iter().map(|path| ask_and_wait(&server, path)).collect();
    let begun: Vec<String> = clients.iter_mut().map(Client::head).collect();
    assert!(begun.iter().all(|head| head.starts_with("HTTP/1.1 200 ")));
    fs::remove_dir_all(server.root("gone")).expect("a directory");
    fs::remove_dir_all(server.root("removed")).expect("a directory");
    for number in (0..1_999).filter(|number| number % 2 == 1) {
        fs::remove_file(server.root(&format!("sorted/entry-{number:05}.txt"))).expect("a file");
    }
    for (client, (least, most)) in clients.iter_mut().zip([(1, 30_001), (1_001, 2_000), (1, 2_000)]) {
        let page = String::from_utf8(client.chunks()).expect("text");
        assert!(page.ends_with("</html>\n"), "it is not whole");
        let mut got = names(&page);
        assert!(got.len() >= least && got.len() < most, "{} entries", got.len());
        got.sort();
        let count = got.len();
        got.dedup();
        assert_eq!(got.len(), count, "one comes twice");
    }
    server.get("/gone/").is(404);
    assert_eq!(names(server.get("/sorted/").is(200).text()).len(), 1_001);
}

#[test]
fn a_directory_that_may_not_be_read() {
    let mut setup = setup().file("shut/a.txt", "alpha");
    fs::set_permissions(setup.root("shut"), fs::Permissions::from_mode(0o311)).expect("its mode");
    if is_root() {
        setup = setup.server("User nobody");
    }
    let server = setup.start();
    server.get("/shut/").is(403);
    server.get("/shut/a.txt").is(200);
    fs::set_permissions(server.root("shut"), fs::Permissions::from_mode(0o755)).expect("its mode");
    // What was found out about a path is believed for a second.
    assert!(eventually(|| server.get("/shut/").status == 200));
}

const THEME: [(&str, &str); 3] = [
    ("header.theme", "<h1>%_html_title_%</h1>%_note_%<%_order_name_%|%_sort_date_%|%_target_name_%|%_what_%>\n"),
    (
        "entry.theme",
        "%_target_type_%|%_target_url_%|%_target_title_%|%_target_name_%|%_target_time_%|%_target_size_%|%_target_bytes_%\n",
    ),
    ("footer.theme", "end of %_html_title_%\n"),
];

fn write_theme(setup: &Setup, name: &str, files: &[(&str, &str)]) {
    for (file, text) in files {
        setup.dir.write(&format!("conf/plugins/dirlisting/themes/{name}/{file}"), text);
    }
    setup.dir.write("conf/plugins/dirlisting/dirhtml.conf", format!("[DIRLISTING]\n    Theme {name}\n"));
}

#[test]
fn a_theme_of_ones_own() {
    let setup = setup().file("d/<x>", "").file("d/e/y", "");
    fs::write(setup.root("d/big"), vec![0; 1_600]).expect("a file");
    write_theme(&setup, "mine", &THEME);
    for name in ["d/<x>", "d/e", "d/big"] {
        set_mtime(&setup.root(name), 784_111_777);
    }
    let server = setup.start();
    let page = "<h1>Index of /d/</h1><ascending|?sort=date&amp;order=asc|%_target_name_%|%_what_%>
parent|../|../|../|-|-|
directory|e/|e/|e/|06-Nov-1994 08:49|-|
file|%3Cx%3E|&lt;x&gt;|&lt;x&gt;|06-Nov-1994 08:49|0 B|0
file|big|big|big|06-Nov-1994 08:49|1.6 KB|1600
end of Index of /d/\n";
    assert_eq!(server.get("/d/").is(200).text(), page);
    // Another look by a reload; one that is wrong changes nothing.
    server.dir.write("conf/plugins/dirlisting/themes/mine/footer.theme", "the end\n");
    server.reload();
    assert!(server.get("/d/").is(200).text().ends_with("\nthe end\n"));
    fs::remove_file(server.dir.path("conf/plugins/dirlisting/themes/mine/footer.theme")).expect("a file");
    server.reload();
    assert!(server.get("/d/").is(200).text().ends_with("\nthe end\n"));
}

#[test]
fn a_theme_as_large_as_may_be() {
    let setup = setup().file("d/x", "");
    let (header, footer) = ("h".repeat(20_000), "f".repeat(32 * 1024 - 20_000 - 18));
    write_theme(
        &setup,
        "large",
        &[("header.theme", &header), ("entry.theme", "<%_target_name_%>"), ("footer.theme", &footer)],
    );
    let server = setup.start();
    assert_eq!(server.get("/d/").is(200).text(), format!("{header}<../><x>{footer}"));
    // Nothing at all is a theme, too.
    write_theme_files(&server, &[("header.theme", ""), ("entry.theme", ""), ("footer.theme", "")]);
    server.reload();
    let mut client = server.client();
    assert_eq!(client.get("/d/").is(200).text(), "");
    assert_eq!(client.get("/d/x").is(200).text(), "");
}

fn write_theme_files(server: &Server, files: &[(&str, &str)]) {
    for (file, text) in files {
        server.dir.write(&format!("conf/plugins/dirlisting/themes/large/{file}"), text);
    }
}

#[test]
fn configurations_that_are_wrong() {
    let long = "%_target_name_%".repeat(18);
    for (lines, files, wanted) in [
        ("Theme nonesuch", &[][..], "dirhtml.conf:2:11: theme nonesuch: "),
        ("Theme ../x", &[], "write the name of a directory in plugins/dirlisting/themes"),
        ("Theme half", &[("header.theme", "")], "themes/half/entry.theme: no such file or directory"),
        (
            "Theme half",
            &[("header.theme", ""), ("entry.theme", &long), ("footer.theme", "")],
            "/entry.theme: this makes the theme too long",
        ),
        ("Theme half", &[("header.theme", &"x".repeat(40_000))], "/header.theme: this makes the theme too long"),
        ("SortLimit many", &[], "dirhtml.conf:2:15: SortLimit cannot be \"many\""),
        ("SortLimit 10001", &[], "dirhtml.conf:2:15: SortLimit cannot be \"10001\""),
        ("Enable On", &[], "dirhtml.conf:2:5: unknown key Enable in [DIRLISTING]: did you mean Enabled?"),
    ] {
        let setup = setup();
        write_theme(&setup, "half", files);
        setup.dir.write("conf/plugins/dirlisting/dirhtml.conf", format!("[DIRLISTING]\n    {lines}\n"));
        let ended = setup.run();
        assert_eq!(ended.code, Some(1), "{lines}: {}", ended.log);
        assert!(ended.log.contains(wanted), "{wanted} is not in\n{}", ended.log);
    }
    let ended = bare().section("HANDLERS", &["Match / dirlisting now"]).run();
    assert!(ended.log.contains("dirlisting takes no parameters: take \"now\" out"), "{}", ended.log);
    // What the original came with.
    for name in ["guineo", "bootstrap"] {
        let setup = setup().file("a.txt", "");
        write_theme(&setup, name, &[]);
        let server = setup.start();
        assert!(
            server.logged("dirhtml.conf:2:11: there is no ") && server.logged(": the built-in theme is used"),
            "{}",
            server.log()
        );
        assert_eq!(names(server.get("/").is(200).text()), ["a.txt"]);
    }
}

#[test]
fn turned_on_and_off_by_a_reload() {
    let server = bare().file("a.txt", "").start();
    let file = "conf/plugins/dirlisting/dirhtml.conf";
    server.dir.write(file, "[DIRLISTING]\n    Enabled On\n");
    server.reload();
    assert!(server.logged("ERROR: reload refused: needs restart: memory of a handler\n"), "{}", server.log());
    server.get("/").is(403);

    let setup = bare().file("a.txt", "");
    setup.dir.write(file, "[DIRLISTING]\n    Enabled On\n");
    let server = setup.start();
    for (state, status) in [("Off", 403), ("On", 200), ("Off", 403)] {
        server.dir.write(file, format!("[DIRLISTING]\n    Enabled {state}\n"));
        server.reload();
        assert_eq!(server.get("/").status, status);
    }
    assert!(!server.logged("refused"), "{}", server.log());
}

#[test]
fn the_pool_can_be_empty() {
    let setup = setup().workers(1).server("SendBuffer 4096").file("a.txt", "");
    make_many(&setup.root("many"), 30_000);
    let server = setup.start();
    // As many as the pool lets in, and more: nobody is answered wrong, and all is given back.
    let clients: Vec<Client> = (0..60).map(|_| ask_and_wait(&server, "/many/")).collect();
    assert!(matches!(server.get("/").status, 200 | 503));
    std::thread::sleep(Duration::from_millis(200));
    drop(clients);
    assert!(eventually(|| server.get("/").status == 200));
    let state = crate::util::State::of(&server);
    assert_eq!(state.held().1, 0, "{state:?}");
}

/// A long listing is told of when it ends: as what it was, whatever was answered to others meanwhile.
#[cfg(feature = "plugin-metrics")]
#[test]
fn what_is_told_of_a_listing_is_its_own() {
    let setup = bare().section("HANDLERS", &["Location /metrics metrics", "Match /.* dirlisting"]).workers(1);
    let server = setup.server("SendBuffer 4096").start();
    for n in 0..2000 {
        File::create(server.root(&format!("{n:0>200}"))).expect("a file");
    }
    let mut client = server.client();
    client.send(request("GET /", "Connection: close\r\n")).take(1);
    for _ in 0..5 {
        server.get("/nothing").is(404);
    }
    assert!(client.rest().len() > 500_000);
    let text = server.get("/metrics").is(200).text().to_string();
    let of = |class: &str| {
        let line = format!("monkey_answers_total{{worker=\"0\",class=\"{class}\"}} ");
        text.split_once(&line).and_then(|(_, rest)| rest.lines().next()).expect("a sample").to_string()
    };
    assert_eq!((of("2xx"), of("4xx")), ("1".to_string(), "5".to_string()));
}
