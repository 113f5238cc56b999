//! The bot on an STM32 Nucleo-F429ZI.
//!
//! | part of the board | what for |
//! |---|---|
//! | Ethernet (RMII, LAN8742A) | the network; its address is made of the chip's serial number |
//! | USART3, the ST-Link's serial port over USB | the console, 115200 baud |
//! | random number generator | the seed of everything |
//! | bank 2 of the flash, four sectors of 16 KiB | identity, friends, known nodes |
//! | blue LED | on while friends can find the bot |
//! | independent watchdog | resets a board that has got stuck |

#![no_std]
#![no_main]

mod board;

use bluering_bot::bluering_embassy::bluering_core::Connection;
use bluering_bot::bluering_embassy::flash::Store;
use bluering_bot::bluering_embassy::{Config as ToxConfig, Runner, Tox, ToxResources, new};
use bluering_bot::config::Config;
use bluering_bot::console::Console;
use bluering_bot::network::stack_config;
use bluering_bot::{boot, bot};
use board::{Board, Nic, Nucleo, STATE_LEN, StateFlash};
use core::future::pending;
use core::panic::PanicInfo;
use cortex_m::peripheral::SCB;
use embassy_executor::{SpawnError, SpawnToken, Spawner};
use embassy_net::StackResources;
use embassy_stm32::gpio::Output;
use embassy_stm32::peripherals::IWDG;
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_time::{Duration, Timer};
use rand_core::Rng;
use static_cell::{ConstStaticCell, StaticCell};

/// Made by the build script.
const CONFIG: &str = include_str!(concat!(env!("OUT_DIR"), "/bot.conf"));
/// Those of the client, DHCP, DNS.
const SOCKETS: usize = bluering_bot::bluering_embassy::SOCKETS + 2;
const FRIENDS: usize = 8;
/// How often the watchdog is told that all is well.
const ALIVE: Duration = Duration::from_secs(1);

static RESOURCES: ConstStaticCell<ToxResources<'static>> = ConstStaticCell::new(ToxResources::new());
static SOCKET_RESOURCES: ConstStaticCell<StackResources<SOCKETS>> = ConstStaticCell::new(StackResources::new());
static CHECKED: StaticCell<Config<'static>> = StaticCell::new();

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let Board { nic, flash, typed, shown, seed, online, watchdog } = Board::start().await;
    spawn(spawner, mind(watchdog));
    let mut console = Console::new(shown);
    let Ok(config) = boot::configure::<Nucleo>(&mut console, CONFIG.as_bytes()).await else { return park().await };
    let config: &Config<'static> = CHECKED.init(config);
    let mut rng = boot::rng(seed);
    let (stack, network) = embassy_net::new(nic, stack_config(config), SOCKET_RESOURCES.take(), rng.next_u64());
    spawn(spawner, carry(network));
    let store = match Store::new(flash, 0..STATE_LEN, FRIENDS) {
        Ok(store) => store,
        Err(why) => {
            console.say(format_args!("start error: {why}")).await;
            return park().await;
        }
    };
    let how = ToxConfig { port: config.port, bootstrap: &config.bootstrap };
    let (tox, runner) = match new(stack, RESOURCES.take(), &mut rng, store, how).await {
        Ok(started) => started,
        Err(why) => {
            console.say(format_args!("start error: {why}")).await;
            return park().await;
        }
    };
    spawn(spawner, drive(runner));
    spawn(spawner, shine(tox, online));
    console.say(boot::Found(tox.loaded())).await;
    bot::run(tox, config, &Nucleo, typed, &mut console).await;
    SCB::sys_reset();
}

/// Each task is spawned once.
fn spawn<S>(spawner: Spawner, task: Result<SpawnToken<S>, SpawnError>) {
    match task {
        Ok(task) => spawner.spawn(task),
        Err(_) => panic!("a task is spawned once"),
    }
}

/// Nothing more to do before somebody flashes something else.
async fn park() {
    pending().await
}

#[embassy_executor::task]
async fn carry(mut network: embassy_net::Runner<'static, Nic>) -> ! {
    network.run().await
}

#[embassy_executor::task]
async fn drive(mut runner: Runner<'static, StateFlash>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn mind(mut watchdog: IndependentWatchdog<'static, IWDG>) -> ! {
    loop {
        watchdog.pet();
        Timer::after(ALIVE).await;
    }
}

/// The blue LED.
#[embassy_executor::task]
async fn shine(tox: Tox<'static>, mut led: Output<'static>) -> ! {
    loop {
        led.set_level((tox.connection() != Connection::None).into());
        Timer::after(ALIVE).await;
    }
}

/// Nobody may be there to press the button.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    SCB::sys_reset()
}
