//! Configuration files. The input is the content of one, of any kind.

/// Reads `data` as each kind of configuration file and checks what holds for every finding and value.
pub fn run(data: &[u8]) {
    monkey::config::fuzz(data);
}
