//! What the server says of itself on SIGUSR2.

use super::{Server, eventually};

/// The lines of one answer.
#[derive(Clone, Debug)]
pub struct State {
    /// The line of the whole, after `state: `.
    pub whole: String,
    /// Those of the workers, after `state: worker N: `.
    pub workers: Vec<String>,
}

impl State {
    /// Asks a server.
    #[track_caller]
    pub fn of(server: &Server) -> State {
        let lines = || -> Vec<String> {
            let log = server.log();
            let told = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            told.filter_map(|line| line.trim_end().split_once(" INFO: state: ")).map(|(_, line)| line.into()).collect()
        };
        let workers: usize = number(&server.log(), " workers, up to ").expect("how many workers there are") as usize;
        let before = lines().len();
        server.signal("USR2");
        assert!(eventually(|| lines().len() == before + 1 + workers), "no state: {:?}", lines());
        let new = lines().split_off(before);
        let whole = new.iter().find(|line| !line.starts_with("worker ")).expect("a line of the whole").clone();
        let mut workers: Vec<String> = new.into_iter().filter(|line| line.starts_with("worker ")).collect();
        workers.sort();
        State { whole, workers }
    }

    /// The number before a word in the line of the whole.
    #[track_caller]
    pub fn get(&self, word: &str) -> u64 {
        number(&self.whole, &format!(" {word}")).unwrap_or_else(|| panic!("no {word}: {self:?}"))
    }

    /// The sum of the numbers before a word in the lines of the workers.
    #[track_caller]
    pub fn sum(&self, word: &str) -> u64 {
        let of = |line: &String| number(line, word).unwrap_or_else(|| panic!("no {word}: {self:?}"));
        self.workers.iter().map(of).sum()
    }

    /// Connections, buffers lent, and files in use by answers, over all workers.
    pub fn held(&self) -> (u64, u64, u64) {
        (self.sum(" connections"), self.sum(" of "), self.sum(" in use"))
    }
}

/// The decimal number right before the first place of a word.
fn number(text: &str, word: &str) -> Option<u64> {
    let before = text.split_once(word)?.0;
    let start = before.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    before[start..].parse().ok()
}
