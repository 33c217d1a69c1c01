//! The answer of a program on its way to the client: either it is made one of HTTP, or it is one.

use super::raw::Raw;
use crate::plugin::backend::protocol::Answering;
use crate::plugin::backend::relay::Relay;
use crate::plugin::hooks::Answer;
use crate::storage::pool::Pool;

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// RFC 3875 section 6.
    Parsed(Relay),
    /// RFC 3875 section 5.
    Raw(Raw),
}

impl Default for Reply {
    fn default() -> Reply {
        Reply::Parsed(Relay::default())
    }
}

impl Answering for Reply {
    fn is_head(&self) -> bool {
        match self {
            Reply::Parsed(relay) => relay.is_head(),
            Reply::Raw(raw) => raw.is_head(),
        }
    }

    fn is_untouched(&self) -> bool {
        match self {
            Reply::Parsed(relay) => relay.is_untouched(),
            Reply::Raw(raw) => raw.is_untouched(),
        }
    }

    fn answer(&self) -> Answer {
        match self {
            Reply::Parsed(relay) => relay.answer(),
            Reply::Raw(raw) => raw.answer(),
        }
    }

    fn local<'p>(&self, pool: &'p Pool) -> &'p [u8] {
        match self {
            Reply::Parsed(relay) => relay.local(pool),
            Reply::Raw(_) => b"",
        }
    }

    fn release(self, pool: &mut Pool) {
        if let Reply::Parsed(relay) = self {
            relay.release(pool);
        }
    }
}
