//! The part of tox.h that toxpeer uses, found in libtoxcore at run time.
//!
//! Types follow the headers of 0.2.18 and 0.2.23: enums are `int`, sizes `size_t`, a Tox or its options an opaque
//! pointer.

use crate::groups::Groups;
use core::ffi::{c_char, c_int, c_void};
use libloading::Library;

/// A `Tox *` or `Tox_Options *`.
pub(crate) type Handle = *mut c_void;
type Bytes = *const u8;
type Room = *mut u8;
/// Where the library leaves its error code.
pub(crate) type ErrorOut = *mut c_int;

pub(crate) type OnConnection = unsafe extern "C" fn(Handle, c_int, *mut c_void);
pub(crate) type OnRequest = unsafe extern "C" fn(Handle, Bytes, Bytes, usize, *mut c_void);
pub(crate) type OnFriendText = unsafe extern "C" fn(Handle, u32, Bytes, usize, *mut c_void);
pub(crate) type OnFriendCode = unsafe extern "C" fn(Handle, u32, c_int, *mut c_void);
pub(crate) type OnFriendFlag = unsafe extern "C" fn(Handle, u32, bool, *mut c_void);
pub(crate) type OnReceipt = unsafe extern "C" fn(Handle, u32, u32, *mut c_void);
pub(crate) type OnMessage = unsafe extern "C" fn(Handle, u32, c_int, Bytes, usize, *mut c_void);

const NAMES: [&str; 2] = ["libtoxcore.so.2", "libtoxcore.so"];

macro_rules! functions {
    ($($name:ident($($arg:ty),*) $(-> $out:ty)?;)*) => {
        /// The loaded library and its functions, under the names of tox.h.
        pub(crate) struct Api {
            $(pub(crate) $name: unsafe extern "C" fn($($arg),*) $(-> $out)?,)*
            /// From 0.2.19 on.
            pub(crate) groups: Option<Groups>,
            _library: Library,
        }

        impl Api {
            fn bind(library: Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: each type below is the C declaration of that name in tox.h, and the pointers live no
                    // longer than the library, which the struct owns.
                    $($name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }?,)*
                    groups: Groups::bind(&library),
                    _library: library,
                })
            }
        }
    };
}

functions! {
    tox_version_major() -> u32;
    tox_version_minor() -> u32;
    tox_version_patch() -> u32;
    tox_options_new(ErrorOut) -> Handle;
    tox_options_free(Handle);
    tox_options_set_ipv6_enabled(Handle, bool);
    tox_options_set_udp_enabled(Handle, bool);
    tox_options_set_local_discovery_enabled(Handle, bool);
    tox_options_set_dht_announcements_enabled(Handle, bool);
    tox_options_set_start_port(Handle, u16);
    tox_options_set_end_port(Handle, u16);
    tox_options_set_savedata_type(Handle, c_int);
    tox_options_set_savedata_data(Handle, Bytes, usize);
    tox_new(Handle, ErrorOut) -> Handle;
    tox_kill(Handle);
    tox_iterate(Handle, *mut c_void);
    tox_iteration_interval(Handle) -> u32;
    tox_get_savedata_size(Handle) -> usize;
    tox_get_savedata(Handle, Room);
    tox_bootstrap(Handle, *const c_char, u16, Bytes, ErrorOut) -> bool;
    tox_add_tcp_relay(Handle, *const c_char, u16, Bytes, ErrorOut) -> bool;
    tox_self_get_address(Handle, Room);
    tox_self_get_public_key(Handle, Room);
    tox_self_get_dht_id(Handle, Room);
    tox_self_get_nospam(Handle) -> u32;
    tox_self_set_nospam(Handle, u32);
    tox_self_get_udp_port(Handle, ErrorOut) -> u16;
    tox_self_get_name_size(Handle) -> usize;
    tox_self_get_name(Handle, Room);
    tox_self_set_name(Handle, Bytes, usize, ErrorOut) -> bool;
    tox_self_get_status_message_size(Handle) -> usize;
    tox_self_get_status_message(Handle, Room);
    tox_self_set_status_message(Handle, Bytes, usize, ErrorOut) -> bool;
    tox_self_get_status(Handle) -> c_int;
    tox_self_set_status(Handle, c_int);
    tox_self_get_connection_status(Handle) -> c_int;
    tox_self_get_friend_list_size(Handle) -> usize;
    tox_self_get_friend_list(Handle, *mut u32);
    tox_self_set_typing(Handle, u32, bool, ErrorOut) -> bool;
    tox_friend_add(Handle, Bytes, Bytes, usize, ErrorOut) -> u32;
    tox_friend_add_norequest(Handle, Bytes, ErrorOut) -> u32;
    tox_friend_delete(Handle, u32, ErrorOut) -> bool;
    tox_friend_get_public_key(Handle, u32, Room, ErrorOut) -> bool;
    tox_friend_get_name_size(Handle, u32, ErrorOut) -> usize;
    tox_friend_get_name(Handle, u32, Room, ErrorOut) -> bool;
    tox_friend_get_status_message_size(Handle, u32, ErrorOut) -> usize;
    tox_friend_get_status_message(Handle, u32, Room, ErrorOut) -> bool;
    tox_friend_get_status(Handle, u32, ErrorOut) -> c_int;
    tox_friend_get_connection_status(Handle, u32, ErrorOut) -> c_int;
    tox_friend_send_message(Handle, u32, c_int, Bytes, usize, ErrorOut) -> u32;
    tox_callback_self_connection_status(Handle, OnConnection);
    tox_callback_friend_request(Handle, OnRequest);
    tox_callback_friend_name(Handle, OnFriendText);
    tox_callback_friend_status_message(Handle, OnFriendText);
    tox_callback_friend_status(Handle, OnFriendCode);
    tox_callback_friend_connection_status(Handle, OnFriendCode);
    tox_callback_friend_typing(Handle, OnFriendFlag);
    tox_callback_friend_read_receipt(Handle, OnReceipt);
    tox_callback_friend_message(Handle, OnMessage);
}

impl Api {
    /// Loads the system's libtoxcore, or the one that `$TOXPEER_LIB` names.
    pub(crate) fn load() -> Result<Self, String> {
        let wanted = std::env::var("TOXPEER_LIB").ok();
        let mut failure = String::new();
        for name in wanted.as_deref().into_iter().chain(NAMES) {
            // SAFETY: libtoxcore and the libraries it pulls in have no load-time code that asks anything of us.
            match unsafe { Library::new(name) } {
                Ok(library) => return Self::bind(library).map_err(|why| format!("{name} lacks a function: {why}")),
                Err(why) => failure = why.to_string(),
            }
        }
        Err(format!("cannot load libtoxcore ({failure}): apt-get install libtoxcore2"))
    }
}
