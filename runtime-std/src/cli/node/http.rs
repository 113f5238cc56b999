//! A web server with one page, for Prometheus to read.
//!
//! A visitor gets [`PATIENCE`] for its question and our answer together, and a question of at most [`QUESTION_MAX`]
//! bytes. When all [`VISITORS`] places are taken, the newcomer gets the place of who has been there longest: who holds
//! places without asking anything never keeps others out.

use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{Task, Timer};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

const VISITORS: usize = 16;
const QUESTION_MAX: usize = 4096;
const HEADERS_MAX: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);
/// After an error of `accept`, which would come again at once (no file descriptors, say).
const PAUSE: Duration = Duration::from_millis(200);

/// Shows what `page` writes to everybody who asks for `/metrics`, until dropped.
pub(super) async fn serve<F>(listener: TcpListener, page: impl Fn() -> F)
where
    F: Future<Output = Option<String>> + Send + 'static,
{
    let mut visitors: VecDeque<Task<()>> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            Timer::after(PAUSE).await;
            continue;
        };
        visitors.retain(|visitor| !visitor.is_finished());
        if visitors.len() == VISITORS {
            visitors.pop_front();
        }
        visitors.push_back(smol::spawn(visit(stream, page())));
    }
}

async fn visit(stream: TcpStream, page: impl Future<Output = Option<String>>) {
    let too_long = async {
        Timer::after(PATIENCE).await;
        Ok(())
    };
    // A visitor who has left does not need to be told.
    let _ = answer(stream, page).or(too_long).await;
}

/// What a question is answered with, before there is a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Page { body: bool },
    Unfinished,
    Wrong(&'static str),
}

async fn answer(mut stream: TcpStream, page: impl Future<Output = Option<String>>) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(QUESTION_MAX);
    let mut buf = [0; 1024];
    let question = loop {
        match question(&bytes) {
            Question::Unfinished if bytes.len() >= QUESTION_MAX => {
                break Question::Wrong("431 Request Header Fields Too Large");
            }
            Question::Unfinished => {}
            finished @ (Question::Page { .. } | Question::Wrong(_)) => break finished,
        }
        let room = buf.len().min(QUESTION_MAX - bytes.len());
        match stream.read(&mut buf[..room]).await? {
            0 => return Ok(()),
            len => bytes.extend_from_slice(&buf[..len]),
        }
    };
    let (status, text, has_body) = match question {
        Question::Page { body } => match page.await {
            Some(text) => ("200 OK", text, body),
            None => ("503 Service Unavailable", String::new(), body),
        },
        Question::Wrong(status) => (status, format!("{status}\n"), true),
        Question::Unfinished => return Ok(()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if has_body {
        stream.write_all(text.as_bytes()).await?;
    }
    stream.flush().await?;
    stream.shutdown(std::net::Shutdown::Write)
}

fn question(bytes: &[u8]) -> Question {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => Question::Unfinished,
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or_default().split('?').next();
            match (request.method, path) {
                (Some("GET"), Some("/metrics")) => Question::Page { body: true },
                (Some("HEAD"), Some("/metrics")) => Question::Page { body: false },
                (Some("GET" | "HEAD"), _) => Question::Wrong("404 Not Found"),
                (_, _) => Question::Wrong("405 Method Not Allowed"),
            }
        }
        Err(_) => Question::Wrong("400 Bad Request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::io::{Read, Write};
    use std::net::SocketAddr;

    const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn questions_are_understood() {
        for (bytes, expected) in [
            (GET, Question::Page { body: true }),
            (b"HEAD /metrics?x=1 HTTP/1.0\r\n\r\n", Question::Page { body: false }),
            (b"GET / HTTP/1.1\r\n\r\n", Question::Wrong("404 Not Found")),
            (b"POST /metrics HTTP/1.1\r\n\r\n", Question::Wrong("405 Method Not Allowed")),
            (b"\x16\x03\x01 no HTTP", Question::Wrong("400 Bad Request")),
        ] {
            assert_eq!(question(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    quickcheck! {
        fn a_question_is_unfinished_until_it_ends(cut: usize) -> bool {
            question(&GET[..cut % GET.len()]) == Question::Unfinished
        }

        fn any_bytes_do_no_harm(bytes: Vec<u8>) -> bool {
            !matches!(question(&bytes), Question::Page { .. })
        }
    }

    fn start() -> (SocketAddr, Task<()>) {
        let listener = smol::block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let at = listener.local_addr().expect("bound");
        (at, smol::spawn(serve(listener, || async { Some("the page\n".to_string()) })))
    }

    fn ask(at: SocketAddr, question: &[u8]) -> String {
        let mut stream = std::net::TcpStream::connect(at).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(question).expect("taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn the_page_is_shown_and_all_else_refused() {
        let (at, _server) = start();
        let page = ask(at, GET);
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\r\n\r\nthe page\n"), "{page}");
        assert!(ask(at, b"HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
        assert!(ask(at, b"GET /x HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        let long = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'x'; QUESTION_MAX - 26]].concat();
        assert_eq!(long.len(), QUESTION_MAX);
        assert!(ask(at, &long).starts_with("HTTP/1.1 431 "));
    }

    #[test]
    fn who_holds_places_without_asking_keeps_nobody_out() {
        let (at, _server) = start();
        let idle: Vec<_> = (0..3 * VISITORS)
            .map(|_| {
                let mut stream = std::net::TcpStream::connect(at).expect("it listens");
                stream.write_all(b"GET /met").expect("taken");
                stream
            })
            .collect();
        assert!(ask(at, GET).ends_with("the page\n"));
        // Those who came first had to go, long before anybody's patience was at an end.
        let mut first = &idle[0];
        first.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        let gone = first.read(&mut [0; 8]);
        assert!(
            gone.as_ref().map_or_else(|error| error.kind() == io::ErrorKind::ConnectionReset, |len| *len == 0),
            "{gone:?}"
        );
    }
}
