//! What programs write to standard error: a line each in the log, with the program's name before it.

use std::fmt;
use std::io;

use crate::limits::{CGI_NAME_MAX, COMPLAINT_MAX};
use crate::plugin::backend::complaints::{Complaints, Shown};
use crate::sys::memory::Region;

/// Bytes of memory for each program.
pub const PLACE: usize = CGI_NAME_MAX + COMPLAINT_MAX;

/// How far a program's name and its unfinished line fill their places.
#[derive(Clone, Copy, Default, Debug)]
pub struct Voice {
    name: u16,
    line: u16,
    /// The line is longer than there is room for.
    cut: bool,
}

/// The lines of a worker's programs.
pub struct Errors {
    room: Region,
    complaints: Complaints,
}

/// A program's place: its name, and its line.
fn place(room: &mut [u8], place: u16) -> (&mut [u8], &mut [u8]) {
    let start = usize::from(place) * PLACE;
    let room = room.get_mut(start..start + PLACE).unwrap_or_default();
    room.split_at_mut_checked(CGI_NAME_MAX).unwrap_or_default()
}

impl Errors {
    /// Takes the memory for so many programs.
    pub fn new(places: usize) -> io::Result<Errors> {
        Ok(Errors { room: Region::new(places * PLACE)?, complaints: Complaints::default() })
    }

    /// The name of a program that is started, for the lines that it is going to write. Of a long one the end is kept.
    pub fn begin(&mut self, number: u16, name: &[u8]) -> Voice {
        let kept = name.get(name.len().saturating_sub(CGI_NAME_MAX)..).unwrap_or_default();
        if let Some(to) = place(&mut self.room, number).0.get_mut(..kept.len()) {
            to.copy_from_slice(kept);
        }
        Voice { name: kept.len() as u16, ..Voice::default() }
    }

    /// Takes what a program wrote; `now` in milliseconds.
    pub fn feed(&mut self, number: u16, voice: &mut Voice, data: &[u8], now: u32) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = place(&mut self.room, number).1.get_mut(usize::from(voice.line)..).unwrap_or_default();
            let len = text.len().min(room.len());
            if let (Some(to), Some(some)) = (room.get_mut(..len), text.get(..len)) {
                to.copy_from_slice(some);
            }
            voice.line += len as u16;
            voice.cut |= len < text.len();
            if ends {
                self.end(number, voice, now);
            }
        }
    }

    /// A line ends, or a program writes no more: tells the line, if there is any.
    pub fn end(&mut self, number: u16, voice: &mut Voice, now: u32) {
        let said = std::mem::replace(voice, Voice { line: 0, cut: false, ..*voice });
        let Errors { room, complaints } = self;
        let (name, line) = place(room, number);
        let name = Shown(name.get(..said.name.into()).unwrap_or_default());
        let line = line.get(..said.line.into()).unwrap_or_default().trim_ascii_end();
        if !line.is_empty() {
            let cut = if said.cut { " ..." } else { "" };
            complaints.say(now, format_args!("cgi: {name}: {}{cut}", Shown(line)));
        }
    }

    /// Tells something about a program that it does not say itself.
    pub fn say(&mut self, number: u16, voice: Voice, what: fmt::Arguments<'_>, now: u32) {
        let Errors { room, complaints } = self;
        let name = place(room, number).0.get(..voice.name.into()).unwrap_or_default();
        complaints.say(now, format_args!("cgi: {}: {what}", Shown(name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the place of a program's line, and whether more was cut off.
    fn held(errors: &mut Errors, voice: Voice) -> (String, bool) {
        let text = place(&mut errors.room, 1).1[..voice.line.into()].to_vec();
        (String::from_utf8(text).unwrap(), voice.cut)
    }

    #[test]
    fn lines_are_put_together_and_cut() {
        let mut errors = Errors::new(2).unwrap();
        let mut voice = errors.begin(1, b"/cgi-bin/x");
        for (data, line) in [("a", "a"), ("b", "ab"), ("c\nd", "d"), ("\n\n", ""), ("x\ny\nz", "z")] {
            errors.feed(1, &mut voice, data.as_bytes(), 0);
            assert_eq!(held(&mut errors, voice), (line.into(), false));
        }
        errors.end(1, &mut voice, 0);
        errors.feed(1, &mut voice, &[b'l'; COMPLAINT_MAX], 0);
        assert_eq!(held(&mut errors, voice), ("l".repeat(COMPLAINT_MAX), false));
        errors.feed(1, &mut voice, b"l", 0);
        assert_eq!(held(&mut errors, voice), ("l".repeat(COMPLAINT_MAX), true));
        errors.feed(1, &mut voice, b"\nnext", 0);
        assert_eq!(held(&mut errors, voice), ("next".into(), false));
        assert_eq!(&place(&mut errors.room, 1).0[..10], b"/cgi-bin/x");
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        let mut errors = Errors::new(1).unwrap();
        let name = "d/".repeat(CGI_NAME_MAX) + "script.cgi";
        let voice = errors.begin(0, name.as_bytes());
        assert_eq!(usize::from(voice.name), CGI_NAME_MAX);
        assert!(place(&mut errors.room, 0).0.ends_with(b"/script.cgi"));
    }
}
