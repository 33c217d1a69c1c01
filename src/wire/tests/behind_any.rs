//! What comes from behind the server, at random and nearly right, at any split, against plain readers that have the whole input: the
//! bodies of the fuzz targets do the work.

use proptest::prelude::*;

#[path = "../../../fuzz/src/cgi.rs"]
mod cgi;
#[path = "../../../fuzz/src/fastcgi.rs"]
mod fastcgi;
#[path = "../../../fuzz/src/fastcgi_reference.rs"]
mod fastcgi_reference;
#[path = "../../../fuzz/src/heads_reference.rs"]
mod heads_reference;
#[path = "../../../fuzz/src/palm.rs"]
mod palm;
#[path = "../../../fuzz/src/palm_reference.rs"]
mod palm_reference;
#[path = "../../../fuzz/src/response.rs"]
mod response;
#[path = "../../../fuzz/src/split.rs"]
mod split;

/// `pieces` in any order, now and then some bytes between, and a byte before them that says how they are split.
fn made_of(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => prop::sample::select(pieces).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    let input = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    (any::<u8>(), input).prop_map(|(seed, input)| [&[seed], input.as_slice()].concat())
}

/// Field lines both kinds of heads have.
macro_rules! with_fields {
    ($($own:literal),*) => {
        &[
            $($own,)*
            "A: b\r\n", "a:\r\n", "Connection: close\r\n", "Connection: keep-alive, A\r\n", "connection: \"A,\", upgrade\r\n", "Content-Length: 5\r\n",
            "Content-Length: 05\r\n", "content-length: 6\r\n", "Transfer-Encoding: chunked\r\n", "transfer-encoding: gzip\r\n", "Upgrade: x\r\n",
            "TE: a\r\n", "Proxy-Status: x\r\n", "\r\n", "\r\n", "\n", "\r", ":", " ", "\t", ",", "a", "\0", "\u{e9}",
        ]
    };
}

/// Whole and broken records of a backend.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![0usize..20, 120usize..140];
    let id = prop_oneof![9 => Just(1u16), 1 => 0u16..3];
    let kind = prop_oneof![6 => Just(6u8), 3 => Just(7), 2 => Just(3), 1 => Just(10), 1 => 0u8..14];
    let version = prop_oneof![30 => Just(1u8), 1 => any::<u8>()];
    let record =
        (version, kind, id, number, 0usize..20, 0u8..5).prop_map(|(version, kind, id, content, padding, status)| {
            let content = if kind == 3 && content % 8 != 1 { 8 } else { content };
            let [high, low] = id.to_be_bytes();
            let mut record = vec![version, kind, high, low, 0, content as u8, padding as u8, 0];
            record.extend((0..content).map(|at| if at == 4 { status } else { at as u8 }));
            record.extend(vec![0xEE; padding]);
            record
        });
    let input = (prop::collection::vec(record, 0..8), 0usize..40).prop_map(|(records, cut)| {
        let mut all = records.concat();
        if cut < 20 {
            all.truncate(all.len().saturating_sub(cut));
        }
        all
    });
    (any::<u8>(), input).prop_map(|(seed, input)| [&[seed], input.as_slice()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn programs(input in made_of(with_fields!(
        "Status: 404 Not Found\r\n", "Status: 200\n", "status:302 \n", "Location: /a?b\n", "Location: http://a/\r\n", "Location: //a\n",
        "Content-Type: text/html\n", "HTTP/1.0 200 OK\n", "HTTP/1.1 304\r\n", "\n\n", "\r\n\r\n"
    ))) {
        cgi::run(&input);
    }

    #[test]
    fn servers(first in prop::sample::select(&["HTTP/1.1 200 OK\r\n", "HTTP/1.0 204 \r\n", "HTTP/1.1 101 x\r\nConnection: upgrade\r\n", ""]), rest in made_of(with_fields!(
        "HTTP/1.1 200 OK\r\n", "HTTP/1.", "304", "\r\n\r\n"
    ))) {
        let (seed, rest) = rest.split_at(1);
        response::run(&[seed, first.as_bytes(), rest].concat());
    }

    #[test]
    fn fastcgi_backends(input in records()) {
        fastcgi::run(&input);
    }

    #[test]
    fn palm_clients(first in prop::sample::select(&["/srv/a.php\r\n", "SCRIPT_FILENAME=/b\r\n", "/a=b\r\nCONTENT_LENGTH=5\r\n", ""]), rest in made_of(&[
        "/srv/a.php\r\n", "A=b\r\n", "A=\r\n", "=b\r\n", "A = b = c\r\n", "no sign\r\n", "CONTENT_LENGTH=5\r\n", "CONTENT_LENGTH=0\r\n",
        "CONTENT_LENGTH=\r\n", "CONTENT_LENGTH=x\r\n", "SCRIPT_FILENAME=/b\r\n", "SCRIPT_FILENAME=\r\n", "POST_VARS=hello", "POST_VARS=\r\n", "POST_VARS",
        "\r\n", "\r\n", "\r", "\n", "=", "\0", "hello",
    ])) {
        let (seed, rest) = rest.split_at(1);
        palm::run(&[seed, first.as_bytes(), rest].concat());
    }

    #[test]
    fn any_bytes(input in prop::collection::vec(any::<u8>(), 0..100)) {
        cgi::run(&input);
        response::run(&input);
        fastcgi::run(&input);
        palm::run(&input);
    }
}
