//! Any bytes and any lines: told or taken, never a fault.

use proptest::prelude::*;

use crate::config::fuzz;
use crate::config::table::File;

/// Lines that come near to being right more often than random bytes do.
fn line() -> impl Strategy<Value = String> {
    let head =
        prop_oneof![Just("  "), Just("\t"), Just(""), Just("[HOST]\n  "), Just("[SERVER]\n  "), Just("@INCLUDE ")];
    let names = File::Server.sections().iter().chain(File::Site.sections()).chain(File::Mime.sections());
    let keys: Vec<&'static str> = names.flat_map(|section| section.keys).map(|key| key.name).collect();
    (head, proptest::sample::select(keys), "[ \\t]{0,2}", "\\PC{0,20}|[/:@\\[\\]0-9 .]{0,12}")
        .prop_map(|(head, key, blank, value)| format!("{head}{key}{blank}{value}\n"))
}

proptest! {
    #[test]
    fn no_bytes_do_harm(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz(&data);
    }

    #[test]
    fn no_lines_do_harm(lines in proptest::collection::vec(line(), 0..20)) {
        fuzz(lines.concat().as_bytes());
    }
}
