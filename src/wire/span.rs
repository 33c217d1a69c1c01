//! A place in a buffer, in four bytes.

/// A run of bytes inside a request head, as offsets into the buffer the head was parsed from.
///
/// Sixteen bits are enough because a head is at most [`HEAD_MAX`](crate::limits::HEAD_MAX) bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u16,
    /// Number of bytes.
    pub len: u16,
}

const _: () = assert!(crate::limits::HEAD_MAX <= u16::MAX as usize);

impl Span {
    /// The span from offset `start` up to, not including, `end`. Empty when the two are out of order or beyond 64 KB.
    #[inline]
    pub const fn between(start: usize, end: usize) -> Span {
        if start > end || end > u16::MAX as usize {
            return Span { start: 0, len: 0 };
        }
        Span { start: start as u16, len: (end - start) as u16 }
    }

    /// As [`between`](Span::between) for offsets into a buffer already known to be shorter than 64 KB, in order: no check.
    #[inline]
    pub(super) const fn within(start: usize, end: usize) -> Span {
        Span { start: start as u16, len: end.wrapping_sub(start) as u16 }
    }

    /// The bytes this span names in `buf`; an empty slice when it reaches beyond the end of `buf`.
    #[inline]
    pub fn of<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        let start = usize::from(self.start);
        buf.get(start..start + usize::from(self.len)).unwrap_or(&[])
    }

    /// Whether the span holds no byte.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_bytes_and_never_reaches_outside() {
        let span = Span::between(2, 5);
        assert_eq!(span.of(b"abcdefg"), b"cde");
        assert_eq!(span.of(b"abcd"), b"");
        assert_eq!(Span { start: u16::MAX, len: u16::MAX }.of(b"abc"), b"");
        assert!(Span::between(5, 2).is_empty());
        assert!(Span::between(0, 65_536).is_empty());
        assert_eq!(Span::between(0, 65_535).len, 65_535);
    }
}
