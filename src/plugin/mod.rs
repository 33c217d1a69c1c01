//! What a plugin can be: its categories, each a trait.

pub mod receiver;
pub mod transport;
