//! Bytes to values and back: the grammar of HTTP/1.1, of what programs and servers behind this one speak, and of the patterns in the
//! configuration.
//!
//! Nothing here does I/O, reads a clock, allocates while a request is served, or panics on any input. Values are
//! [`span::Span`]s into the buffer that was parsed, not copies. Each grammar rule is one `parse_*` function with the RFC
//! section above it.

pub mod accept;
pub mod base64;
pub mod basic;
pub mod cgi;
pub mod cgi_env;
pub mod chars;
pub mod chunked;
pub mod date;
pub mod etag;
pub mod fastcgi;
pub mod fields;
pub mod forwarded;
pub mod head;
pub mod host;
#[cfg(feature = "test-switches")]
pub mod json;
pub mod list;
pub mod palm;
pub mod pattern;
pub mod range;
pub mod response;
pub mod sha1;
pub mod span;
pub mod target;
pub mod writer;

#[cfg(test)]
mod tests;
