//! Containers of fixed size: an intrusive queue, a buffer pool, a ring arena. They know no HTTP, take their memory once, and
//! every insert can answer that it is full.

pub mod arena;
pub mod pool;
pub mod queue;
