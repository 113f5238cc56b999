//! First echo.
#![no_std]
#![no_main]
use board::Board;
use cortex_m_rt::entry;
use embassy_executor::Spawner;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{Config, Runner, Stack, StackResources};
use static_cell::StaticCell;

#[entry]
fn main() -> ! {
    static BOARD: StaticCell<Board> = StaticCell::new();
    let board = BOARD.init_with(board::init);
    board::executor::run(|spawner| spawner.spawn(start(spawner, board).expect("one")))
}

#[embassy_executor::task]
async fn start(spawner: Spawner, board: &'static mut Board) {
    static RESOURCES: StaticCell<StackResources<4>> = StaticCell::new();
    let resources = RESOURCES.init(StackResources::new());
    let (stack, runner) = embassy_net::new(&mut board.net, Config::dhcpv4(Default::default()), resources, 1);
    spawner.spawn(net(runner).expect("one"));
    echo(stack).await;
}
#[embassy_executor::task]
async fn net(mut runner: Runner<'static, &'static mut board::lan9118::Lan9118>) {
    runner.run().await
}
async fn echo(stack: Stack<'static>) {
    let (mut rm, mut rb, mut tm, mut tb) =
        ([PacketMetadata::EMPTY; 8], [0; 2048], [PacketMetadata::EMPTY; 8], [0; 2048]);
    let mut s = UdpSocket::new(stack, &mut rm, &mut rb, &mut tm, &mut tb);
    s.bind(7).expect("free");
    let mut buf = [0; 1024];
    loop {
        if let Ok((n, meta)) = s.recv_from(&mut buf).await {
            let _ = s.send_to(&buf[..n], meta.endpoint).await;
        }
    }
}
