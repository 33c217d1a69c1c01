//! The plugins, each in a folder and behind a cargo feature of its own.

#[cfg(feature = "plugin-liana")]
pub mod liana;
#[cfg(feature = "test-switches")]
pub mod trial;

use crate::http::output::Output;
use crate::plugin::receiver::{Receiver, Taken};
use crate::storage::pool::Pool;
use crate::vhost::request::Request;

#[cfg(not(feature = "plugin-liana"))]
compile_error!("a server needs a transport: build with the feature plugin-liana");

/// The transport of this build.
#[cfg(all(feature = "plugin-liana", not(feature = "test-switches")))]
pub type DefaultTransport = liana::Liana;
/// The transport of a build for tests.
#[cfg(all(feature = "plugin-liana", feature = "test-switches"))]
pub type DefaultTransport = trial::transport::Chosen<liana::Liana>;

/// A request's body on its way to the handler that takes it.
#[derive(Debug)]
pub enum Receiving {
    /// The handler of test builds.
    #[cfg(feature = "test-switches")]
    Probe(trial::probe::Probe),
}

/// The handler that takes the body of a request. None = nobody does: the static files read none.
pub fn receiver(request: &Request<'_>, pool: &mut Pool) -> Option<Receiving> {
    #[cfg(feature = "test-switches")]
    if let Some(probe) = trial::probe::Probe::begin(request, pool) {
        return Some(Receiving::Probe(probe));
    }
    let _ = (request, pool);
    None
}

impl Receiver for Receiving {
    fn take(&mut self, data: &[u8], out: &mut Output, pool: &mut Pool) -> Taken {
        let _ = (data, &out, &pool);
        match *self {
            #[cfg(feature = "test-switches")]
            Receiving::Probe(ref mut probe) => probe.take(data, out, pool),
        }
    }

    fn finish(&mut self, out: &mut Output, pool: &mut Pool) {
        let _ = (&out, &pool);
        match *self {
            #[cfg(feature = "test-switches")]
            Receiving::Probe(ref mut probe) => probe.finish(out, pool),
        }
    }

    fn has_answered(&self) -> bool {
        match *self {
            #[cfg(feature = "test-switches")]
            Receiving::Probe(ref probe) => probe.has_answered(),
        }
    }

    fn release(self, pool: &mut Pool) {
        let _ = &pool;
        match self {
            #[cfg(feature = "test-switches")]
            Receiving::Probe(probe) => probe.release(pool),
        }
    }
}
