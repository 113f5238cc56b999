//! Groups, where the library has them: c-toxcore from 0.2.19 on.

use crate::api::{ErrorOut, Handle};
use crate::tox::{Heard, KEY_LEN, checked, copy, key_of, push};
use core::ffi::{c_int, c_void};
use libloading::Library;

type OnInvite = unsafe extern "C" fn(Handle, u32, *const u8, usize, *const u8, usize, *mut c_void);
type OnMessage = unsafe extern "C" fn(Handle, u32, u32, c_int, *const u8, usize, u32, *mut c_void);
type OnPeer = unsafe extern "C" fn(Handle, u32, u32, *mut c_void);
type OnSelf = unsafe extern "C" fn(Handle, u32, *mut c_void);
type OnFail = unsafe extern "C" fn(Handle, u32, c_int, *mut c_void);

macro_rules! functions {
    ($($name:ident($($arg:ty),*) $(-> $out:ty)?;)*) => {
        /// The group functions, under the names of tox.h.
        pub(crate) struct Groups {
            $($name: unsafe extern "C" fn($($arg),*) $(-> $out)?,)*
        }

        impl Groups {
            /// `None` when the library lacks one.
            pub(crate) fn bind(library: &Library) -> Option<Self> {
                Some(Self {
                    // SAFETY: each type below is the C declaration of that name in tox.h, and whoever has the pointers
                    // has the library too.
                    $($name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }.ok()?,)*
                })
            }
        }
    };
}

functions! {
    tox_group_new(Handle, c_int, *const u8, usize, *const u8, usize, ErrorOut) -> u32;
    tox_group_join(Handle, *const u8, *const u8, usize, *const u8, usize, ErrorOut) -> u32;
    tox_group_get_chat_id(Handle, u32, *mut u8, ErrorOut) -> bool;
    tox_group_invite_friend(Handle, u32, u32, ErrorOut) -> bool;
    tox_group_invite_accept(Handle, u32, *const u8, usize, *const u8, usize, *const u8, usize, ErrorOut) -> u32;
    tox_group_send_message(Handle, u32, c_int, *const u8, usize, ErrorOut) -> u32;
    tox_callback_group_invite(Handle, OnInvite);
    tox_callback_group_message(Handle, OnMessage);
    tox_callback_group_peer_join(Handle, OnPeer);
    tox_callback_group_self_join(Handle, OnSelf);
    tox_callback_group_join_fail(Handle, OnFail);
}

impl Groups {
    pub(crate) fn listen(&self, tox: Handle) {
        // SAFETY: a live instance, and each handler has the signature of its callback.
        unsafe {
            (self.tox_callback_group_invite)(tox, on_invite);
            (self.tox_callback_group_message)(tox, on_message);
            (self.tox_callback_group_peer_join)(tox, on_peer);
            (self.tox_callback_group_self_join)(tox, on_self);
            (self.tox_callback_group_join_fail)(tox, on_fail);
        }
    }

    /// A new group: its number and chat id.
    pub(crate) fn create(&self, tox: Handle, public: bool, nick: &[u8]) -> Result<(u32, Vec<u8>), String> {
        let (name, privacy) = (b"group", c_int::from(!public));
        // SAFETY: pointers and lengths of slices.
        let group = checked("tox_group_new", &[], |error| unsafe {
            (self.tox_group_new)(tox, privacy, name.as_ptr(), name.len(), nick.as_ptr(), nick.len(), error)
        })?;
        let mut chat = vec![0; KEY_LEN];
        // SAFETY: a chat id has 32 bytes.
        checked("tox_group_get_chat_id", &[], |error| unsafe {
            (self.tox_group_get_chat_id)(tox, group, chat.as_mut_ptr(), error)
        })?;
        Ok((group, chat))
    }

    pub(crate) fn join(&self, tox: Handle, chat: &[u8], nick: &[u8]) -> Result<u32, String> {
        let chat = key_of(chat)?;
        // SAFETY: a chat id of 32 bytes; pointer and length of one slice; no password.
        checked("tox_group_join", &[], |error| unsafe {
            (self.tox_group_join)(tox, chat.as_ptr(), nick.as_ptr(), nick.len(), core::ptr::null(), 0, error)
        })
    }

    pub(crate) fn invite(&self, tox: Handle, group: u32, friend: u32) -> Result<(), String> {
        // SAFETY: a live instance; the library checks the numbers.
        checked("tox_group_invite_friend", &[], |error| unsafe {
            (self.tox_group_invite_friend)(tox, group, friend, error);
        })
    }

    pub(crate) fn accept(&self, tox: Handle, friend: u32, invite: &[u8], nick: &[u8]) -> Result<u32, String> {
        let (data, len) = (invite.as_ptr(), invite.len());
        // SAFETY: pointers and lengths of slices; no password.
        checked("tox_group_invite_accept", &[], |error| unsafe {
            (self.tox_group_invite_accept)(
                tox,
                friend,
                data,
                len,
                nick.as_ptr(),
                nick.len(),
                core::ptr::null(),
                0,
                error,
            )
        })
    }

    pub(crate) fn say(&self, tox: Handle, group: u32, text: &[u8]) -> Result<(), String> {
        // SAFETY: pointer and length of one slice.
        checked("tox_group_send_message", &[], |error| unsafe {
            (self.tox_group_send_message)(tox, group, 0, text.as_ptr(), text.len(), error);
        })
    }
}

// SAFETY of every handler below: the library calls it inside tox_iterate, with readable bytes of the stated length, and
// with the list of `Tox::iterate` as the last argument.

unsafe extern "C" fn on_invite(
    _: Handle,
    friend: u32,
    data: *const u8,
    len: usize,
    _: *const u8,
    _: usize,
    list: *mut c_void,
) {
    // SAFETY: see above.
    unsafe { push(list, Heard::GroupInvite { friend, data: copy(data, len) }) }
}

unsafe extern "C" fn on_message(
    _: Handle,
    group: u32,
    peer: u32,
    _: c_int,
    text: *const u8,
    len: usize,
    _: u32,
    list: *mut c_void,
) {
    // SAFETY: see above.
    unsafe { push(list, Heard::GroupMessage { group, peer, text: copy(text, len) }) }
}

unsafe extern "C" fn on_peer(_: Handle, group: u32, peer: u32, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::GroupPeer { group, peer }) }
}

unsafe extern "C" fn on_self(_: Handle, group: u32, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::GroupJoined { group }) }
}

unsafe extern "C" fn on_fail(_: Handle, group: u32, why: c_int, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::GroupFailed { group, why }) }
}
