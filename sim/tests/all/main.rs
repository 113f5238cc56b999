//! What whole networks do, in one program: each further one would take as long to build as all of them together.

mod adversaries;
mod chat;
mod dht;
mod hostile;
mod networks;
mod onion;
mod people;
mod program;
mod reach;
mod relays;
mod roam;
mod scenarios;
mod services;
mod session;
mod work;
