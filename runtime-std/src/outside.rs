//! What the operating system tells of the world outside: other addresses, and that the machine has slept.
//!
//! On Linux addresses come from netlink, which only wakes us: what counts is whether the addresses themselves are
//! others than before. A timer that is cancelled when the wall clock jumps wakes us after a sleep; that we have slept
//! is then seen by the node, whose clock goes on in sleep ([`Clock`](crate::env::Clock)).

use std::task::{Context, Poll};

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The addresses: somebody may reach us now.
    pub(crate) network: bool,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::{Changed, Context, Poll};
    use nix::ifaddrs::getifaddrs;
    use nix::net::if_::InterfaceFlags;
    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, recv, socket,
    };
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use smol::Async;
    use std::collections::BTreeSet;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
    use std::time::Duration;

    /// Groups of `rtnetlink(7)`: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR.
    const GROUPS: u32 = 1 | 0x10 | 0x100;
    /// Never.
    const FAR: Duration = Duration::from_secs(1 << 40);

    /// The ears of a node.
    #[derive(Debug)]
    pub(crate) struct Outside {
        netlink: Option<Async<OwnedFd>>,
        jumps: Option<Async<TimerFd>>,
        addresses: BTreeSet<(String, IpAddr)>,
    }

    impl Outside {
        /// Listens from now on. What a system does not have is done without.
        pub(crate) fn listen() -> Self {
            Self { netlink: open_netlink(), jumps: open_timer(), addresses: addresses() }
        }

        /// What to wait for until it can be read.
        pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
            let netlink = self.netlink.as_ref().map(|netlink| netlink.get_ref().as_fd());
            netlink.into_iter().chain(self.jumps.as_ref().map(|timer| timer.get_ref().as_fd()))
        }

        /// Ready when there may be something to be [heard](Self::hear).
        pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
            let netlink = self.netlink.as_ref().is_some_and(|netlink| netlink.poll_readable(cx).is_ready());
            let jumps = self.jumps.as_ref().is_some_and(|timer| timer.poll_readable(cx).is_ready());
            if netlink || jumps { Poll::Ready(()) } else { Poll::Pending }
        }

        /// Takes what was told. `None` when it was nothing.
        pub(crate) fn hear(&mut self) -> Option<Changed> {
            let jumped = self.hear_timer();
            if !self.hear_netlink() {
                return jumped.then_some(Changed { network: false });
            }
            let network = self.compare(addresses());
            (jumped || network).then_some(Changed { network })
        }

        /// Whether these are other addresses than before, and somebody may reach us now.
        fn compare(&mut self, addresses: BTreeSet<(String, IpAddr)>) -> bool {
            let is_news = addresses != self.addresses && !addresses.is_empty();
            self.addresses = addresses;
            is_news
        }

        /// True when something was told.
        fn hear_netlink(&self) -> bool {
            let Some(netlink) = &self.netlink else { return false };
            let (mut told, mut message) = (false, [0; 4096]);
            // ENOBUFS: more was told than there was room for.
            loop {
                match recv(netlink.get_ref().as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT) {
                    Ok(0) | Err(nix::errno::Errno::EAGAIN) => return told,
                    Ok(_) | Err(nix::errno::Errno::ENOBUFS) => told = true,
                    Err(nix::errno::Errno::EINTR) => {}
                    Err(_) => return told,
                }
            }
        }

        /// True when the wall clock has jumped.
        fn hear_timer(&self) -> bool {
            let Some(timer) = &self.jumps else { return false };
            let jumped = timer.get_ref().wait() == Err(nix::errno::Errno::ECANCELED);
            if jumped {
                // It was set before: it can be set again.
                let _ = arm(timer.get_ref());
            }
            jumped
        }
    }

    fn open_netlink() -> Option<Async<OwnedFd>> {
        let (flags, protocol) = (SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute);
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).ok()?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS)).ok()?;
        Async::new_nonblocking(fd).ok()
    }

    fn open_timer() -> Option<Async<TimerFd>> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags).ok()?;
        arm(&timer).ok()?;
        Async::new_nonblocking(timer).ok()
    }

    fn arm(timer: &TimerFd) -> nix::Result<()> {
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        timer.set(Expiration::OneShot(TimeSpec::from_duration(FAR)), flags)
    }

    /// All addresses of interfaces that work, but those that lead nowhere.
    fn addresses() -> BTreeSet<(String, IpAddr)> {
        let works = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        let interfaces = getifaddrs().into_iter().flatten();
        let working = interfaces.filter(|interface| interface.flags.contains(works));
        let known = working.filter_map(|interface| Some((interface.interface_name, ip(&interface.address?)?)));
        known.filter(|(_, ip)| leads_somewhere(*ip)).collect()
    }

    fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
        let v4 = address.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))
    }

    fn leads_somewhere(ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_loopback() && ip != Ipv4Addr::UNSPECIFIED,
            IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_loopback() && ip != Ipv6Addr::UNSPECIFIED,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn nothing_is_told_while_nothing_happens() {
            let mut outside = Outside::listen();
            assert_eq!(outside.fds().count(), 2);
            assert_eq!(outside.hear(), None);
            assert!(outside.addresses.iter().all(|(_, ip)| !ip.is_loopback()));
        }

        #[test]
        fn other_addresses_are_told_once() {
            let mut outside = Outside::listen();
            let now = addresses();
            let before: BTreeSet<_> = [("gone0".to_string(), IpAddr::from([192, 0, 2, 7]))].into();
            outside.addresses.clone_from(&before);
            // Nobody has rung.
            assert_eq!((outside.hear(), &outside.addresses), (None, &before));
            let rings = outside.compare(now.clone());
            assert_eq!((rings, outside.compare(now.clone())), (!now.is_empty(), false));
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::Outside;

/// Nothing is told.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Debug)]
pub(crate) struct Outside;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Outside {
    pub(crate) fn listen() -> Self {
        Self
    }

    pub(crate) fn poll(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    pub(crate) fn hear(&mut self) -> Option<Changed> {
        None
    }
}
