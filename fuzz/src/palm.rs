//! The server's side of Palm. The input is a byte that says how the rest is split, then what a client sends.

use monkey::wire::palm::{PalmError, PalmRequest, Reader, push_end, push_path, push_variable};
use monkey::wire::writer::Writer;

use super::palm_reference::{Outcome, Request, read};
use super::split::Split;

/// Reads a request in one piece and in several, compares both with a reader that has the whole input, and writes it again.
pub fn run(data: &[u8]) {
    let Some((&seed, input)) = data.split_first() else {
        return;
    };
    let expected = read(input);
    for mut split in [Split::new(seed), Split::whole()] {
        match (feed(input, &mut split), &expected) {
            (Ok(Some(request)), Outcome::Request(wanted)) => {
                let got = describe(&request, input);
                assert_eq!(got, *wanted);
                write_again(&got);
            }
            (Ok(None), Outcome::Unfinished) | (Err(_), Outcome::Refused) => {}
            (got, expected) => panic!("{got:?}, and the reference says {expected:?}"),
        }
    }
}

fn feed(input: &[u8], split: &mut Split) -> Result<Option<PalmRequest>, PalmError> {
    let mut reader = Reader::new();
    let mut have = 0;
    loop {
        have = input.len().min(split.next().saturating_add(have));
        match reader.next(&input[..have])? {
            None if have < input.len() => {}
            result => return Ok(result),
        }
    }
}

fn describe(request: &PalmRequest, buf: &[u8]) -> Request {
    Request {
        path: request.path.of(buf).to_vec(),
        variables: request.variables(buf).map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        length: request.length,
        end: request.end,
    }
}

/// What the client's side makes of a request means the same to the server's side.
fn write_again(request: &Request) {
    let mut room = vec![0; 128 * 1024];
    let mut out = Writer::new(&mut room);
    push_path(&mut out, &request.path).expect("a path that was read can be sent");
    for (name, value) in &request.variables {
        push_variable(&mut out, name, value).expect("a variable that was read can be sent");
    }
    push_end(&mut out);
    assert!(!out.overflowed());
    match read(out.bytes()) {
        // A variable that was sent before a path line, or the path twice, makes it longer.
        Outcome::Refused => assert!(out.len() > 65535),
        Outcome::Request(again) => {
            assert_eq!((&again.path, again.length), (&request.path, request.length));
            assert_eq!(again.variables, request.variables);
            // Without a body the request ends with the first of two empty lines.
            assert_eq!(again.end, out.len() - if again.length == 0 { 2 } else { 0 });
        }
        Outcome::Unfinished => panic!("what was written again is not whole"),
    }
}
