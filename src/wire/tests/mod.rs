//! Tests too long to stand beside the code they test.

mod behind_any;
mod cgi;
mod chunked;
mod fastcgi;
mod head;
mod head_any;
mod palm;
mod pattern;
mod range;
mod response;
mod target;
