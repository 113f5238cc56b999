//! Many datagrams in one system call, where the kernel can.
//!
//! A train is several datagrams of equal length to or from one address, the last one possibly shorter: UDP segmentation
//! on send and receive (Linux 4.18 and 5.0). Where an interface or path does not allow it, trains have one datagram.
//! Several trains arrive in one call (`recvmmsg`), and answers to many addresses leave in one (`sendmmsg`). Elsewhere a
//! call is a datagram.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Datagrams of a train that is sent, at most: the kernel allows 64.
pub(crate) const TRAIN_CARS: usize = 32;
/// Bytes of a train, at most.
pub(crate) const TRAIN_LEN_MAX: usize = 60_000;
/// Trains, or single datagrams, that go through one call.
pub(crate) const AT_ONCE: usize = 32;

/// What arrived from one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Train {
    /// Where it stands in the hall.
    pub(crate) at: usize,
    /// Bytes in all.
    pub(crate) len: usize,
    /// Bytes of each datagram but the last.
    pub(crate) stride: usize,
    pub(crate) from: SocketAddr,
}

/// Where trains arrive.
#[derive(Debug)]
pub(crate) struct Hall {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) trains: VecDeque<Train>,
}

/// A datagram that waits with others: its end in their bytes, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) end: usize,
    pub(crate) to: SocketAddr,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{is_refusal, prepare, send, send_some, share};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use plain::{is_refusal, prepare, send, send_some, share};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::{AT_ONCE, Hall, SocketAddr, Train, UdpSocket, VecDeque, Waiting, io};
    use nix::errno::Errno;
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, sendmsg,
        setsockopt, sockopt,
    };
    use std::io::{IoSlice, IoSliceMut};
    use std::os::fd::{AsFd, AsRawFd};

    /// Room for the largest train that IP can name, and a little more: so that the fronts of all of them, which are
    /// what is mostly used, do not fall onto the same lines of the processor's cache.
    const ROOM: usize = 65_536 + 2048;

    /// Asks for trains on receive. A kernel without them hands out datagrams one by one.
    pub(crate) fn prepare(socket: &UdpSocket) {
        let _ = setsockopt(socket, sockopt::UdpGroSegment, &true);
    }

    /// Lets others listen at the same address; what comes is dealt out.
    pub(crate) fn share(socket: &impl AsFd) -> io::Result<()> {
        Ok(setsockopt(socket, sockopt::ReusePort, &true)?)
    }

    /// Sends a train.
    pub(crate) fn send(socket: &UdpSocket, bytes: &[u8], stride: u16, to: SocketAddr) -> io::Result<()> {
        let (parts, to) = ([IoSlice::new(bytes)], SockaddrStorage::from(to));
        let control = [ControlMessage::UdpGsoSegments(&stride)];
        sendmsg(socket.as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(&to))?;
        Ok(())
    }

    /// Whether trains will hardly ever go: an interface without checksum offload, a path that needs fragments, an old
    /// kernel.
    pub(crate) fn is_refusal(error: &io::Error) -> bool {
        let refusals = [Errno::EIO, Errno::EINVAL, Errno::ENOPROTOOPT, Errno::EOPNOTSUPP, Errno::EMSGSIZE];
        error.raw_os_error().is_some_and(|code| refusals.contains(&Errno::from_raw(code)))
    }

    /// Sends datagrams that stand one behind the other in `bytes` from `start` on; how many of them the kernel took.
    pub(crate) fn send_some(
        socket: &UdpSocket,
        bytes: &[u8],
        mut start: usize,
        waiting: &[Waiting],
    ) -> io::Result<usize> {
        let (mut parts, mut to) = ([[IoSlice::new(&[])]; AT_ONCE], [None; AT_ONCE]);
        let count = waiting.len().min(AT_ONCE);
        for (i, datagram) in waiting[..count].iter().enumerate() {
            parts[i] = [IoSlice::new(&bytes[start..datagram.end])];
            to[i] = Some(SockaddrStorage::from(datagram.to));
            start = datagram.end;
        }
        let mut headers = MultiHeaders::preallocate(count, None);
        Ok(sendmmsg(socket.as_raw_fd(), &mut headers, &parts[..count], to, [], MsgFlags::empty())?.count())
    }

    impl Hall {
        pub(crate) fn new() -> Self {
            // What nobody writes to takes no memory.
            Self { bytes: vec![0; AT_ONCE * ROOM].into_boxed_slice(), trains: VecDeque::with_capacity(AT_ONCE) }
        }

        /// Takes what has arrived; false when that was all.
        pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<bool> {
            // Made anew each time: the kernel writes into them how much room it took, which then is all the room there
            // is.
            let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(AT_ONCE, Some(nix::cmsg_space!(i32)));
            let mut rooms = self.bytes.chunks_exact_mut(ROOM);
            let mut parts: [_; AT_ONCE] = std::array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
            let messages = recvmmsg(socket.as_raw_fd(), &mut headers, &mut parts, MsgFlags::empty(), None)?;
            let mut count = 0;
            for message in messages {
                let at = count * ROOM;
                count += 1;
                let Some(from) = message.address.as_ref().and_then(address) else { continue };
                let mut train = Train { at, len: message.bytes, stride: message.bytes, from };
                for control in message.cmsgs()? {
                    if let ControlMessageOwned::UdpGroSegments(stride) = control {
                        train.stride = usize::try_from(stride).unwrap_or(0);
                    }
                }
                self.trains.push_back(train);
            }
            Ok(count == AT_ONCE)
        }
    }

    fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = storage.as_sockaddr_in().map(|at| SocketAddr::V4((*at).into()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|at| SocketAddr::V6((*at).into())))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod plain {
    use super::{Hall, SocketAddr, Train, UdpSocket, VecDeque, Waiting, io};

    pub(crate) fn prepare(_: &UdpSocket) {}

    pub(crate) fn share(_: &socket2::Socket) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn send(_: &UdpSocket, _: &[u8], _: u16, _: SocketAddr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn send_some(socket: &UdpSocket, bytes: &[u8], start: usize, waiting: &[Waiting]) -> io::Result<usize> {
        match waiting.first() {
            Some(first) => socket.send_to(&bytes[start..first.end], first.to).map(|_| 1),
            None => Ok(0),
        }
    }

    pub(crate) fn is_refusal(_: &io::Error) -> bool {
        true
    }

    impl Hall {
        pub(crate) fn new() -> Self {
            let bytes = vec![0; bluering_core::DATAGRAM_MAX].into_boxed_slice();
            Self { bytes, trains: VecDeque::with_capacity(1) }
        }

        pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<bool> {
            let (len, from) = socket.recv_from(&mut self.bytes)?;
            self.trains.push_back(Train { at: 0, len, stride: len, from });
            Ok(true)
        }
    }
}
