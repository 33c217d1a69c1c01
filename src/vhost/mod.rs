//! From a request to a place: Host to site, path to directory, and the table of open files a worker keeps.

pub mod entry;
pub mod live;
pub mod request;
pub mod roots;
pub mod table;
