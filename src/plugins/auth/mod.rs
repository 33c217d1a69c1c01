//! auth: HTTP Basic (RFC 7617), for the paths that `[AUTH]` sections of a site name.
//!
//! Stage 20: a request for such a path passes when its credentials are those of a user of the section's file; otherwise it is answered
//! 401. A wrong password is answered late, which slows guessing down and nobody else. docs/plugins/AUTH.md says it for operators.

#[cfg(feature = "auth-bcrypt")]
mod bcrypt;
#[cfg(feature = "test-switches")]
pub mod fuzz;
pub mod passwd;
mod store;
mod users;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Config;
use crate::config::plugins::auth::Protection;
use crate::config::plugins::handlers::is_below;
use crate::http::output::Sink;
#[cfg(feature = "auth-bcrypt")]
use crate::plugin::events::{Happened, Watch, Watches};
use crate::plugin::hooks::{Needs, Plugin, Verdict, Worker};
#[cfg(feature = "auth-bcrypt")]
use crate::plugin::host::Host;
use crate::plugin::scene::{RefusalFields, Scene};
use crate::sys::socket::Peer;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::sha1::sha1;
use crate::wire::{base64, basic};
use store::{Source, Users, files, sources};
use users::{Secret, find, same};

/// The field that credentials come in.
const AUTHORIZATION: &[u8] = b"authorization";

/// What all threads have in common.
struct Shared {
    /// The users files of the configuration in force. Locked at start and by a reload alone.
    sources: Mutex<Vec<Arc<Source>>>,
    #[cfg(feature = "auth-bcrypt")]
    verifier: bcrypt::Verifier,
}

impl Shared {
    #[inline(never)]
    fn sources(&self) -> MutexGuard<'_, Vec<Arc<Source>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The plugin in the process.
pub struct Auth {
    shared: Arc<Shared>,
    workers: usize,
    /// The bytes of memory that were set aside for it.
    budget: usize,
}

/// The bytes that it takes under a configuration.
#[inline(never)]
fn bytes(config: &Config, workers: usize) -> usize {
    let needs = Auth::needs(config, workers);
    needs.worker.saturating_mul(workers).saturating_add(needs.process)
}

impl Plugin for Auth {
    const NAME: &'static str = "auth";
    const STAGES: &'static [u8] = &[20];
    type Worker = Gate;

    fn needs(config: &Config, _: usize) -> Needs {
        let files = files(config);
        if files.is_empty() {
            return Needs::default();
        }
        let mut needs = Needs { worker_files: 1, process_files: files.len(), ..Needs::default() };
        for file in files {
            needs.worker = needs.worker.saturating_add(file.room);
        }
        #[cfg(feature = "auth-bcrypt")]
        {
            needs = needs.and(Needs { process: bcrypt::BYTES, process_files: 1, ..Needs::default() });
        }
        needs
    }

    fn start(config: &Config, workers: usize) -> io::Result<Auth> {
        Ok(Auth {
            workers,
            budget: bytes(config, workers),
            shared: Arc::new(Shared {
                sources: Mutex::new(sources(config, &[], false)),
                #[cfg(feature = "auth-bcrypt")]
                verifier: bcrypt::Verifier::new()?,
            }),
        })
    }

    #[cfg(feature = "auth-bcrypt")]
    fn run(&mut self, _: &Arc<dyn Host>, watches: &mut Watches) -> io::Result<()> {
        // Most servers never need it.
        if let Err(error) = watches.add(self.shared.verifier.wanted(), Watch::Read, 0, 0) {
            crate::log::warn!("auth: nobody can log in by bcrypt: {error}");
        }
        Ok(())
    }

    #[cfg(feature = "auth-bcrypt")]
    fn event(&mut self, _: u32, _: Happened, host: &Arc<dyn Host>, _: &mut Watches) {
        let shared = Arc::clone(&self.shared);
        let host = Arc::clone(host);
        if self.shared.verifier.may_start()
            && let Err(error) = bcrypt::start(Box::new(move || shared.verifier.work(&*host)))
        {
            self.shared.verifier.did_not_start();
            crate::log::error!("auth: no thread for bcrypt: {error}: who needs it is answered 503");
        }
    }

    #[cfg(feature = "auth-bcrypt")]
    fn stop(&mut self) {
        self.shared.verifier.end();
    }

    fn worker(&self, number: usize) -> io::Result<Gate> {
        let mut gate = Gate { number, files: Vec::new(), shared: Arc::clone(&self.shared) };
        gate.read()?;
        Ok(gate)
    }

    fn reconfigure(&mut self, live: &Live) -> io::Result<()> {
        let more = bytes(live.config(), self.workers).saturating_sub(self.budget) / 1024;
        if more > 0 {
            crate::log::warn!("auth: {more} KB more than MemoryLimit was divided for: restart to have it divided anew");
        }
        let mut known = self.shared.sources();
        *known = sources(live.config(), &known, true);
        Ok(())
    }
}

/// The plugin in a worker.
pub struct Gate {
    #[cfg_attr(not(feature = "auth-bcrypt"), allow(dead_code))] // Whom to wake, which bcrypt alone asks.
    number: usize,
    #[allow(clippy::vec_box)] // They are moved at a reload: a pointer each takes less code.
    files: Vec<Box<Users>>,
    shared: Arc<Shared>,
}

/// What became of a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Right,
    Wrong,
    /// It is being verified: the worker is woken when that is done.
    #[cfg(feature = "auth-bcrypt")]
    NotYet,
    /// Too many are.
    #[cfg(feature = "auth-bcrypt")]
    Full,
}

impl Gate {
    /// Reads the files of the configuration in force that it does not have. Allocates.
    fn read(&mut self) -> io::Result<()> {
        let mut old = std::mem::take(&mut self.files);
        for source in self.shared.sources().iter() {
            let users = match old.iter().position(|users| users.is_of(source)) {
                Some(known) => old.swap_remove(known),
                None => Users::new(source)?,
            };
            #[cfg(feature = "auth-bcrypt")]
            if users.needs_bcrypt() {
                self.shared.verifier.want();
            }
            self.files.push(users);
        }
        Ok(())
    }

    /// Whether the password of a user in a file is this one. Whoever is not in it, or can not log in, costs the same time.
    fn verify(&mut self, scene: &Scene<'_>, path: &Path, user: &[u8], password: &[u8]) -> Outcome {
        let now = scene.clock.now();
        let text = self.files.iter_mut().find(|users| users.is_at(path)).and_then(|users| users.text(now));
        let text = text.unwrap_or_default();
        let found = find(text, user);
        let digest = match found {
            Some(Secret::Sha(digest)) => digest,
            _ => b"",
        };
        if same(digest, base64::encode(&sha1(&[password]), &mut [0; 28])) {
            return Outcome::Right;
        }
        #[cfg(feature = "auth-bcrypt")]
        {
            // Who is known by SHA-1 would be told from who is not known, if only the latter took so long.
            let (hash, is_its) = match found {
                Some(Secret::Bcrypt(hash)) => (Some(hash), true),
                _ => (bcrypt::stand_in(text), false),
            };
            if let Some(hash) = hash {
                return match self.shared.verifier.ask(self.number, now, user, password, hash, scene.host) {
                    Outcome::Right if !is_its => Outcome::Wrong,
                    outcome => outcome,
                };
            }
        }
        Outcome::Wrong
    }
}

impl Worker for Gate {
    fn request(
        &mut self,
        scene: &mut Scene<'_>,
        request: &Request<'_>,
        _: &Peer,
        fields: &mut RefusalFields,
    ) -> Verdict {
        let Some(site) = scene.live.site(request.site) else { return Verdict::Continue };
        let mut longest: Option<&Protection> = None;
        for rule in &site.plugins.auth {
            if is_below(request.path, rule.location.as_bytes())
                && longest.is_none_or(|other| other.location.len() < rule.location.len())
            {
                longest = Some(rule);
            }
        }
        let Some(rule) = longest else { return Verdict::Continue };
        let mut values = request.fields(AUTHORIZATION);
        let mut room = [0; basic::ROOM];
        let given = values.next().and_then(|value| basic::parse(value, &mut room));
        if values.next().is_some() {
            // Which one counts would be a guess, and somebody before us may have guessed otherwise.
            return Verdict::Refuse(400);
        }
        let verdict = match given {
            None => Verdict::Refuse(401),
            Some((user, password)) => match self.verify(scene, &rule.users, user, password) {
                Outcome::Right => return Verdict::Continue,
                Outcome::Wrong => Verdict::RefuseLate(401),
                #[cfg(feature = "auth-bcrypt")]
                Outcome::NotYet => return Verdict::Later,
                #[cfg(feature = "auth-bcrypt")]
                Outcome::Full => return Verdict::Refuse(503),
            },
        };
        fields.push(rule.challenge.as_bytes());
        verdict
    }

    fn reconfigure(&mut self, _: &Live) {
        if let Err(error) = self.read() {
            crate::log::error!("auth: no memory for a users file: {error}: nobody gets in by it");
        }
    }
}
