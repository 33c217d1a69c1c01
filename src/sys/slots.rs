//! The connection table: one slot a descriptor number, handed from the acceptor to one worker without a lock.
//!
//! A slot is free, offered to an owner, or owned. The acceptor fills a free slot and offers it with release ordering;
//! the owner adopts it at its first event; from then on only the owner reaches the value. Each hand-over has a new
//! generation, so that an event of an earlier connection on the same descriptor number finds nothing. The memory is
//! mapped at start and resident only where touched.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::memory;

/// Most owners (workers) of one table.
pub const OWNERS_MAX: usize = 256;

const FREE: u64 = 0;
/// Being filled, taken back or emptied: nobody else may touch it.
const BUSY: u64 = 1;
const OFFERED: u64 = 2;
const OWNED: u64 = 3;

/// The state word of a slot: generation in the upper half, owner and state in the lower.
fn word(generation: u32, owner: u8, state: u64) -> u64 {
    (u64::from(generation) << 32) | (u64::from(owner) << 8) | state
}

fn generation_of(word: u64) -> u32 {
    (word >> 32) as u32
}

// All-zero bytes are a free slot of generation 0, so that a fresh mapping needs no initialising.
#[repr(C)]
struct Cell<T> {
    word: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// The table, shared by the acceptor and all workers.
pub struct Slots<T: Send> {
    cells: NonNull<Cell<T>>,
    len: usize,
    views: [AtomicBool; OWNERS_MAX],
}

// SAFETY: a value is reached only by the thread that won the state word (acquire and release pair up on it), and
// moves between threads only as T: Send allows.
unsafe impl<T: Send> Sync for Slots<T> {}
// SAFETY: the table owns its mapping; nothing in it is bound to a thread.
unsafe impl<T: Send> Send for Slots<T> {}

impl<T: Send> Slots<T> {
    /// Bytes one slot takes.
    pub const SLOT_SIZE: usize = std::mem::size_of::<Cell<T>>();

    /// A table for the indexes 0 to `len` - 1.
    pub fn new(len: usize) -> io::Result<Arc<Slots<T>>> {
        let bytes = len.checked_mul(Self::SLOT_SIZE).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let cells = memory::map(bytes)?.cast();
        Ok(Arc::new(Slots { cells, len, views: [const { AtomicBool::new(false) }; OWNERS_MAX] }))
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the table has no slot at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn cell(&self, index: usize) -> Option<&Cell<T>> {
        if index >= self.len {
            return None;
        }
        // SAFETY: `index` is in the mapping, whose zeroed or later bytes are a valid Cell<T>; shared access to a Cell
        // is sound because its fields are an atomic and an UnsafeCell.
        Some(unsafe { self.cells.add(index).as_ref() })
    }

    /// Fills slot `index` and offers it to `owner`. Returns the generation its events must carry, or the value back
    /// when the index is beyond the table or the slot is not free.
    pub fn offer(&self, index: usize, owner: u8, value: T) -> Result<u32, T> {
        let Some(cell) = self.cell(index) else { return Err(value) };
        let seen = cell.word.load(Ordering::Relaxed);
        let generation = generation_of(seen);
        if seen & 0xff != FREE {
            return Err(value);
        }
        let claimed = word(generation, 0, BUSY);
        if cell.word.compare_exchange(seen, claimed, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return Err(value);
        }
        // SAFETY: the exchange above made this thread the only one allowed at the value; a free slot holds none.
        unsafe { (*cell.value.get()).write(value) };
        cell.word.store(word(generation, owner, OFFERED), Ordering::Release);
        Ok(generation)
    }

    /// Takes an offer back that its owner can not have seen (its registration with epoll failed).
    pub fn withdraw(&self, index: usize, owner: u8, generation: u32) -> Option<T> {
        let cell = self.cell(index)?;
        let claimed = word(generation, 0, BUSY);
        cell.word
            .compare_exchange(word(generation, owner, OFFERED), claimed, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        // SAFETY: the slot was offered, so it holds a value, and the exchange made it ours alone.
        let value = unsafe { (*cell.value.get()).assume_init_read() };
        cell.word.store(word(generation.wrapping_add(1), 0, FREE), Ordering::Release);
        Some(value)
    }

    /// The one view through which owner `owner` reaches its slots. None when it was given out already.
    pub fn view(self: &Arc<Self>, owner: u8) -> Option<View<T>> {
        if self.views.get(usize::from(owner))?.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(View { slots: Arc::clone(self), owner })
    }
}

impl<T: Send> Drop for Slots<T> {
    fn drop(&mut self) {
        for index in 0..self.len {
            // A page that was never touched reads as zero, that is free, without becoming resident.
            let Some(cell) = self.cell(index) else { break };
            if matches!(cell.word.load(Ordering::Acquire) & 0xff, OFFERED | OWNED) {
                // SAFETY: an offered or owned slot holds a value, and `&mut self` is the last way to it.
                unsafe { (*cell.value.get()).assume_init_drop() };
            }
        }
        // SAFETY: mapped in `new` with this length; nothing refers to it any more.
        unsafe { memory::unmap(self.cells.cast(), self.len * Self::SLOT_SIZE) }
    }
}

/// One owner's exclusive access to the slots it owns.
pub struct View<T: Send> {
    slots: Arc<Slots<T>>,
    owner: u8,
}

impl<T: Send> View<T> {
    /// The owner's number.
    pub fn owner(&self) -> u8 {
        self.owner
    }

    /// The connection an event of `generation` on `index` belongs to; adopts it when it was only offered so far.
    /// None for an event of an earlier connection.
    pub fn current(&mut self, index: usize, generation: u32) -> Option<&mut T> {
        let cell = self.slots.cell(index)?;
        let owned = word(generation, self.owner, OWNED);
        if cell.word.load(Ordering::Acquire) != owned {
            let offered = word(generation, self.owner, OFFERED);
            cell.word.compare_exchange(offered, owned, Ordering::Acquire, Ordering::Relaxed).ok()?;
        }
        // SAFETY: an owned slot holds a value, only its owner's view reaches it, there is one view an owner, and the
        // borrow of that view makes this the only reference.
        Some(unsafe { (*cell.value.get()).assume_init_mut() })
    }

    /// The value of a slot this owner has adopted.
    #[inline(always)]
    pub fn get(&mut self, index: usize) -> Option<&mut T> {
        let cell = self.slots.cell(index)?;
        let seen = cell.word.load(Ordering::Relaxed);
        if seen & 0xffff_ffff != word(0, self.owner, OWNED) {
            return None;
        }
        // SAFETY: as in `current`. Relaxed is enough: this thread itself stored OWNED.
        Some(unsafe { (*cell.value.get()).assume_init_mut() })
    }

    /// Clears a slot and takes its value out. Events of its generation find nothing from now on.
    pub fn release(&mut self, index: usize) -> Option<T> {
        let cell = self.slots.cell(index)?;
        let seen = cell.word.load(Ordering::Relaxed);
        if seen & 0xffff_ffff != word(0, self.owner, OWNED) {
            return None;
        }
        // SAFETY: as in `get`; the value is moved out and the word below says so before anyone else can look.
        let value = unsafe { (*cell.value.get()).assume_init_read() };
        cell.word.store(word(generation_of(seen).wrapping_add(1), 0, FREE), Ordering::Release);
        Some(value)
    }
}

impl<T: Send> Drop for View<T> {
    fn drop(&mut self) {
        if let Some(given) = self.slots.views.get(usize::from(self.owner)) {
            given.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_goes_from_offer_to_owner_to_free() {
        let slots = Slots::<String>::new(4).unwrap();
        let mut view = slots.view(3).unwrap();
        assert!(slots.view(3).is_none(), "one view an owner");
        let generation = slots.offer(2, 3, "a".to_string()).unwrap();
        assert!(view.get(2).is_none(), "not adopted yet");
        assert_eq!(slots.offer(2, 3, "b".to_string()), Err("b".to_string()), "not free");
        assert_eq!(view.current(2, generation).unwrap(), "a");
        assert!(view.current(2, generation.wrapping_add(1)).is_none(), "another generation");
        assert!(slots.withdraw(2, 3, generation).is_none(), "adopted already");
        assert_eq!(view.release(2).unwrap(), "a");
        assert!(view.current(2, generation).is_none(), "a stale event finds nothing");
        assert_ne!(slots.offer(2, 3, "c".to_string()).unwrap(), generation);
        assert_eq!(slots.offer(4, 3, "d".to_string()), Err("d".to_string()), "beyond the table");
    }

    #[test]
    fn another_owner_reaches_nothing() {
        let slots = Slots::<u32>::new(2).unwrap();
        let mut first = slots.view(0).unwrap();
        let mut second = slots.view(1).unwrap();
        let generation = slots.offer(1, 0, 7).unwrap();
        assert!(second.current(1, generation).is_none());
        assert_eq!(first.current(1, generation), Some(&mut 7));
        assert!(second.get(1).is_none());
        assert!(second.release(1).is_none());
    }

    #[test]
    fn a_withdrawn_offer_is_gone() {
        let slots = Slots::<u32>::new(1).unwrap();
        let mut view = slots.view(0).unwrap();
        let generation = slots.offer(0, 0, 9).unwrap();
        assert_eq!(slots.withdraw(0, 0, generation), Some(9));
        assert!(view.current(0, generation).is_none());
    }

    #[test]
    fn values_left_in_the_table_are_dropped_with_it() {
        let value = Arc::new(());
        let slots = Slots::<Arc<()>>::new(8).unwrap();
        assert!(slots.offer(5, 0, Arc::clone(&value)).is_ok());
        drop(slots);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn hand_over_across_threads_keeps_every_value_whole() {
        let slots = Slots::<[u64; 8]>::new(4).unwrap();
        let (send, receive) = std::sync::mpsc::channel::<(usize, u32)>();
        let (done, freed) = std::sync::mpsc::channel::<usize>();
        let mut view = slots.view(0).unwrap();
        let worker = std::thread::spawn(move || {
            while let Ok((index, generation)) = receive.recv() {
                let value = *view.current(index, generation).expect("the event of an offered slot finds it");
                assert!(value.iter().all(|&part| part == value[0]));
                view.release(index);
                done.send(index).unwrap();
            }
        });
        let mut free = vec![0, 1, 2, 3];
        for round in 0..10_000u64 {
            let index = free.pop().unwrap_or_else(|| freed.recv().unwrap());
            let generation = slots.offer(index, 0, [round; 8]).unwrap();
            send.send((index, generation)).unwrap();
        }
        drop(send);
        worker.join().unwrap();
    }
}
