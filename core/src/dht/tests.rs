//! The DHT machine alone, with packets made by hand. Whole networks are in the simulator's tests.

mod service;
mod tables;
mod world;
