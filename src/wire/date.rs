//! Dates of HTTP (RFC 9110 section 5.6.7), as seconds since 1970 in UTC.

use std::time::UNIX_EPOCH;

/// Length of a date as it is sent (IMF-fixdate), bytes.
pub const DATE_LEN: usize = 29;

/// The last second of the year 9999, the last one a date can say.
const LAST: i64 = 253_402_300_799;

const DAYS: [[u8; 3]; 7] = [*b"Sun", *b"Mon", *b"Tue", *b"Wed", *b"Thu", *b"Fri", *b"Sat"];
const MONTHS: [[u8; 3]; 12] =
    [*b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct", *b"Nov", *b"Dec"];

/// RFC 9110 section 5.6.7: HTTP-date in any of its three forms, as seconds since 1970.
///
/// `None` for anything else: a day that is not in the calendar, a weekday that does not belong to the day, a zone other than
/// GMT, and any year before 1970, so that a result is never negative. The two-digit years of RFC 850 are 1970 to 2069.
pub fn parse_date(text: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(text).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// RFC 9110 section 5.6.7: writes `secs` since 1970 as IMF-fixdate. Times outside the years 1970 to 9999 become the nearest
/// one inside.
pub fn write_date(secs: i64, out: &mut [u8; DATE_LEN]) {
    let secs = secs.clamp(0, LAST).unsigned_abs();
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    // 1 January 1970 was a Thursday.
    let weekday = DAYS.get((days + 4) as usize % 7).unwrap_or(&DAYS[0]);
    let month = MONTHS.get(month).unwrap_or(&MONTHS[0]);
    *out = *b"Day, 00 Mon 0000 00:00:00 GMT";
    out[..3].copy_from_slice(weekday);
    out[5..7].copy_from_slice(&two_digits(day));
    out[8..11].copy_from_slice(month);
    out[12..14].copy_from_slice(&two_digits(year / 100));
    out[14..16].copy_from_slice(&two_digits(year % 100));
    out[17..19].copy_from_slice(&two_digits(second / 3600));
    out[20..22].copy_from_slice(&two_digits(second / 60 % 60));
    out[23..25].copy_from_slice(&two_digits(second % 60));
}

fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// Year, month (0 is January) and day of the month of a number of days since 1970, in the Gregorian calendar.
fn civil(days: u64) -> (u64, usize, u64) {
    // Counted from 1 March of the year 0, so that the leap day is the last of its year and every 400 years are alike.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on: five of them are 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 2, 0) } else { (month - 10, 1) };
    (era * 400 + year + carry, month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(secs: i64) -> String {
        let mut out = [0; DATE_LEN];
        write_date(secs, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn known_dates() {
        for (secs, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
            (2_208_988_800, "Sun, 01 Jan 2040 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(written(secs), text);
            assert_eq!(parse_date(text.as_bytes()), Some(secs));
        }
    }

    #[test]
    fn times_outside_are_clamped() {
        assert_eq!(written(-1), written(0));
        assert_eq!(written(i64::MIN), written(0));
        assert_eq!(written(LAST + 1), written(LAST));
        assert_eq!(written(i64::MAX), written(LAST));
    }

    #[test]
    fn all_three_forms() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse_date(text.as_bytes()), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "0",
            "now",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Sun, 06 Nov 1994 08:49:-1 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 99994 08:49:37 GMT",
            "Sun, 06 N\u{f6}v 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_date(b"Sun, 06 Nov 1994 08:49:37 GM\xff"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(secs in 0..=LAST) {
            prop_assert_eq!(parse_date(written(secs).as_bytes()), Some(secs));
        }

        #[test]
        fn any_bytes_are_survived(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let read = parse_date(&text);
            prop_assert!(read.is_none_or(|secs| (0..=LAST).contains(&secs)));
        }
    }
}
