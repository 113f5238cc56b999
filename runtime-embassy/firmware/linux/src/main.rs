//! The bot of the boards on a Linux host: the same adapter and the same network stack, over a TAP device, with a file
//! for its flash, standard input and output for its console.
//!
//! ```text
//! ip tuntap add tap0 mode tap && ip address add 203.0.113.1/24 dev tap0 && ip link set tap0 up
//! bluering-bot-linux --tap tap0 --config bot.conf --flash bot.flash
//! ```

mod flash;

use blocking::Unblock;
use bluering_bot::bluering_embassy::flash::Store;
use bluering_bot::bluering_embassy::{Config as ToxConfig, ToxResources, new};
use bluering_bot::config::Config;
use bluering_bot::console::Console;
use bluering_bot::network::stack_config;
use bluering_bot::{Board, boot, bot};
use clap::Parser;
use core::fmt::Display;
use embassy_executor::{Executor, Spawner};
use embassy_futures::select::select;
use embassy_net::{Runner, StackResources};
use embassy_net_tuntap::TunTapDevice;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embedded_io_adapters::futures_03::FromFutures;
use flash::{FileFlash, SIZE};
use rand_core::Rng;
use static_cell::{ConstStaticCell, StaticCell};
use std::io::{self, Stdout};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// A Tox bot over a TAP device
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The TAP device, which exists already
    #[arg(long)]
    tap: String,
    /// The configuration
    #[arg(long)]
    config: PathBuf,
    /// The flash; it is made when it is missing
    #[arg(long)]
    flash: PathBuf,
}

struct Linux;

impl Board for Linux {
    const NAME: &'static str = "linux";
}

type Screen = Console<FromFutures<Unblock<Stdout>>>;

/// Exit code when the bot cannot start.
const NOT_STARTED: i32 = 1;
/// Exit code of a configuration that is wrong.
const BAD_CONFIG: i32 = 2;
/// Those of the client, DHCP, DNS.
const SOCKETS: usize = bluering_bot::bluering_embassy::SOCKETS + 2;
const FRIENDS: usize = 8;

/// The TAP device shall be closed; it is.
static UNPLUG: Signal<CriticalSectionRawMutex, ()> = Signal::new();
static UNPLUGGED: Signal<CriticalSectionRawMutex, ()> = Signal::new();

fn main() {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    let options = Options::parse();
    EXECUTOR.init(Executor::new()).run(|spawner| spawner.spawn(life(spawner, options).expect("spawned once")));
}

#[embassy_executor::task]
async fn life(spawner: Spawner, options: Options) {
    let mut screen = Console::new(FromFutures::new(Unblock::new(io::stdout())));
    let text = read(&options.config);
    let end = match text {
        Ok(text) => match boot::configure::<Linux>(&mut screen, text.leak()).await {
            Ok(config) => run(spawner, &options, Box::leak(Box::new(config)), &mut screen).await,
            Err(_) => exit(BAD_CONFIG),
        },
        Err(why) => Err(why),
    };
    if let Err(why) = end {
        screen.say(format_args!("start error: {why}")).await;
        exit(NOT_STARTED);
    }
    restart();
}

/// The network stack's task. It is one of its own, because whoever touches a socket wakes it: in one task with the bot,
/// they would wake each other for ever.
#[embassy_executor::task]
async fn carry(mut network: Runner<'static, TunTapDevice>) {
    select(network.run(), UNPLUG.wait()).await;
    drop(network);
    UNPLUGGED.signal(());
}

/// The life of the bot. Afterwards the device and the flash are closed, so that they can be opened again.
async fn run(
    spawner: Spawner,
    options: &Options,
    config: &'static Config<'static>,
    screen: &mut Screen,
) -> Result<(), String> {
    static RESOURCES: ConstStaticCell<ToxResources<'static>> = ConstStaticCell::new(ToxResources::new());
    static SOCKET_RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|why| why.to_string())?;
    let mut rng = boot::rng(seed);
    let tap = open_tap(&options.tap)?;
    let flash = FileFlash::open(&options.flash).map_err(|why| of(&options.flash, why))?;
    let store = Store::new(flash, 0..SIZE as u32, FRIENDS).map_err(|why| of(&options.flash, why))?;
    let sockets = SOCKET_RESOURCES.init(StackResources::new());
    let (stack, network) = embassy_net::new(tap, stack_config(config), sockets, rng.next_u64());
    spawner.spawn(carry(network).map_err(|why| why.to_string())?);
    let how = ToxConfig { port: config.port, bootstrap: &config.bootstrap };
    let started = new(stack, RESOURCES.take(), &mut rng, store, how).await;
    let (tox, mut runner) = started.map_err(|why| of(&options.flash, why))?;
    screen.say(boot::Found(tox.loaded())).await;
    let keyboard = FromFutures::new(Unblock::new(io::stdin()));
    select(runner.run(), bot::run(tox, config, &Linux, keyboard, screen)).await;
    UNPLUG.signal(());
    UNPLUGGED.wait().await;
    Ok(())
}

fn open_tap(name: &str) -> Result<TunTapDevice, String> {
    let wrong = |why: &dyn Display| format!("TAP device {name}: {why}");
    // Each device has an address of its own that stays; the bot's differs from that of the host's end in one bit.
    let text = read(&PathBuf::from(format!("/sys/class/net/{name}/address"))).map_err(|why| wrong(&why))?;
    let text = String::from_utf8_lossy(&text);
    let mut mac = [0; 6];
    for (byte, digits) in mac.iter_mut().zip(text.trim().split(':')) {
        *byte = u8::from_str_radix(digits, 16).map_err(|why| wrong(&why))?;
    }
    mac[0] = mac[0] & 0xFC | 0x02;
    mac[5] ^= 1;
    let mut tap = TunTapDevice::new(name).map_err(|why| wrong(&why))?;
    tap.set_hardware_address(mac);
    Ok(tap)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|why| of(path, why))
}

fn of(path: &Path, why: impl Display) -> String {
    format!("{}: {why}", path.display())
}

/// As a board does when its reset line is pulled: everything from the beginning.
fn restart() -> ! {
    let why = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).exec();
    panic!("started again: {why}");
}
