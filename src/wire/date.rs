//! Dates of HTTP (RFC 9110 section 5.6.7), as seconds since 1970 in UTC.

/// Length of a date as it is sent (IMF-fixdate), bytes.
pub const DATE_LEN: usize = 29;

/// The last second of the year 9999, the last one a date can say.
const LAST: i64 = 253_402_300_799;

const DAYS: [[u8; 3]; 7] = [*b"Sun", *b"Mon", *b"Tue", *b"Wed", *b"Thu", *b"Fri", *b"Sat"];
const MONTHS: [[u8; 3]; 12] =
    [*b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct", *b"Nov", *b"Dec"];

/// What follows the first three letters of a weekday in the form of RFC 850.
const DAY_ENDS: [&[u8]; 7] = [b"day", b"day", b"sday", b"nesday", b"rsday", b"day", b"urday"];

/// The three forms: a small letter is a part ([`Fields::read`]), any other byte stands for itself.
const FORMS: [&[u8]; 3] = [b"w, d m y h:i:s GMT", b"l, d-m-c h:i:s GMT", b"w m p h:i:s y"];

/// RFC 9110 section 5.6.7: HTTP-date in any of its three forms, as seconds since 1970.
///
/// `None` for anything else: a day that is not in the calendar, a weekday that does not belong to the day, a zone other than
/// GMT, and any year before 1970, so that a result is never negative. The two-digit years of RFC 850 are 1970 to 2069.
pub fn parse_date(text: &[u8]) -> Option<i64> {
    FORMS.iter().find_map(|form| Fields::read(form, text))?.seconds()
}

/// A date in its parts.
#[derive(Default)]
struct Fields {
    weekday: usize,
    year: u64,
    /// 0 is January.
    month: usize,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Fields {
    /// Reads one of the [`FORMS`]. What it answers need not be a date there is.
    fn read(form: &[u8], mut text: &[u8]) -> Option<Fields> {
        let mut date = Fields::default();
        for part in form {
            match part {
                b'w' => date.weekday = name(&mut text, &DAYS)?,
                b'l' => {
                    date.weekday = name(&mut text, &DAYS)?;
                    text = text.strip_prefix(*DAY_ENDS.get(date.weekday)?)?;
                }
                b'd' => date.day = digits(&mut text, 2)?,
                b'p' => {
                    // A blank stands for the first of two digits.
                    let one = text.strip_prefix(b" ");
                    text = one.unwrap_or(text);
                    date.day = digits(&mut text, if one.is_some() { 1 } else { 2 })?;
                }
                b'm' => date.month = name(&mut text, &MONTHS)?,
                b'y' => date.year = digits(&mut text, 4)?,
                b'c' => {
                    let year = digits(&mut text, 2)?;
                    date.year = if year < 70 { 2000 + year } else { 1900 + year };
                }
                b'h' => date.hour = digits(&mut text, 2)?,
                b'i' => date.minute = digits(&mut text, 2)?,
                b's' => date.second = digits(&mut text, 2)?,
                literal => text = text.strip_prefix(std::slice::from_ref(literal))?,
            }
        }
        text.is_empty().then_some(date)
    }

    /// `None` when there is no such date from 1970 on.
    fn seconds(&self) -> Option<i64> {
        if self.year < 1970 || !(1..=31).contains(&self.day) || self.hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let days = days(self.year, self.month, self.day);
        if civil(days) != (self.year, self.month, self.day) || weekday(days) != self.weekday {
            return None;
        }
        i64::try_from(((days * 24 + self.hour) * 60 + self.minute) * 60 + self.second).ok()
    }
}

/// The number in the next `count` bytes.
fn digits(text: &mut &[u8], count: usize) -> Option<u64> {
    let (digits, rest) = text.split_at_checked(count)?;
    *text = rest;
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    Some(number)
}

/// Which of the names the next three bytes are.
fn name(text: &mut &[u8], names: &[[u8; 3]]) -> Option<usize> {
    let (name, rest) = text.split_at_checked(3)?;
    *text = rest;
    names.iter().position(|known| known == name)
}

/// RFC 9110 section 5.6.7: writes `secs` since 1970 as IMF-fixdate. Times outside the years 1970 to 9999 become the nearest
/// one inside.
pub fn write_date(secs: i64, out: &mut [u8; DATE_LEN]) {
    let secs = secs.clamp(0, LAST).unsigned_abs();
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    let weekday = DAYS.get(weekday(days)).unwrap_or(&DAYS[0]);
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

/// Length of a date by [`write_iso_date`], bytes.
pub const ISO_DATE_LEN: usize = 20;

/// RFC 3339 section 5.6: writes `secs` since 1970 as date-time in UTC, such as `1994-11-06T08:49:37Z`. Times outside the years 1970
/// to 9999 become the nearest one inside.
pub fn write_iso_date(secs: i64, out: &mut [u8; ISO_DATE_LEN]) {
    let secs = secs.clamp(0, LAST).unsigned_abs();
    let (year, month, day) = civil(secs / 86_400);
    let second = secs % 86_400;
    *out = *b"0000-00-00T00:00:00Z";
    out[0..2].copy_from_slice(&two_digits(year / 100));
    out[2..4].copy_from_slice(&two_digits(year % 100));
    out[5..7].copy_from_slice(&two_digits(month as u64 + 1));
    out[8..10].copy_from_slice(&two_digits(day));
    out[11..13].copy_from_slice(&two_digits(second / 3600));
    out[14..16].copy_from_slice(&two_digits(second / 60 % 60));
    out[17..19].copy_from_slice(&two_digits(second % 60));
}

fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// The weekday of a number of days since 1970; 0 is Sunday. 1 January 1970 was a Thursday.
fn weekday(days: u64) -> usize {
    (days + 4) as usize % 7
}

/// The days from 1970 to a day of a year from 1970 to 9999, for which [`civil`] is the way back. A day that its month does not
/// have is counted on into the next month.
fn days(year: u64, month: usize, day: u64) -> u64 {
    // Years from March to February, as in `civil`.
    let (year, month) = if month < 2 { (year - 1, month as u64 + 10) } else { (year, month as u64 - 2) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
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
    fn iso_dates_are_the_same_days() {
        for (secs, text) in [
            (-1, "1970-01-01T00:00:00Z"),
            (784_111_777, "1994-11-06T08:49:37Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            // Days of the old year that belong to the first week of the new one, and the other way round.
            (1_735_603_200, "2024-12-31T00:00:00Z"),
            (1_609_459_199, "2020-12-31T23:59:59Z"),
            (1_609_459_200, "2021-01-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            let mut out = [0; ISO_DATE_LEN];
            write_iso_date(secs, &mut out);
            assert_eq!(std::str::from_utf8(&out), Ok(text));
        }
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
    fn iso_dates() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (784_111_777, "1994-11-06T08:49:37Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            let mut out = [0; ISO_DATE_LEN];
            write_iso_date(secs, &mut out);
            assert_eq!(out, text.as_bytes());
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

    /// The three forms of a time as the httpdate crate and the names of the weekdays give them.
    fn forms(secs: i64) -> [String; 3] {
        let fixed = written(secs);
        let part = |range: std::ops::Range<usize>| fixed[range].to_string();
        let names = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
        let long = names.into_iter().find(|name| name.starts_with(&fixed[..3])).unwrap();
        let (day, month, year, time) = (part(5..7), part(8..11), part(12..16), part(17..25));
        let padded = day.strip_prefix('0').map_or(day.clone(), |digit| format!(" {digit}"));
        let old = format!("{long}, {day}-{month}-{} {time} GMT", &year[2..]);
        let c = format!("{} {month} {padded} {time} {year}", &fixed[..3]);
        [fixed, old, c]
    }

    fn oracle(text: &[u8]) -> Option<i64> {
        let time = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
        Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs() as i64)
    }

    proptest! {
        #[test]
        fn the_three_forms_are_read_as_httpdate_reads_them(secs in 0..=LAST) {
            for text in forms(secs) {
                prop_assert_eq!(parse_date(text.as_bytes()), oracle(text.as_bytes()), "{}", text);
            }
            prop_assert_eq!(oracle(written(secs).as_bytes()), Some(secs));
        }

        #[test]
        fn what_is_nearly_a_date_is_never_read_as_another(
            secs in 0..4_000_000_000_i64, form in 0..3_usize, at in 0..30_usize, byte in "[ -~]", cut in any::<bool>(),
        ) {
            let mut text = forms(secs)[form].clone().into_bytes();
            let at = at % text.len();
            if cut { text.truncate(at) } else { text[at] = byte.as_bytes()[0] }
            // It leaves some of the bytes between the parts unread, so it takes a little more.
            let read = parse_date(&text);
            prop_assert!(read.is_none() || read == oracle(&text), "{}", String::from_utf8_lossy(&text));
        }

        #[test]
        fn any_day_of_the_calendar_and_none_beside_it(year in 1960_u32..2110, month in 0..12_usize, day in 0..33_u32) {
            let month = std::str::from_utf8(&MONTHS[month]).unwrap();
            for weekday in DAYS {
                let weekday = std::str::from_utf8(&weekday).unwrap();
                let text = format!("{weekday}, {day:02} {month} {year} 23:59:59 GMT");
                prop_assert_eq!(parse_date(text.as_bytes()), oracle(text.as_bytes()), "{}", text);
            }
        }

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
