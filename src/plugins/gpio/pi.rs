//! The pins of a Raspberry Pi, by the crate rppal: registers that are mapped into memory, so that a level is one store.

use std::io;

use rppal::gpio::{Error, Gpio, InputPin, Level, OutputPin, Pin};

use super::line::{Line, Pins, Refused, Taken};
use crate::config::plugins::gpio::Pull;

/// The pins of the board that this runs on. They are looked for when the first is asked for, and only then: rppal takes 165 KB for events
/// that nobody asks of it here, and keeps them as long as any pin is in use.
#[derive(Default)]
pub(super) struct Board(Option<Result<Gpio, Refused>>);

impl Board {
    fn pin(&mut self, pin: u8) -> Result<Pin, Refused> {
        let board = self.0.get_or_insert_with(|| Gpio::new().map_err(refused));
        board.as_ref().map_err(Refused::clone)?.get(pin).map_err(refused)
    }
}

fn refused(error: Error) -> Refused {
    match error {
        Error::UnknownModel => Refused::Board,
        Error::PermissionDenied(path) if path == "/dev/mem" => Refused::Memory,
        Error::PermissionDenied(path) => Refused::Device(path),
        Error::PinUsed(_) | Error::PinNotAvailable(_) => Refused::Pin,
        Error::Io(error) => Refused::Pins(error.raw_os_error().unwrap_or(0)),
        Error::ThreadPanic => Refused::Pins(0),
    }
}

impl Pins for Board {
    fn output(&mut self, pin: u8, high: bool) -> Taken {
        let pin = self.pin(pin)?;
        let mut pin = if high { pin.into_output_high() } else { pin.into_output_low() };
        // What is left behind is for this plugin to say.
        pin.set_reset_on_drop(false);
        Ok(Box::new(Out(pin)))
    }

    fn input(&mut self, pin: u8, pull: Pull) -> Taken {
        let pin = self.pin(pin)?;
        let mut pin = match pull {
            Pull::Up => pin.into_input_pullup(),
            Pull::Down => pin.into_input_pulldown(),
            Pull::None => pin.into_input(),
        };
        // Another server may have it by then.
        pin.set_reset_on_drop(false);
        Ok(Box::new(In(pin)))
    }
}

struct Out(OutputPin);

impl Line for Out {
    fn set(&mut self, high: bool) -> io::Result<()> {
        self.0.write(Level::from(high));
        Ok(())
    }
}

struct In(InputPin);

impl Line for In {
    fn set(&mut self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn is_high(&self) -> bool {
        self.0.is_high()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_crate_says_what_to_do() {
        for (error, wanted) in [
            (Error::UnknownModel, "not a Raspberry Pi that is known; write Led in place of Pin"),
            (
                Error::PermissionDenied("/dev/mem".into()),
                "no permission for /dev/mem; start as root, with iomem=relaxed on the kernel's command line",
            ),
            (
                Error::PermissionDenied("/dev/gpiomem".into()),
                "no permission for /dev/gpiomem; start as root, or as a member of the group gpio",
            ),
            (Error::PinNotAvailable(60), "this board has no such pin"),
            (
                Error::Io(io::Error::from_raw_os_error(2)),
                "/dev/gpiomem (Pi 5: gpiomem0) or /dev/mem, and the /dev/gpiochip of the pins, are needed: No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(refused(error).to_string(), wanted);
        }
    }

    #[test]
    fn a_machine_without_pins_refuses_each() {
        let mut board = Board::default();
        if board.output(17, false).is_err() {
            let why = board.0.as_ref().unwrap().as_ref().unwrap_err().clone();
            assert_eq!(board.input(27, Pull::Up).err(), Some(why));
        }
    }
}
