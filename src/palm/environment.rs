//! Which variables of a request a script is given.

use crate::limits::{PALM_NAME_MAX, PALM_VARIABLES_MAX};
use crate::wire::palm::Variables;

/// What makes a shell, an interpreter or the loader run something else, and what this server sets itself: never passed on. With a star
/// behind it, neither is any name that begins so. With REDIRECT_URL beside it php-cgi takes PATH_TRANSLATED for the script.
const KEPT_BACK: &[u8] = b"PATH SCRIPT_FILENAME IFS ENV BASH_ENV SHELLOPTS BASHOPTS PS4 CDPATH GLOBIGNORE PHPRC \
    PHP_INI_SCAN_DIR GCONV_PATH LOCPATH NLSPATH HTTP_PROXY REDIRECT_URL OPENSSL_* GIT_* LD_* PYTHON* PERL* RUBY* NODE_* LUA_* GLIBC_* MALLOC_*";

/// A variable: its name and its value.
pub(super) type Variable<'a> = (&'a [u8], &'a [u8]);

/// Those that are for the script, of two with the same name the first; None = more than [`PALM_VARIABLES_MAX`].
pub(super) fn passed_on(variables: Variables<'_>) -> Option<Vec<Variable<'_>>> {
    let mut all: Vec<Variable<'_>> = Vec::new();
    for (name, value) in variables {
        if !is_passed_on(name) || all.iter().any(|(other, _)| *other == name) {
            continue;
        }
        if all.len() >= PALM_VARIABLES_MAX {
            return None;
        }
        all.push((name, value));
    }
    Some(all)
}

/// Whether a variable of this name is for the script.
fn is_passed_on(name: &[u8]) -> bool {
    let is_name = name.len() <= PALM_NAME_MAX
        && !name.first().is_none_or(u8::is_ascii_digit)
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let is_kept_back = |word: &[u8]| match word.strip_suffix(b"*") {
        Some(start) => name.starts_with(start),
        None => name == word,
    };
    is_name && !KEPT_BACK.split(|byte| *byte == b' ').any(is_kept_back)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::palm::Reader;

    fn of(request: &str) -> Option<Vec<String>> {
        let read = Reader::new().next(request.as_bytes()).expect("a request").expect("a whole one");
        let all = passed_on(read.variables(request.as_bytes()))?;
        let text = |bytes| String::from_utf8_lossy(bytes);
        Some(all.into_iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect())
    }

    #[test]
    fn only_names_of_variables_are_passed_on() {
        let request = "/x\r\nno equals sign\r\nA=1\r\nA=2\r\nÄ=3\r\n=4\r\n1A=5\r\nA B=6\r\nLD_PRELOAD=/y\r\nPATH=/z\r\n\
             SCRIPT_FILENAME=/w\r\nREDIRECT_URL=/v\r\nHTTP_PROXY=p\r\nHTTP_HOST=h\r\nPYTHONPATH=q\r\n_=7\r\na=8\r\n\r\n";
        assert_eq!(of(request).expect("few"), ["A=1", "HTTP_HOST=h", "_=7", "a=8"]);
        let named = |len| of(&format!("/x\r\n{}=1\r\n\r\n", "N".repeat(len))).expect("few").len();
        assert_eq!((named(PALM_NAME_MAX), named(PALM_NAME_MAX + 1)), (1, 0));
    }

    #[test]
    fn no_more_than_there_is_room_for() {
        let many = |count| of(&format!("/x\r\n{}\r\n", (0..count).map(|n| format!("V{n}=\r\n")).collect::<String>()));
        assert_eq!(many(PALM_VARIABLES_MAX).map(|all| all.len()), Some(PALM_VARIABLES_MAX));
        assert_eq!(many(PALM_VARIABLES_MAX + 1), None);
    }
}
