//! Both languages, byte for byte, in any pieces.

use super::*;
use crate::wire::relay::FRAME_LEN_MAX;
use quickcheck::quickcheck;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

const AT: Endpoint = Endpoint::v4([10, 0, 0, 1], 1080);
const RELAY: Target<'_> = Target::At(Endpoint::v4([203, 0, 113, 7], 33445));
const USER: Option<(&[u8], &[u8])> = Some((b"Aladdin", b"open sesame"));
const OK_V4: &[u8] = &[5, 0, 0, 1, 10, 0, 0, 1, 4, 56];
const SUCCESS: &[u8] = b"HTTP/1.0 200 Connection established\r\nProxy-agent: any\r\n\r\n";

fn proxy(kind: ProxyKind, credentials: Option<(&'static [u8], &'static [u8])>) -> Proxy<'static> {
    Proxy::new(kind, AT, credentials).unwrap()
}

fn name(host: &str) -> Target<'_> {
    Target::Name(HostName::new(host).unwrap(), 443)
}

/// What was said to the proxy, how it ended, and the bytes that are not its.
#[derive(Debug, PartialEq, Eq)]
struct Talk {
    said: Vec<Vec<u8>>,
    state: ProxyState,
    rest: Vec<u8>,
}

/// After each message of ours the proxy says the next of these, in pieces as long as `cuts` tell, over and over.
fn talk(proxy: &Proxy<'_>, target: &Target<'_>, answers: &[&[u8]], cuts: &[u8]) -> Talk {
    let mut client = ProxyClient::new(proxy);
    let mut cuts = cuts.iter().chain(&[255]).cycle().map(|cut| usize::from(*cut).max(1));
    let (mut said, mut rest, mut buf) = (Vec::new(), Vec::new(), [0; OUTPUT_MAX]);
    for answer in answers {
        assert!(client.has_output() || client.state() != ProxyState::Waiting);
        let len = client.output(proxy, target, &mut buf);
        if len > 0 {
            said.push(buf[..len].to_vec());
        }
        assert!(!client.has_output() && client.output(proxy, target, &mut buf) == 0, "given once");
        let mut left = *answer;
        while !left.is_empty() {
            let piece = &left[..cuts.next().unwrap().min(left.len())];
            let progress = client.input(piece);
            assert!(progress.state == client.state() && progress.used <= piece.len());
            assert!(progress.used == piece.len() || progress.state != ProxyState::Waiting);
            rest.extend_from_slice(&piece[progress.used..]);
            left = &left[piece.len()..];
        }
    }
    Talk { said, state: client.state(), rest }
}

fn outcome(kind: ProxyKind, credentials: bool, answers: &[&[u8]]) -> ProxyState {
    talk(&proxy(kind, USER.filter(|_| credentials)), &RELAY, answers, &[]).state
}

fn failed(refusal: Refusal) -> ProxyState {
    ProxyState::Failed(ProxyTrouble::Refused(refusal))
}

#[test]
fn socks_without_credentials() {
    let socks = proxy(ProxyKind::Socks5, None);
    let talk = talk(&socks, &RELAY, &[&[5, 0], &[OK_V4, b"relay"].concat()], &[]);
    let request = vec![5, 1, 0, 1, 203, 0, 113, 7, 0x82, 0xa5];
    assert_eq!(talk, Talk { said: vec![vec![5, 1, 0], request], state: ProxyState::Ready, rest: b"relay".to_vec() });
}

#[test]
fn socks_with_credentials_and_a_name() {
    let talk = talk(&proxy(ProxyKind::Socks5, USER), &name("relay.onion"), &[&[5, 2], &[1, 0], OK_V4], &[]);
    let credentials = [&[1, 7][..], b"Aladdin", &[11], b"open sesame"].concat();
    let request = [&[5, 1, 0, 3, 11][..], b"relay.onion", &[1, 187]].concat();
    let said = vec![vec![5, 2, 0, 2], credentials, request];
    assert_eq!(talk, Talk { said, state: ProxyState::Ready, rest: vec![] });
}

#[test]
fn socks_does_not_say_who_we_are_unasked() {
    let talk = talk(&proxy(ProxyKind::Socks5, USER), &RELAY, &[&[5, 0], OK_V4], &[]);
    assert_eq!((talk.said.len(), talk.state), (2, ProxyState::Ready));
}

#[test]
fn socks_to_ipv6_and_answers_of_each_kind() {
    let target = Target::At(Endpoint::new("2001:db8::7".parse().unwrap(), 443));
    let socks = proxy(ProxyKind::Socks5, None);
    let named = [&[5, 0, 0, 3, 4][..], b"host", &[0, 1]].concat();
    let nameless = [5, 0, 0, 3, 0, 0, 1];
    let v6 = [&[5, 0, 0, 4][..], &[7; 18]].concat();
    for answer in [OK_V4, &named, &nameless, &v6] {
        let talk = talk(&socks, &target, &[&[5, 0], &[answer, &[5]].concat()], &[1]);
        assert_eq!((talk.state, &talk.rest[..]), (ProxyState::Ready, &[5][..]));
        assert_eq!(talk.said[1], [&[5, 1, 0, 4, 0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7, 1, 187]].concat());
    }
}

#[test]
fn socks_replies_have_their_meanings() {
    use Refusal::*;
    let meanings = [
        General,
        NotAllowed,
        NetworkUnreachable,
        HostUnreachable,
        ConnectionRefused,
        Expired,
        NoConnect,
        AddressType,
        Reply(9),
    ];
    for (reply, refusal) in (1..).zip(meanings) {
        assert_eq!(outcome(ProxyKind::Socks5, false, &[&[5, 0], &[5, reply]]), failed(refusal));
    }
    assert_eq!(outcome(ProxyKind::Socks5, false, &[&[5, 0], &[5, 255]]), failed(Reply(255)));
}

#[test]
fn socks_methods_and_credentials() {
    use ProxyState::Failed;
    use ProxyTrouble::{BadCredentials, NeedsCredentials, NotAProxy};
    let outcome = |credentials, answers: &[&[u8]]| outcome(ProxyKind::Socks5, credentials, answers);
    assert_eq!(outcome(false, &[&[5, 255]]), Failed(NeedsCredentials));
    assert_eq!(outcome(false, &[&[5, 2]]), Failed(NeedsCredentials));
    assert_eq!(outcome(true, &[&[5, 255]]), failed(Refusal::Methods));
    assert_eq!(outcome(true, &[&[5, 1]]), Failed(NotAProxy));
    assert_eq!(outcome(true, &[&[5, 2], &[1, 1]]), Failed(BadCredentials));
    assert_eq!(outcome(true, &[&[5, 2], &[5, 0]]), ProxyState::Waiting);
    assert_eq!(outcome(false, &[&[4, 90]]), Failed(NotAProxy));
    assert_eq!(outcome(false, &[b"HTTP/1.1 400 Bad Request\r\n"]), Failed(NotAProxy));
    assert_eq!(outcome(false, &[&[5, 0], &[4]]), Failed(NotAProxy));
    assert_eq!(outcome(false, &[&[5, 0], &[5, 0, 0, 2]]), Failed(NotAProxy));
    assert_eq!(outcome(false, &[&[5, 0, 5]]), Failed(NotAProxy), "an answer before the question");
}

#[test]
fn http_without_credentials() {
    let talk = talk(&proxy(ProxyKind::Http, None), &RELAY, &[&[SUCCESS, b"\r\nrelay"].concat()], &[]);
    let request = b"CONNECT 203.0.113.7:33445 HTTP/1.1\r\nHost: 203.0.113.7:33445\r\n\r\n".to_vec();
    assert_eq!(talk, Talk { said: vec![request], state: ProxyState::Ready, rest: b"\r\nrelay".to_vec() });
}

#[test]
fn http_with_credentials_and_a_name() {
    let talk = talk(&proxy(ProxyKind::Http, USER), &name("relay.example"), &[b"HTTP/1.1 204\n\n"], &[]);
    let request = "CONNECT relay.example:443 HTTP/1.1\r\nHost: relay.example:443\r\n\
                   Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
    assert_eq!(talk, Talk { said: vec![request.into()], state: ProxyState::Ready, rest: vec![] });
    let six = Target::At(Endpoint::new("2001:db8::7".parse().unwrap(), 443));
    assert_eq!(six.to_string(), "[2001:db8::7]:443");
}

#[test]
fn http_answers_have_their_meanings() {
    use ProxyState::{Failed, Ready, Waiting};
    use ProxyTrouble::{BadCredentials, NeedsCredentials, NotAProxy};
    let outcome = |credentials, answer: &str| outcome(ProxyKind::Http, credentials, &[answer.as_bytes()]);
    for (answer, wanted) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Ready),
        ("HTTP/1.9 299\r\nContent-Length: 5\r\n\r\n", Ready),
        ("HTTP/1.1 200\n\n", Ready),
        ("HTTP/1.1 200 OK\r\n \r\r\n\n", Ready),
        ("HTTP/1.1 200 OK\r\nA: b\r\n\r", Waiting),
        ("HTTP/1.1 200 OK\r\nA: b\r\n\rx\r\n", Waiting),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Ready),
        ("HTTP/1.1 100 Continue\r\n\r\n", Waiting),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\n", failed(Refusal::Http(503))),
        ("HTTP/1.1 101 Switching\r\n", failed(Refusal::Http(101))),
        ("HTTP/1.1 403 Forbidden\r\n", failed(Refusal::Http(403))),
        ("HTTP/1.1 302\n", failed(Refusal::Http(302))),
        ("HTTP/1.1 999 \r\n", failed(Refusal::Http(999))),
        ("HTTP/1.1 407 Proxy Authentication Required\r\n", Failed(NeedsCredentials)),
        ("HTTP/1.1 200", Waiting),
        ("HTTP/1.1 2000", Failed(NotAProxy)),
        ("HTTP/1.1 099 ", Failed(NotAProxy)),
        ("HTTP/1.1  200", Failed(NotAProxy)),
        ("HTTP/2 200", Failed(NotAProxy)),
        ("http/1.1 200", Failed(NotAProxy)),
        ("SSH-2.0-OpenSSH", Failed(NotAProxy)),
        ("\u{5}", Failed(NotAProxy)),
    ] {
        assert_eq!(outcome(false, answer), wanted, "{answer:?}");
    }
    for status in [401, 407] {
        let answer = format!("HTTP/1.1 {status} \r\n");
        assert_eq!(outcome(false, &answer), Failed(NeedsCredentials));
        assert_eq!(outcome(true, &answer), Failed(BadCredentials));
    }
}

#[test]
fn a_head_without_end_is_given_up() {
    let head = |len: usize| {
        let mut head = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        head.resize(len - 4, b'x');
        [head, b"\r\n\r\n".to_vec()].concat()
    };
    let http = proxy(ProxyKind::Http, None);
    assert_eq!(talk(&http, &RELAY, &[&head(8192)], &[]).state, ProxyState::Ready);
    for answer in [head(8193), b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)] {
        let talk = talk(&http, &RELAY, &[&answer], &[]);
        assert_eq!(talk.state, ProxyState::Failed(ProxyTrouble::NotAProxy));
        assert_eq!(answer.len() - talk.rest.len(), 8192);
    }
}

#[test]
fn who_speaks_first_is_no_proxy() {
    for kind in [ProxyKind::Socks5, ProxyKind::Http] {
        let mut client = ProxyClient::new(&proxy(kind, None));
        assert_eq!(client.input(&[]), Progress { used: 0, state: ProxyState::Waiting });
        let state = ProxyState::Failed(ProxyTrouble::NotAProxy);
        assert_eq!(client.input(b"220 mail.example"), Progress { used: 1, state });
        assert_eq!(client.input(b"220 mail.example"), Progress { used: 0, state });
        assert_eq!(client.output(&proxy(kind, None), &RELAY, &mut [0; OUTPUT_MAX]), 0);
    }
}

#[test]
fn the_end_has_a_meaning() {
    let (mut buf, closed) = ([0; OUTPUT_MAX], ProxyTrouble::Refused(Refusal::Closed));
    let expired = ProxyTrouble::Refused(Refusal::Expired);
    for kind in [ProxyKind::Socks5, ProxyKind::Http] {
        let proxy = proxy(kind, USER);
        let mut client = ProxyClient::new(&proxy);
        assert_eq!((client.ended(), client.timed_out()), (closed, ProxyTrouble::Down));
        client.output(&proxy, &RELAY, &mut buf);
        let silent = match kind {
            ProxyKind::Socks5 => ProxyTrouble::NotAProxy,
            ProxyKind::Http => expired,
        };
        assert_eq!((client.ended(), client.timed_out()), (closed, silent));
        client.input(&[5, 2]);
        client.output(&proxy, &RELAY, &mut buf);
        let wanted = match kind {
            ProxyKind::Socks5 => (ProxyTrouble::BadCredentials, ProxyTrouble::Down),
            ProxyKind::Http => (ProxyTrouble::NotAProxy, ProxyTrouble::NotAProxy),
        };
        assert_eq!((client.ended(), client.timed_out()), wanted);
        client.input(&[1, 0]);
        client.output(&proxy, &RELAY, &mut buf);
        if kind == ProxyKind::Socks5 {
            assert_eq!((client.ended(), client.timed_out()), (closed, expired));
        }
    }
}

#[test]
fn the_longest_fits_where_frames_do() {
    const LONG: &[u8] = &[b'x'; CREDENTIAL_LEN_MAX];
    const { assert!(OUTPUT_MAX <= FRAME_LEN_MAX) };
    let host = "h".repeat(HOST_LEN_MAX);
    let target = Target::Name(HostName::new(&host).unwrap(), 65535);
    let http = talk(&proxy(ProxyKind::Http, Some((LONG, LONG))), &target, &[SUCCESS], &[]);
    assert_eq!((http.said[0].len(), http.state), (1264, ProxyState::Ready));
    let socks = talk(&proxy(ProxyKind::Socks5, Some((LONG, LONG))), &target, &[&[5, 2], &[1, 0], OK_V4], &[]);
    assert_eq!(socks.said.iter().map(Vec::len).collect::<Vec<_>>(), [4, 513, 262]);
    assert_eq!(socks.state, ProxyState::Ready);
}

#[test]
fn it_is_small() {
    assert!(size_of::<ProxyClient>() <= 16, "{}", size_of::<ProxyClient>());
}

#[test]
fn what_cannot_be_sent_is_refused() {
    use CredentialsError::*;
    let (long, socks, http) = ([b'x'; 256], ProxyKind::Socks5, ProxyKind::Http);
    for (kind, user, password, error) in [
        (socks, &b""[..], &b"p"[..], NoUser),
        (socks, &long, b"p", UserTooLong),
        (http, b"u", &long, PasswordTooLong),
        (http, b"u:v", b"p", Colon),
        (http, b"u\n", b"p", Control),
        (http, b"u", b"p\0", Control),
    ] {
        assert_eq!(Proxy::new(kind, AT, Some((user, password))), Err(error));
        assert!(error.to_string().contains("proxy"));
    }
    assert!(Proxy::new(socks, AT, Some((b"u:v\n", b""))).is_ok());
    assert!(Proxy::new(http, AT, Some(("ü".as_bytes(), b":"))).is_ok());
    for host in ["", "a b", "a\r\nX: y", "a:1", "b\u{fc}cher.example", &"x".repeat(256)] {
        assert_eq!(HostName::new(host), None, "{host:?}");
    }
    assert_eq!(HostName::new("xn--bcher-kva.Example_1.").map(|host| host.as_str()), Some("xn--bcher-kva.Example_1."));
}

#[test]
fn a_password_is_not_shown() {
    let shown = format!("{:?}", proxy(ProxyKind::Http, USER));
    assert_eq!(shown, "Proxy(Http at 10.0.0.1:1080, with credentials)");
}

#[test]
fn every_trouble_says_what_to_do() {
    use ProxyTrouble::*;
    let replies = (1..=9).map(Refusal::of_reply);
    let statuses = [101, 302, 400, 403, 404, 408, 500, 503, 505, 699].map(Refusal::Http);
    let refusals = replies.chain(statuses).chain([Refusal::Methods, Refusal::Closed]).map(Refused);
    let mut texts: Vec<String> = Vec::new();
    for trouble in refusals.chain([Down, NeedsCredentials, BadCredentials, NotAProxy]) {
        let text = trouble.to_string();
        assert!(text.len() < 150 && !text.contains('\n') && !texts.contains(&text), "{text}");
        if trouble.is_of_target() {
            assert!(text.contains("relay"), "{text}");
        }
        texts.push(text);
    }
}

/// Dialogues that come to an end in different ways.
fn dialogue(which: u8) -> (Proxy<'static>, Vec<Vec<u8>>) {
    let (socks, http) = (ProxyKind::Socks5, ProxyKind::Http);
    let (proxy, answers): (_, Vec<&[u8]>) = match which % 8 {
        0 => (proxy(socks, None), vec![&[5, 0], OK_V4]),
        1 => (proxy(socks, USER), vec![&[5, 2], &[1, 0], &[5, 0, 0, 3, 2, b'a', b'b', 1, 2]]),
        2 => (proxy(socks, USER), vec![&[5, 2], &[1, 1]]),
        3 => (proxy(socks, None), vec![&[5, 0], &[5, 4, 0, 1]]),
        4 => (proxy(http, None), vec![SUCCESS]),
        5 => (proxy(http, USER), vec![b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 200 \r\n\r\n"]),
        6 => (proxy(http, USER), vec![b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"]),
        _ => (proxy(http, None), vec![b"<html>"]),
    };
    (proxy, answers.into_iter().map(<[u8]>::to_vec).collect())
}

quickcheck! {
    /// However an answer is cut, what we say, how it ends and what is left are the same.
    fn any_pieces(which: u8, cuts: Vec<u8>, behind: Vec<u8>) -> bool {
        let (proxy, mut answers) = dialogue(which);
        answers.last_mut().unwrap().extend_from_slice(&behind);
        let answers: Vec<&[u8]> = answers.iter().map(Vec::as_slice).collect();
        let [whole, pieces, bytes] = [&[][..], &cuts, &[1]].map(|cuts| talk(&proxy, &name("relay"), &answers, cuts));
        let ready = whole.state != ProxyState::Ready || whole.rest == behind;
        whole.state != ProxyState::Waiting && ready && whole == pieces && whole == bytes
    }

    /// Whatever comes, in whatever pieces, nothing breaks, and nobody waits for ever.
    fn any_bytes(http: bool, credentials: bool, spoilt: (u8, u8), answers: Vec<Vec<u8>>, cuts: Vec<u8>) -> bool {
        let kind = if http { ProxyKind::Http } else { ProxyKind::Socks5 };
        let proxy = proxy(kind, USER.filter(|_| credentials));
        // As it should be, but for one byte, and then anything.
        let mut good = if http { vec![SUCCESS.to_vec()] } else { vec![vec![5, 0], OK_V4.to_vec()] };
        let answer = good.last_mut().unwrap();
        let at = usize::from(spoilt.0) % answer.len();
        answer[at] = spoilt.1;
        let mut client = ProxyClient::new(&proxy);
        let mut buf = [0; OUTPUT_MAX];
        for answer in good.iter().chain(&answers) {
            client.output(&proxy, &RELAY, &mut buf);
            for piece in answer.chunks(cuts.first().copied().unwrap_or(1).max(1).into()) {
                assert!(client.input(piece).used <= piece.len());
            }
        }
        for _ in 0..3 {
            client.output(&proxy, &RELAY, &mut buf);
            client.input(&[b'x'; 10_000]);
        }
        client.state() != ProxyState::Waiting
    }
}
