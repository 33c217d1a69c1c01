//! Tests too long to stand beside the code they test.

mod chunked;
mod head;
mod head_any;
mod pattern;
mod range;
mod target;
