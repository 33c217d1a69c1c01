//! Every compile-time capacity of the server, each with what happens when it is full.

/// Longest request line accepted, bytes. A longer one is answered 414 and closed.
pub const REQUEST_LINE_MAX: usize = 8 * 1024;

/// Longest request head accepted, bytes. A longer one is answered 431 and closed.
pub const HEAD_MAX: usize = 16 * 1024;

/// Most header fields in one request. More are answered 431 and closed.
pub const FIELDS_MAX: usize = 64;

/// Most ranges honoured in one `Range` field. A field with more is ignored: the whole file is sent (RFC 9110 section 14.2).
pub const RANGES_MAX: usize = 16;

/// Longest message to stderr or to the system log, bytes, line end and prefix included. A longer one is cut and ends in
/// `...`. Well under PIPE_BUF, so that lines of several threads never mix on a pipe.
pub const LOG_LINE_MAX: usize = 1024;
