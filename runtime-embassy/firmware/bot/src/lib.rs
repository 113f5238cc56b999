//! A bot for any board: echoes what friends write, answers `status`, asks on the console before it makes friends.

#![no_std]
#![forbid(unsafe_code)]
