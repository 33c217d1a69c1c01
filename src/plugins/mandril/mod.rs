//! mandril: rules about who may ask for what, and how often.
//!
//! The server's rules are in `plugins/mandril/mandril.conf`, a site's in its `[MANDRIL]`. The lines of a list are tried in order and the
//! first that matches decides; where none does, the request is let through. It has to pass both lists, the server's first. As
//! long as the lines of the server's list are about addresses alone they are judged when somebody connects (stage 10), and who is
//! denied finds the connection closed. Everything else is judged when a request is understood and before its body is read (stage 20),
//! and answered 403. `[RATE]` comes after the rules: what they refuse is not counted.

#[cfg(feature = "test-switches")]
pub mod fuzz;
mod rate;
mod rules;

use std::io;
use std::sync::Arc;

use crate::config::Config;
use crate::config::plugins::mandril::places;
use crate::http::output::Sink;
use crate::plugin::hooks::{Needs, Plugin, Verdict, Worker};
use crate::plugin::scene::{RefusalFields, Scene};
use crate::plugins::mandril::rate::Rates;
use crate::plugins::mandril::rules::{Asker, judge, judge_address};
use crate::sys::socket::Peer;
use crate::vhost::live::Live;
use crate::vhost::request::Request;

/// The plugin in the process.
pub struct Mandril {
    /// How often clients have asked; None = no site wants to know.
    rates: Option<Arc<Rates>>,
    /// How many clients it has room for.
    places: usize,
}

/// The plugin in a worker.
pub struct Guard {
    rates: Option<Arc<Rates>>,
}

/// How many clients are to be counted under a configuration.
#[inline(never)]
fn places_of(config: &Config) -> usize {
    places(&config.plugins.mandril, config.sites.iter().map(|site| &site.plugins.mandril))
}

impl Plugin for Mandril {
    const NAME: &'static str = "mandril";
    const STAGES: &'static [u8] = &[10, 20];
    type Worker = Guard;

    fn needs(config: &Config, _: usize) -> Needs {
        Needs { process: places_of(config) * size_of::<u64>(), ..Needs::default() }
    }

    fn start(config: &Config, _: usize) -> io::Result<Mandril> {
        let places = places_of(config);
        let rates = if places > 0 { Some(Arc::new(Rates::new(places)?)) } else { None };
        Ok(Mandril { rates, places })
    }

    fn worker(&self, _: usize) -> io::Result<Guard> {
        Ok(Guard { rates: self.rates.clone() })
    }

    fn needs_restart(&self, config: &Config) -> Option<&'static str> {
        let places = places_of(config);
        (places > 0 && places != self.places).then_some("[RATE]")
    }

    fn accept(live: &Live, peer: &Peer) -> Verdict {
        match judge_address(&live.config().plugins.mandril.rules, peer.bits()) {
            true => Verdict::Continue,
            false => Verdict::Close,
        }
    }
}

impl Worker for Guard {
    fn request(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        peer: &Peer,
        fields: &mut RefusalFields,
    ) -> Verdict {
        let Some(site) = scene.live.site(request.site) else { return Verdict::Continue };
        let site = &site.plugins.mandril;
        let asker = Asker { address: peer.bits(), request };
        if !judge(&scene.live.config().plugins.mandril.rules, &asker) || !judge(&site.rules, &asker) {
            return Verdict::Refuse(403);
        }
        let (Some(rate), Some(rates)) = (&site.rate, &self.rates) else { return Verdict::Continue };
        if scene.again {
            return Verdict::Continue;
        }
        match rates.ask(peer.network(), request.site, scene.clock.now(), rate) {
            Ok(()) => Verdict::Continue,
            Err(seconds) => {
                fields.push(b"Retry-After: ");
                fields.push_decimal(seconds.into());
                fields.push(b"\r\n");
                Verdict::Refuse(429)
            }
        }
    }
}
