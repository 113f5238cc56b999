//! Writing a profile, front to back, never going back: a section's length is counted before it is written.

use super::{
    COOKIE, DHT_COOKIE, DHT_MAGIC, DHT_NODES, FRIEND_RECORD_LEN, FriendRecord, HEADER_LEN, KEYS_LEN, MAGIC, Section,
    Whereabouts, section,
};
use crate::UserStatus;
use crate::crypto::{Nospam, SecretKey};
use crate::storage::Full;
use crate::wire::messenger::{NAME_LEN_MAX, STATUS_MESSAGE_LEN_MAX};
use crate::wire::{NODE_LEN_MAX, NodeInfo, Writer};

/// Where a profile goes: a buffer, a file, pages of flash memory.
pub trait Sink {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`Full`] when they do not all fit; the profile is then not complete and to be given up.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Full>;
}

/// A sink into a buffer of the caller.
#[derive(Debug)]
pub struct SliceSink<'b> {
    buf: &'b mut [u8],
    len: usize,
}

impl<'b> SliceSink<'b> {
    /// A sink at the start of `buf`.
    pub const fn new(buf: &'b mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// What has been written.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.buf[..self.len]
    }
}

impl Sink for SliceSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let room = self.buf[self.len..].get_mut(..bytes.len()).ok_or(Full)?;
        room.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }
}

impl<S: Sink> Sink for &mut S {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Full> {
        (**self).write(bytes)
    }
}

#[cfg(feature = "alloc")]
impl Sink for alloc::vec::Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Writes a profile section by section. Iterators are walked twice: to count, and to write.
#[derive(Debug)]
pub struct ProfileWriter<S: Sink> {
    sink: S,
}

/// All of its methods fail with [`Full`] when the sink does.
#[allow(clippy::missing_errors_doc, reason = "said once for all")]
impl<S: Sink> ProfileWriter<S> {
    /// Starts a profile with its keys.
    pub fn new(sink: S, nospam: Nospam, secret: &SecretKey) -> Result<Self, Full> {
        let mut writer = Self { sink };
        writer.sink.write(&MAGIC)?;
        writer.header(KEYS_LEN, section::KEYS)?;
        writer.sink.write(&nospam.0)?;
        writer.sink.write(secret.public_key().as_bytes())?;
        writer.sink.write(secret.as_bytes())?;
        Ok(writer)
    }

    /// DHT nodes that are alive.
    pub fn nodes(&mut self, nodes: impl Iterator<Item = NodeInfo> + Clone) -> Result<(), Full> {
        let len = packed_len(nodes.clone());
        self.header(DHT_MAGIC.len() + HEADER_LEN + len, section::DHT)?;
        self.sink.write(&DHT_MAGIC)?;
        write_header(&mut self.sink, len, DHT_NODES, DHT_COOKIE)?;
        self.packed(nodes, NodeInfo::emit)
    }

    /// The friends.
    pub fn friends<'f>(&mut self, mut friends: impl Iterator<Item = FriendRecord<'f>> + Clone) -> Result<(), Full> {
        self.header(friends.clone().count() * FRIEND_RECORD_LEN, section::FRIENDS)?;
        friends.try_for_each(|friend| friend.write(&mut self.sink))
    }

    /// The user's name; what is longer than 128 bytes is cut.
    pub fn name(&mut self, name: &[u8]) -> Result<(), Full> {
        self.other(Section { kind: section::NAME, content: &name[..name.len().min(NAME_LEN_MAX)] })
    }

    /// The user's status message; what is longer than 1007 bytes is cut.
    pub fn status_message(&mut self, text: &[u8]) -> Result<(), Full> {
        self.other(Section { kind: section::STATUS_MESSAGE, content: &text[..text.len().min(STATUS_MESSAGE_LEN_MAX)] })
    }

    /// The user's status.
    pub fn status(&mut self, status: UserStatus) -> Result<(), Full> {
        self.other(Section { kind: section::STATUS, content: &[status as u8] })
    }

    /// TCP relays that are connected; toxcore reads eight.
    pub fn relays(&mut self, relays: impl Iterator<Item = NodeInfo> + Clone) -> Result<(), Full> {
        self.header(packed_len(relays.clone()), section::TCP_RELAYS)?;
        self.packed(relays, NodeInfo::emit_tcp)
    }

    /// Nodes that serve in onion paths; toxcore reads eight.
    pub fn path_nodes(&mut self, nodes: impl Iterator<Item = NodeInfo> + Clone) -> Result<(), Full> {
        self.header(packed_len(nodes.clone()), section::PATH_NODES)?;
        self.packed(nodes, NodeInfo::emit)
    }

    /// Where friends are; nothing when that is not known of any.
    pub fn whereabouts(&mut self, mut all: impl Iterator<Item = Whereabouts> + Clone) -> Result<(), Full> {
        if all.clone().next().is_none() {
            return Ok(());
        }
        self.header(all.clone().map(|one| one.len()).sum(), section::WHEREABOUTS)?;
        all.try_for_each(|one| one.write(&mut self.sink))
    }

    /// Any other section, as it is.
    pub fn other(&mut self, section: Section<'_>) -> Result<(), Full> {
        self.header(section.content.len(), section.kind)?;
        self.sink.write(section.content)
    }

    /// Ends the profile and gives the sink back.
    pub fn finish(mut self) -> Result<S, Full> {
        self.header(0, section::END)?;
        Ok(self.sink)
    }

    fn header(&mut self, len: usize, kind: u16) -> Result<(), Full> {
        write_header(&mut self.sink, len, kind, COOKIE)
    }

    fn packed(
        &mut self,
        nodes: impl Iterator<Item = NodeInfo>,
        emit: impl Fn(&NodeInfo, &mut Writer<'_>),
    ) -> Result<(), Full> {
        for node in nodes {
            let mut buf = [0; NODE_LEN_MAX];
            emit(&node, &mut Writer::new(&mut buf));
            self.sink.write(&buf[..node.packed_len()])?;
        }
        Ok(())
    }
}

fn packed_len(nodes: impl Iterator<Item = NodeInfo>) -> usize {
    nodes.map(|node| node.packed_len()).sum()
}

fn write_header(sink: &mut impl Sink, len: usize, kind: u16, cookie: u16) -> Result<(), Full> {
    sink.write(&u32::try_from(len).map_err(|_| Full)?.to_le_bytes())?;
    sink.write(&kind.to_le_bytes())?;
    sink.write(&cookie.to_le_bytes())
}
