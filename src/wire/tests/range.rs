//! Ranges against a plain reading of the rules with numbers that cannot overflow.

use proptest::prelude::*;

use crate::limits::RANGES_MAX;
use crate::wire::range::{ByteRange, Ranges, parse_range};

/// A range as it is asked for: `first-last`, `first-` or `-suffix`.
type Spec = (Option<u128>, Option<u128>);

fn write(specs: &[Spec]) -> String {
    let text = |number: &Option<u128>| number.map(|number| number.to_string()).unwrap_or_default();
    let specs: Vec<String> = specs.iter().map(|(first, last)| format!("{}-{}", text(first), text(last))).collect();
    format!("bytes={}", specs.join(", "))
}

/// First and last byte of each range that touches the file, or `None` when the field is to be ignored.
fn cut(specs: &[Spec], size: u128) -> Option<Vec<(u128, u128)>> {
    let mut cut = Vec::new();
    for spec in specs {
        // Larger numbers are documented to count as the largest of 64 bits.
        let clamp = |number: Option<u128>| number.map(|number| number.min(u128::from(u64::MAX)));
        let (first, last) = match (clamp(spec.0), clamp(spec.1)) {
            (Some(first), Some(last)) if first > last => return None,
            (Some(first), last) => (first, last.unwrap_or(u128::MAX)),
            (None, Some(suffix)) => (size.saturating_sub(suffix), if suffix == 0 { 0 } else { u128::MAX }),
            (None, None) => return None,
        };
        let nothing = matches!(*spec, (None, Some(0)));
        if first < size && !nothing {
            cut.push((first, last.min(size - 1)));
        }
    }
    Some(cut)
}

/// Whether a byte is covered once neighbours less than 80 bytes apart are joined.
fn covered(cut: &[(u128, u128)], byte: u128) -> bool {
    let mut sorted = cut.to_vec();
    sorted.sort();
    let mut joined: Vec<(u128, u128)> = Vec::new();
    for (first, last) in sorted {
        match joined.last_mut() {
            Some(before) if first < before.1 + 1 + 80 => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined.iter().any(|&(first, last)| (first..=last).contains(&byte))
}

fn number(size: u64) -> impl Strategy<Value = u128> {
    let size = u128::from(size);
    prop_oneof![
        0..=size.saturating_mul(2).max(1),
        0..200u128,
        size.saturating_sub(200)..=size + 200,
        u128::from(u64::MAX) - 200..=u128::from(u64::MAX) + 200,
    ]
}

fn question() -> impl Strategy<Value = (u64, Vec<Spec>)> {
    let size = prop_oneof![0..3u64, 0..2000u64, any::<u64>(), u64::MAX - 300..=u64::MAX];
    size.prop_flat_map(|size| {
        let spec = (prop::option::weighted(0.8, number(size)), prop::option::weighted(0.8, number(size)));
        (Just(size), prop::collection::vec(spec, 1..=RANGES_MAX))
    })
}

fn check(size: u64, specs: &[Spec]) -> Result<(), TestCaseError> {
    let value = write(specs);
    let answer = parse_range(value.as_bytes(), size);
    let Some(cut) = cut(specs, u128::from(size)) else {
        prop_assert_eq!(answer, Ranges::Ignore, "{}", value);
        return Ok(());
    };
    let ranges: Vec<ByteRange> = match answer {
        Ranges::Ignore => {
            prop_assert!(size == 0 && specs.iter().any(|spec| spec.0.is_none() && spec.1 != Some(0)), "{}", value);
            return Ok(());
        }
        Ranges::Unsatisfiable => {
            prop_assert!(cut.is_empty(), "{}", value);
            return Ok(());
        }
        Ranges::One(range) => vec![range],
        Ranges::Many(ranges) => {
            prop_assert!(ranges.len() > 1);
            ranges.to_vec()
        }
    };
    for range in &ranges {
        prop_assert!(range.first <= range.last && range.last < size, "{} of {}: {:?}", value, size, range);
        prop_assert_eq!(u128::from(range.len()), u128::from(range.last) - u128::from(range.first) + 1);
        // The edges of what is sent are edges of what was asked for.
        prop_assert!(cut.iter().any(|&(first, _)| first == u128::from(range.first)));
        prop_assert!(cut.iter().any(|&(_, last)| last == u128::from(range.last)));
    }
    for &(first, last) in &cut {
        for byte in [first, last, first.saturating_sub(1), last + 1] {
            let sent = ranges.iter().any(|range| (range.first..=range.last).contains(&(byte as u64)));
            prop_assert_eq!(
                sent && byte < u128::from(size),
                covered(&cut, byte),
                "{} of {}: byte {}",
                value,
                size,
                byte
            );
        }
    }
    for (n, a) in ranges.iter().enumerate() {
        for b in &ranges[..n] {
            let apart = |a: &ByteRange, b: &ByteRange| u128::from(b.first) >= u128::from(a.last) + 1 + 80;
            prop_assert!(apart(a, b) || apart(b, a), "{}: {:?} and {:?}", value, a, b);
        }
    }
    // In the order of first appearance: the first asked for of each comes in the order of all.
    let place = |range: &ByteRange| {
        cut.iter().position(|&(first, _)| (range.first..=range.last).contains(&(first as u64))).unwrap_or(usize::MAX)
    };
    prop_assert!(ranges.is_sorted_by_key(place), "{}: {:?}", value, ranges);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_plain_reading((size, specs) in question()) {
        check(size, &specs)?;
    }

    #[test]
    fn any_bytes_give_ranges_inside_the_file(value in "(bytes=)?[0-9,\\- a]{0,60}", size in any::<u64>()) {
        match parse_range(value.as_bytes(), size) {
            Ranges::One(range) => prop_assert!(range.first <= range.last && range.last < size),
            Ranges::Many(ranges) => prop_assert!(ranges.iter().all(|range| range.first <= range.last && range.last < size)),
            Ranges::Ignore | Ranges::Unsatisfiable => {}
        }
    }
}
