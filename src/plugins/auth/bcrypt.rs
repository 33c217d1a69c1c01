//! bcrypt: passwords that take long to verify, so that a stolen users file is of little use. A thread of its own verifies them, one
//! after the other, and what it found is remembered for a while: each is verified once.
//!
//! What is remembered is a hash, with a secret of this process, of name, password and the line of the users file. So it is worth nothing
//! once that line has changed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::config::number;
use crate::limits::{BCRYPT_QUEUE, VERIFIED_MAX};
use crate::plugin::host::Host;
use crate::plugins::auth::Outcome;
use crate::plugins::auth::users::{Line, Secret, line, lines, same};
use crate::sys::clock::monotonic_ms;
use crate::sys::memory::secret;
use crate::sys::process::set_thread_name;
use crate::sys::thread::{self, Body};
use crate::sys::wake::Wake;
use crate::wire::sha1::sha1;

/// What all of it takes: the thread's stack and the tables.
pub const BYTES: usize = STACK + size_of::<Verifier>();

/// Bytes of the stack: bcrypt takes a tenth.
const STACK: usize = 64 * 1024;

/// How long a password that was right is remembered, milliseconds.
const RIGHT_MS: u32 = 5 * 60 * 1000;
/// How long one that was wrong is: long enough for those who wait for the answer.
const WRONG_MS: u32 = 10_000;

/// Bytes of a hash as it is written.
const HASH_LEN: usize = 60;
/// What bcrypt takes of a password, bytes, the zero at its end among them where there is room for it.
const KEY_MAX: usize = 72;
/// Bytes of a password that count.
pub const PASSWORD_MAX: usize = KEY_MAX;
/// Costs that are accepted: the logarithm of how often it is done over. At 14 a desktop takes a second.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;

/// The digits of its own base64.
const DIGITS: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The cost and the salt of a hash. None = it is none.
fn parse(hash: &[u8]) -> Option<(u32, [u8; 16])> {
    let (cost, rest) = hash.get(4..)?.split_at_checked(2)?;
    let cost = u32::try_from(number(std::str::from_utf8(cost).ok()?)?).ok()?;
    let digits = rest.strip_prefix(b"$")?;
    let value = |digit: &u8| DIGITS.iter().position(|known| known == digit);
    if hash.len() != HASH_LEN || !COSTS.contains(&cost) || !digits.iter().all(|digit| value(digit).is_some()) {
        return None;
    }
    let mut salt = [0; 16];
    let (mut bits, mut count, mut bytes) = (0u32, 0, salt.iter_mut());
    for digit in digits.iter().take(22) {
        bits = (bits << 6) | value(digit)? as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            *bytes.next()? = (bits >> count) as u8;
        }
    }
    Some((cost, salt))
}

/// Whether a hash can be verified against.
pub fn is_sound(hash: &[u8]) -> bool {
    parse(hash).is_some()
}

fn push_digits(bytes: &[u8], out: &mut impl FnMut(u8)) {
    let (mut bits, mut count) = (0u32, 0);
    for &byte in bytes {
        (bits, count) = ((bits << 8) | u32::from(byte), count + 8);
        while count >= 6 {
            count -= 6;
            out(DIGITS[((bits >> count) & 63) as usize]);
        }
    }
    if count > 0 {
        out(DIGITS[((bits << (6 - count)) & 63) as usize]);
    }
}

/// The hash of a password, of which [`PASSWORD_MAX`] bytes count.
pub fn hash(password: &[u8], cost: u32, salt: [u8; 16]) -> [u8; HASH_LEN] {
    let mut key = [0u8; KEY_MAX];
    let used = password.len().min(KEY_MAX);
    key.iter_mut().zip(password).for_each(|(to, from)| *to = *from);
    let key = key.get(..KEY_MAX.min(used + 1)).unwrap_or(&[0]);
    let digest = ::bcrypt::bcrypt(cost, salt, key);
    let mut text = *b"$2b$00$00000000000000000000000000000000000000000000000000000";
    (text[4], text[5]) = (b'0' + (cost / 10 % 10) as u8, b'0' + (cost % 10) as u8);
    let mut room = text.iter_mut().skip(7);
    let mut push = |digit| {
        if let Some(place) = room.next() {
            *place = digit;
        }
    };
    push_digits(&salt, &mut push);
    // The last of its 24 bytes is not written, as in every other implementation.
    push_digits(digest.get(..23).unwrap_or_default(), &mut push);
    text
}

/// Whether a password has this hash.
fn verify(password: &[u8], stored: &[u8]) -> bool {
    let Some((cost, salt)) = parse(stored) else { return false };
    let computed = hash(password, cost, salt);
    // The version may be 2a, 2b or 2y; what follows counts.
    same(stored.get(29..).unwrap_or_default(), computed.get(29..).unwrap_or_default())
}

/// What the password of somebody who is not in a file is compared with, so that it takes as long: the first bcrypt hash there.
pub fn stand_in(text: &[u8]) -> Option<&[u8]> {
    lines(text).find_map(|text| match line(text) {
        Line::User(_, Secret::Bcrypt(hash)) => Some(hash),
        _ => None,
    })
}

/// A password that waits to be verified.
#[derive(Clone, Copy)]
struct Job {
    /// 0 = the place is free.
    tag: u64,
    password: [u8; KEY_MAX],
    len: usize,
    hash: [u8; HASH_LEN],
    /// The workers that wait for it, a bit each.
    waiting: u128,
}

/// What became of one.
#[derive(Clone, Copy)]
struct Known {
    /// 0 = the place is free.
    tag: u64,
    right: bool,
    /// Milliseconds when it was found out.
    since: u32,
}

struct Tables {
    jobs: [Job; BCRYPT_QUEUE],
    known: [Known; VERIFIED_MAX],
    /// The job that is next, so that each has its turn.
    next: usize,
    ended: bool,
}

/// Verifies passwords, away from the loops of the workers.
pub struct Verifier {
    tables: Mutex<Tables>,
    more: Condvar,
    secret: [u8; 16],
    wanted: Wake,
    started: AtomicBool,
}

/// Starts the thread.
pub fn start(body: Body) -> io::Result<()> {
    // It ends with the process or when it is told to: nobody has to wait for it.
    thread::spawn(STACK, body).map(drop)
}

impl Verifier {
    /// Empty tables, and no thread.
    pub fn new() -> io::Result<Verifier> {
        let job = Job { tag: 0, password: [0; KEY_MAX], len: 0, hash: [0; HASH_LEN], waiting: 0 };
        Ok(Verifier {
            tables: Mutex::new(Tables {
                jobs: [job; BCRYPT_QUEUE],
                known: [Known { tag: 0, right: false, since: 0 }; VERIFIED_MAX],
                next: 0,
                ended: false,
            }),
            more: Condvar::new(),
            secret: secret(),
            wanted: Wake::new()?,
            started: AtomicBool::new(false),
        })
    }

    /// Readable once the thread is needed.
    pub fn wanted(&self) -> BorrowedFd<'_> {
        self.wanted.as_fd()
    }

    /// There is a user whose password needs the thread.
    pub fn want(&self) {
        if !self.started.load(Ordering::Relaxed) {
            self.wanted.wake();
        }
    }

    /// Whether the thread is to be started now, which is then taken to be done.
    pub fn may_start(&self) -> bool {
        self.wanted.clear() && !self.started.swap(true, Ordering::Relaxed)
    }

    /// It could not be.
    pub fn did_not_start(&self) {
        self.started.store(false, Ordering::Relaxed);
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.lock().ended = true;
        self.more.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a password, or else has it verified; `worker` is woken when that is done. Never waits: if another thread is at
    /// the tables just now, the worker comes back at its next turn.
    pub fn ask(&self, worker: usize, now: u32, user: &[u8], password: &[u8], hash: &[u8], host: &dyn Host) -> Outcome {
        // Of what follows the zero other implementations see nothing.
        let Some(hash) = hash.first_chunk().filter(|_| !password.contains(&0)) else { return Outcome::Wrong };
        self.want();
        let mut tables = match self.tables.try_lock() {
            Ok(tables) => tables,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                host.wake(worker);
                return Outcome::NotYet;
            }
        };
        let tag = self.tag(user, password, hash);
        if let Some(known) = tables.known.iter_mut().find(|known| known.tag == tag) {
            let limit = if known.right { RIGHT_MS } else { WRONG_MS };
            if now.wrapping_sub(known.since) < limit || now.wrapping_sub(known.since) > u32::MAX / 2 {
                return if known.right { Outcome::Right } else { Outcome::Wrong };
            }
            known.tag = 0;
        }
        let bit = 1u128.checked_shl(worker as u32).unwrap_or(0);
        if let Some(job) = tables.jobs.iter_mut().find(|job| job.tag == tag) {
            job.waiting |= bit;
            return Outcome::NotYet;
        }
        let Some(job) = tables.jobs.iter_mut().find(|job| job.tag == 0) else { return Outcome::Full };
        let mut key = [0; KEY_MAX];
        key.iter_mut().zip(password).for_each(|(to, from)| *to = *from);
        *job = Job { tag, password: key, len: password.len().min(KEY_MAX), hash: *hash, waiting: bit };
        self.more.notify_one();
        Outcome::NotYet
    }

    fn tag(&self, user: &[u8], password: &[u8], hash: &[u8]) -> u64 {
        let len = (user.len() as u64).to_be_bytes();
        let digest = sha1(&[&self.secret, &len, user, hash, password]);
        // Never that of a free place.
        digest.first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes)).max(1)
    }

    /// The thread: verifies what waits, until it is told to end.
    pub fn work(&self, host: &dyn Host) {
        set_thread_name("monkey: auth");
        let mut tables = self.lock();
        while !tables.ended {
            let Some(at) = tables.next_job() else {
                tables = self.more.wait(tables).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let Some(job) = tables.jobs.get(at).copied() else { return };
            drop(tables);
            let right = verify(job.password.get(..job.len).unwrap_or_default(), &job.hash);
            tables = self.lock();
            tables.learn(job.tag, right, monotonic_ms());
            let Some(place) = tables.jobs.get_mut(at) else { return };
            let waiting = place.waiting;
            place.tag = 0;
            place.password.fill(0);
            drop(tables);
            for worker in (0..host.workers()).filter(|&worker| waiting.checked_shr(worker as u32).unwrap_or(0) & 1 == 1)
            {
                host.wake(worker);
            }
            tables = self.lock();
        }
    }
}

impl Tables {
    fn next_job(&mut self) -> Option<usize> {
        let count = self.jobs.len();
        let waits = |at: &usize| self.jobs.get(*at).is_some_and(|job| job.tag != 0);
        let at = (self.next..count).chain(0..self.next).find(waits)?;
        self.next = (at + 1) % count;
        Some(at)
    }

    /// Remembers what was found out. When there is no free place one that was wrong goes, the oldest first, then one that was right.
    fn learn(&mut self, tag: u64, right: bool, now: u32) {
        let age = |known: &Known| now.wrapping_sub(known.since);
        let worth = |known: &Known| {
            let over = age(known) >= if known.right { RIGHT_MS } else { WRONG_MS };
            (known.tag != 0 && !over, known.right, u32::MAX - age(known))
        };
        if let Some(place) = self.known.iter_mut().min_by_key(|known| worth(known)) {
            *place = Known { tag, right, since: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the Openwall tests, with cost 5; passwords that are empty, short, of other than ASCII bytes, and longer than counts.
    const VECTORS: [(&[u8], &str); 4] = [
        (b"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        (b"U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
        (b"", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"),
        (b"U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
    ];

    #[test]
    fn vectors() {
        for (password, hash) in VECTORS {
            assert!(verify(password, hash.as_bytes()), "{hash}");
            assert!(!verify(b"U*u", hash.as_bytes()), "{hash}");
        }
    }

    #[test]
    fn what_is_hashed_is_verified() {
        let salt = *b"sixteen bytes it";
        let text = hash(b"secret", 5, salt);
        assert_eq!(text.get(..7), Some(&b"$2b$05$"[..]));
        assert!(is_sound(&text) && verify(b"secret", &text) && !verify(b"Secret", &text) && !verify(b"", &text));
        let long = [b'x'; 80];
        let text = hash(&long, 4, salt);
        assert!(verify(&long[..72], &text) && !verify(&long[..71], &text));
    }

    #[test]
    fn what_is_no_hash() {
        let good = "$2y$10$abcdefghijklmnopqrstuuVB3cVCzhnqHY4ZNDGwvYm1DLcVOWVi.";
        assert!(is_sound(good.as_bytes()));
        for bad in ["$2y$03$", "$2y$15$", "$2y$31$", "$2y$+5$", "$2y$1$a"] {
            let text = format!("{bad}{}", good.get(bad.len()..).unwrap());
            assert!(!is_sound(text.as_bytes()), "{text}");
        }
        for bad in [&good[..59], &good.replace("a", "!"), &format!("{good}."), "$2y$", ""] {
            assert!(!is_sound(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn what_was_wrong_gives_way_first_and_then_the_oldest() {
        let verifier = Verifier::new().unwrap();
        let mut tables = verifier.lock();
        for tag in 1..=VERIFIED_MAX as u64 {
            tables.learn(tag, tag != 7, 1000 + tag as u32);
        }
        tables.learn(1000, true, 2000);
        tables.learn(1001, true, 2000);
        let has = |tag: u64| tables.known.iter().any(|known| known.tag == tag);
        assert!(!has(7) && !has(1) && has(2) && has(1000) && has(1001));
    }
}
