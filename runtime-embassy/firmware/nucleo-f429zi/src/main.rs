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

use bluering_bot::config::Config;
use board::Board;
use core::panic::PanicInfo;
use cortex_m::peripheral::SCB;
use embassy_executor::Spawner;

/// Made by the build script.
const CONFIG: &str = include_str!(concat!(env!("OUT_DIR"), "/bot.conf"));

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let board = Board::start().await;
}

/// Nobody may be there to press the button.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    SCB::sys_reset()
}
