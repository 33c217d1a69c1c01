//! Containers of fixed size: an intrusive queue, a buffer pool, a ring arena, a table by key. They know no HTTP, take their
//! memory once, and every insert can answer that it is full.

pub mod arena;
pub mod buckets;
pub mod pool;
pub mod queue;
