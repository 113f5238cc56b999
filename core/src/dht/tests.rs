//! The DHT machine alone and in small networks, in virtual time.

mod network;
mod service;
mod tables;
mod world;
