//! Proves the board's parts in QEMU, without anything else on the host:
//!
//!     cargo run --release --bin selftest
//!
//! The exit code is 0 when all is well and 101 after a panic that tells what is not. It boots twice: the second time,
//! after a reset by itself, finds what the first wrote to the flash. The network's peer is QEMU itself, which gives an
//! address by DHCP and the flash's file by TFTP. The clock starts a second before its timer wraps.
//!
//! With a configuration `echo 203.0.113.9/24 2001:db8::9/64` it stays instead: on port 7 it answers each datagram with
//! itself, and one of the text `stats` with counters; it prints changes of the link, and the console's input.

#![no_std]
#![no_main]

use board::lan9118::Lan9118;
use board::{Board, executor, flash, semihost, stack, time_driver, uart};
use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use cortex_m_rt::entry;
use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{Config, Ipv4Cidr, Ipv6Cidr, Runner, Stack, StackResources, StaticConfigV4, StaticConfigV6};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_io_async::{Read as _, Write as _};
use embedded_storage_async::nor_flash::{NorFlash as _, ReadNorFlash as _};
use heapless::String;
use static_cell::{ConstStaticCell, StaticCell};

const SECOND_BEFORE_WRAP: u32 = u32::MAX - 25_000_000;
const MARK: &[u8; 8] = b"selftest";
const ECHO_PORT: u16 = 7;
const TFTP_PORT: u16 = 69;
const TFTP_BLOCK: usize = 512;
/// QEMU's own addresses, and one of ours.
const HOST_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const HOST_V6: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 2);
const OUR_V6: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0x15);

#[entry]
fn main() -> ! {
    let board = board::init_at(SECOND_BEFORE_WRAP);
    executor::run(|spawner| spawner.spawn(run(spawner, board).expect("one task")))
}

#[embassy_executor::task]
async fn run(spawner: Spawner, board: Board) {
    let Board { console_in, mut console_out, net, mut flash, entropy, config } = board;
    let text = core::str::from_utf8(config).expect("text");
    if let Some(addresses) = text.trim().strip_prefix("echo ") {
        let stack = start_network(spawner, net, entropy, fixed_config(addresses));
        echo(stack, console_in, console_out).await;
    }
    flash_keeps(&mut flash, &mut console_out).await;
    instructions_are_counted(&mut console_out).await;
    clock_wraps(&mut console_out).await;
    let stack = start_network(spawner, net, entropy, Config::dhcpv4(Default::default()));
    network_reaches_host(stack, &mut flash, &mut console_out).await;
    stack_is_measured(&mut console_out).await;
    say(&mut console_out, format_args!("selftest passed")).await;
    semihost::exit(0)
}

#[embassy_executor::task]
async fn net_task(mut runner: Runner<'static, Lan9118>) {
    runner.run().await
}

fn start_network(spawner: Spawner, net: Lan9118, entropy: [u8; 32], config: Config) -> Stack<'static> {
    static RESOURCES: StaticCell<StackResources<4>> = StaticCell::new();
    assert_ne!(entropy, [0; 32], "entropy");
    let seed = u64::from_le_bytes(*entropy.first_chunk().expect("32 bytes"));
    let (stack, runner) = embassy_net::new(net, config, RESOURCES.init(StackResources::new()), seed);
    spawner.spawn(net_task(runner).expect("one task"));
    stack
}

fn fixed_config(addresses: &str) -> Config {
    let mut config = Config::default();
    for address in addresses.split_whitespace() {
        if let Ok(address) = address.parse::<Ipv4Cidr>() {
            config.ipv4 = embassy_net::ConfigV4::Static(StaticConfigV4 {
                address,
                gateway: None,
                dns_servers: Default::default(),
            });
        } else {
            config.ipv6 = fixed_v6(address.parse::<Ipv6Cidr>().expect("an address with the length of its prefix"));
        }
    }
    config
}

fn fixed_v6(address: Ipv6Cidr) -> embassy_net::ConfigV6 {
    embassy_net::ConfigV6::Static(StaticConfigV6 { address, gateway: None, dns_servers: Default::default() })
}

async fn say(out: &mut uart::Writer, line: core::fmt::Arguments<'_>) {
    let mut text = String::<160>::new();
    writeln!(text, "{line}").expect("a short line");
    let Ok(()) = out.write_all(text.as_bytes()).await;
}

/// Bits only clear, pages erase alone, ranges are checked; and all is there after a reset.
async fn flash_keeps(flash: &mut flash::FlashFile, out: &mut uart::Writer) {
    const PAGE: u32 = flash::PAGE as u32;
    let mut found = [0; 8];
    flash.read(3 * PAGE, &mut found).await.expect("read");
    if found != *MARK {
        flash.erase(0, flash::SIZE as u32).await.expect("erase");
        for page in 0..4 {
            flash.write(page * PAGE, MARK).await.expect("write");
        }
        flash.write(4, b"\0test---").await.expect("write");
        say(out, format_args!("flash is written; reset")).await;
        board::reset();
    }
    flash.erase(PAGE, 2 * PAGE).await.expect("erase");
    let mut start = [0; 12];
    flash.read(0, &mut start).await.expect("read");
    assert_eq!(start, [b's', b'e', b'l', b'f', 0, b'e' & b't', b's' & b'e', b't' & b's', b't', b'-', b'-', b'-']);
    flash.read(PAGE, &mut found).await.expect("read");
    assert_eq!(found, [0xff; 8], "an erased page");
    flash.read(2 * PAGE, &mut found).await.expect("read");
    assert_eq!(found, *MARK, "the page behind an erased one");
    assert_eq!(flash.write(2, MARK).await, Err(flash::FlashError::NotAligned));
    assert_eq!(flash.write(flash::SIZE as u32 - 4, MARK).await, Err(flash::FlashError::OutOfBounds));
    assert_eq!(flash.erase(PAGE, 0).await, Err(flash::FlashError::OutOfBounds));
    // So that the next run begins anew.
    flash.erase(3 * PAGE, 4 * PAGE).await.expect("erase");
    say(out, format_args!("flash kept its bytes over a reset")).await;
}

/// A second and a half, with the wrap of the timer in it, is that long.
async fn clock_wraps(out: &mut uart::Writer) {
    let (began, busy) = (Instant::now(), executor::busy_instructions());
    assert_eq!(time_driver::wraps(), 0, "it is early");
    Timer::after_millis(1500).await;
    let (slept, busy) = (began.elapsed(), executor::busy_instructions() - busy);
    assert_eq!(time_driver::wraps(), 1, "the timer has wrapped");
    assert!((1_500_000..1_510_000).contains(&slept.as_micros()), "slept {} us", slept.as_micros());
    assert!(busy < 10_000, "{busy} instructions for sleeping");
    say(out, format_args!("clock: slept {} us over a wrap in {busy} instructions", slept.as_micros())).await;
}

/// A loop of so many instructions is counted as that many.
async fn instructions_are_counted(out: &mut uart::Writer) {
    const LOOP: u32 = 1_000_000;
    let before = executor::busy_instructions();
    // SAFETY: it touches nothing but its own register and the flags.
    unsafe { core::arch::asm!("2: subs {0}, #2", "bne 2b", inout(reg) LOOP => _, options(nomem, nostack)) };
    let counted = executor::busy_instructions() - before;
    assert!(counted.abs_diff(LOOP.into()) < 1000, "{counted} instructions counted: is this with -icount shift=0?");
    say(out, format_args!("instructions: {counted} counted of {LOOP}")).await;
}

/// An address by DHCP; and by TFTP, over either IP, the first block of the file that is the flash.
async fn network_reaches_host(stack: Stack<'static>, flash: &mut flash::FlashFile, out: &mut uart::Writer) {
    with_timeout(Duration::from_secs(20), stack.wait_config_up()).await.expect("an address by DHCP");
    let address = stack.config_v4().expect("it is up").address;
    say(out, format_args!("address {address}")).await;
    stack.set_config_v6(fixed_v6(Ipv6Cidr::new(OUR_V6, 64)));
    let mut expected = [0; TFTP_BLOCK];
    flash.read(0, &mut expected).await.expect("read");
    for host in [IpAddr::V4(HOST_V4), IpAddr::V6(HOST_V6)] {
        let began = Instant::now();
        with_timeout(Duration::from_secs(20), fetch_block(stack, host, &expected)).await.expect("an answer by TFTP");
        say(out, format_args!("{host} answered after {} us", began.elapsed().as_micros())).await;
    }
}

async fn fetch_block(stack: Stack<'static>, host: IpAddr, expected: &[u8; TFTP_BLOCK]) {
    let (mut receive, mut send) = ([0; 1024], [0; 128]);
    let (mut receive_meta, mut send_meta) = ([PacketMetadata::EMPTY; 2], [PacketMetadata::EMPTY; 2]);
    let mut socket = UdpSocket::new(stack, &mut receive_meta, &mut receive, &mut send_meta, &mut send);
    socket.bind(3000).expect("a free port");
    let mut block = [0; TFTP_BLOCK + 4];
    loop {
        socket.send_to(b"\x00\x01flash.bin\0octet\0", (host, TFTP_PORT)).await.expect("a way to the host");
        // The first is lost where the neighbour has to be found.
        if let Ok(answer) = with_timeout(Duration::from_secs(1), socket.recv_from(&mut block)).await {
            assert_eq!(answer.expect("it fits").0, block.len(), "{host}: {:?}", &block[..16]);
            assert_eq!(&block[..4], &[0, 3, 0, 1], "{host}: the first block");
            assert_eq!(&block[4..], expected, "{host}: of the flash");
            return;
        }
    }
}

async fn stack_is_measured(out: &mut uart::Writer) {
    let (used, size, statics) = (stack::used(), stack::size(), stack::statics());
    assert!((512..size).contains(&used), "stack {used} of {size}");
    assert!(size + statics <= 96 * 1024, "stack {size} and statics {statics}");
    say(out, format_args!("stack {used} of {size}, statics {statics}")).await;
}

async fn echo(stack: Stack<'static>, console_in: uart::Reader, mut out: uart::Writer) -> ! {
    say(&mut out, format_args!("echo on port {ECHO_PORT}")).await;
    join(echo_datagrams(stack), echo_console(stack, console_in, out)).await.0
}

async fn echo_datagrams(stack: Stack<'static>) -> ! {
    static RECEIVE: ConstStaticCell<[u8; 12 * 1024]> = ConstStaticCell::new([0; _]);
    static SEND: ConstStaticCell<[u8; 4 * 1024]> = ConstStaticCell::new([0; _]);
    let (mut receive_meta, mut send_meta) = ([PacketMetadata::EMPTY; 32], [PacketMetadata::EMPTY; 8]);
    let mut socket = UdpSocket::new(stack, &mut receive_meta, RECEIVE.take(), &mut send_meta, SEND.take());
    socket.bind(ECHO_PORT).expect("a free port");
    let mut datagram = [0; 1472];
    loop {
        let Ok((length, meta)) = socket.recv_from(&mut datagram).await else { continue };
        let mut counters = String::<160>::new();
        let answer = if datagram[..length] == *b"stats" {
            let (busy, wakeups) = (executor::busy_instructions(), executor::wakeups());
            write!(counters, "busy={busy} wakeups={wakeups} stack={}", stack::used()).expect("a short line");
            counters.as_bytes()
        } else {
            &datagram[..length]
        };
        // What cannot be sent is lost, as on any network.
        let _ = socket.send_to(answer, meta.endpoint).await;
    }
}

async fn echo_console(stack: Stack<'static>, mut console_in: uart::Reader, mut out: uart::Writer) -> ! {
    let mut up = false;
    let mut buf = [0; 32];
    loop {
        let changed = async || if up { stack.wait_link_down().await } else { stack.wait_link_up().await };
        match select(console_in.read(&mut buf), changed()).await {
            Either::First(Ok(length)) => {
                let Ok(()) = out.write_all(&buf[..length]).await;
            }
            Either::Second(()) => {
                up = !up;
                say(&mut out, format_args!("link {}", if up { "up" } else { "down" })).await;
            }
        }
    }
}
