//! One libtoxcore instance behind safe calls. What its callbacks say becomes a list of [`Heard`].

use crate::api::{Api, ErrorOut, Handle};
use crate::groups::Groups;
use core::ffi::{c_int, c_void};
use core::ptr;
use std::ffi::CString;

const ADDRESS_LEN: usize = 38;
pub(crate) const KEY_LEN: usize = 32;

const NEW_ERRORS: &[&str] = &[
    "OK",
    "NULL",
    "MALLOC",
    "PORT_ALLOC",
    "PROXY_BAD_TYPE",
    "PROXY_BAD_HOST",
    "PROXY_BAD_PORT",
    "PROXY_NOT_FOUND",
    "LOAD_ENCRYPTED",
    "LOAD_BAD_FORMAT",
];
const ADD_ERRORS: &[&str] =
    &["OK", "NULL", "TOO_LONG", "NO_MESSAGE", "OWN_KEY", "ALREADY_SENT", "BAD_CHECKSUM", "SET_NEW_NOSPAM", "MALLOC"];
const SEND_ERRORS: &[&str] = &["OK", "NULL", "FRIEND_NOT_FOUND", "FRIEND_NOT_CONNECTED", "SENDQ", "TOO_LONG", "EMPTY"];
const BOOTSTRAP_ERRORS: &[&str] = &["OK", "NULL", "BAD_HOST", "BAD_PORT"];
const SET_INFO_ERRORS: &[&str] = &["OK", "NULL", "TOO_LONG"];
const FRIEND_ERRORS: &[&str] = &["OK", "FRIEND_NOT_FOUND"];

/// What a callback of the library reported.
pub(crate) enum Heard {
    SelfConnection(c_int),
    Request { key: Vec<u8>, message: Vec<u8> },
    Name { friend: u32, name: Vec<u8> },
    StatusMessage { friend: u32, text: Vec<u8> },
    Status { friend: u32, status: c_int },
    Connection { friend: u32, status: c_int },
    Typing { friend: u32, typing: bool },
    Receipt { friend: u32, message: u32 },
    Message { friend: u32, kind: c_int, text: Vec<u8> },
    GroupInvite { friend: u32, data: Vec<u8> },
    GroupJoined { group: u32 },
    GroupFailed { group: u32, why: c_int },
    GroupPeer { group: u32, peer: u32 },
    GroupMessage { group: u32, peer: u32, text: Vec<u8> },
}

/// How to start an instance.
pub(crate) struct Start<'a> {
    pub(crate) ipv6: bool,
    pub(crate) tcp_only: bool,
    pub(crate) local_discovery: bool,
    pub(crate) port: Option<u16>,
    pub(crate) savedata: Option<&'a [u8]>,
    pub(crate) secret_key: Option<&'a [u8]>,
}

/// What the library says of one friend.
pub(crate) struct Friend {
    pub(crate) number: u32,
    pub(crate) key: Vec<u8>,
    pub(crate) name: Vec<u8>,
    pub(crate) status_message: Vec<u8>,
    pub(crate) status: c_int,
    pub(crate) connection: c_int,
}

/// A running instance.
pub(crate) struct Tox {
    api: Api,
    tox: Handle,
}

impl Tox {
    pub(crate) fn new(api: Api, start: &Start<'_>) -> Result<Self, String> {
        let tox = new_instance(&api, start)?;
        // SAFETY: `tox` is a live instance, and each handler has the signature of its callback.
        unsafe {
            (api.tox_callback_self_connection_status)(tox, on_self_connection);
            (api.tox_callback_friend_request)(tox, on_request);
            (api.tox_callback_friend_name)(tox, on_name);
            (api.tox_callback_friend_status_message)(tox, on_status_message);
            (api.tox_callback_friend_status)(tox, on_status);
            (api.tox_callback_friend_connection_status)(tox, on_connection);
            (api.tox_callback_friend_typing)(tox, on_typing);
            (api.tox_callback_friend_read_receipt)(tox, on_receipt);
            (api.tox_callback_friend_message)(tox, on_message);
        }
        if let Some(groups) = &api.groups {
            groups.listen(tox);
        }
        Ok(Self { api, tox })
    }

    /// Its groups, and the instance that they belong to.
    pub(crate) fn groups(&self) -> Result<(&Groups, Handle), String> {
        let groups = self.api.groups.as_ref();
        groups.map(|groups| (groups, self.tox)).ok_or_else(|| format!("libtoxcore {} has no groups", self.version()))
    }

    /// One turn of the library's loop.
    pub(crate) fn iterate(&mut self) -> Vec<Heard> {
        let mut heard: Vec<Heard> = Vec::new();
        // SAFETY: the callbacks run inside this call only, and take the pointer for what it is: `heard`.
        unsafe { (self.api.tox_iterate)(self.tox, (&raw mut heard).cast()) };
        heard
    }

    /// How long the library wants to sleep, in milliseconds.
    pub(crate) fn interval_ms(&self) -> u32 {
        // SAFETY: a live instance.
        unsafe { (self.api.tox_iteration_interval)(self.tox) }
    }

    pub(crate) fn version(&self) -> String {
        // SAFETY: three functions without arguments.
        let (major, minor, patch) =
            unsafe { ((self.api.tox_version_major)(), (self.api.tox_version_minor)(), (self.api.tox_version_patch)()) };
        format!("{major}.{minor}.{patch}")
    }

    pub(crate) fn savedata(&self) -> Vec<u8> {
        // SAFETY: the room has the size that the library asked for.
        self.read(unsafe { (self.api.tox_get_savedata_size)(self.tox) }, self.api.tox_get_savedata)
    }

    pub(crate) fn address(&self) -> Vec<u8> {
        self.read(ADDRESS_LEN, self.api.tox_self_get_address)
    }

    pub(crate) fn public_key(&self) -> Vec<u8> {
        self.read(KEY_LEN, self.api.tox_self_get_public_key)
    }

    pub(crate) fn dht_id(&self) -> Vec<u8> {
        self.read(KEY_LEN, self.api.tox_self_get_dht_id)
    }

    pub(crate) fn nospam(&self) -> u32 {
        // SAFETY: a live instance.
        unsafe { (self.api.tox_self_get_nospam)(self.tox) }
    }

    pub(crate) fn set_nospam(&mut self, nospam: u32) {
        // SAFETY: a live instance.
        unsafe { (self.api.tox_self_set_nospam)(self.tox, nospam) }
    }

    /// The bound UDP port, when there is one.
    pub(crate) fn udp_port(&self) -> Option<u16> {
        // SAFETY: a live instance and a place for the error.
        checked("tox_self_get_udp_port", &[], |error| unsafe { (self.api.tox_self_get_udp_port)(self.tox, error) }).ok()
    }

    pub(crate) fn name(&self) -> Vec<u8> {
        // SAFETY: a live instance.
        self.read(unsafe { (self.api.tox_self_get_name_size)(self.tox) }, self.api.tox_self_get_name)
    }

    pub(crate) fn set_name(&mut self, name: &[u8]) -> Result<(), String> {
        // SAFETY: pointer and length of one slice.
        checked("tox_self_set_name", SET_INFO_ERRORS, |error| unsafe {
            (self.api.tox_self_set_name)(self.tox, name.as_ptr(), name.len(), error);
        })
    }

    pub(crate) fn status_message(&self) -> Vec<u8> {
        // SAFETY: a live instance.
        let len = unsafe { (self.api.tox_self_get_status_message_size)(self.tox) };
        self.read(len, self.api.tox_self_get_status_message)
    }

    pub(crate) fn set_status_message(&mut self, text: &[u8]) -> Result<(), String> {
        // SAFETY: pointer and length of one slice.
        checked("tox_self_set_status_message", SET_INFO_ERRORS, |error| unsafe {
            (self.api.tox_self_set_status_message)(self.tox, text.as_ptr(), text.len(), error);
        })
    }

    pub(crate) fn status(&self) -> c_int {
        // SAFETY: a live instance.
        unsafe { (self.api.tox_self_get_status)(self.tox) }
    }

    pub(crate) fn set_status(&mut self, status: c_int) {
        // SAFETY: `status` is a value of TOX_USER_STATUS.
        unsafe { (self.api.tox_self_set_status)(self.tox, status) }
    }

    pub(crate) fn connection(&self) -> c_int {
        // SAFETY: a live instance.
        unsafe { (self.api.tox_self_get_connection_status)(self.tox) }
    }

    pub(crate) fn bootstrap(&mut self, host: &str, port: u16, key: &[u8]) -> Result<(), String> {
        let (host, key) = (c_string(host)?, key_of(key)?);
        // SAFETY: a NUL-terminated host, a key of 32 bytes.
        checked("tox_bootstrap", BOOTSTRAP_ERRORS, |error| unsafe {
            (self.api.tox_bootstrap)(self.tox, host.as_ptr(), port, key.as_ptr(), error);
        })
    }

    pub(crate) fn add_tcp_relay(&mut self, host: &str, port: u16, key: &[u8]) -> Result<(), String> {
        let (host, key) = (c_string(host)?, key_of(key)?);
        // SAFETY: a NUL-terminated host, a key of 32 bytes.
        checked("tox_add_tcp_relay", BOOTSTRAP_ERRORS, |error| unsafe {
            (self.api.tox_add_tcp_relay)(self.tox, host.as_ptr(), port, key.as_ptr(), error);
        })
    }

    pub(crate) fn add_friend(&mut self, address: &[u8], message: &[u8]) -> Result<u32, String> {
        if address.len() != ADDRESS_LEN {
            return Err(format!("an address has {ADDRESS_LEN} bytes, not {}", address.len()));
        }
        // SAFETY: an address of 38 bytes, and pointer and length of one slice.
        checked("tox_friend_add", ADD_ERRORS, |error| unsafe {
            (self.api.tox_friend_add)(self.tox, address.as_ptr(), message.as_ptr(), message.len(), error)
        })
    }

    pub(crate) fn accept(&mut self, key: &[u8]) -> Result<u32, String> {
        let key = key_of(key)?;
        // SAFETY: a key of 32 bytes.
        checked("tox_friend_add_norequest", ADD_ERRORS, |error| unsafe {
            (self.api.tox_friend_add_norequest)(self.tox, key.as_ptr(), error)
        })
    }

    pub(crate) fn delete_friend(&mut self, friend: u32) -> Result<(), String> {
        // SAFETY: a live instance; the library checks the number.
        checked("tox_friend_delete", FRIEND_ERRORS, |error| unsafe {
            (self.api.tox_friend_delete)(self.tox, friend, error);
        })
    }

    pub(crate) fn friends(&self) -> Result<Vec<Friend>, String> {
        // SAFETY: the room has the number of entries that the library counted.
        let numbers = unsafe {
            let mut numbers = vec![0; (self.api.tox_self_get_friend_list_size)(self.tox)];
            (self.api.tox_self_get_friend_list)(self.tox, numbers.as_mut_ptr());
            numbers
        };
        numbers.into_iter().map(|number| self.friend(number)).collect()
    }

    pub(crate) fn set_typing(&mut self, friend: u32, typing: bool) -> Result<(), String> {
        // SAFETY: a live instance; the library checks the number.
        checked("tox_self_set_typing", FRIEND_ERRORS, |error| unsafe {
            (self.api.tox_self_set_typing)(self.tox, friend, typing, error);
        })
    }

    pub(crate) fn send_message(&mut self, friend: u32, kind: c_int, text: &[u8]) -> Result<u32, String> {
        // SAFETY: pointer and length of one slice; `kind` is a value of TOX_MESSAGE_TYPE.
        checked("tox_friend_send_message", SEND_ERRORS, |error| unsafe {
            (self.api.tox_friend_send_message)(self.tox, friend, kind, text.as_ptr(), text.len(), error)
        })
    }

    fn friend(&self, number: u32) -> Result<Friend, String> {
        let (api, tox) = (&self.api, self.tox);
        let (mut key, what) = (vec![0; KEY_LEN], "tox_friend_get");
        // SAFETY: every room has the size that the library has for it, and it checks the friend number itself.
        unsafe {
            checked(what, FRIEND_ERRORS, |e| (api.tox_friend_get_public_key)(tox, number, key.as_mut_ptr(), e))?;
            let len = checked(what, FRIEND_ERRORS, |e| (api.tox_friend_get_name_size)(tox, number, e))?;
            let mut name = vec![0; len];
            checked(what, FRIEND_ERRORS, |e| (api.tox_friend_get_name)(tox, number, name.as_mut_ptr(), e))?;
            let len = checked(what, FRIEND_ERRORS, |e| (api.tox_friend_get_status_message_size)(tox, number, e))?;
            let mut text = vec![0; len];
            checked(what, FRIEND_ERRORS, |e| (api.tox_friend_get_status_message)(tox, number, text.as_mut_ptr(), e))?;
            let status = checked(what, FRIEND_ERRORS, |e| (api.tox_friend_get_status)(tox, number, e))?;
            let connection = checked(what, FRIEND_ERRORS, |e| (api.tox_friend_get_connection_status)(tox, number, e))?;
            Ok(Friend { number, key, name, status_message: text, status, connection })
        }
    }

    fn read(&self, len: usize, get: unsafe extern "C" fn(Handle, *mut u8)) -> Vec<u8> {
        let mut bytes = vec![0; len];
        // SAFETY: the caller asked the library for `len`, or it is a constant of tox.h.
        unsafe { get(self.tox, bytes.as_mut_ptr()) };
        bytes
    }
}

impl Drop for Tox {
    fn drop(&mut self) {
        // SAFETY: the instance is live until here and never used again. This tells the friends that we leave.
        unsafe { (self.api.tox_kill)(self.tox) }
    }
}

fn new_instance(api: &Api, start: &Start<'_>) -> Result<Handle, String> {
    // SAFETY: the options live from `new` to `free`, the savedata longer than both; its length is that of its slice.
    let (tox, error) = unsafe {
        let options = (api.tox_options_new)(ptr::null_mut());
        (api.tox_options_set_ipv6_enabled)(options, start.ipv6);
        (api.tox_options_set_udp_enabled)(options, !start.tcp_only);
        (api.tox_options_set_local_discovery_enabled)(options, start.local_discovery);
        (api.tox_options_set_dht_announcements_enabled)(options, true);
        if let Some(port) = start.port {
            (api.tox_options_set_start_port)(options, port);
            (api.tox_options_set_end_port)(options, port);
        }
        let data = start.savedata.map(|data| (1, data)).or(start.secret_key.map(|key| (2, key)));
        if let Some((kind, data)) = data {
            (api.tox_options_set_savedata_type)(options, kind);
            (api.tox_options_set_savedata_data)(options, data.as_ptr(), data.len());
        }
        let mut error = 0;
        let tox = (api.tox_new)(options, &raw mut error);
        (api.tox_options_free)(options);
        (tox, error)
    };
    if tox.is_null() { Err(format!("tox_new: {}", error_name(NEW_ERRORS, error))) } else { Ok(tox) }
}

/// Calls with a place for the error code; an error becomes `function: NAME`.
pub(crate) fn checked<R>(function: &str, names: &[&str], call: impl FnOnce(ErrorOut) -> R) -> Result<R, String> {
    let mut error = 0;
    let result = call(&raw mut error);
    if error == 0 { Ok(result) } else { Err(format!("{function}: {}", error_name(names, error))) }
}

fn error_name(names: &[&str], error: c_int) -> String {
    let name = usize::try_from(error).ok().and_then(|i| names.get(i));
    name.map_or_else(|| error.to_string(), |name| (*name).to_string())
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| "a host name has no NUL".to_string())
}

pub(crate) fn key_of(bytes: &[u8]) -> Result<[u8; KEY_LEN], String> {
    bytes.first_chunk().copied().ok_or_else(|| format!("a key has {KEY_LEN} bytes, not {}", bytes.len()))
}

/// Adds to the list that [`Tox::iterate`] gave to the library.
///
/// # Safety
/// `list` is the pointer that `iterate` passed, and it is called from inside `tox_iterate` only.
pub(crate) unsafe fn push(list: *mut c_void, what: Heard) {
    // SAFETY: promised by the caller; `iterate` does not touch the list meanwhile.
    unsafe { (*list.cast::<Vec<Heard>>()).push(what) }
}

/// # Safety
/// `start` points to `len` readable bytes, or `len` is 0.
pub(crate) unsafe fn copy(start: *const u8, len: usize) -> Vec<u8> {
    if len == 0 {
        return Vec::new();
    }
    // SAFETY: promised by the caller.
    unsafe { core::slice::from_raw_parts(start, len) }.to_vec()
}

// SAFETY of every handler below: the library calls it inside tox_iterate, with readable bytes of the stated length, and
// with the list of `Tox::iterate` as the last argument.

unsafe extern "C" fn on_self_connection(_: Handle, status: c_int, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::SelfConnection(status)) }
}

unsafe extern "C" fn on_request(_: Handle, key: *const u8, text: *const u8, len: usize, list: *mut c_void) {
    // SAFETY: see above; a key has 32 bytes.
    unsafe { push(list, Heard::Request { key: copy(key, KEY_LEN), message: copy(text, len) }) }
}

unsafe extern "C" fn on_name(_: Handle, friend: u32, text: *const u8, len: usize, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::Name { friend, name: copy(text, len) }) }
}

unsafe extern "C" fn on_status_message(_: Handle, friend: u32, text: *const u8, len: usize, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::StatusMessage { friend, text: copy(text, len) }) }
}

unsafe extern "C" fn on_status(_: Handle, friend: u32, status: c_int, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::Status { friend, status }) }
}

unsafe extern "C" fn on_connection(_: Handle, friend: u32, status: c_int, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::Connection { friend, status }) }
}

unsafe extern "C" fn on_typing(_: Handle, friend: u32, typing: bool, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::Typing { friend, typing }) }
}

unsafe extern "C" fn on_receipt(_: Handle, friend: u32, message: u32, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::Receipt { friend, message }) }
}

unsafe extern "C" fn on_message(_: Handle, friend: u32, kind: c_int, text: *const u8, len: usize, list: *mut c_void) {
    // SAFETY: see above.
    unsafe { push(list, Heard::Message { friend, kind, text: copy(text, len) }) }
}
