//! SOCKS, version 5, as a client speaks it (RFC 1928), with user name and password (RFC 1929).
//!
//! ```text
//! we     5 | count | methods                           0: who we are is not asked; 2: user name and password
//! proxy  5 | method                                    255: none of them
//! we     1 | length | user | length | password         if the method is 2
//! proxy  1 | status                                    0: accepted
//! we     5 | 1 | 0 | kind | address | port             kinds: 1 IPv4, 3 length and name, 4 IPv6
//! proxy  5 | reply | 0 | kind | address | port         reply 0: the stream is open
//! ```

use super::trouble::{ProxyTrouble, Refusal};
use super::{ProxyState, Target};
use crate::wire::Writer;
use core::net::IpAddr;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 255;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const PORT_LEN: u16 = 2;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Socks5 {
    has_credentials: bool,
    state: State,
}

/// What comes next: a message of ours, or this byte of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SayMethods,
    MethodVersion,
    Method,
    SayCredentials,
    StatusVersion,
    Status,
    SayTarget,
    ReplyVersion,
    Reply,
    Reserved,
    AddressKind,
    NameLen,
    /// So many bytes of address and port.
    Bound(u16),
    Ready,
    Failed(ProxyTrouble),
}

impl Socks5 {
    pub(super) const fn new(has_credentials: bool) -> Self {
        Self { has_credentials, state: State::SayMethods }
    }

    pub(super) const fn state(&self) -> ProxyState {
        match self.state {
            State::Ready => ProxyState::Ready,
            State::Failed(trouble) => ProxyState::Failed(trouble),
            State::SayMethods
            | State::MethodVersion
            | State::Method
            | State::SayCredentials
            | State::StatusVersion
            | State::Status
            | State::SayTarget
            | State::ReplyVersion
            | State::Reply
            | State::Reserved
            | State::AddressKind
            | State::NameLen
            | State::Bound(_) => ProxyState::Waiting,
        }
    }

    pub(super) const fn has_output(&self) -> bool {
        matches!(self.state, State::SayMethods | State::SayCredentials | State::SayTarget)
    }

    pub(super) fn output(&mut self, credentials: Option<(&[u8], &[u8])>, target: &Target<'_>, buf: &mut [u8]) -> usize {
        let mut w = Writer::new(buf);
        self.state = match self.state {
            State::SayMethods => {
                let methods: &[u8] =
                    if self.has_credentials { &[NO_AUTHENTICATION, USER_PASSWORD] } else { &[NO_AUTHENTICATION] };
                w.u8(VERSION).u8(methods.len() as u8).bytes(methods);
                State::MethodVersion
            }
            State::SayCredentials => {
                let (user, password) = credentials.unwrap_or_default();
                w.u8(1).u8(user.len() as u8).bytes(user).u8(password.len() as u8).bytes(password);
                State::StatusVersion
            }
            State::SayTarget => {
                emit_target(target, w.u8(VERSION).u8(CONNECT).u8(0));
                State::ReplyVersion
            }
            state @ (State::MethodVersion
            | State::Method
            | State::StatusVersion
            | State::Status
            | State::ReplyVersion
            | State::Reply
            | State::Reserved
            | State::AddressKind
            | State::NameLen
            | State::Bound(_)
            | State::Ready
            | State::Failed(_)) => state,
        };
        w.len()
    }

    pub(super) fn take(&mut self, byte: u8) {
        const NOT_A_PROXY: State = State::Failed(ProxyTrouble::NotAProxy);
        self.state = match (self.state, byte) {
            (State::MethodVersion, VERSION) => State::Method,
            (State::Method, method) => self.after_method(method),
            // Some proxies say 5 here.
            (State::StatusVersion, _) => State::Status,
            (State::Status, 0) => State::SayTarget,
            (State::Status, _) => State::Failed(ProxyTrouble::BadCredentials),
            (State::ReplyVersion, VERSION) => State::Reply,
            (State::Reply, 0) => State::Reserved,
            (State::Reply, reply) => State::Failed(ProxyTrouble::Refused(Refusal::of_reply(reply))),
            (State::Reserved, _) => State::AddressKind,
            (State::AddressKind, IPV4) => State::Bound(4 + PORT_LEN),
            (State::AddressKind, IPV6) => State::Bound(16 + PORT_LEN),
            (State::AddressKind, NAME) => State::NameLen,
            (State::NameLen, len) => State::Bound(u16::from(len) + PORT_LEN),
            (State::Bound(left), _) => match left {
                0 | 1 => State::Ready,
                left => State::Bound(left - 1),
            },
            (State::MethodVersion | State::ReplyVersion | State::AddressKind, _) => NOT_A_PROXY,
            // It speaks before it is asked.
            (State::SayMethods | State::SayCredentials | State::SayTarget, _) => NOT_A_PROXY,
            (state @ (State::Ready | State::Failed(_)), _) => state,
        };
    }

    const fn after_method(&self, method: u8) -> State {
        match (method, self.has_credentials) {
            (NO_AUTHENTICATION, _) => State::SayTarget,
            (USER_PASSWORD, true) => State::SayCredentials,
            (NO_METHOD, true) => State::Failed(ProxyTrouble::Refused(Refusal::Methods)),
            // Some ask for them though they were not offered.
            (NO_METHOD | USER_PASSWORD, false) => State::Failed(ProxyTrouble::NeedsCredentials),
            (_, _) => State::Failed(ProxyTrouble::NotAProxy),
        }
    }

    pub(super) const fn ended(&self) -> ProxyTrouble {
        match self.state {
            // They close because of them, and the answer may be lost by that.
            State::StatusVersion | State::Status => ProxyTrouble::BadCredentials,
            State::Failed(trouble) => trouble,
            State::SayMethods
            | State::MethodVersion
            | State::Method
            | State::SayCredentials
            | State::SayTarget
            | State::ReplyVersion
            | State::Reply
            | State::Reserved
            | State::AddressKind
            | State::NameLen
            | State::Bound(_)
            | State::Ready => ProxyTrouble::Refused(Refusal::Closed),
        }
    }

    pub(super) const fn timed_out(&self) -> ProxyTrouble {
        match self.state {
            State::Failed(trouble) => trouble,
            // HTTP proxies wait for the end of what they take for a request.
            State::MethodVersion | State::Method => ProxyTrouble::NotAProxy,
            State::SayMethods | State::SayCredentials | State::StatusVersion | State::Status | State::SayTarget => {
                ProxyTrouble::Down
            }
            State::ReplyVersion
            | State::Reply
            | State::Reserved
            | State::AddressKind
            | State::NameLen
            | State::Bound(_)
            | State::Ready => ProxyTrouble::Refused(Refusal::Expired),
        }
    }
}

fn emit_target(target: &Target<'_>, w: &mut Writer<'_>) {
    let port = match target {
        Target::At(at) => {
            match at.ip() {
                IpAddr::V4(ip) => w.u8(IPV4).bytes(&ip.octets()),
                IpAddr::V6(ip) => w.u8(IPV6).bytes(&ip.octets()),
            };
            at.port()
        }
        Target::Name(host, port) => {
            let name = host.as_str().as_bytes();
            w.u8(NAME).u8(name.len() as u8).bytes(name);
            *port
        }
    };
    w.u16(port);
}
