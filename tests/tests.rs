//! The integration tests: one binary, one module a subject.

/// The committed fuzz inputs, replayed without a fuzzer.
mod fuzz_corpus;
