//! Names of relays that the proxy looks up.

use crate::relay::proxy::{HOST_LEN_MAX, HostName, Target};
use crate::storage::Mem;

/// A host name and a port.
#[derive(Debug)]
pub(crate) struct RelayName {
    len: u8,
    port: u16,
    host: [u8; HOST_LEN_MAX],
}

impl RelayName {
    /// What vacant places hold.
    pub(crate) const VACANT: Self = Self { len: 0, port: 0, host: [0; HOST_LEN_MAX] };

    fn host(&self) -> Option<HostName<'_>> {
        core::str::from_utf8(&self.host[..usize::from(self.len)]).ok().and_then(HostName::new)
    }
}

/// The table. Names are never forgotten: they are those of the configuration.
#[derive(Debug)]
pub(super) struct Names<'s>(Mem<'s, RelayName>);

impl<'s> Names<'s> {
    pub(super) fn new(mut mem: Mem<'s, RelayName>) -> Self {
        mem.fill_with(|| RelayName::VACANT);
        Self(mem)
    }

    /// The place of a name, which may be new; `None` when it is no name, or there is no room.
    pub(super) fn add(&mut self, host: &str, port: u16) -> Option<u8> {
        let host = HostName::new(host)?;
        let is_it = |name: &RelayName| name.port == port && name.host() == Some(host);
        let place = self.0.iter().position(|name| is_it(name) || name.len == 0)?;
        let name = &mut self.0[place];
        (name.port, name.len) = (port, host.as_str().len() as u8);
        name.host[..usize::from(name.len)].copy_from_slice(host.as_str().as_bytes());
        u8::try_from(place).ok()
    }

    pub(super) fn get(&self, place: u8) -> Option<Target<'_>> {
        let name = self.0.get(usize::from(place))?;
        Some(Target::Name(name.host()?, name.port))
    }
}
