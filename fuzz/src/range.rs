//! Range fields. The input is the size of the file, eight bytes with the lowest first, and the field's value.

use monkey::limits::RANGES_MAX;
use monkey::wire::range::{Ranges, parse_range};

/// Parses a range field and checks that what comes out lies inside the file, apart from each other and not beyond the limit.
pub fn run(data: &[u8]) {
    let Some((size, value)) = data.split_first_chunk() else {
        return;
    };
    let size = u64::from_le_bytes(*size);
    let answer = parse_range(value, size);
    let ranges = match &answer {
        Ranges::Ignore | Ranges::Unsatisfiable => return,
        Ranges::One(range) => core::slice::from_ref(range),
        Ranges::Many(ranges) => ranges.as_slice(),
    };
    assert!(ranges.len() <= RANGES_MAX);
    let mut total = 0u64;
    for (n, range) in ranges.iter().enumerate() {
        assert!(range.first <= range.last && range.last < size);
        assert_eq!(range.len(), range.last - range.first + 1);
        total = total.checked_add(range.len()).expect("ranges do not overlap, so together they fit the file");
        for other in &ranges[..n] {
            assert!(range.last < other.first || other.last < range.first);
        }
    }
    assert!(total <= size);
}
