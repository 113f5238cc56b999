//! The bot on the board. `runtime-embassy/run-qemu` boots it in QEMU among real Tox nodes.

#![no_std]
#![no_main]

use bluering_bot::bluering_embassy::flash::Store;
use bluering_bot::bluering_embassy::{Config as ToxConfig, Runner, ToxResources, new};
use bluering_bot::config::Config;
use bluering_bot::console::Console;
use bluering_bot::network::stack_config;
use bluering_bot::{boot, bot};
use board::flash::{FlashFile, SIZE};
use board::lan9118::Lan9118;
use board::{Board, executor, stack};
use core::fmt;
use cortex_m_rt::entry;
use embassy_executor::{SpawnError, Spawner};
use embassy_net::{Stack, StackResources};
use rand_core::Rng;
use static_cell::{ConstStaticCell, StaticCell};

/// Those of the client, DHCP, DNS.
const SOCKETS: usize = bluering_bot::bluering_embassy::SOCKETS + 2;
const FRIENDS: usize = 8;

type Resources = ToxResources<'static>;
type NetworkRunner = embassy_net::Runner<'static, Lan9118>;

static RESOURCES: ConstStaticCell<Resources> = ConstStaticCell::new(ToxResources::new());
static SOCKET_RESOURCES: ConstStaticCell<StackResources<SOCKETS>> = ConstStaticCell::new(StackResources::new());
static CHECKED: StaticCell<Config<'static>> = StaticCell::new();

struct Mps2;

impl bluering_bot::Board for Mps2 {
    const NAME: &'static str = board::NAME;

    fn status(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, " busy_instructions={} wakeups={}", executor::busy_instructions(), executor::wakeups())?;
        write!(out, " stack_used={} stack_size={}", stack::used(), stack::size())?;
        write!(out, " ram_static={} ram_core={}", stack::statics(), Resources::CORE_BYTES)
    }
}

#[entry]
fn main() -> ! {
    let board = board::init();
    executor::run(|spawner| match life(spawner, board) {
        Ok(task) => spawner.spawn(task),
        Err(_) => board::stop("start error: no room for the first task"),
    })
}

#[embassy_executor::task]
async fn life(spawner: Spawner, board: Board) {
    let Board { console_in, console_out, net, flash, entropy, config } = board;
    let mut console = Console::new(console_out);
    let Ok(config) = boot::configure::<Mps2>(&mut console, config).await else {
        board::semihost::exit(board::EXIT_CONFIG)
    };
    let config: &Config<'static> = CHECKED.init(config);
    let mut rng = boot::rng(entropy);
    let (stack, network) = start_network(net, config, rng.next_u64());
    let store = match Store::new(flash, 0..SIZE as u32, FRIENDS) {
        Ok(store) => store,
        Err(why) => fail(&mut console, why).await,
    };
    let how = ToxConfig { port: config.port, bootstrap: &config.bootstrap };
    let (tox, runner) = match new(stack, RESOURCES.take(), &mut rng, store, how).await {
        Ok(started) => started,
        Err(why) => fail(&mut console, why).await,
    };
    if start_tasks(spawner, network, runner).is_err() {
        fail(&mut console, "no room for its tasks").await
    }
    console.say(boot::Found(tox.loaded())).await;
    bot::run(tox, config, &Mps2, console_in, &mut console).await;
    board::reset()
}

/// Not inlined: copies of sockets would lie on the stack while the node is built.
#[inline(never)]
fn start_network(net: Lan9118, config: &Config<'_>, seed: u64) -> (Stack<'static>, NetworkRunner) {
    embassy_net::new(net, stack_config(config), SOCKET_RESOURCES.take(), seed)
}

/// Not inlined: what it copies on the way into the tasks would lie on the stack while the node is built.
#[inline(never)]
fn start_tasks(spawner: Spawner, network: NetworkRunner, runner: Runner<'static, FlashFile>) -> Result<(), SpawnError> {
    let (network, node) = (carry(network)?, drive(runner)?);
    spawner.spawn(network);
    spawner.spawn(node);
    Ok(())
}

async fn fail(console: &mut Console<board::uart::Writer>, why: impl fmt::Display) -> ! {
    console.say(format_args!("start error: {why}")).await;
    board::semihost::exit(board::EXIT_CONFIG)
}

#[embassy_executor::task]
async fn carry(mut network: NetworkRunner) -> ! {
    network.run().await
}

#[embassy_executor::task]
async fn drive(mut runner: Runner<'static, FlashFile>) -> ! {
    runner.run().await
}
