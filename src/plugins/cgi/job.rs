//! What a request has run, and how that is told to whoever starts it: arguments, working directory, environment.

use std::os::unix::ffi::OsStrExt;

use crate::config::Chroot;
use crate::config::plugins::cgi::{Cgi, Line, OfSite};
use crate::http::output::Sink;
use crate::limits::PATH_ROOM;
use crate::plugin::backend::environment::{self, Told};
use crate::plugin::handler::Script;
use crate::plugin::order::{About, Order};
use crate::wire::cgi_env::Variable;
use crate::wire::writer::Writer;

/// Where programs find others, unless the site says otherwise.
const PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Job<'a> {
    /// What is executed.
    pub program: &'a [u8],
    /// The file that the program is to run, if it is not the file itself.
    pub script: Option<&'a [u8]>,
}

impl<'a> Job<'a> {
    /// What a line has run: the program that it names, or the file, by its interpreter if it names one. None = neither.
    pub fn of(line: &'a Line, script: Option<Script<'a>>, chroot: Option<&Chroot>) -> Option<Job<'a>> {
        let inside = |path: &'a str| inside(path, chroot);
        if let Some(program) = &line.program {
            return Some(Job { program: inside(program), script: None });
        }
        let file = script?.file;
        Some(match &line.interpreter {
            Some(interpreter) => Job { program: inside(interpreter), script: Some(file) },
            None => Job { program: file, script: None },
        })
    }

    /// By what it is known: the script's path, or the program's.
    pub fn name(&self) -> &'a [u8] {
        self.script.unwrap_or(self.program)
    }

    /// RFC 3875 section 7.2: the working directory, where the script lies.
    fn directory(&self) -> &'a [u8] {
        let name = self.name();
        let slash = name.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        name.get(..slash.max(1)).unwrap_or(b"/")
    }

    /// Writes the order to start it, which answers to `id`. None = it is too long for an order, which only variables of the configuration can bring about.
    ///
    /// A query without `=` is not passed in arguments, as RFC 3875 section 4.4 has it: interpreters would take what a client has
    /// written there for options of their own.
    pub fn order<'r>(
        &self,
        room: &'r mut [u8],
        id: u32,
        cgi: &Cgi,
        site: &OfSite,
        about: &environment::About<'_>,
    ) -> Option<&'r [u8]> {
        let known = About {
            id,
            user: u8::from(cgi.user.is_some()),
            limits: cgi.child,
            program: self.program,
            directory: self.directory(),
        };
        let mut order = Order::new(room, &known);
        order.argument(self.program);
        if let Some(script) = self.script {
            order.argument(script);
        }
        let mut variables = Variables { order, site };
        about.tell(&mut variables);
        translated(about, &mut variables);
        variables.variable(b"PATH", PATH);
        let mut order = variables.order;
        for (name, value) in &site.variables {
            order.variable(name.as_bytes(), value);
        }
        order.finish()
    }
}

/// How a path that is written as it is seen from outside is seen by who starts programs.
fn inside<'a>(path: &'a str, chroot: Option<&Chroot>) -> &'a [u8] {
    let path = path.as_bytes();
    let Some(chroot) = chroot else { return path };
    let root = chroot.dir().as_os_str().as_bytes();
    let rest = path.strip_prefix(root.strip_suffix(b"/").unwrap_or(root));
    rest.filter(|rest| rest.starts_with(b"/")).unwrap_or(path)
}

/// RFC 3875 section 4.1.6: where PATH_INFO would lead if it had been asked for by itself. It is normal, so that it does not leave the
/// root that it belongs to but by symbolic links, which are the business of who opens it.
fn translated(about: &environment::About<'_>, to: &mut dyn Told) {
    let info = about.info();
    let Some((root, rest)) = about.live.place(about.request.site, info).filter(|_| !info.is_empty()) else { return };
    let Some(root) = about.live.root(root) else { return };
    let mut room = [0; PATH_ROOM];
    let mut whole = Writer::new(&mut room);
    let root = root.as_bytes();
    for part in [root.strip_suffix(b"/").unwrap_or(root), b"/", rest] {
        whole.push(part);
    }
    if !whole.overflowed() {
        to.variable(b"PATH_TRANSLATED", whole.bytes());
    }
}

/// The environment as a part of an order. What the site sets itself is left out, for each name is to come once: the configuration has
/// seen to it that it sets nothing that stands for a field.
struct Variables<'r, 's> {
    order: Order<'r>,
    site: &'s OfSite,
}

impl Told for Variables<'_, '_> {
    fn variable(&mut self, name: &[u8], value: &[u8]) {
        if self.site.variables.iter().all(|(set, _)| set.as_bytes() != name) {
            self.order.variable(name, value);
        }
    }

    fn field(&mut self, variable: &Variable<'_>) {
        variable.name().for_each(|byte| self.order.push(&[byte]));
        for (nth, value) in variable.values().enumerate() {
            self.order.push(if nth == 0 { b"=" } else { variable.separator() });
            self.order.push(value);
        }
        self.order.end_variable();
    }
}

#[cfg(all(test, feature = "test-switches"))]
mod tests {
    use super::*;
    use crate::plugin::handler::Client;
    use crate::plugin::nobody::Nobody;
    use crate::plugin::order::{Read, read};
    use crate::sys::socket::Peer;
    use crate::sys::spawn::Limits;
    use crate::vhost::request::Request;
    use crate::wire::head::{Head, parse_head};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsFd;

    const SCRIPT: Script<'_> = Script { file: b"/srv/www/cgi-bin/a.sh", root: 8, name: 13 };

    fn line(program: Option<&str>, interpreter: Option<&str>) -> Line {
        Line { program: program.map(Into::into), interpreter: interpreter.map(Into::into), media_type: None }
    }

    #[test]
    fn what_is_run() {
        let job =
            |line: &Line, script| Job::of(line, script, None).map(|job| (job.program.to_vec(), job.script.is_some()));
        assert_eq!(job(&line(None, None), Some(SCRIPT)), Some((SCRIPT.file.to_vec(), false)));
        assert_eq!(job(&line(None, Some("/bin/sh")), Some(SCRIPT)), Some((b"/bin/sh".to_vec(), true)));
        assert_eq!(job(&line(Some("/usr/bin/x"), None), None), Some((b"/usr/bin/x".to_vec(), false)));
        assert_eq!(job(&line(None, None), None), None);
    }

    #[test]
    fn working_directories() {
        for (program, directory) in [("/usr/bin/x", "/usr/bin"), ("/x", "/"), ("/a/x", "/a")] {
            let job = Job { program: program.as_bytes(), script: None };
            assert_eq!(job.directory(), directory.as_bytes());
        }
        let job = Job { program: b"/bin/sh", script: Some(b"/srv/a/b.sh") };
        assert_eq!((job.directory(), job.name()), (&b"/srv/a"[..], &b"/srv/a/b.sh"[..]));
    }

    /// What is ordered for a request, with a script at `/cgi-bin/a.sh`: what is run, and the environment but for what depends on the
    /// test's own connection.
    fn ordered(text: &str, line: &Line, site: &OfSite, script: Option<Script<'_>>, prefix: usize) -> Vec<String> {
        let nobody = Nobody::with_defaults();
        let live = crate::plugin::host::Host::live(&nobody);
        let mut head = Head::new();
        parse_head(text.as_bytes(), &mut head).unwrap();
        let mut path = [0; 256];
        let request = Request::route(&live, &head, text.as_bytes(), &mut path, true).ok().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let peer = Peer::from("192.0.2.7:4711".parse::<SocketAddr>().unwrap());
        let client = Client { peer: &peer, socket: socket.as_fd(), led: 0 };
        let secret = site.authorization;
        let about = environment::About { live: &live, request: &request, client, script, prefix, secret };
        let cgi = Cgi { child: Limits { memory: 5, ..Limits::default() }, user: Some("x".into()), ..Cgi::default() };
        let job = Job::of(line, script, None).unwrap();
        let mut room = vec![0; 8192];
        let order = job.order(&mut room, 77, &cgi, site, &about).unwrap();
        let Ok(Read::Start { id, user, limits, program, directory, arguments, variables }) = read(order) else {
            panic!("no order")
        };
        assert_eq!((id, user, limits), (77, 1, cgi.child));
        let mut all = vec![program.to_str().unwrap().to_string(), directory.to_str().unwrap().to_string()];
        all.push(arguments.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "));
        let mut variables: Vec<String> = variables.map(|text| text.to_str().unwrap().to_string()).collect();
        variables.sort();
        let names: Vec<&str> = variables.iter().map(|text| text.split('=').next().unwrap()).collect();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "a name twice: {names:?}");
        all.extend(variables.into_iter().filter(|text| !text.starts_with("SERVER_") && !text.starts_with("REMOTE_P")));
        all
    }

    #[test]
    fn an_order_for_a_script() {
        let text = "GET /cgi-bin/a.sh/b%20c?d+e HTTP/1.1\r\nHost: h:81\r\nProxy: p\r\nX-A: 1\r\nx-a: 2\r\nAuthorization: Basic eA==\r\n\r\n";
        let expected = [
            "/srv/www/cgi-bin/a.sh",
            "/srv/www/cgi-bin",
            "/srv/www/cgi-bin/a.sh",
            "CONTENT_LENGTH=0",
            "DOCUMENT_ROOT=/srv/www",
            "GATEWAY_INTERFACE=CGI/1.1",
            "HTTP_HOST=h:81",
            "HTTP_X_A=1, 2",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PATH_INFO=/b c",
            "PATH_TRANSLATED=/b c",
            "QUERY_STRING=d+e",
            "REDIRECT_STATUS=200",
            "REMOTE_ADDR=192.0.2.7",
            "REQUEST_METHOD=GET",
            "REQUEST_URI=/cgi-bin/a.sh/b%20c?d+e",
            "SCRIPT_FILENAME=/srv/www/cgi-bin/a.sh",
            "SCRIPT_NAME=/cgi-bin/a.sh",
        ];
        let own = line(None, None);
        assert_eq!(ordered(text, &own, &OfSite::default(), Some(SCRIPT), 0), expected);
        // What the site sets takes the place of what it would be else.
        let variables = [("PATH", "/bin"), ("A_B", "c=d")].map(|(name, value)| (name.into(), value.as_bytes().into()));
        let site = OfSite { variables: variables.into(), authorization: true };
        let all = ordered(text, &line(None, Some("/bin/sh")), &site, Some(SCRIPT), 0);
        assert_eq!(all[..4], ["/bin/sh", "/srv/www/cgi-bin", "/bin/sh /srv/www/cgi-bin/a.sh", "A_B=c=d"]);
        for variable in ["PATH=/bin", "HTTP_AUTHORIZATION=Basic eA=="] {
            assert!(all.iter().any(|other| other == variable), "{all:?}");
        }
    }

    #[test]
    fn an_order_for_a_program() {
        let text = "POST /git/a.git/info HTTP/1.0\r\nContent-Length: 5\r\nContent-Type: t/x\r\n\r\n";
        let all = ordered(text, &line(Some("/usr/lib/git"), None), &OfSite::default(), None, 4);
        assert_eq!(all[..3], ["/usr/lib/git", "/usr/lib", "/usr/lib/git"]);
        for variable in ["SCRIPT_NAME=/git", "PATH_INFO=/a.git/info", "CONTENT_LENGTH=5", "CONTENT_TYPE=t/x"] {
            assert!(all.iter().any(|other| other == variable), "{all:?}");
        }
        assert!(!all.iter().any(|other| other.starts_with("SCRIPT_FILENAME") || other.starts_with("DOCUMENT_ROOT")));
    }
}
