//! LEDs that the kernel knows, as files in /sys/class/leds (Documentation/leds/leds-class.rst of the kernel).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::line::{Line, Refused, Taken};

/// Where they are.
pub(super) const LEDS: &str = "/sys/class/leds";

/// Room for what is written to be fully lit: a number and a line end.
const WORDS: usize = 12;

/// An LED.
struct Led {
    brightness: File,
    /// What is written when it is to be lit, and how long that is.
    full: [u8; WORDS],
    len: usize,
}

/// Takes an LED of the directory `leds` away from the kernel and sets it.
pub(super) fn take(leds: &Path, name: &str, high: bool) -> Taken {
    let dir = leds.join(name);
    let refused = |error| Refused::led(&error);
    // The server's own rights are given up later; what is open stays so. Appending means nothing to sysfs.
    let brightness = OpenOptions::new().append(true).open(dir.join("brightness")).map_err(refused)?;
    let trigger = OpenOptions::new().write(true).truncate(true).open(dir.join("trigger"));
    match trigger.and_then(|mut trigger| trigger.write_all(b"none\n")) {
        // A kernel without triggers, and nothing that could interfere.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result.map_err(refused)?,
    }
    let mut led = Led { brightness, full: *b"1\n          ", len: 2 };
    // Of an LED that can be dimmed 1 is hardly to be seen.
    if let Ok(most) = fs::read(dir.join("max_brightness"))
        && most.first().is_some_and(|byte| (b'1'..=b'9').contains(byte))
        && let Some(room) = led.full.get_mut(..most.len())
    {
        room.copy_from_slice(&most);
        led.len = most.len();
    }
    led.set(high).map_err(refused)?;
    Ok(Box::new(led))
}

impl Line for Led {
    fn set(&mut self, high: bool) -> io::Result<()> {
        let text = if high { self.full.get(..self.len).unwrap_or_default() } else { b"0\n" };
        (&self.brightness).write_all(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::Dir;

    fn made(files: &[(&str, &str)]) -> Dir {
        let dir = Dir::new();
        fs::create_dir(dir.path().join("ACT")).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join("ACT").join(name), text).unwrap();
        }
        dir
    }

    fn written(dir: &Dir, name: &str) -> String {
        fs::read_to_string(dir.path().join("ACT").join(name)).unwrap()
    }

    #[test]
    fn the_kernel_lets_go_of_it_and_it_is_set() {
        let dir = made(&[("brightness", ""), ("trigger", "none [mmc0] timer\n"), ("max_brightness", "255\n")]);
        let mut led = take(dir.path(), "ACT", false).unwrap();
        assert_eq!((&*written(&dir, "trigger"), &*written(&dir, "brightness")), ("none\n", "0\n"));
        led.set(true).unwrap();
        led.set(false).unwrap();
        drop(led);
        assert_eq!(written(&dir, "brightness"), "0\n255\n0\n");
    }

    #[test]
    fn what_the_kernel_does_not_have_is_not_missed() {
        for most in [None, Some(""), Some("0\n"), Some("x\n"), Some("1234567890123\n")] {
            let dir = made(&[("brightness", "")]);
            if let Some(most) = most {
                fs::write(dir.path().join("ACT/max_brightness"), most).unwrap();
            }
            take(dir.path(), "ACT", true).unwrap();
            assert_eq!(written(&dir, "brightness"), "1\n", "{most:?}");
            assert!(!dir.path().join("ACT/trigger").exists());
        }
    }

    #[test]
    fn why_one_cannot_be_had() {
        let dir = made(&[]);
        for name in ["ACT", "PWR"] {
            let refused = take(dir.path(), name, false).err().unwrap();
            let wanted = "No such file or directory (os error 2); ls /sys/class/leds shows what there is";
            assert_eq!(refused.to_string(), wanted);
        }
        assert_eq!(Refused::led(&io::ErrorKind::PermissionDenied.into()), Refused::Forbidden);
    }
}
