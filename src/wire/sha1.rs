//! RFC 3174: SHA-1. Good for users files and handshakes that ask for it, and for nothing new.

/// What it begins with (section 6.1).
const BEGIN: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];

/// The digest of some bytes, which may come in several parts.
pub fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut sum = Sum { state: BEGIN, block: [0; 16], len: 0 };
    for part in parts {
        for &byte in *part {
            sum.push(byte);
        }
    }
    // Section 4: a one, zeroes, and the number of bits at the end of a block.
    let bits = sum.len.wrapping_mul(8);
    sum.push(0x80);
    while sum.len % 64 != 56 {
        sum.push(0);
    }
    (sum.block[14], sum.block[15]) = ((bits >> 32) as u32, bits as u32);
    sum.add();
    let mut digest = [0; 20];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = (sum.state[at / 4] >> (24 - at % 4 * 8)) as u8;
    }
    digest
}

/// What has come so far.
struct Sum {
    state: [u32; 5],
    /// The words of the block that is being filled.
    block: [u32; 16],
    /// Bytes.
    len: u64,
}

impl Sum {
    #[inline(never)]
    fn push(&mut self, byte: u8) {
        let word = &mut self.block[(self.len / 4 % 16) as usize];
        // What stood there before is shifted out by the fourth byte.
        *word = (*word << 8) | u32::from(byte);
        self.len += 1;
        if self.len.is_multiple_of(64) {
            self.add();
        }
    }

    /// Section 6.2: one block. In a loop over a schedule of sixteen words, which is a sixth of the code of unrolled rounds.
    fn add(&mut self) {
        let schedule = &mut self.block;
        let mut mixed = self.state;
        let [a, b, c, d, e] = &mut mixed;
        for t in 0..80 {
            if t >= 16 {
                let word = schedule[(t + 13) & 15] ^ schedule[(t + 8) & 15] ^ schedule[(t + 2) & 15] ^ schedule[t & 15];
                schedule[t & 15] = word.rotate_left(1);
            }
            let (f, k) = match t / 20 {
                0 => ((*b & *c) | (!*b & *d), 0x5A82_7999u32),
                1 => (*b ^ *c ^ *d, 0x6ED9_EBA1),
                2 => ((*b & *c) | (*b & *d) | (*c & *d), 0x8F1B_BCDC),
                _ => (*b ^ *c ^ *d, 0xCA62_C1D6),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(*e).wrapping_add(k).wrapping_add(schedule[t & 15]);
            (*a, *b, *c, *d, *e) = (next, *a, b.rotate_left(30), *c, *d);
        }
        for (at, word) in mixed.iter().enumerate() {
            self.state[at] = self.state[at].wrapping_add(*word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(digest: [u8; 20]) -> String {
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 3174 section 7.3, FIPS 180-2 appendix A, and lengths around the end of a block as sha1sum(1) gives them.
    #[test]
    fn examples() {
        let million = vec![b'a'; 1_000_000];
        let eights = b"0123456701234567012345670123456701234567012345670123456701234567".repeat(10);
        for (bytes, digest) in [
            (&b"abc"[..], "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
            (&million, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
            (&eights, "dea356a2cddd90c7a7ecedc5ebb563934f460452"),
            (b"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            (&[b'x'; 55], "cef734ba81a024479e09eb5a75b6ddae62e6abf1"),
            (&[b'x'; 56], "901305367c259952f4e7af8323f480d59f81335b"),
            (&[b'x'; 63], "0ddc4e0cccd9a12850deb5abb0853a4425559fec"),
            (&[b'x'; 64], "bb2fa3ee7afb9f54c6dfb5d021f14b1ffe40c163"),
            (&[b'x'; 65], "78c741ddc482e4cdf8c474a0876347a0905b6233"),
        ] {
            assert_eq!(hex(sha1(&[bytes])), digest, "{} bytes", bytes.len());
        }
    }

    proptest! {
        #[test]
        fn parts_are_one_after_the_other(one: Vec<u8>, other: Vec<u8>) {
            prop_assert_eq!(sha1(&[&one, &other]), sha1(&[&[one.clone(), other.clone()].concat()]));
        }
    }
}
