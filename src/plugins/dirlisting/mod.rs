//! dirlisting: the page of a directory that has no index file, and the same as JSON.
//!
//! A handler for directories: `Match /.* dirlisting` in `[HANDLERS]`, or `Enabled On` in plugins/dirlisting/dirhtml.conf.
//!
//! Memory does not depend on how large a directory is. A worker has room for about a hundred entries. It reads the directory and keeps
//! the first of them in order; when these are written it reads again for those that follow, which are all that come behind the
//! last one. So a listing remembers one entry and the open directory. Above `SortLimit` entries it is the place in the directory
//! that is remembered, and they come as they stand there. What was put into the directory or taken out of it meanwhile is in the
//! listing or not; a directory that is removed has no further entries.

#[cfg(feature = "test-switches")]
pub mod fuzz;
mod listing;
mod order;
mod page;
mod source;
mod text;

use std::io;
use std::os::fd::AsFd;

use crate::config::Config;
use crate::limits::LISTINGS_MAX;
use crate::plugin::handler::{Asked, Call, Handler, Handling, Produced};
use crate::plugin::hooks::Needs;
use crate::plugin::scene::Scene;
use crate::plugins::dirlisting::listing::{Listing, Progress, SCRATCH};
use crate::plugins::dirlisting::order::{Order, Records};
use crate::sys::Errno;
use crate::sys::directory::open_to_read;
use crate::sys::memory::Region;
use crate::vhost::live::Live;
use crate::vhost::request::Request;

/// What a worker lists directories with.
struct Tools {
    scratch: Region,
    records: Records,
    number: u32,
}

/// All that a worker has.
struct Inside {
    tools: Tools,
    listings: Vec<Option<Listing>>,
}

/// The handler. It has nothing unless the configuration asks for listings.
pub struct Dirlisting(Option<Box<Inside>>);

/// The place of a listing under way.
#[derive(PartialEq, Eq, Debug)]
pub struct Place(u8);

const _: () = assert!(LISTINGS_MAX <= 256, "places are bytes");

/// Whether the configuration asks for listings anywhere.
#[inline(never)]
fn is_asked_for(config: &Config) -> bool {
    for site in &config.sites {
        for line in &site.handlers {
            if line.plugin == Dirlisting::NAME {
                return true;
            }
        }
    }
    config.plugins.dirlisting.enabled
}

/// The answer to a directory that can not be read.
fn refusal(errno: Errno) -> u16 {
    match errno {
        Errno::NOENT => 404,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => 503,
        _ => 403,
    }
}

impl Handler for Dirlisting {
    const NAME: &'static str = "dirlisting";
    const ASKED: Asked = Asked::ForDirectories;
    type Task = Place;

    fn is_on(live: &Live) -> bool {
        live.config().plugins.dirlisting.enabled
    }

    fn needs(config: &Config, _: usize) -> Needs {
        if !is_asked_for(config) {
            return Needs::default();
        }
        let worker = SCRATCH + Records::BYTES + LISTINGS_MAX * size_of::<Option<Listing>>();
        Needs { worker, worker_files: LISTINGS_MAX, ..Needs::default() }
    }

    fn new(live: &Live) -> io::Result<Dirlisting> {
        if !is_asked_for(live.config()) {
            return Ok(Dirlisting(None));
        }
        let tools = Tools { scratch: Region::new(SCRATCH)?, records: Records::new(), number: 0 };
        Ok(Dirlisting(Some(Box::new(Inside { tools, listings: Vec::with_capacity(LISTINGS_MAX) }))))
    }

    fn handle(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, call: Call<'_>) -> Handling<Place> {
        let (Some(inside), Some(directory)) = (&mut self.0, call.directory) else { return Handling::NotMe };
        let Inside { tools, listings } = &mut **inside;
        let directory = match open_to_read(directory.as_fd()) {
            Ok(directory) => directory,
            Err(errno) => return Handling::Refuse(refusal(errno)),
        };
        let place = listings.iter().position(Option::is_none).unwrap_or(listings.len());
        let buffer = match request.is_head() {
            true => None,
            false if place < LISTINGS_MAX => scene.pool.take(request.path.len()),
            false => None,
        };
        if buffer.is_none() && !request.is_head() {
            return Handling::Refuse(503);
        }
        let (stream, json) = scene.begin_negotiated(request, b"no-cache", b"text/html; charset=utf-8");
        let Some(buffer) = buffer else { return Handling::Answered };
        if let Some(room) = scene.pool.get_mut(&buffer).get_mut(..request.path.len()) {
            room.copy_from_slice(request.path);
        }
        tools.number = tools.number.wrapping_add(1);
        let order = Order::of_query(request.query.unwrap_or_default());
        let progress = Progress::new(tools.number, order, json);
        let (path_len, site) = (request.path.len() as u16, request.site);
        let listing = Listing { directory, buffer, path_len, site, stream, progress };
        if place == listings.len() {
            // Within what was taken at the start: this does not allocate.
            listings.push(None);
        }
        if let Some(free) = listings.get_mut(place) {
            *free = Some(listing);
        }
        Handling::Begun(Place(place as u8))
    }

    fn produce(&mut self, place: &mut Place, scene: &mut Scene<'_>, _: Option<&Request<'_>>) -> Produced {
        let Some(Inside { tools, listings }) = self.0.as_deref_mut() else { return Produced::Broken };
        match listings.get_mut(usize::from(place.0)) {
            Some(Some(listing)) => listing.produce(tools, scene),
            _ => Produced::Broken,
        }
    }

    fn release(&mut self, place: Place, scene: &mut Scene<'_>) {
        let listings = self.0.as_mut().and_then(|inside| inside.listings.get_mut(usize::from(place.0)));
        if let Some(listing) = listings.and_then(Option::take) {
            scene.pool.give(listing.buffer);
        }
    }
}
