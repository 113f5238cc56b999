//! A hub in memory, and devices on it, each with a network stack of its own.

use bluering_embassy::bluering_core::Event;
use bluering_embassy::flash::Store;
use bluering_embassy::{Bootstrap, Config, EVENT_LEN_MAX, StartError, Tox, ToxResources, new};
use core::net::Ipv4Addr;
use embassy_net::{Ipv4Cidr, StackResources, StaticConfigV4};
use embassy_net_driver_channel as channel;
use embassy_net_driver_channel::driver::{HardwareAddress, LinkState};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use rand_core::SeedableRng;
use smol::{LocalExecutor, Task};
use std::cell::RefCell;
use std::rc::Rc;

const MTU: usize = 1514;
/// UDP port of all devices.
pub(crate) const PORT: u16 = 33445;

/// Carries each frame to all other devices.
#[derive(Default)]
pub(crate) struct Hub {
    executor: LocalExecutor<'static>,
    ends: Rc<RefCell<Vec<channel::RxRunner<'static, MTU>>>>,
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
    _tasks: [Task<()>; 2],
}

impl Device {
    /// Plugs the cable in or out.
    pub(crate) fn plug(&self, plugged: bool) {
        self.link.set_link_state(if plugged { LinkState::Up } else { LinkState::Down });
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
        let state = Box::leak(Box::new(channel::State::<MTU, 8, 8>::new()));
        let (wire, driver) = channel::new(state, HardwareAddress::Ethernet([2, 0, 0, 0, 0, host]));
        let (link, rx, tx) = wire.split();
        self.connect(rx, tx);
        let address = Ipv4Cidr::new(Ipv4Addr::new(203, 0, 113, host), 24);
        let v4 = StaticConfigV4 { address, gateway: None, dns_servers: Default::default() };
        let resources = Box::leak(Box::new(StackResources::<3>::new()));
        let config = embassy_net::Config::ipv4_static(v4);
        let (stack, mut network) = embassy_net::new(driver, config, resources, u64::from(host));
        let resources = Box::leak(Box::new(<ToxResources<'static>>::new()));
        let mut rng = chacha20::ChaCha12Rng::from_seed([host; 32]);
        let config = Config { port: PORT, bootstrap: bootstrap.to_vec().leak() };
        let store = Store::new(flash.clone(), 0..(PAGE * PAGES) as u32, 8).expect("enough pages");
        let (tox, mut runner) = smol::block_on(new(stack, resources, &mut rng, store, config))?;
        let network = self.executor.spawn(async move { network.run().await });
        let runner = self.executor.spawn(async move { runner.run().await });
        let device = Device { tox, link, _tasks: [network, runner] };
        device.plug(true);
        Ok(device)
    }

    /// Runs all devices until `story` ends.
    pub(crate) fn run<T>(&self, story: impl Future<Output = T>) -> T {
        smol::block_on(self.executor.run(story))
    }

    fn connect(&self, rx: channel::RxRunner<'static, MTU>, mut tx: channel::TxRunner<'static, MTU>) {
        let ends = Rc::clone(&self.ends);
        let own = ends.borrow().len();
        ends.borrow_mut().push(rx);
        let carry = async move {
            loop {
                let frame = tx.tx_buf().await;
                let len = frame.len();
                for (_, end) in ends.borrow_mut().iter_mut().enumerate().filter(|(index, _)| *index != own) {
                    if let Some(buf) = end.try_rx_buf() {
                        buf[..len].copy_from_slice(frame);
                        end.rx_done(len);
                    }
                }
                tx.tx_done();
            }
        };
        self.executor.spawn(carry).detach();
    }
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
