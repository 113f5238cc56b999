//! A hub in memory, and devices on it, each with a network stack of its own.

use bluering_embassy::bluering_core::Event;
use bluering_embassy::{Bootstrap, Config, EVENT_LEN_MAX, Tox, ToxResources, new};
use core::net::Ipv4Addr;
use embassy_net::{Ipv4Cidr, StackResources, StaticConfigV4};
use embassy_net_driver_channel as channel;
use embassy_net_driver_channel::driver::{HardwareAddress, LinkState};
use rand_core::SeedableRng;
use smol::LocalExecutor;
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

/// A device that runs.
pub(crate) struct Device {
    pub(crate) tox: Tox<'static>,
    link: channel::StateRunner<'static>,
}

impl Device {
    /// Plugs the cable in or out.
    pub(crate) fn plug(&self, plugged: bool) {
        self.link.set_link_state(if plugged { LinkState::Up } else { LinkState::Down });
    }
}

impl Hub {
    /// Starts a device with the address 203.0.113.`host`.
    pub(crate) fn device(&self, host: u8, bootstrap: &[Bootstrap<'static>]) -> Device {
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
        let (tox, mut runner) = new(stack, resources, &mut rng, config).expect("a device starts");
        self.executor.spawn(async move { network.run().await }).detach();
        self.executor.spawn(async move { runner.run().await }).detach();
        let device = Device { tox, link };
        device.plug(true);
        device
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
