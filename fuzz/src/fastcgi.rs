//! FastCGI backends. The input is a byte that says how the rest is split, then what a backend sends over a connection.

use monkey::wire::fastcgi::{Decoder, Piece, ProtocolStatus, RecordError, parse_values};

use super::fastcgi_reference::{Outcome, decode};
use super::split::Split;

/// The number of the request under way.
const ID: u16 = 1;

/// Decodes an answer in one piece and in several, and compares both with a decoder that has the whole input.
pub fn run(data: &[u8]) {
    let Some((&seed, input)) = data.split_first() else {
        return;
    };
    let (out, err, outcome) = decode(input, ID);
    for mut split in [Split::new(seed), Split::whole()] {
        let mut got = Got::default();
        match (feed(input, &mut split, &mut got), &outcome) {
            (Ok(None), Outcome::Unfinished) | (Err(_), Outcome::Refused) => {}
            (Ok(Some((end, app, protocol))), Outcome::Whole(len, status, number)) => {
                let numbers = [
                    ProtocolStatus::Complete,
                    ProtocolStatus::CantMultiplex,
                    ProtocolStatus::Overloaded,
                    ProtocolStatus::UnknownRole,
                ];
                assert_eq!((end, app, Some(&protocol)), (*len, *status, numbers.get(usize::from(*number))));
            }
            (got, outcome) => panic!("{got:?}, and the reference says {outcome:?}"),
        }
        assert!(got.out == out && got.err == err);
    }
    values(input);
}

/// Content that came.
#[derive(Default)]
struct Got {
    out: Vec<u8>,
    err: Vec<u8>,
}

/// Where the answer ended and how, if it ended.
fn feed(input: &[u8], split: &mut Split, got: &mut Got) -> Result<Option<(usize, u32, ProtocolStatus)>, RecordError> {
    let mut decoder = Decoder::new(ID);
    assert!(decoder.is_untouched());
    let (mut from, mut have) = (0, 0);
    loop {
        have = input.len().min(split.next().saturating_add(have));
        loop {
            let before = decoder;
            let piece = decoder.next(&input[from..have]).inspect_err(|_| assert_eq!(decoder, before))?;
            assert_eq!(decoder.is_untouched(), have == 0);
            match piece {
                Piece::More { framing } => {
                    assert_eq!(from + framing, have);
                    from = have;
                    break;
                }
                Piece::Stdout { framing, len } | Piece::Stderr { framing, len } => {
                    from += framing;
                    assert!(len > 0 && len <= have - from);
                    let used = len.min(split.next());
                    let stream = if matches!(piece, Piece::Stdout { .. }) { &mut got.out } else { &mut got.err };
                    stream.extend_from_slice(&input[from..from + used]);
                    decoder.took(used);
                    from += used;
                }
                Piece::End { framing, app_status, protocol_status } => {
                    assert!(decoder.is_over());
                    let again = Piece::End { framing: 0, app_status, protocol_status };
                    assert_eq!(decoder.next(&input[from + framing..]), Ok(again));
                    return Ok(Some((from + framing, app_status, protocol_status)));
                }
            }
        }
        if have == input.len() {
            assert!(!decoder.is_over());
            return Ok(None);
        }
    }
}

/// The same bytes as an answer about the backend itself: each prefix of a good one asks for more.
fn values(input: &[u8]) {
    let Ok(Some((end, _))) = parse_values(input) else {
        return;
    };
    for cut in 0..end {
        assert_eq!(parse_values(&input[..cut]), Ok(None));
    }
    assert_eq!(parse_values(&input[..end]), parse_values(input));
}
