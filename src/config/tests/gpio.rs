//! gpio.conf: what is in it, and what is wrong with it.

use super::super::plugins::gpio::{Action, Gpio, Input, Output, Pattern, Place, Pull, Role};
use super::*;

const FILE: &str = "/c/plugins/gpio/gpio.conf";

fn gpio(text: &str) -> (Gpio, Vec<String>) {
    let (config, found) = read(Options::default(), &[(FILE, text), ("/bin/reset", "")]);
    (config.unwrap().plugins.gpio, found)
}

/// What is found in one file, without its name.
fn found(text: &str) -> Vec<String> {
    gpio(text).1.into_iter().map(|found| found.replace(FILE, "")).collect()
}

fn output(role: Role, pattern: Pattern) -> Output {
    Output { role, place: Place::Pin(4), active_low: false, pattern, safe_high: false }
}

#[test]
fn nothing_is_touched_unless_it_is_asked_for() {
    let (without, found) = read(Options::default(), &[]);
    assert_eq!((without.unwrap().plugins.gpio, found), (Gpio::default(), vec![]));
    let shipped = include_str!("../../../conf/plugins/gpio/gpio.conf");
    assert_eq!(gpio(shipped), (Gpio { check: 2000, hold: 3000, ..Gpio::default() }, vec![]));
    // What it shows holds once it is no comment any more.
    let mut on = String::new();
    for line in shipped.lines() {
        let is_text = |text: &&str| text.starts_with('[') || text.starts_with("    ") && !text.starts_with("     ");
        let text = line.strip_prefix("# ").filter(is_text);
        on.extend([text.unwrap_or(""), "\n"]);
    }
    let (gpio, found) = gpio(&on);
    assert_eq!(found, [format!("{FILE}:{}:5: User has no effect: no input runs a program", on.lines().count())]);
    assert_eq!((gpio.outputs.len(), gpio.inputs.len()), (4, 1));
}

#[test]
fn each_role_has_the_pattern_that_suits_it() {
    for (role, wanted) in [
        ("ready", output(Role::Ready, Pattern::On)),
        ("ACTIVITY", output(Role::Activity, Pattern::Pulse { lit: 50 })),
        ("error", output(Role::Error, Pattern::Count)),
        ("heartbeat", output(Role::Heartbeat, Pattern::Blink { half: 500 })),
        ("busy", output(Role::Busy, Pattern::On)),
    ] {
        assert_eq!(gpio(&format!("[OUTPUT]\n  Role {role}\n  Pin 4\n")).0.outputs, [wanted], "{role}");
    }
}

#[test]
fn every_pattern() {
    for (text, wanted) in [
        ("on", Pattern::On),
        ("blink 0.1", Pattern::Blink { half: 5000 }),
        ("Blink 1", Pattern::Blink { half: 500 }),
        ("blink 2.5", Pattern::Blink { half: 200 }),
        ("blink 25", Pattern::Blink { half: 20 }),
        ("pulse 10", Pattern::Pulse { lit: 10 }),
        ("pulse 10000", Pattern::Pulse { lit: 10_000 }),
        ("COUNT", Pattern::Count),
    ] {
        let found = gpio(&format!("[OUTPUT]\n  Role error\n  Pin 4\n  Pattern {text}\n"));
        assert_eq!(found, (Gpio { outputs: vec![output(Role::Error, wanted)], ..found.0.clone() }, vec![]), "{text}");
    }
    for text in [
        "blink",
        "blink 0",
        "blink 25.1",
        "blink 1.25",
        "blink 0.05",
        "blink 1.00",
        "blink .5",
        "blink x",
        "pulse",
        "pulse 9",
        "pulse 10001",
        "on 1",
        "x",
    ] {
        let wanted = "write on, blink HZ (0.1 to 25, one decimal), pulse MS (10 to 10000) or count";
        assert_eq!(
            found(&format!("[OUTPUT]\n  Role error\n  Pin 4\n  Pattern {text}\n")),
            [format!(":4:11: Pattern cannot be \"{text}\": {wanted}")]
        );
    }
}

#[test]
fn the_level_that_is_left_behind() {
    for (active_low, safe, high) in [
        ("Off", "off", false),
        ("Off", "on", true),
        ("Off", "low", false),
        ("Off", "high", true),
        ("On", "off", true),
        ("On", "on", false),
        ("On", "low", false),
        ("On", "high", true),
    ] {
        let text = format!("[OUTPUT]\n  Role ready\n  Led ACT\n  ActiveLow {active_low}\n  Safe {safe}\n");
        let output = gpio(&text).0.outputs.remove(0);
        assert_eq!((output.place, output.safe_high), (Place::Led("ACT".into()), high), "{active_low} {safe}");
        assert_eq!(output.active_low, active_low == "On");
    }
    let unset = "[OUTPUT]\n  Role ready\n  Led ACT\n  ActiveLow On\n";
    assert!(gpio(unset).0.outputs[0].safe_high);
}

#[test]
fn inputs() {
    let (gpio, found) = gpio(
        "[INPUT]\n  Pin 2\n  Action reload\n[INPUT]\n  Pin 3\n  Pull down\n  Edge rising\n  Debounce 0\n  Action STOP\n\
         [INPUT]\n  Pin 27\n  Pull none\n  Action run /bin/reset\n[GPIO]\n  User nobody\n  Check 0\n  Hold 9\n",
    );
    assert_eq!(found, [""; 0]);
    let input = |pin, pull, rising, debounce, action| Input { pin, pull, rising, debounce, action };
    let wanted = vec![
        input(2, Pull::Up, false, 50, Action::Reload),
        input(3, Pull::Down, true, 0, Action::Stop),
        input(27, Pull::None, false, 50, Action::Run("/bin/reset".into())),
    ];
    let user = Some("nobody".into());
    assert_eq!(gpio, Gpio { outputs: vec![], inputs: wanted, check: 0, hold: 9000, user });
    assert_eq!(gpio.programs(), 1);
}

#[test]
fn wired_the_same_or_not() {
    let one = |text: &str| gpio(text).0;
    let base = "[OUTPUT]\n  Role ready\n  Pin 4\n[INPUT]\n  Pin 5\n  Action reload\n";
    let same = "[OUTPUT]\n  Role busy\n  Pin 4\n  Pattern blink 2\n  Safe on\n[INPUT]\n  Pin 5\n  Edge rising\n  Action stop\n";
    assert!(one(base).is_wired_as(&one(same)));
    for other in [
        "[OUTPUT]\n  Role ready\n  Pin 4\n",
        "[OUTPUT]\n  Role ready\n  Pin 6\n[INPUT]\n  Pin 5\n  Action reload\n",
        "[OUTPUT]\n  Role ready\n  Led ACT\n[INPUT]\n  Pin 5\n  Action reload\n",
        "[OUTPUT]\n  Role ready\n  Pin 4\n[INPUT]\n  Pin 5\n  Pull none\n  Action reload\n",
    ] {
        assert!(!one(base).is_wired_as(&one(other)), "{other}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let roles = "write one of ready, activity, error, heartbeat, busy";
    for (text, wanted) in [
        ("[OUTPUT]\n  Role redy\n  Pin 4\n", format!(":2:8: Role cannot be \"redy\": {roles}")),
        ("[OUTPUT]\n  Pin 4\n", format!(":1:1: [OUTPUT] needs Role: {roles}")),
        ("[OUTPUT]\n  Role ready\n  Pin 28\n", ":3:7: Pin cannot be \"28\": write a whole number from 0 to 27".into()),
        (
            "[OUTPUT]\n  Role ready\n",
            ":1:1: [OUTPUT] needs Pin or Led: write Pin and a BCM number, or Led and a name".into(),
        ),
        (
            "[OUTPUT]\n  Role ready\n  Pin 4\n  Led ACT\n",
            ":4:3: an output has a Pin or a Led, not both: take one out".into(),
        ),
        (
            "[OUTPUT]\n  Role ready\n  Pin 4\n[OUTPUT]\n  Role busy\n  Pin 4\n",
            ":6:7: pin 4 is in use already: name another".into(),
        ),
        (
            "[OUTPUT]\n  Role ready\n  Led A\n[OUTPUT]\n  Role busy\n  Led A\n",
            ":6:7: LED A is in use already: name another".into(),
        ),
        (
            "[OUTPUT]\n  Role ready\n  Pin 4\n[INPUT]\n  Pin 4\n  Action stop\n",
            ":5:7: pin 4 is in use already: name another".into(),
        ),
        (
            "[OUTPUT]\n  Role ready\n  Led ../x\n",
            ":3:7: \"../x\" is not the name of an LED: ls /sys/class/leds shows them".into(),
        ),
        (
            "[OUTPUT]\n  Role ready\n  Pin 4\n  Pattern count\n",
            ":4:11: count tells the number of an error: write it with Role error".into(),
        ),
        ("[INPUT]\n  Action stop\n", ":1:1: [INPUT] needs Pin: write a whole number from 0 to 27".into()),
        ("[INPUT]\n  Pin 4\n", ":1:1: [INPUT] needs Action: write reload, stop or run PROGRAM".into()),
        (
            "[INPUT]\n  Pin 4\n  Action run /no\n",
            ":3:14: /no: no such file or directory: name a program that can be run".into(),
        ),
        (
            "[INPUT]\n  Pin 4\n  Action run no\n",
            ":3:10: Action cannot be \"run no\": write reload, stop, or run and the absolute path of a program".into(),
        ),
        (
            "[INPUT]\n  Pin 4\n  Pin 5\n  Action stop\n",
            format!(":3:3: Pin is already set at {FILE}:2:3: this one has no effect").replace(FILE, ""),
        ),
        ("[INPUTS]\n  Pin 4\n", ":1:1: unknown section [INPUTS]: did you mean [INPUT]?".into()),
        ("[OUTPUT]\n  Rolle ready\n", ":2:3: unknown key Rolle in [OUTPUT]: did you mean Role?".into()),
    ] {
        let found = found(text);
        assert!(found.contains(&wanted), "{text}: {found:?}");
    }
    let many: String = (0..33).map(|n| format!("[OUTPUT]\n  Role ready\n  Led L{n}\n")).collect();
    assert_eq!(found(&many), [":97:1: more than 32 outputs: take some out"]);
    assert_eq!(gpio(&many).0.outputs.len(), 32);
}

#[test]
fn a_program_lies_in_the_root_directory() {
    let server = "[SERVER]\n  Chroot /srv\n";
    let site = "[HOST]\n  ServerName a\n  DocumentRoot /srv/www\n";
    let found = |program: &str| {
        let conf = format!("[INPUT]\n  Pin 4\n  Action run {program}\n");
        let files = [("/c/monkey.conf", server), ("/c/sites/default", site), ("/srv/x", ""), ("/bin/reset", "")];
        let files = [&files[..], &[(FILE, &*conf), ("/srv/bin/reset", "")]].concat();
        read(Options::default(), &files).1
    };
    assert_eq!(found("/srv/bin/reset"), [""; 0]);
    let what = "/bin/reset is out of reach once Chroot /srv is the root directory: name one in it";
    assert_eq!(found("/bin/reset"), [format!("{FILE}:3:14: {what}")]);
}
