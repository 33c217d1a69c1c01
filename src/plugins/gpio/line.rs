//! Lines: what a pin and an LED have in common, whose they are, and why one cannot be had.

use std::fmt;
use std::io;

use crate::config::plugins::gpio::Pull;

/// A pin, or an LED, that is the server's own. It stays as it was set when this is dropped.
pub(super) trait Line {
    /// Sets the level. High is lit where it is an LED. May be called at any time: takes a moment and no memory.
    fn set(&mut self, high: bool) -> io::Result<()>;

    /// The level of an input.
    fn is_high(&self) -> bool {
        false
    }
}

/// A line, or why it cannot be had.
pub(super) type Taken = Result<Box<dyn Line>, Refused>;

/// Where pins come from.
pub(super) trait Pins {
    /// Takes a pin as an output, with a level that it has from the first moment on.
    fn output(&mut self, pin: u8, high: bool) -> Taken;

    /// Takes a pin as an input, which something holds while nothing else does.
    fn input(&mut self, pin: u8, pull: Pull) -> Taken;
}

/// Why a line cannot be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// Not a board whose pins are known.
    Board,
    /// The kernel keeps /dev/mem closed.
    Memory,
    /// No permission for a device.
    Device(String),
    /// This board's pins do not go that far.
    Pin,
    /// Something else about pins, an error number of the system; 0 = an unknown one.
    Pins(i32),
    /// No permission for an LED.
    Forbidden,
    /// Something else about an LED, an error number of the system.
    Led(i32),
}

impl Refused {
    /// What opening an LED came to.
    pub(super) fn led(error: &io::Error) -> Refused {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Refused::Forbidden,
            _ => Refused::Led(error.raw_os_error().unwrap_or(0)),
        }
    }
}

/// Tells the operator what to do.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Board => f.write_str("not a Raspberry Pi that is known; write Led in place of Pin"),
            Refused::Memory => f.write_str(
                "no permission for /dev/mem; start as root, with iomem=relaxed on the kernel's command line",
            ),
            Refused::Device(path) => {
                write!(f, "no permission for {path}; start as root, or as a member of the group gpio")
            }
            Refused::Pin => f.write_str("this board has no such pin"),
            Refused::Pins(number) => write!(
                f,
                "/dev/gpiomem (Pi 5: gpiomem0) or /dev/mem, and the /dev/gpiochip of the pins, are needed: {}",
                io::Error::from_raw_os_error(*number)
            ),
            Refused::Forbidden => {
                f.write_str("no permission for its brightness; start as root, or have udev give it away")
            }
            Refused::Led(number) => {
                write!(f, "{}; ls /sys/class/leds shows what there is", io::Error::from_raw_os_error(*number))
            }
        }
    }
}
