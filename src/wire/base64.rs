//! RFC 4648 section 4: base64, with its padding.

/// The digits, by their value.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Decodes `text` into `out`; answers with how many bytes that are. None = it is no base64, or does not fit. Strict: the padding must be
/// there, and bits that belong to no byte must be zero, so that no two texts mean the same (section 3.5).
pub fn decode(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut room = out.iter_mut();
    let (mut bits, mut count, mut padding, mut len) = (0u32, 0, 0, 0);
    for &byte in text {
        if byte == b'=' {
            padding += 1;
            continue;
        }
        bits = (bits << 6) | u32::from(value(byte).filter(|_| padding == 0)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            *room.next()? = (bits >> count) as u8;
            bits &= (1 << count) - 1;
            len += 1;
        }
    }
    (text.len().is_multiple_of(4) && padding <= 2 && bits == 0).then_some(len)
}

fn value(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Encodes `bytes` into `out` and answers with the part of it that was written. What does not fit is left out: four digits are needed
/// for three bytes or the last one or two.
pub fn encode<'a>(bytes: &[u8], out: &'a mut [u8]) -> &'a [u8] {
    let (mut bits, mut count, mut len) = (0u32, 0, 0);
    let mut put = |digit| {
        if let Some(place) = out.get_mut(len) {
            *place = digit;
            len += 1;
        }
    };
    for &byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        count += 8;
        while count >= 6 {
            count -= 6;
            put(DIGITS[((bits >> count) & 63) as usize]);
        }
    }
    // Of the last byte two bits may be left, or four: a digit, and a character of padding for each two bits that it has too many.
    if count > 0 {
        put(DIGITS[((bits << (6 - count)) & 63) as usize]);
    }
    while count % 6 != 0 {
        put(b'=');
        count += 2;
    }
    out.get(..len & !3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4648 section 10.
    const EXAMPLES: [(&str, &str); 7] = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];

    #[test]
    fn examples_of_the_rfc() {
        for (bytes, text) in EXAMPLES {
            let mut room = [0; 16];
            assert_eq!(encode(bytes.as_bytes(), &mut room), text.as_bytes());
            assert_eq!(decode(text.as_bytes(), &mut room), Some(bytes.len()));
            assert_eq!(&room[..bytes.len()], bytes.as_bytes());
        }
    }

    #[test]
    fn what_is_no_base64() {
        for text in [
            "Z", "Zg", "Zg=", "Zm9", "Zg===", "Zg==Zg==", "=", "====", "Z===", "=Zg=", "Zg==\n", "Z g=", "Zh==",
            "Zm9=", "Z-_=", "\u{e9}Zg",
        ] {
            assert_eq!(decode(text.as_bytes(), &mut [0; 16]), None, "{text}");
        }
        assert_eq!(decode(b"Zm9v", &mut [0; 2]), None, "no room");
        assert_eq!(encode(b"foobar", &mut [0; 5]), b"Zm9v");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_again(bytes: Vec<u8>) {
            let mut text = vec![0; bytes.len().div_ceil(3) * 4];
            let text = encode(&bytes, &mut text);
            let mut out = vec![0; bytes.len()];
            prop_assert_eq!(decode(text, &mut out), Some(bytes.len()));
            prop_assert_eq!(out, bytes);
        }

        #[test]
        fn any_text_is_survived(text: Vec<u8>) {
            let mut room = [0; 64];
            if let Some(len) = decode(&text, &mut room) {
                let mut again = [0; 88];
                prop_assert_eq!(encode(&room[..len], &mut again), &text[..]);
            }
        }
    }
}
