//! The keys file of a node: 64 bytes, public and then secret key, the same for tox-bootstrapd and tox-node.
//!
//! A file that exists is read and never written, whatever is in it.

use bluering::core::crypto::{PUBLIC_KEY_LEN, PublicKey, SecretKey};
use bluering::private_file;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use zeroize::Zeroizing;

const KEYS_LEN: usize = 2 * PUBLIC_KEY_LEN;

/// The secret key in a keys file, which is made first if it is missing. One that does not fit is left as it is.
pub(super) fn load_or_create(path: &Path) -> Result<SecretKey, String> {
    match load(path) {
        Ok(None) => create(path).map_err(|error| named(path, error)),
        Ok(Some(secret)) => Ok(secret),
        Err(error) => Err(error),
    }
}

/// The secret key in a keys file; none when there is no such file.
pub(super) fn load(path: &Path) -> Result<Option<SecretKey>, String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEYS_LEN + 1));
    let read = File::open(path).and_then(|file| file.take(KEYS_LEN as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => parse(&bytes).map(Some).map_err(|why| named(path, why)),
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => Ok(None),
        Err(error) => Err(named(path, error)),
    }
}

/// The public key that belongs to a secret one.
pub(super) fn public(secret: &SecretKey) -> PublicKey {
    secret.public_key()
}

/// Whether others than the owner may read the file.
pub(super) fn is_open_to_others(path: &Path) -> bool {
    #[cfg(unix)]
    let open =
        fs::metadata(path).is_ok_and(|meta| std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o077 != 0);
    #[cfg(not(unix))]
    let open = false;
    open
}

fn create(path: &Path) -> io::Result<SecretKey> {
    let secret = SecretKey::generate(&mut bluering::rng().map_err(io::Error::other)?);
    let mut bytes = Zeroizing::new(public(&secret).0.to_vec());
    bytes.extend_from_slice(secret.as_bytes());
    let mut file = private_file(path)?;
    if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_all()) {
        // It was made just now, and half a key is worse than none.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(secret)
}

fn parse(bytes: &[u8]) -> Result<SecretKey, &'static str> {
    const LENGTH: &str = "it does not have 64 bytes";
    let (public_key, secret) = bytes.split_first_chunk::<PUBLIC_KEY_LEN>().ok_or(LENGTH)?;
    let secret = SecretKey::from_bytes(secret.try_into().map_err(|_| LENGTH)?);
    match public(&secret).0 == *public_key {
        true => Ok(secret),
        false => Err("its public key (bytes 1 to 32) does not belong to its secret key (bytes 33 to 64)"),
    }
}

fn named(path: &Path, why: impl std::fmt::Display) -> String {
    format!("keys file {}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    #[test]
    fn a_new_file_is_private_and_read_back() {
        let path = std::env::temp_dir().join(format!("bluering-keys-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        assert!(load(&path).expect("no file is no error").is_none());
        let made = load_or_create(&path).expect("writable");
        let again = load_or_create(&path).expect("readable");
        assert_eq!(made.as_bytes(), again.as_bytes());
        assert!(fs::read(&path).is_ok_and(|bytes| bytes.len() == 64) && !is_open_to_others(&path));
        assert_eq!(create(&path).expect_err("never overwritten").kind(), ErrorKind::AlreadyExists);
        fs::remove_file(&path).expect("there");
    }

    quickcheck! {
        fn only_halves_that_belong_together_are_keys(bytes: Vec<u8>, flip: u8) -> bool {
            let mut seed = [7; 32];
            seed.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
            let secret = SecretKey::from_bytes(seed);
            let mut keys = [public(&secret).0, seed].concat();
            let good = parse(&keys).is_ok_and(|read| *read.as_bytes() == seed);
            keys[usize::from(flip) % 32] ^= 1;
            good && parse(&keys).is_err() && parse(&keys[..63]).is_err() && parse(&[&keys[..], &[0]].concat()).is_err()
        }
    }
}
