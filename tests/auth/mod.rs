use crate::util::{Server, Setup};

/// Users files that change while they are used.
mod changes;
/// `monkey passwd`.
mod passwd;
/// What is asked for, and what gets in.
mod requests;
/// bcrypt.
#[cfg(feature = "auth-bcrypt")]
mod slow;

/// `al` with the password `password`, `bo` with `se:cret`, `empty` with none, in the original's form.
pub const USERS: &str = "# users\n\nal:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nbo:{SHA}pv2GBvjxKnVBICqTPkoqmG/ZwaE=\n\
                         empty:{SHA1}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n";

/// Credentials of al, base64.
pub const AL: &str = "YWw6cGFzc3dvcmQ=";

/// A site with a file that is open and one that is not, and `USERS`; with room for some answers that are held back.
pub fn setup() -> Setup {
    small_setup().server("MemoryLimit 7000")
}

/// The same with the memory that there is by default.
pub fn small_setup() -> Setup {
    let setup = Setup::new().file("a.txt", "alpha").file("in/b.txt", "beta").file("in/deep/c.txt", "gamma");
    setup.dir.write("conf/users", USERS);
    setup.section("AUTH", &["Location /in", "Title In \"here\"", "Users users"])
}

/// The field that has these credentials, given in base64.
pub fn basic(token: &str) -> String {
    format!("Authorization: Basic {token}\r\n")
}

/// The status of a GET for a protected file with these credentials.
pub fn status(server: &Server, token: &str) -> u16 {
    server.ask("GET /in/b.txt", &basic(token)).status
}
