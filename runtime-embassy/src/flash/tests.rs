//! The store on flash that forgets, wears and breaks; the snapshot of a real node; the clock.

mod clock;
mod mock;
mod node;
mod power;
mod store;
