//! Which byte may stand where, and searches that look at a machine word at a time.

/// Builds a table of letters, digits and the bytes of `more`.
const fn alphanumeric_and(more: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut i = 0;
    while i < more.len() {
        table[more[i] as usize] = true;
        i += 1;
    }
    table
}

static TCHAR: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");
static REG_NAME: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+,;=");
static PATH: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+,;=/:@");

/// RFC 9110 section 5.6.2: tchar, the bytes of methods, field names and other tokens.
#[inline]
pub fn is_tchar(byte: u8) -> bool {
    TCHAR[usize::from(byte)]
}

/// RFC 9110 section 5.5: field-vchar with the blanks that may stand between, so all a field value may hold: SP, HTAB,
/// visible ASCII and obs-text (0x80 to 0xFF).
#[inline]
pub fn is_field_vchar(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7F)
}

/// RFC 5234 appendix B.1: VCHAR, visible ASCII; what a request target may hold.
#[inline]
pub fn is_visible(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E)
}

/// RFC 3986 section 3.2.2: the bytes of a reg-name that are not part of a percent escape (unreserved and sub-delims).
#[inline]
pub fn is_reg_name(byte: u8) -> bool {
    REG_NAME[usize::from(byte)]
}

/// RFC 3986 section 3.3: the bytes a path may hold unescaped (unreserved, sub-delims, `:`, `@` and `/`).
#[inline]
pub fn is_path(byte: u8) -> bool {
    PATH[usize::from(byte)]
}

/// RFC 9110 section 5.6.3: OWS, a blank around list members and field values.
#[inline]
pub fn is_ows(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// `bytes` without the blanks (OWS) at its start.
#[inline]
#[cfg_attr(tuned, optimize(speed))]
pub fn trim_ows_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_ows(*first)
    {
        bytes = rest;
    }
    bytes
}

/// `bytes` without the blanks (OWS) at its end.
#[inline]
#[cfg_attr(tuned, optimize(speed))]
pub fn trim_ows_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes
        && is_ows(*last)
    {
        bytes = rest;
    }
    bytes
}

/// `bytes` without the blanks (OWS) at both ends.
#[inline]
pub fn trim_ows(bytes: &[u8]) -> &[u8] {
    trim_ows_end(trim_ows_start(bytes))
}

/// Bytes in a machine word.
const LANES: usize = size_of::<usize>();

/// A word whose every byte is `byte`.
const fn splat(byte: u8) -> usize {
    usize::MAX / 255 * byte as usize
}

/// The high bit of each byte of `word` that is below `limit` (at most 0x80). Bytes above the lowest hit may be marked
/// wrongly (the subtraction borrows), the lowest hit is exact.
#[inline]
const fn below(word: usize, limit: u8) -> usize {
    word.wrapping_sub(splat(limit)) & !word & splat(0x80)
}

/// The high bit of each byte of `word` that equals `byte`; exact as [`below`] is.
#[inline]
const fn equal(word: usize, byte: u8) -> usize {
    below(word ^ splat(byte), 1)
}

/// Offset of the first byte that `in_word` marks, or else `in_tail` picks from the bytes that fill no word; the length
/// of `buf` when there is none.
#[inline]
fn scan(buf: &[u8], in_word: impl Fn(usize) -> usize, in_tail: impl Fn(u8) -> bool) -> usize {
    let mut rest = buf;
    while let Some((word, after)) = rest.split_first_chunk::<LANES>() {
        let hits = in_word(usize::from_le_bytes(*word));
        if hits != 0 {
            return buf.len() - rest.len() + hits.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    let tail_hit = rest.iter().position(|&byte| in_tail(byte));
    buf.len() - rest.len() + tail_hit.unwrap_or(rest.len())
}

/// Offset of the first `byte` in `buf`, if any.
#[inline]
pub fn find(buf: &[u8], byte: u8) -> Option<usize> {
    let at = scan(buf, |word| equal(word, byte), |other| other == byte);
    (at < buf.len()).then_some(at)
}

/// How many bytes at the start of `buf` are visible ASCII ([`is_visible`]).
#[inline]
#[cfg_attr(tuned, optimize(speed))]
pub fn visible_len(buf: &[u8]) -> usize {
    scan(buf, |word| below(word, 0x21) | equal(word, 0x7F) | word & splat(0x80), |byte| !is_visible(byte))
}

/// How many bytes at the start of `buf` are those of a token ([`is_tchar`]).
#[cfg_attr(tuned, optimize(speed))]
pub fn token_len(buf: &[u8]) -> usize {
    let mut len = 0;
    while let Some(&byte) = buf.get(len)
        && is_tchar(byte)
    {
        len += 1;
    }
    len
}

/// All of 4 to 16 bytes, in two words that may overlap: a comparison of short texts without a call or a loop.
#[inline(always)]
pub fn ends(bytes: &[u8]) -> Option<[u64; 2]> {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (bytes.len() <= 16).then_some([u64::from_le_bytes(*first), u64::from_le_bytes(*last)]);
    }
    let (first, last) = (bytes.first_chunk()?, bytes.last_chunk()?);
    Some([u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last))])
}

/// Whether two texts are the same: quick for those of 4 to 16 bytes.
#[inline(always)]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && match (ends(one), ends(other)) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        }
}

/// How many bytes at the start of `buf` may stand in a field value ([`is_field_vchar`]).
#[inline]
pub fn field_text_len(buf: &[u8]) -> usize {
    let len = printable_len(buf);
    match buf.get(len) {
        Some(b'\t') => len + field_text_len_with_tabs(buf.get(len..).unwrap_or(&[])),
        _ => len,
    }
}

/// Tabs are rare, so they are left out of the search by words.
#[cold]
fn field_text_len_with_tabs(buf: &[u8]) -> usize {
    let mut rest = buf;
    while let [b'\t', after @ ..] = rest {
        rest = after.get(printable_len(after)..).unwrap_or(&[]);
    }
    buf.len() - rest.len()
}

/// How many bytes at the start of `buf` are no control bytes.
#[inline]
#[cfg_attr(tuned, optimize(speed))]
fn printable_len(buf: &[u8]) -> usize {
    scan(buf, |word| below(word, b' ') | equal(word, 0x7F), |byte| byte < b' ' || byte == 0x7F)
}

/// How many bytes at the start of `buf` may stand between quotes as they are: blanks and visible ASCII but quote and backslash.
#[inline(always)]
pub fn quotable_len(buf: &[u8]) -> usize {
    let other = |word| equal(word, b'"') | equal(word, b'\\') | equal(word, 0x7F) | word & splat(0x80);
    scan(
        buf,
        |word| below(word, b' ') | other(word),
        |byte| !matches!(byte, b' '..=b'~') || byte == b'"' || byte == b'\\',
    )
}

/// Whether `bytes` equals `lower`, which is in lower case, letters compared without case.
#[inline]
pub fn is_word(bytes: &[u8], lower: &[u8]) -> bool {
    // Nearly all words that are not it have another length or begin with another letter.
    let begins = |text: &[u8]| text.first().map(|first| first | 0x20);
    bytes.len() == lower.len() && begins(bytes) == begins(lower) && bytes.eq_ignore_ascii_case(lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tables_hold_what_the_grammar_lists() {
        let listed = |more: &[u8], byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
        for byte in 0..=255 {
            assert_eq!(is_tchar(byte), byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte));
            assert_eq!(is_reg_name(byte), listed(b"-._~!$&'()*+,;=", byte));
            assert_eq!(is_path(byte), is_reg_name(byte) || b"/:@".contains(&byte));
            assert_eq!(is_visible(byte), byte.is_ascii_graphic());
            assert_eq!(is_field_vchar(byte), byte == b'\t' || !byte.is_ascii_control());
        }
    }

    #[test]
    fn blanks_are_trimmed_at_both_ends() {
        assert_eq!(trim_ows(b" \t a b\t "), b"a b");
        assert_eq!(trim_ows(b" \t "), b"");
        assert_eq!(trim_ows(b"\na"), b"\na");
    }

    proptest! {
        #[test]
        fn short_texts_are_compared_whole(one in "[ab]{0,20}", other in "[ab]{0,20}") {
            prop_assert_eq!(same(one.as_bytes(), other.as_bytes()), one == other);
            prop_assert!(same(one.as_bytes(), one.clone().as_bytes()));
            prop_assert_eq!(ends(one.as_bytes()).is_some(), (4..=16).contains(&one.len()));
        }

        #[test]
        fn word_searches_agree_with_byte_searches(
            buf in prop::collection::vec(prop_oneof![any::<u8>(), 0x1Eu8..0x23, 0x7Du8..0x83, Just(b'"'), Just(b'\\'), Just(b'\t'), Just(b'a')], 0..40),
            byte in any::<u8>(),
        ) {
            let first = |stop: &dyn Fn(u8) -> bool| buf.iter().position(|&b| stop(b)).unwrap_or(buf.len());
            prop_assert_eq!(find(&buf, byte), buf.iter().position(|&b| b == byte));
            prop_assert_eq!(visible_len(&buf), first(&|b| !is_visible(b)));
            prop_assert_eq!(quotable_len(&buf), first(&|b| !(b' '..=b'~').contains(&b) || b"\"\\".contains(&b)));
            prop_assert_eq!(field_text_len(&buf), first(&|b| !is_field_vchar(b)));
        }
    }
}
