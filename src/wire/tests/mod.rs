//! Tests too long to stand beside the code they test.

mod head;
mod pattern;
mod range;
mod target;
