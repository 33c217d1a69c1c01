//! What has come of something until there is an end of it: the head of an answer, or a request.

use crate::storage::pool::{BufferId, Pool};

/// Bytes in a buffer of the pool. How many they are the owner knows.
#[derive(Debug, Default)]
pub struct Unfinished(Option<BufferId>);

impl Unfinished {
    /// The first `len` bytes.
    pub fn bytes<'p>(&self, len: usize, pool: &'p Pool) -> &'p [u8] {
        self.0.as_ref().and_then(|buffer| pool.get(buffer).get(..len)).unwrap_or_default()
    }

    /// Gives the buffer back.
    pub fn release(self, pool: &mut Pool) {
        if let Some(buffer) = self.0 {
            pool.give(buffer);
        }
    }

    /// Keeps what came behind the `before` bytes that had come. False = no buffer is free.
    pub fn keep(&mut self, data: &[u8], before: usize, pool: &mut Pool) -> bool {
        let len = before + data.len();
        let fits = self.0.as_ref().is_some_and(|buffer| pool.size(buffer) >= len);
        if !fits {
            let Some(larger) = pool.take(len) else { return false };
            if let Some(smaller) = self.0.replace(larger) {
                self.copy(&smaller, before, pool);
                pool.give(smaller);
            }
        }
        let room = self.0.as_ref().and_then(|buffer| pool.get_mut(buffer).get_mut(before..len));
        room.is_some_and(|room| {
            room.copy_from_slice(data);
            true
        })
    }

    fn copy(&self, from: &BufferId, len: usize, pool: &mut Pool) {
        let Some(to) = &self.0 else { return };
        let mut at = 0;
        // Two buffers of one pool: a few bytes at a time, by way of the stack.
        while at < len {
            let mut some = [0; 64];
            let n = some.len().min(len - at);
            if let (Some(some), Some(bytes)) = (some.get_mut(..n), pool.get(from).get(at..at + n)) {
                some.copy_from_slice(bytes);
            }
            if let (Some(room), Some(some)) = (pool.get_mut(to).get_mut(at..at + n), some.get(..n)) {
                room.copy_from_slice(some);
            }
            at += n;
        }
    }
}
