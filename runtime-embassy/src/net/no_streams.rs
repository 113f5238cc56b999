//! TCP connections of a device without relays: there are none, and nothing of them is left in the image.

use crate::tox::DeviceEnv;
use bluering_core::relay::StreamId;
use bluering_core::time::Instant;
use bluering_core::{Endpoint, Node};
use core::marker::PhantomData;
use core::task::Context;
use embassy_net::Stack;

pub(crate) struct StreamBuffers;

impl StreamBuffers {
    pub(crate) const fn new() -> Self {
        Self
    }
}

pub(crate) struct Streams<'d>(PhantomData<&'d ()>);

impl<'d> Streams<'d> {
    pub(crate) const COUNT: usize = 0;

    pub(crate) const fn new(_: Stack<'d>, _: &'d mut StreamBuffers) -> Self {
        Self(PhantomData)
    }

    pub(crate) const fn open(&mut self, _: StreamId, _: Endpoint, _: &mut Context<'_>) {}

    pub(crate) const fn close(&mut self, _: StreamId) {}

    pub(crate) const fn fill(
        &mut self,
        _: StreamId,
        _: &mut Context<'_>,
        _: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> bool {
        false
    }

    pub(crate) const fn serve(
        &mut self,
        _: &mut Node<'_, DeviceEnv>,
        _: Instant,
        _: &mut Context<'_>,
        _: &mut bool,
    ) -> bool {
        false
    }

    pub(crate) const fn has_ended(&self) -> bool {
        false
    }

    pub(crate) const fn farewell(&mut self, _: Instant, _: &mut Context<'_>) -> Option<Instant> {
        None
    }
}
