//! The `monkey` program: a few lines over the library.

fn main() {}
