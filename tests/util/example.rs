//! The examples of the documents: what stands in one is run as it stands.

use std::fs;
use std::path::Path;

/// The text of an example of a page below docs/: what stands between "```monkey example=NAME" and "```".
#[track_caller]
pub fn example(page: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let fence = format!("```monkey example={name}\n");
    let (_, rest) = text.split_once(&fence).unwrap_or_else(|| panic!("{page} has no example {name}"));
    let (example, _) = rest.split_once("```").expect("its end");
    example.into()
}
