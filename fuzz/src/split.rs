//! How the bytes of an input are split.

/// Sizes of the pieces that input comes in and content is used in: 1 to 8 bytes, or all at once.
pub struct Split(u32);

impl Split {
    /// The same sizes for the same seed.
    pub fn new(seed: u8) -> Split {
        Split(u32::from(seed) + 1)
    }

    /// Everything at once.
    pub fn whole() -> Split {
        Split(0)
    }

    /// The next size, at least 1.
    pub fn next(&mut self) -> usize {
        if self.0 == 0 {
            return usize::MAX;
        }
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        1 + (self.0 % 8) as usize
    }
}
