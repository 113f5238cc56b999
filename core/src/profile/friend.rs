//! One friend in a profile: a fixed record of 2216 bytes, big-endian.
//!
//! ```text
//! state 1 | key 32 | request message 1024 | pad 1 | its length 2 | name 128 | its length 2
//! | status message 1007 | pad 1 | its length 2 | status 1 | pad 3 | nospam 4 | last seen 8
//! ```

use crate::UserStatus;
use crate::crypto::{NOSPAM_LEN, Nospam, PublicKey};
use crate::storage::Full;
use crate::wire::Reader;
use crate::wire::messenger::{NAME_LEN_MAX, STATUS_MESSAGE_LEN_MAX};

use super::Sink;

/// Length of a record.
pub const FRIEND_RECORD_LEN: usize = 2216;
/// Room for the message of a friend request.
pub const REQUEST_MESSAGE_MAX: usize = 1024;

/// How far the friendship is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FriendState {
    /// A request is to be sent.
    Added = 1,
    /// A request was sent, and is sent again until it is answered.
    Requested = 2,
    /// Both are friends, or we are by our own decision.
    Confirmed = 3,
}

/// A friend in a profile. Texts that are too long for their field are read as empty and written cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FriendRecord<'a> {
    /// How far the friendship is.
    pub state: FriendState,
    /// The friend's long-term key.
    pub key: PublicKey,
    /// What our request says, at most [`REQUEST_MESSAGE_MAX`] bytes. Other clients read it only if not confirmed.
    pub request_message: &'a [u8],
    /// The friend's nospam for our request.
    pub nospam: Nospam,
    /// At most 128 bytes. Other clients read it and what follows only if confirmed.
    pub name: &'a [u8],
    /// At most 1007 bytes.
    pub status_message: &'a [u8],
    /// Their status.
    pub status: UserStatus,
    /// Unix time in seconds, 0 for never.
    pub last_seen: u64,
}

impl<'a> FriendRecord<'a> {
    /// Reads a record; `None` for an empty one.
    pub(super) fn parse(record: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(record);
        let state = match r.u8()? {
            0 => return None,
            1 => FriendState::Added,
            2 => FriendState::Requested,
            _ => FriendState::Confirmed,
        };
        let key = r.key()?;
        let request_message = text(&mut r, REQUEST_MESSAGE_MAX, 1)?;
        let name = text(&mut r, NAME_LEN_MAX, 0)?;
        let status_message = text(&mut r, STATUS_MESSAGE_LEN_MAX, 1)?;
        let status = UserStatus::from_byte(r.u8()?).unwrap_or_default();
        r.take(3)?;
        let nospam = Nospam(*r.array::<NOSPAM_LEN>()?);
        let last_seen = r.u64()?;
        Some(Self { state, key, request_message, nospam, name, status_message, status, last_seen })
    }

    pub(super) fn write(&self, sink: &mut impl Sink) -> Result<(), Full> {
        sink.write(&[self.state as u8])?;
        sink.write(&self.key.0)?;
        write_text(sink, self.request_message, REQUEST_MESSAGE_MAX, 1)?;
        write_text(sink, self.name, NAME_LEN_MAX, 0)?;
        write_text(sink, self.status_message, STATUS_MESSAGE_LEN_MAX, 1)?;
        sink.write(&[self.status as u8, 0, 0, 0])?;
        sink.write(&self.nospam.0)?;
        sink.write(&self.last_seen.to_be_bytes())
    }
}

/// A field of `max` bytes and padding, then the length in use.
fn text<'a>(r: &mut Reader<'a>, max: usize, pad: usize) -> Option<&'a [u8]> {
    let field = r.take(max + pad)?;
    let len = usize::from(r.u16()?);
    Some(if len <= max { &field[..len] } else { &[] })
}

fn write_text(sink: &mut impl Sink, text: &[u8], max: usize, pad: usize) -> Result<(), Full> {
    let text = &text[..text.len().min(max)];
    sink.write(text)?;
    let mut zeros = max + pad - text.len();
    while zeros > 0 {
        let n = zeros.min(32);
        sink.write(&[0; 32][..n])?;
        zeros -= n;
    }
    sink.write(&(text.len() as u16).to_be_bytes())
}
