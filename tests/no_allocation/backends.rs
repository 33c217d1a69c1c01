//! What stands behind the server that is under proof, as threads of the one that proves.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// A server that has each connection served by a function, in a thread of its own.
fn serve(one: fn(TcpStream) -> io::Result<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || one(stream));
        }
    });
    address
}

/// An application server that speaks Palm. The query of a request says what it does: see [`script`].
#[cfg(feature = "plugin-palm")]
pub fn palm() -> SocketAddr {
    serve(script)
}

/// A web server. The path of a request says what it does: see [`requests`].
#[cfg(feature = "plugin-proxy")]
pub fn http() -> SocketAddr {
    serve(requests)
}

/// Whoever asked may be gone at any time.
#[cfg(feature = "plugin-proxy")]
fn requests(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let field =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("");
        let mut body = vec![0; field("Content-Length").parse().unwrap_or(0)];
        stream.read_exact(&mut body)?;
        while !field("Transfer-Encoding").is_empty() && !body.ends_with(b"\r\n0\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            body.push(byte[0]);
        }
        let path = head.split([' ', '?']).nth(1).unwrap_or_default();
        let answer = match path.trim_start_matches("/behind/") {
            "length" => {
                "HTTP/1.1 200 OK\nContent-Length: 3\n\n".to_string() + if head.starts_with("HEAD") { "" } else { "run" }
            }
            "chunks" => "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nrun\n0\n\n".into(),
            "large" => format!("HTTP/1.1 200 OK\nContent-Length: 300000\n\n{}", "x".repeat(300_000)),
            "interim" => "HTTP/1.1 103 Early\nLink: x\n\nHTTP/1.1 204 No\n\n".into(),
            "unchanged" => "HTTP/1.1 304 No\nETag: \"a\"\n\n".into(),
            "bad" => "HTTP/1.1 200 OK\nContent-Length: 3\nContent-Length: 4\n\nrun".into(),
            "long" => format!("HTTP/1.1 200 OK\nX: {}\n\n", "x".repeat(20_000)),
            "pieces" => {
                for piece in ["HTTP/1.1 200 OK\r\nContent-Le", "ngth: 3\r\n\r\nr"] {
                    stream.write_all(piece.as_bytes())?;
                    thread::sleep(Duration::from_millis(5));
                }
                "un".into()
            }
            "end" => {
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nrun")?;
                return Ok(());
            }
            "half" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")?;
                return Ok(());
            }
            "closed" => {
                // As if it were kept.
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nrun")?;
                return Ok(());
            }
            "nothing" => return Ok(()),
            "slow" => {
                thread::sleep(Duration::from_millis(1500));
                return Ok(());
            }
            "busy" => {
                thread::sleep(Duration::from_millis(100));
                "HTTP/1.1 200 OK\nContent-Length: 0\n\n".into()
            }
            "socket" => {
                let yes = "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
                stream.write_all(yes.as_bytes())?;
                let mut echo = stream.try_clone()?;
                io::copy(&mut stream, &mut echo)?;
                return Ok(());
            }
            _ => "HTTP/1.1 404 No\nContent-Length: 0\n\n".into(),
        };
        stream.write_all(answer.replace('\n', "\r\n").as_bytes())?;
    }
}

/// Whoever asked may be gone at any time.
#[cfg(feature = "plugin-palm")]
fn script(mut stream: TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let variable = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or("");
    let mut body = vec![0; variable("CONTENT_LENGTH").parse().unwrap_or(0)];
    stream.read_exact(&mut body)?;
    let answer = match variable("QUERY_STRING") {
        "" => "Content-Type: text/plain\r\n\r\nrun".to_string(),
        "length" => "X-A: b\nContent-Length: 3\n\nrun".into(),
        "large" => format!("Content-Type: text/plain\r\n\r\n{}", "x".repeat(300_000)),
        "half" => "Content-Length: 100000\r\n\r\nhalf".into(),
        "local" => "Location: /small.txt\r\n\r\n".into(),
        "redirect" => "Location: https://example.org/\r\n\r\n".into(),
        "unchanged" => "Status: 304\r\nETag: \"a\"\r\n\r\n".into(),
        "bad" => "no answer\r\n\r\n".into(),
        "long" => format!("X: {}\r\n\r\n", "x".repeat(20_000)),
        "pieces" => {
            for piece in ["Content-Type: te", "xt/plain\r\n\r\nru"] {
                stream.write_all(piece.as_bytes())?;
                thread::sleep(Duration::from_millis(5));
            }
            "n".into()
        }
        "slow" => {
            thread::sleep(Duration::from_millis(1500));
            String::new()
        }
        "busy" => {
            thread::sleep(Duration::from_millis(100));
            "Content-Length: 0\r\n\r\n".into()
        }
        _ => String::new(),
    };
    stream.write_all(answer.as_bytes())
}
