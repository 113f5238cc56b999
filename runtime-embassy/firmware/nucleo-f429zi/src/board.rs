//! The board: clocks, pins, and what the bot gets of it.

use embassy_stm32::eth::{Ethernet, GenericPhy, InterruptHandler as EthInterrupt, PacketQueue, Sma};
use embassy_stm32::flash::{Bank2Region1, Flash, InterruptHandler as FlashInterrupt};
use embassy_stm32::gpio::{Flex, Level, Output, Pull, Speed};
use embassy_stm32::peripherals::{ETH, ETH_SMA, IWDG, RNG, USART3};
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllQDiv, PllSource, Sysclk,
};
use embassy_stm32::rng::{InterruptHandler as RngInterrupt, Rng};
use embassy_stm32::time::Hertz;
use embassy_stm32::usart::{
    BufferedInterruptHandler, BufferedUart, BufferedUartRx, BufferedUartTx, Config as UartConfig,
};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Config, Peri, bind_interrupts, uid};
use static_cell::ConstStaticCell;

bind_interrupts!(struct Irqs {
    ETH => EthInterrupt;
    FLASH => FlashInterrupt;
    HASH_RNG => RngInterrupt<RNG>;
    USART3 => BufferedInterruptHandler<USART3>;
});

/// The Ethernet controller of the board.
pub(crate) type Nic = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;
/// The part of the flash that is for the state.
pub(crate) type StateFlash = Bank2Region1<'static>;

/// Its bytes: four sectors of 16 KiB.
pub(crate) const STATE_LEN: u32 = 64 * 1024;

/// How long the executor may be stuck.
const WATCHDOG_US: u32 = 8_000_000;
const BAUD: u32 = 115_200;

static PACKETS: ConstStaticCell<PacketQueue<4, 8>> = ConstStaticCell::new(PacketQueue::new());
static TYPED: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; 256]);
static SHOWN: ConstStaticCell<[u8; 1024]> = ConstStaticCell::new([0; 1024]);

/// The board, for the bot.
pub(crate) struct Nucleo;

impl bluering_bot::Board for Nucleo {
    const NAME: &'static str = "nucleo-f429zi";
}

/// What the bot gets.
pub(crate) struct Board {
    pub(crate) nic: Nic,
    pub(crate) flash: StateFlash,
    pub(crate) typed: BufferedUartRx<'static>,
    pub(crate) shown: BufferedUartTx<'static>,
    pub(crate) seed: [u8; 32],
    pub(crate) online: Output<'static>,
    pub(crate) watchdog: IndependentWatchdog<'static, IWDG>,
}

impl Board {
    /// Starts everything.
    pub(crate) async fn start() -> Self {
        let p = embassy_stm32::init(clocks());
        keep_pa12_low(p.PA12);
        let mut seed = [0; 32];
        let mut rng = Rng::new(p.RNG, Irqs);
        while rng.async_fill_bytes(&mut seed).await.is_err() {}
        let mac = mac_address();
        let packets = PACKETS.take();
        let nic = Ethernet::new(
            packets, p.ETH, Irqs, p.PA1, p.PA7, p.PC4, p.PC5, p.PG13, p.PB13, p.PG11, mac, p.ETH_SMA, p.PA2, p.PC1,
        );
        let mut config = UartConfig::default();
        config.baudrate = BAUD;
        let uart = BufferedUart::new(p.USART3, p.PD9, p.PD8, SHOWN.take(), TYPED.take(), Irqs, config);
        let Ok(uart) = uart else { panic!("115200 baud are possible at any clock") };
        let (shown, typed) = uart.split();
        let mut watchdog = IndependentWatchdog::new(p.IWDG, WATCHDOG_US);
        watchdog.unleash();
        Self {
            nic,
            flash: Flash::new(p.FLASH, Irqs).into_regions().bank2_region1,
            typed,
            shown,
            seed,
            online: Output::new(p.PB7, Level::Low, Speed::Low),
            watchdog,
        }
    }
}

/// 168 MHz from the 8 MHz that the ST-Link gives; 48 MHz of it for the random number generator.
fn clocks() -> Config {
    let mut config = Config::default();
    let rcc = &mut config.rcc;
    rcc.hse = Some(Hse { freq: Hertz(8_000_000), mode: HseMode::Bypass });
    rcc.pll_src = PllSource::HSE;
    rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL168,
        divp: Some(PllPDiv::DIV2),
        divq: Some(PllQDiv::DIV7),
        divr: None,
    });
    rcc.ahb_pre = AHBPrescaler::DIV1;
    rcc.apb1_pre = APBPrescaler::DIV4;
    rcc.apb2_pre = APBPrescaler::DIV2;
    rcc.sys = Sysclk::PLL1_P;
    config
}

/// Erratum 2.2.11 of early chips: bank 2 of the flash is read wrongly unless this pin is low. Nothing else uses it.
fn keep_pa12_low(pin: Peri<'static, embassy_stm32::peripherals::PA12>) {
    let mut pin = Flex::new(pin);
    pin.set_low();
    pin.set_as_input_output_pull(Speed::Low, Pull::Down);
    // Dropped, it would be an input again.
    core::mem::forget(pin);
}

/// An address of our own making, the same at every start: the chip's serial number, mixed into six bytes.
fn mac_address() -> [u8; 6] {
    let mut mac = [0; 6];
    for (i, byte) in uid::uid().into_iter().enumerate() {
        mac[i % 6] ^= byte.rotate_left(if i < 6 { 0 } else { 3 });
    }
    // Locally administered, and for one receiver.
    mac[0] = mac[0] & 0xFC | 0x02;
    mac
}
