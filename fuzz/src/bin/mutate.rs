//! A plain mutation loop, for machines without the toolchain that cargo-fuzz needs: it changes the inputs it is given and runs a
//! target on the results. It sees nothing of the program, so it measures no coverage and keeps no input of its own.
//!
//! usage: mutate TARGET SECONDS SEED DIRECTORY_FOR_FINDINGS INPUT_DIRECTORY...

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use monkey_fuzz::{session, targets};

/// What HTTP is made of, to be put anywhere.
const DICTIONARY: &str = include_str!("../../http.dict");

/// Longest input made.
const INPUT_MAX: usize = 4096;
/// Executions between two looks at the clock.
const BATCH: u64 = 256;
/// Seconds between two lines of progress.
const REPORT: Duration = Duration::from_secs(10);

/// xorshift64: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, seconds, seed, findings, inputs @ ..] = arguments.as_slice() else {
        eprintln!("usage: mutate TARGET SECONDS SEED DIRECTORY_FOR_FINDINGS INPUT_DIRECTORY...");
        return ExitCode::FAILURE;
    };
    let Some((_, run)) = targets().find(|(name, _)| name == target) else {
        eprintln!("mutate: no such target: {target}");
        return ExitCode::FAILURE;
    };
    let seconds = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let mut random = Random(seed.parse::<u64>().expect("a number as seed").wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let corpus = read(inputs);
    let tokens: Vec<Vec<u8>> = DICTIONARY.lines().filter_map(token).collect();
    let begun = Instant::now();
    let (mut executions, mut reported) = (0u64, begun);
    // The inputs as they are come first.
    let mut unchanged = corpus.iter();
    let mut input = Vec::new();
    while begun.elapsed() < seconds || unchanged.len() > 0 {
        for _ in 0..BATCH {
            match unchanged.next() {
                Some(original) => input.clone_from(original),
                None => mutate(&mut input, &corpus, &tokens, &mut random),
            }
            executions += 1;
            if catch_unwind(AssertUnwindSafe(|| run(&input))).is_err() {
                return found(target, findings, &input, run);
            }
        }
        if reported.elapsed() >= REPORT {
            reported = Instant::now();
            println!("#{executions} after {} s", begun.elapsed().as_secs());
        }
    }
    println!("done: {executions} executions in {} s", begun.elapsed().as_secs());
    if target == "session" {
        println!("{}", session::reach());
    }
    ExitCode::SUCCESS
}

fn read(directories: &[String]) -> Vec<Vec<u8>> {
    let mut corpus = vec![Vec::new()];
    for directory in directories {
        let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
        paths.sort();
        corpus.extend(paths.iter().filter(|path| path.is_file()).map(|path| fs::read(path).expect("a readable input")));
    }
    corpus
}

/// One line of the dictionary: text in quotes, in which `\xHH` is a byte.
fn token(line: &str) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    while let Some(first) = rest.bytes().next() {
        let escaped = rest.strip_prefix("\\x").and_then(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = &rest[if escaped.is_some() { 4 } else { 1 }..];
    }
    Some(bytes)
}

/// Makes the next input: one of the corpus, or the last one again, changed a few times.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], tokens: &[Vec<u8>], random: &mut Random) {
    if random.below(4) != 0 || input.len() > INPUT_MAX {
        input.clone_from(&corpus[random.below(corpus.len())]);
    }
    for _ in 0..=random.below(6) {
        let len = input.len();
        let at = random.below(len + 1);
        match random.below(9) {
            0 if at < len => input[at] ^= 1 << random.below(8),
            1 if at < len => input[at] = random.next() as u8,
            2 if at < len => input[at] = input[at].wrapping_add(random.below(9) as u8).wrapping_sub(4),
            3 if at < len => drop(input.drain(at..(at + 1 + random.below(16)).min(len))),
            4 => input.insert(at, random.next() as u8),
            5 => drop(input.splice(at..at, tokens[random.below(tokens.len())].iter().copied())),
            6 => {
                // A stretch of another input.
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(64)).min(other.len());
                drop(input.splice(at..at, other[from..to].iter().copied()));
            }
            7 => {
                // The rest of another one.
                let other = &corpus[random.below(corpus.len())];
                input.truncate(at);
                input.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            8 if at < len => {
                let stretch = input[at..(at + random.below(32)).min(len)].to_vec();
                drop(input.splice(at..at, stretch));
            }
            _ => {}
        }
    }
    input.truncate(INPUT_MAX);
}

/// Makes a failing input as small as cutting and flattening make it, and writes it down.
fn found(target: &str, findings: &str, input: &[u8], run: fn(&[u8])) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let fails = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| run(input))).is_err();
    let mut small = input.to_vec();
    let mut step = small.len().max(1);
    while step > 0 {
        let mut at = 0;
        while at < small.len() {
            let mut shorter = small.clone();
            shorter.drain(at..(at + step).min(small.len()));
            if fails(&shorter) {
                small = shorter;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    let path = Path::new(findings).join(format!("crash-{target}-{:016x}", hash(&small)));
    fs::write(&path, &small).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    println!("FOUND {} ({} bytes, cut from {})", path.display(), small.len(), input.len());
    ExitCode::FAILURE
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
