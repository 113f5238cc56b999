//! Under construction.

use crate::storage::Id;

/// A friend in the table.
#[derive(Debug)]
pub struct FriendSlot;

/// Handle of a friend. Its index is the friend number that user interfaces show.
pub type FriendId = Id<FriendSlot>;

/// Number of a message to one friend, counted from 1.
pub type MessageId = u32;
