//! What every board does and says before the bot runs.

use crate::Board;
use crate::config::{Config, Error};
use crate::console::Console;
use bluering_embassy::flash::Loaded;
use chacha20::ChaCha12Rng;
use core::fmt;
use core::marker::PhantomData;
use embedded_io_async::Write;
use rand_core::SeedableRng;

/// Says hello and reads the configuration. What is wrong with it is said too; then the board stops.
///
/// # Errors
/// Those of [`Config::parse`].
pub async fn configure<'t, B: Board>(
    console: &mut Console<impl Write>,
    text: &'t [u8],
) -> Result<Config<'t>, Error<'t>> {
    console.say(Greeting::<B>(PhantomData)).await;
    let config = Config::parse(text);
    if let Err(why) = &config {
        console.say(format_args!("config error: {why}")).await;
    }
    config
}

/// How the flash was found, for the console.
#[derive(Clone, Copy, Debug)]
pub struct Found(pub Loaded);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Loaded::New => f.write_str("flash: new identity"),
            Loaded::Newest { generation, .. } => write!(f, "flash: snapshot {generation} loaded"),
            Loaded::Older { generation, .. } => write!(f, "flash: damaged, older snapshot {generation} used"),
        }
    }
}

/// All the randomness of a device, from 32 bytes that nobody can guess.
#[must_use]
pub fn rng(seed: [u8; 32]) -> ChaCha12Rng {
    ChaCha12Rng::from_seed(seed)
}

/// The first line.
struct Greeting<B>(PhantomData<B>);

impl<B: Board> fmt::Display for Greeting<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bluering-bot {} {}", env!("CARGO_PKG_VERSION"), B::NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embassy_futures::block_on;
    use std::string::{String, ToString};
    use std::vec::Vec;

    struct Desktop;

    impl Board for Desktop {
        const NAME: &'static str = "desktop";
    }

    fn said(text: &str) -> (bool, String) {
        let mut out = Vec::new();
        let is_fine = block_on(configure::<Desktop>(&mut Console::new(&mut out), text.as_bytes())).is_ok();
        (is_fine, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_board_says_hello_and_what_is_wrong() {
        let hello = concat!("bluering-bot ", env!("CARGO_PKG_VERSION"), " desktop\r\n");
        let fine = "bootstrap = h:1:F404ABAA1C99A9D37D61AB54898F56793E1DEF8BD46B1038B9D822E8460FAB67";
        assert_eq!(said(fine), (true, hello.to_string()));
        let (is_fine, lines) = said("\nport = x");
        assert!(!is_fine);
        assert_eq!(lines, [hello, "config error: line 2: expected a port from 1 to 65535, found `x`\r\n"].concat());
    }

    #[test]
    fn the_flash_is_told_in_words() {
        assert_eq!(Found(Loaded::New).to_string(), "flash: new identity");
        assert_eq!(Found(Loaded::Newest { generation: 3, len: 9 }).to_string(), "flash: snapshot 3 loaded");
        let older = Loaded::Older { generation: 2, damaged: 3, len: 9 };
        assert_eq!(Found(older).to_string(), "flash: damaged, older snapshot 2 used");
    }
}
