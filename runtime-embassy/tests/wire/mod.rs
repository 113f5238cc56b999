//! A hub in memory, and devices on it, each with a network stack of its own.

use bluering_embassy::bluering_core::Event;
use bluering_embassy::flash::Store;
use bluering_embassy::{Bootstrap, Config, EVENT_LEN_MAX, SOCKETS, StartError, Tox, ToxResources, new};
use core::net::Ipv4Addr;
use embassy_net::{Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_net_driver_channel as channel;
use embassy_net_driver_channel::driver::{HardwareAddress, LinkState};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use rand_core::SeedableRng;
use smol::{LocalExecutor, Task};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

const MTU: usize = 1514;
/// Where a frame over IPv4 says what it carries, and how it says that.
const CARRIES: [(usize, u8); 3] = [(12, 0x08), (13, 0x00), (23, 17)];
/// Those of a client, DHCP, names; and as many for a relay.
const STACK_SOCKETS: usize = SOCKETS + 10;
/// UDP port of all devices.
pub(crate) const PORT: u16 = 33445;

/// Carries each frame to all other devices.
#[derive(Default)]
pub(crate) struct Hub {
    pub(crate) executor: LocalExecutor<'static>,
    ends: Rc<RefCell<Vec<End>>>,
}

/// Where a host is plugged in.
struct End {
    rx: channel::RxRunner<'static, MTU>,
    /// No UDP comes through, in no direction.
    is_narrow: Rc<Cell<bool>>,
}

/// Flash that outlives its device.
#[derive(Clone)]
pub(crate) struct Flash(pub(crate) Rc<RefCell<Vec<u8>>>);

const PAGE: usize = 4096;
const PAGES: usize = 16;

impl Flash {
    /// Erased.
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(vec![0xff; PAGE * PAGES])))
    }
}

impl ErrorType for Flash {
    type Error = core::convert::Infallible;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.copy_from_slice(&self.0.borrow()[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        PAGE * PAGES
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.0.borrow_mut()[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        let mut flash = self.0.borrow_mut();
        flash[offset as usize..].iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
        Ok(())
    }
}

/// A device that runs until it is dropped, as if its power had gone.
pub(crate) struct Device {
    pub(crate) tox: Tox<'static>,
    link: channel::StateRunner<'static>,
    #[cfg_attr(not(feature = "relays"), expect(dead_code, reason = "without UDP nothing is left"))]
    is_narrow: Rc<Cell<bool>>,
    _tasks: [Task<()>; 2],
}

impl Device {
    /// Plugs the cable in or out.
    pub(crate) fn plug(&self, plugged: bool) {
        self.link.set_link_state(if plugged { LinkState::Up } else { LinkState::Down });
    }

    /// Whether UDP is blocked.
    #[cfg(feature = "relays")]
    pub(crate) fn block_udp(&self, blocked: bool) {
        self.is_narrow.set(blocked);
    }
}

impl Hub {
    /// Starts a device with the address 203.0.113.`host`.
    pub(crate) fn device(&self, host: u8, bootstrap: &[Bootstrap<'static>], flash: &Flash) -> Device {
        self.try_device(host, bootstrap, flash).expect("a device starts")
    }

    pub(crate) fn try_device(
        &self,
        host: u8,
        bootstrap: &[Bootstrap<'static>],
        flash: &Flash,
    ) -> Result<Device, StartError> {
        let Plug { stack, link, is_narrow, task: network } = self.plug(host);
        let resources = Box::leak(Box::new(<ToxResources<'static>>::new()));
        let mut rng = chacha20::ChaCha12Rng::from_seed([host; 32]);
        let config = Config { port: PORT, bootstrap: bootstrap.to_vec().leak() };
        let store = Store::new(flash.clone(), 0..(PAGE * PAGES) as u32, 8).expect("enough pages");
        let (tox, mut runner) = smol::block_on(new(stack, resources, &mut rng, store, config))?;
        let runner = self.executor.spawn(async move { runner.run().await });
        let device = Device { tox, link, is_narrow, _tasks: [network, runner] };
        device.plug(true);
        Ok(device)
    }

    /// Runs all devices until `story` ends.
    pub(crate) fn run<T>(&self, story: impl Future<Output = T>) -> T {
        smol::block_on(self.executor.run(story))
    }

    /// Plugs in a host with this address; its link is down.
    pub(crate) fn plug(&self, host: u8) -> Plug {
        let state = Box::leak(Box::new(channel::State::<MTU, 8, 8>::new()));
        let (wire, driver) = channel::new(state, HardwareAddress::Ethernet([2, 0, 0, 0, 0, host]));
        let (link, rx, tx) = wire.split();
        let is_narrow = Rc::new(Cell::new(false));
        self.connect(End { rx, is_narrow: Rc::clone(&is_narrow) }, tx);
        let address = Ipv4Cidr::new(Ipv4Addr::new(203, 0, 113, host), 24);
        let v4 = StaticConfigV4 { address, gateway: None, dns_servers: Default::default() };
        let resources = Box::leak(Box::new(StackResources::<STACK_SOCKETS>::new()));
        let config = embassy_net::Config::ipv4_static(v4);
        let (stack, mut network) = embassy_net::new(driver, config, resources, u64::from(host));
        let task = self.executor.spawn(async move { network.run().await });
        Plug { stack, link, is_narrow, task }
    }

    fn connect(&self, end: End, mut tx: channel::TxRunner<'static, MTU>) {
        let ends = Rc::clone(&self.ends);
        let own = ends.borrow().len();
        let sender = Rc::clone(&end.is_narrow);
        ends.borrow_mut().push(end);
        let carry = async move {
            loop {
                let frame = tx.tx_buf().await;
                let len = frame.len();
                let is_udp = CARRIES.iter().all(|(at, byte)| frame.get(*at) == Some(byte));
                for (_, end) in ends.borrow_mut().iter_mut().enumerate().filter(|(index, _)| *index != own) {
                    if is_udp && (sender.get() || end.is_narrow.get()) {
                        continue;
                    }
                    if let Some(buf) = end.rx.try_rx_buf() {
                        buf[..len].copy_from_slice(frame);
                        end.rx.rx_done(len);
                    }
                }
                tx.tx_done();
            }
        };
        self.executor.spawn(carry).detach();
    }
}

/// A host's network stack, and its task.
pub(crate) struct Plug {
    pub(crate) stack: Stack<'static>,
    pub(crate) link: channel::StateRunner<'static>,
    is_narrow: Rc<Cell<bool>>,
    pub(crate) task: Task<()>,
}

/// The first event that `wanted` takes; what came before it is gone.
pub(crate) async fn until<T>(tox: Tox<'_>, mut wanted: impl FnMut(Event<'_>) -> Option<T>) -> T {
    let mut buf = [0; EVENT_LEN_MAX];
    loop {
        if let Some(found) = wanted(tox.event(&mut buf).await) {
            return found;
        }
    }
}
