//! FastCGI: records as the specification draws them, answers at every split, and what is refused.

use proptest::prelude::*;

use crate::limits::FASTCGI_VALUES_MAX;
use crate::wire::cgi_env::variables;
use crate::wire::fastcgi::*;
use crate::wire::head::{Head, parse_head};
use crate::wire::writer::Writer;

/// What `write` makes with plenty of room.
fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut room = vec![0; 200_000];
    let mut out = Writer::new(&mut room);
    write(&mut out);
    assert!(!out.overflowed());
    out.bytes().to_vec()
}

/// A record of a backend.
fn record(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let [id1, id0] = id.to_be_bytes();
    let [len1, len0] = (content.len() as u16).to_be_bytes();
    [&[1, kind, id1, id0, len1, len0, padding, 0xAA], content, &vec![0xBB; usize::from(padding)]].concat()
}

fn end(app: u32, protocol: u8) -> Vec<u8> {
    record(3, 1, &[app.to_be_bytes().as_slice(), &[protocol, 9, 9, 9]].concat(), 3)
}

#[test]
fn records_of_a_request() {
    assert_eq!(written(|out| push_begin(out, 1, true)), [1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
    assert_eq!(written(|out| push_begin(out, 0x1234, false)), [1, 1, 0x12, 0x34, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(abort(1), [1, 2, 0, 1, 0, 0, 0, 0]);
    assert_eq!(stdin_header(1, 0x1234), [1, 5, 0, 1, 0x12, 0x34, 0, 0]);
    assert_eq!(stdin_header(1, 0), [1, 5, 0, 1, 0, 0, 0, 0]);
    let params = written(|out| {
        out.push(b"before");
        let params = Params::begin(out, 1);
        push_pair(out, b"A", b"bc");
        params.end(out);
    });
    assert_eq!(params, b"before\x01\x04\0\x01\0\x05\0\0\x01\x02Abc\x01\x04\0\x01\0\0\0\0");
    // Without a variable the first record is the one that ends the stream.
    assert_eq!(written(|out| Params::begin(out, 1).end(out)), [1, 4, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn lengths_of_pairs() {
    let start = |name: usize, value: usize| written(|out| push_pair_lengths(out, name, value));
    assert_eq!(start(0, 127), [0, 127]);
    assert_eq!(start(128, 1), [0x80, 0, 0, 128, 1]);
    assert_eq!(start(1, 0x1234), [1, 0x80, 0, 0x12, 0x34]);
    assert_eq!(start(1, 0x7fff_ffff), [1, 0xff, 0xff, 0xff, 0xff]);
    let mut room = [0; 16];
    let mut out = Writer::new(&mut room);
    push_pair_lengths(&mut out, 1, 0x8000_0000);
    assert!(out.overflowed());
}

#[test]
fn request_fields_as_pairs() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: 1\r\nx-y: 2\r\n\r\n";
    let mut head = Head::new();
    parse_head(text, &mut head).unwrap();
    let pairs = written(|out| variables(&head, text, false).for_each(|variable| push_variable(out, &variable)));
    assert_eq!(pairs, b"\x09\x01HTTP_HOSTa\x08\x04HTTP_X_Y1, 2");
}

#[test]
fn what_does_not_fit_is_told() {
    let fill = |room: &mut [u8], value: usize| {
        let mut out = Writer::new(room);
        push_begin(&mut out, 1, true);
        let params = Params::begin(&mut out, 1);
        push_pair(&mut out, b"NAME", &vec![b'x'; value]);
        params.end(&mut out);
        !out.overflowed()
    };
    let whole = 16 + 8 + 2 + 4 + 100 + 8;
    assert!(fill(&mut vec![0; whole], 100));
    for len in 0..whole {
        assert!(!fill(&mut vec![0; len], 100), "{len}");
    }
    // A record holds 65,535 bytes.
    let mut room = vec![0; 70_000];
    assert!(fill(&mut room, 65_535 - 9));
    assert!(!fill(&mut room, 65_535 - 8));
}

/// The streams of an answer given in two pieces cut at `cut`, and how many bytes it took, application and protocol status.
type Got = (Vec<u8>, Vec<u8>, Option<(usize, u32, ProtocolStatus)>);

fn decode(input: &[u8], cut: usize) -> Result<Got, RecordError> {
    let mut decoder = Decoder::new(1);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut from = 0;
    for have in [cut, input.len()] {
        loop {
            match decoder.next(&input[from..have])? {
                Piece::More { framing } => {
                    from += framing;
                    assert_eq!(from, have);
                    break;
                }
                Piece::Stdout { framing, len } => {
                    out.extend_from_slice(&input[from + framing..][..len]);
                    from += framing + len;
                    decoder.took(len);
                }
                Piece::Stderr { framing, len } => {
                    err.extend_from_slice(&input[from + framing..][..len]);
                    from += framing + len;
                    decoder.took(len);
                }
                Piece::End { framing, app_status, protocol_status } => {
                    assert!(decoder.is_over());
                    return Ok((out, err, Some((from + framing, app_status, protocol_status))));
                }
            }
        }
    }
    Ok((out, err, None))
}

#[test]
fn answers_at_every_split() {
    let answer = [
        record(6, 1, b"Status: 200\r\n", 0),
        record(7, 1, b"warning", 5),
        record(10, 0, b"\x01\x01ab", 1),
        record(6, 1, b"\r\nhello", 255),
        record(6, 1, b"", 0),
        record(7, 1, b"", 8),
        record(99, 7, b"unknown", 2),
        end(0x0102_0304, 0),
    ]
    .concat();
    let mut input = answer.clone();
    input.extend_from_slice(b"more");
    let whole = (
        b"Status: 200\r\n\r\nhello".to_vec(),
        b"warning".to_vec(),
        Some((answer.len(), 0x0102_0304, ProtocolStatus::Complete)),
    );
    for cut in 0..=answer.len() {
        assert_eq!(decode(&input, cut), Ok(whole.clone()), "cut at {cut}");
        assert_eq!(decode(&answer[..cut], cut / 2).unwrap().2.is_some(), cut == answer.len());
    }
}

#[test]
fn ends() {
    for (number, status) in [
        (0, ProtocolStatus::Complete),
        (1, ProtocolStatus::CantMultiplex),
        (2, ProtocolStatus::Overloaded),
        (3, ProtocolStatus::UnknownRole),
    ] {
        assert_eq!(decode(&end(7, number), 0).unwrap().2, Some((19, 7, status)));
    }
    assert_eq!(decode(&end(0, 4), 0), Err(RecordError::End));
}

#[test]
fn broken_records() {
    for (input, error) in [
        (b"HTTP/1.1 200 OK\r\n".to_vec(), RecordError::Version),
        (vec![0, 6, 0, 1, 0, 0, 0, 0], RecordError::Version),
        (vec![2, 6, 0, 1, 0, 0, 0, 0], RecordError::Version),
        (record(6, 2, b"", 0), RecordError::Request),
        (record(6, 0, b"", 0), RecordError::Request),
        (record(7, 0x0101, b"x", 0), RecordError::Request),
        (record(3, 2, &[0; 8], 0), RecordError::Request),
        (record(3, 1, &[0; 7], 0), RecordError::End),
        (record(3, 1, &[0; 9], 0), RecordError::End),
        (record(3, 1, &[], 0), RecordError::End),
        (record(0, 0, b"", 0), RecordError::Kind),
        (record(1, 1, &[0; 8], 0), RecordError::Kind),
        (record(2, 1, b"", 0), RecordError::Kind),
        (record(4, 1, b"", 0), RecordError::Kind),
        (record(5, 1, b"", 0), RecordError::Kind),
        (record(8, 1, b"", 0), RecordError::Kind),
        (record(9, 0, b"", 0), RecordError::Kind),
    ] {
        let input = [record(6, 1, b"x", 1), input].concat();
        for cut in 0..=input.len() {
            assert_eq!(decode(&input, cut), Err(error), "cut at {cut}");
        }
        assert!(error.to_string().len() > 10);
    }
}

#[test]
fn an_error_leaves_the_state_alone() {
    let mut decoder = Decoder::new(1);
    assert!(decoder.is_untouched());
    assert_eq!(decoder.next(b"\x01\x06\0"), Ok(Piece::More { framing: 3 }));
    assert!(!decoder.is_untouched());
    let before = decoder;
    assert_eq!(decoder.next(b"\x02\0\0\0\0"), Err(RecordError::Request));
    assert_eq!(decoder, before);
}

#[test]
fn content_is_counted_only_as_it_is_used() {
    let mut decoder = Decoder::new(1);
    decoder.took(5);
    assert!(decoder.is_untouched());
    let input = record(6, 1, b"hello", 2);
    assert_eq!(decoder.next(&input[..11]), Ok(Piece::Stdout { framing: 8, len: 3 }));
    assert_eq!(decoder.next(&input[8..]), Ok(Piece::Stdout { framing: 0, len: 5 }));
    decoder.took(2);
    assert_eq!(decoder.next(b""), Ok(Piece::More { framing: 0 }));
    assert_eq!(decoder.next(&input[10..]), Ok(Piece::Stdout { framing: 0, len: 3 }));
    decoder.took(usize::MAX);
    assert_eq!(decoder.next(&input[13..]), Ok(Piece::More { framing: 2 }));
    // What is framing is not for the caller to use.
    assert_eq!(decoder.next(&end(0, 0)[..12]), Ok(Piece::More { framing: 12 }));
    let before = decoder;
    decoder.took(4);
    assert_eq!(decoder, before);
}

#[test]
fn a_backend_is_asked_for_its_limits() {
    let question = written(push_get_values);
    assert_eq!(question.len(), 56);
    assert_eq!(question, b"\x01\x09\0\0\0\x30\0\0\x0e\0FCGI_MAX_CONNS\x0d\0FCGI_MAX_REQS\x0f\0FCGI_MPXS_CONNS");
    let pairs = written(|out| {
        push_pair(out, b"FCGI_MPXS_CONNS", b"0");
        push_pair(out, &[b'x'; 130], b"y");
        push_pair(out, b"FCGI_MAX_CONNS", b"12");
        push_pair(out, b"FCGI_MAX_REQS", b"4294967295");
    });
    let answer = record(10, 0, &pairs, 3);
    let values = Values { max_connections: Some(12), max_requests: Some(u32::MAX), multiplexes: Some(false) };
    for cut in 0..answer.len() {
        assert_eq!(parse_values(&answer[..cut]), Ok(None));
    }
    assert_eq!(parse_values(&[answer.clone(), vec![1]].concat()), Ok(Some((answer.len(), values))));
    // No answer is none too.
    assert_eq!(parse_values(&record(10, 0, b"", 0)), Ok(Some((8, Values::default()))));
    assert_eq!(parse_values(&record(11, 0, &[9, 0, 0, 0, 0, 0, 0, 0], 0)), Ok(Some((16, Values::default()))));
    let odd = written(|out| {
        push_pair(out, b"FCGI_MAX_CONNS", b"4294967296");
        push_pair(out, b"FCGI_MAX_REQS", b"-1");
        push_pair(out, b"FCGI_MPXS_CONNS", b"yes");
    });
    assert_eq!(parse_values(&record(10, 0, &odd, 0)).unwrap().unwrap().1, Values::default());
}

#[test]
fn broken_answers_about_limits() {
    for (input, error) in [
        (b"HTTP".to_vec(), RecordError::Version),
        (vec![2, 10, 0, 0, 0, 0, 0, 0], RecordError::Version),
        (record(10, 1, b"", 0), RecordError::Request),
        (record(6, 0, b"", 0), RecordError::Kind),
        (record(10, 0, b"\x01", 0), RecordError::Values),
        (record(10, 0, b"\x02\x02abc", 0), RecordError::Values),
        (record(10, 0, b"\xff\xff\xff\xff\x01ab", 0), RecordError::Values),
        (record(10, 0, b"\x80\0\0", 0), RecordError::Values),
        (record(10, 0, &[0; FASTCGI_VALUES_MAX - 7], 0), RecordError::Values),
    ] {
        assert_eq!(parse_values(&input), Err(error), "{input:?}");
    }
    // An overlong one is refused by its header.
    assert_eq!(parse_values(&record(10, 0, &[0; 600], 0)[..8]), Err(RecordError::Values));
    assert!(parse_values(&record(10, 0, &[0; FASTCGI_VALUES_MAX - 8], 0)).is_ok());
}

proptest! {
    #[test]
    fn any_answer_about_limits_is_survived(input in prop::collection::vec(any::<u8>(), 0..60), content in prop::collection::vec(0u8..20, 0..40)) {
        let _ = parse_values(&input);
        let _ = parse_values(&record(10, 0, &content, 0));
        let _ = parse_values(&record(10, 0, &input, 1));
    }
}
