//! A handler that takes the body of a request, as a stream: nothing of it is ever kept as a whole.

use crate::http::output::Output;
use crate::storage::pool::Pool;

/// What became of a piece of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// So many bytes of it were used. The others come again, once the client has taken what was written: that is how a
    /// handler holds a client back. Until then nothing more is read from it.
    Bytes(usize),
    /// The final answer is written and the rest of the body is of no use. The connection ends after it.
    Enough,
}

/// Takes the body of one request. It lives in the connection's slot: what it needs beyond a few bytes it borrows from the pool.
pub trait Receiver {
    /// Takes what it can of `data`, the next bytes of the body; writes to `out` what there is to say. At least
    /// [`limits::ANSWER_HEAD_MAX`](crate::limits::ANSWER_HEAD_MAX) bytes of `out` are free.
    fn take(&mut self, data: &[u8], out: &mut Output, pool: &mut Pool) -> Taken;

    /// The body is complete: writes the answer, or the end of it.
    fn finish(&mut self, out: &mut Output, pool: &mut Pool);

    /// Whether anything of a final answer was written: then no other can be given.
    fn has_answered(&self) -> bool;

    /// Gives back what was borrowed; called once, whatever became of the request.
    fn release(self, pool: &mut Pool);
}
