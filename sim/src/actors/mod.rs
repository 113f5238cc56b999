//! Actors that mean no ill: what a network has besides nodes.
//!
//! | file | who |
//! |---|---|
//! | [`RelayClient`] | a client of a TCP relay, in a few lines, for actors that speak with relays |
//! | [`Proxy`] | a SOCKS5 or HTTP proxy, in any mood |

mod proxy;
mod relay_client;

pub use proxy::{Mood, Proxy, ProxySpec, Speech};
pub use relay_client::{RelayClient, RelayNews};
