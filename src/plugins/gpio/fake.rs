//! Pins that are files, for tests: `N` of a directory is pin N. An output appends `0` or `1` and a line end for each level; of an input
//! the first byte is the level. The first line of an input's file is left as it is; `N.pull` gets the word for what holds it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::line::{Line, Pins, Refused, Taken};
use crate::config::plugins::gpio::Pull;

/// A directory of pins.
pub(super) struct Files(pub(super) PathBuf);

struct Pin(File);

impl Pins for Files {
    fn output(&mut self, pin: u8, high: bool) -> Taken {
        let file = OpenOptions::new().append(true).open(self.0.join(pin.to_string()));
        let mut pin = Pin(file.map_err(|_| Refused::Board)?);
        pin.set(high).map_err(|_| Refused::Board)?;
        Ok(Box::new(pin))
    }

    fn input(&mut self, pin: u8, pull: Pull) -> Taken {
        let file = File::open(self.0.join(pin.to_string())).map_err(|_| Refused::Board)?;
        let _ = fs::write(self.0.join(format!("{pin}.pull")), format!("{pull:?}\n"));
        Ok(Box::new(Pin(file)))
    }
}

impl Line for Pin {
    fn set(&mut self, high: bool) -> io::Result<()> {
        self.0.write_all(if high { b"1\n" } else { b"0\n" })
    }

    fn is_high(&self) -> bool {
        let mut level = [0];
        matches!(self.0.read_at(&mut level, 0), Ok(1)) && level == *b"1"
    }
}
