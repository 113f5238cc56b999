//! Many datagrams in one system call, where the kernel can: UDP segmentation on send and receive (Linux 4.18 and 5.0).
//!
//! A train is several datagrams of equal length to or from one address, the last one possibly shorter. Everywhere else,
//! and where an interface or path does not allow it, trains have one datagram.

use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Datagrams of a train that is sent, at most: the kernel allows 64.
pub(crate) const TRAIN_CARS: usize = 32;
/// Bytes of a train, at most.
pub(crate) const TRAIN_LEN_MAX: usize = 60_000;

/// What arrived in one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Train {
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
    /// Room for what the kernel tells beside the bytes.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    control: Vec<u8>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{is_refusal, prepare, send};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use plain::{is_refusal, prepare, send};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::{Hall, SocketAddr, Train, UdpSocket, io};
    use nix::errno::Errno;
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    };
    use std::io::{IoSlice, IoSliceMut};
    use std::os::fd::AsRawFd;

    /// Room for the largest train that IP can name.
    const ROOM: usize = 65_536;

    /// Asks for trains on receive. A kernel without them hands out datagrams one by one.
    pub(crate) fn prepare(socket: &UdpSocket) {
        let _ = setsockopt(socket, sockopt::UdpGroSegment, &true);
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

    impl Hall {
        pub(crate) fn new() -> Self {
            Self { bytes: vec![0; ROOM].into_boxed_slice(), control: nix::cmsg_space!(i32) }
        }

        /// Takes what has arrived.
        pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<Train> {
            let mut parts = [IoSliceMut::new(&mut self.bytes)];
            let control = Some(self.control.as_mut_slice());
            let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, control, MsgFlags::empty())?;
            let from = message.address.as_ref().and_then(address).ok_or(io::ErrorKind::AddrNotAvailable)?;
            let mut train = Train { len: message.bytes, stride: message.bytes, from };
            for control in message.cmsgs()? {
                if let ControlMessageOwned::UdpGroSegments(stride) = control {
                    train.stride = usize::try_from(stride).unwrap_or(0);
                }
            }
            Ok(train)
        }
    }

    fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = storage.as_sockaddr_in().map(|at| SocketAddr::V4((*at).into()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|at| SocketAddr::V6((*at).into())))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod plain {
    use super::{Hall, SocketAddr, Train, UdpSocket, io};

    pub(crate) fn prepare(_: &UdpSocket) {}

    pub(crate) fn send(_: &UdpSocket, _: &[u8], _: u16, _: SocketAddr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn is_refusal(_: &io::Error) -> bool {
        true
    }

    impl Hall {
        pub(crate) fn new() -> Self {
            Self { bytes: vec![0; bluering_core::DATAGRAM_MAX].into_boxed_slice() }
        }

        pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<Train> {
            let (len, from) = socket.recv_from(&mut self.bytes)?;
            Ok(Train { len, stride: len, from })
        }
    }
}
