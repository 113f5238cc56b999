//! The node's TCP connections to relays. None of them ever blocks; the runner tells which are ready.

use bluering_core::relay::{StreamEnd, StreamId};
use bluering_core::time::Instant;
use bluering_core::wire::relay::FRAME_LEN_MAX;
use bluering_core::{Endpoint, Env, Node};
use smol::Async;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::task::{Context, Poll};

/// Bytes read from a stream at once, and sent to one.
const AT_ONCE: usize = 64 * 1024;
/// Reads from one stream before others have their turn.
const READS: usize = 4;

/// All connections, by place.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    table: Vec<Option<Box<Stream>>>,
    /// Those that ended while the node was being pumped.
    ended: Vec<(StreamId, StreamEnd)>,
    /// Room for what is read and written; there is none before the first connection.
    input: Vec<u8>,
    output: Vec<u8>,
}

/// One connection.
#[derive(Debug)]
struct Stream {
    id: StreamId,
    io: Async<TcpStream>,
    /// The system is still connecting.
    connecting: bool,
    /// The beginning of a frame.
    rest: Vec<u8>,
    /// What the kernel has not taken, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    readable: bool,
    writable: bool,
}

impl Streams {
    /// Begins to connect; how that ends is told by [`serve`](Self::serve).
    pub(crate) fn open(&mut self, id: StreamId, to: Endpoint) {
        self.input.resize(AT_ONCE + FRAME_LEN_MAX, 0);
        self.output.resize(AT_ONCE, 0);
        match connect(to.into()) {
            Ok(io) => {
                if self.table.len() <= id.index() {
                    self.table.resize_with(id.index() + 1, || None);
                }
                self.table[id.index()] = Some(Box::new(Stream {
                    id,
                    io,
                    connecting: true,
                    rest: Vec::new(),
                    unsent: Vec::new(),
                    sent: 0,
                    readable: false,
                    writable: false,
                }));
            }
            Err(error) => self.ended.push((id, end_of(&error))),
        }
    }

    /// Ends a connection. What the kernel has taken still goes out.
    pub(crate) fn close(&mut self, id: StreamId) {
        if self.get(id).is_some() {
            self.table[id.index()] = None;
        }
    }

    /// Takes what the node has to send, until there is no more or the kernel is full.
    pub(crate) fn fill(&mut self, id: StreamId, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let Some(Some(stream)) = self.table.get_mut(id.index()) else { return false };
        let mut any = false;
        while stream.id == id && !stream.is_blocked() {
            let len = fill(&mut self.output);
            if len == 0 {
                break;
            }
            any = true;
            if let Err(error) = stream.write(&self.output[..len]) {
                self.ended.push((id, end_of(&error)));
                self.table[id.index()] = None;
                break;
            }
        }
        any
    }

    /// Whether [`serve`](Self::serve) has something to tell, though no socket is ready.
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Whether the kernel has not taken everything yet.
    pub(crate) fn is_blocked(&self) -> bool {
        self.table.iter().flatten().any(|stream| stream.is_blocked())
    }

    /// Gives the node what has come. True when there may be more.
    pub(crate) fn serve<E: Env>(&mut self, node: &mut Node<'_, E>, now: Instant) -> bool {
        for (id, why) in std::mem::take(&mut self.ended) {
            node.stream_closed(now, id, why);
        }
        let mut more = false;
        for place in self.table.iter_mut() {
            let Some(stream) = place else { continue };
            let served =
                stream.serve_writable(node, now).and_then(|()| stream.serve_readable(node, now, &mut self.input));
            match served {
                Ok(left) => more |= left,
                Err(why) => {
                    node.stream_closed(now, stream.id, why);
                    *place = None;
                }
            }
        }
        more
    }

    /// Looks which sockets are ready, and has the task woken when another is.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        for stream in self.table.iter_mut().flatten() {
            stream.readable |= !stream.connecting && stream.io.poll_readable(cx).is_ready();
            stream.writable |= stream.wants_to_write() && stream.io.poll_writable(cx).is_ready();
            ready |= stream.readable || stream.writable;
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The sockets to wait for, and whether to wait until they can be written to.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn sockets(&self) -> impl Iterator<Item = (&TcpStream, bool)> {
        self.table.iter().flatten().map(|stream| (stream.io.get_ref(), stream.wants_to_write()))
    }

    /// What the wait found, in the order of [`sockets`](Self::sockets): whether each can be read and written.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn found(&mut self, ready: impl Iterator<Item = (bool, bool)>) {
        for (stream, (readable, writable)) in self.table.iter_mut().flatten().zip(ready) {
            stream.readable |= readable && !stream.connecting;
            stream.writable |= writable || readable && stream.connecting;
        }
    }

    fn get(&self, id: StreamId) -> Option<&Stream> {
        self.table.get(id.index())?.as_deref().filter(|stream| stream.id == id)
    }
}

impl Stream {
    const fn is_blocked(&self) -> bool {
        self.connecting || !self.unsent.is_empty()
    }

    const fn wants_to_write(&self) -> bool {
        self.is_blocked()
    }

    fn serve_writable<E: Env>(&mut self, node: &mut Node<'_, E>, now: Instant) -> Result<(), StreamEnd> {
        if !std::mem::take(&mut self.writable) {
            return Ok(());
        }
        if self.connecting {
            match self.io.get_ref().take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => return Err(end_of(&error)),
            }
            self.connecting = false;
            node.stream_opened(now, self.id);
            return Ok(());
        }
        self.sent += send(self.io.get_ref(), &self.unsent[self.sent..]).map_err(|error| end_of(&error))?;
        if self.sent == self.unsent.len() {
            (self.unsent, self.sent) = (Vec::new(), 0);
            node.stream_ready(now, self.id);
        }
        Ok(())
    }

    /// True when there may be more.
    fn serve_readable<E: Env>(
        &mut self,
        node: &mut Node<'_, E>,
        now: Instant,
        buf: &mut [u8],
    ) -> Result<bool, StreamEnd> {
        if !self.readable {
            return Ok(false);
        }
        for _ in 0..READS {
            let kept = self.rest.len();
            buf[..kept].copy_from_slice(&self.rest);
            let read = match self.io.get_ref().read(&mut buf[kept..]) {
                Ok(0) => return Err(StreamEnd::Ended),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(end_of(&error)),
            };
            let len = kept + read;
            let used = node.handle_stream(now, self.id, &mut buf[..len]);
            self.rest.clear();
            self.rest.extend_from_slice(&buf[used..len]);
            // A short read has emptied the kernel's buffer; Windows wants to hear "would block" all the same.
            if len < buf.len() && !cfg!(windows) {
                self.readable = false;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends bytes; what the kernel does not take waits.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = send(self.io.get_ref(), bytes)?;
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }
}

fn connect(to: SocketAddr) -> io::Result<Async<TcpStream>> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Frames are sent in groups; nothing more is to be waited for.
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&SockAddr::from(to)) {
        Err(error) if !is_under_way(&error) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    Async::new_nonblocking(TcpStream::from(socket))
}

fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(IN_PROGRESS) {
        return true;
    }
    error.kind() == ErrorKind::WouldBlock
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const IN_PROGRESS: i32 = nix::errno::Errno::EINPROGRESS as i32;
/// As all BSDs have it.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const IN_PROGRESS: i32 = 36;

fn end_of(error: &io::Error) -> StreamEnd {
    const NO_WAY: [ErrorKind; 3] =
        [ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable, ErrorKind::AddrNotAvailable];
    let kind = error.kind();
    if NO_WAY.contains(&kind) {
        return StreamEnd::Unreachable;
    }
    let known = [(ErrorKind::ConnectionRefused, StreamEnd::Refused), (ErrorKind::TimedOut, StreamEnd::TimedOut)];
    known.into_iter().find(|(of, _)| *of == kind).map_or(StreamEnd::Ended, |(_, end)| end)
}

/// How many bytes the kernel takes now.
pub(crate) fn send(mut socket: impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.write(&bytes[sent..]) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
