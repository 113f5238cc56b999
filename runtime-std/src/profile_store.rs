//! The profile's file. It is replaced as a whole or not at all, and never unless it could be read first.
//!
//! A store exists only for a path that was loaded, or where nothing was. Writing goes to a new file in the same
//! directory, reaches the disk, and then takes the name; a crash at any moment leaves the old profile or the new one.

use bluering_core::profile::{Profile, ProfileError};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use zeroize::Zeroizing;

/// Larger files are not read: a profile with 10,000 friends has 22 MB.
const FILE_LEN_MAX: u64 = 64 << 20;

/// The content of a profile file, wiped when dropped: it holds the secret key.
pub type ProfileBytes = Zeroizing<Vec<u8>>;

/// A file that may hold a profile, or will.
#[derive(Debug)]
pub struct ProfileStore {
    path: PathBuf,
    /// The name belongs to us: we read a profile there, or wrote one.
    ours: AtomicBool,
}

/// Why a file cannot serve as a profile. It is left as it is.
#[derive(Debug)]
pub struct LoadError {
    path: PathBuf,
    why: Unusable,
}

/// What is the matter with a file.
#[derive(Debug)]
pub enum Unusable {
    /// It cannot be read.
    Io(io::Error),
    /// It is a directory, a device, or larger than any profile.
    NoFile,
    /// Its content is no profile that we can read.
    Content(ProfileError),
}

/// A profile that could not be written. The file is as it was.
#[derive(Debug)]
pub struct SaveError {
    path: PathBuf,
    source: io::Error,
}

impl ProfileStore {
    /// Reads `path` and remembers it for saving. The bytes are those of a profile; none when there is no such file yet.
    ///
    /// # Errors
    /// [`LoadError`]; the file is not touched.
    pub fn open(path: &Path) -> Result<(Self, Option<ProfileBytes>), LoadError> {
        let fail = |why| LoadError { path: path.to_path_buf(), why };
        let bytes = read(path).map_err(fail)?;
        if let Some(bytes) = &bytes {
            Profile::parse(bytes).map_err(|error| fail(Unusable::Content(error)))?;
        }
        // A link stays a link: the file behind it is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        Ok((Self { path, ours: AtomicBool::new(bytes.is_some()) }, bytes))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file's content. Waits for the disk.
    ///
    /// # Errors
    /// [`SaveError`], also when somebody else has put a file there since [`open`](Self::open) found none.
    pub fn write(&self, bytes: &[u8]) -> Result<(), SaveError> {
        let fail = |source| SaveError { path: self.path.clone(), source };
        let new = self.path.with_file_name(new_name(&self.path).map_err(fail)?);
        let written = write_new(&new, bytes).and_then(|()| self.take_name(&new));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written.map_err(fail)?;
        self.ours.store(true, Ordering::Relaxed);
        sync_directory(&self.path).map_err(fail)
    }

    fn take_name(&self, new: &Path) -> io::Result<()> {
        if self.ours.load(Ordering::Relaxed) {
            return fs::rename(new, &self.path);
        }
        // Fails when the name is taken, which a rename would not.
        match fs::hard_link(new, &self.path) {
            Ok(()) => fs::remove_file(new),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            Err(_) if !self.path.exists() => fs::rename(new, &self.path),
            Err(error) => Err(error),
        }
    }
}

fn read(path: &Path) -> Result<Option<ProfileBytes>, Unusable> {
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() || meta.len() > FILE_LEN_MAX => Err(Unusable::NoFile),
        Ok(_) => fs::read(path).map(|bytes| Some(Zeroizing::new(bytes))).map_err(Unusable::Io),
        // A dangling link is somebody's mistake, not an empty place.
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => Ok(None),
        Err(error) => Err(Unusable::Io(error)),
    }
}

/// `.NAME.new`: one name, so that a crash leaves at most one such file, which the next save removes.
fn new_name(path: &Path) -> io::Result<std::ffi::OsString> {
    let name = path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path names no file"))?;
    let mut new = std::ffi::OsString::from(".");
    new.push(name);
    new.push(".new");
    Ok(new)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = private_file(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Creates a file that must not exist yet, readable by its owner alone.
pub fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Unusable::Io(error) => write!(f, "cannot read the profile {path}: {error}"),
            Unusable::NoFile => write!(f, "{path}: this is not a Tox profile"),
            Unusable::Content(error) => write!(f, "{path}: {error}"),
        }
    }
}

impl std::error::Error for LoadError {}

impl LoadError {
    /// What is the matter.
    #[must_use]
    pub const fn why(&self) -> &Unusable {
        &self.why
    }
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write the profile {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for SaveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bluering_core::crypto::{Nospam, SecretKey};
    use bluering_core::profile::ProfileWriter;

    /// A folder that goes when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("bluering-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0).expect("readable").flatten();
            names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn profile(name: &[u8]) -> Vec<u8> {
        let mut writer = ProfileWriter::new(Vec::new(), Nospam([1; 4]), &SecretKey::from_bytes([5; 32])).expect("room");
        writer.name(name).expect("room");
        writer.finish().expect("room")
    }

    #[test]
    fn what_is_written_is_read_and_replaced() {
        let folder = Folder::new("replace");
        let path = folder.file("me.tox");
        let (store, bytes) = ProfileStore::open(&path).expect("an empty place");
        assert!(bytes.is_none());
        store.write(&profile(b"one")).expect("writable");
        store.write(&profile(b"two")).expect("writable");
        let (again, bytes) = ProfileStore::open(&path).expect("a profile");
        assert_eq!(bytes.expect("content").as_slice(), profile(b"two"));
        again.write(&profile(b"three")).expect("writable");
        assert_eq!(fs::read(&path).expect("readable"), profile(b"three"));
        assert_eq!(folder.names(), ["me.tox"], "nothing is left over");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_and_links_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = Folder::new("owner");
        let (path, link) = (folder.file("me.tox"), folder.file("link.tox"));
        fs::write(&path, profile(b"one")).expect("writable");
        symlink(&path, &link).expect("links");
        let (store, _) = ProfileStore::open(&link).expect("a profile");
        store.write(&profile(b"two")).expect("writable");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).expect("readable"), profile(b"two"));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).expect("removable");
        assert!(matches!(ProfileStore::open(&link).expect_err("dangling").why(), Unusable::Io(_)));
    }

    #[test]
    fn what_is_no_profile_is_named_and_left_alone() {
        let folder = Folder::new("foreign");
        let good = profile(b"me");
        let mut wrong_key = good.clone();
        wrong_key[30] ^= 1;
        for (content, name) in [
            (b"toxEsave and more".as_slice(), "encrypted"),
            (b"a letter to somebody".as_slice(), "not a Tox profile"),
            (&good[..good.len() - 20], "cut off"),
            (b"".as_slice(), "cut off"),
            (&wrong_key, "does not belong"),
        ] {
            let path = folder.file("file");
            fs::write(&path, content).expect("writable");
            let error = ProfileStore::open(&path).expect_err(name).to_string();
            assert!(error.contains(name) && error.contains("file") && !error.contains('\n'), "{error}");
            assert_eq!(fs::read(&path).expect("readable"), content);
        }
        assert!(matches!(ProfileStore::open(&folder.0).expect_err("a folder").why(), Unusable::NoFile));
    }

    #[test]
    fn a_file_that_came_meanwhile_is_not_replaced() {
        let folder = Folder::new("meanwhile");
        let path = folder.file("me.tox");
        let (store, _) = ProfileStore::open(&path).expect("an empty place");
        fs::write(&path, b"somebody else's").expect("writable");
        assert!(store.write(&profile(b"me")).is_err());
        assert_eq!(fs::read(&path).expect("readable"), b"somebody else's");
        assert_eq!(folder.names(), ["me.tox"]);
    }

    /// A crash before the rename leaves the old profile and a part of the new file, which is no obstacle.
    #[test]
    fn a_crash_in_the_middle_leaves_the_old_profile() {
        let folder = Folder::new("crash");
        let path = folder.file("me.tox");
        fs::write(&path, profile(b"old")).expect("writable");
        let new = folder.file(&new_name(&path).expect("a name").to_string_lossy());
        fs::write(&new, &profile(b"new")[..30]).expect("writable");
        let (store, bytes) = ProfileStore::open(&path).expect("the old profile");
        assert_eq!(bytes.expect("content").as_slice(), profile(b"old"));
        store.write(&profile(b"newer")).expect("writable");
        assert_eq!((fs::read(&path).expect("readable"), folder.names().len()), (profile(b"newer"), 1));
    }

    #[test]
    fn a_folder_that_went_away_is_an_error() {
        let folder = Folder::new("gone");
        let path = folder.file("me.tox");
        let (store, _) = ProfileStore::open(&path).expect("an empty place");
        drop(folder);
        let error = store.write(&profile(b"me")).expect_err("no folder").to_string();
        assert!(error.starts_with("cannot write the profile ") && error.contains("me.tox"), "{error}");
    }
}
