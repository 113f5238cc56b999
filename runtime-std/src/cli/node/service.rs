//! What whoever runs services wants to hear: readiness, life and stop through systemd's notify protocol, and a file
//! with our process id.

use bluering::Tox;
use smol::Timer;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// A pid file is a number and a newline.
const PID_FILE_MAX: u64 = 32;

/// A file with our process id, as long as we run.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it. One that another process left is replaced, any other file is not.
    pub(super) fn write(path: &Path) -> io::Result<Self> {
        if let Some(old) = read(path)?
            && !is_pid(&old)
        {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "this is no pid file, so it is not overwritten"));
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(path.to_path_buf()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another process may have written its own meanwhile.
        if matches!(read(&self.0), Ok(Some(text)) if text.trim() == std::process::id().to_string()) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    let mut text = String::new();
    match fs::File::open(path).and_then(|file| file.take(PID_FILE_MAX).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_pid(text: &str) -> bool {
    text.trim().chars().all(|c| c.is_ascii_digit())
}

#[cfg(target_os = "linux")]
mod notify {
    use sd_notify::NotifyState;
    use std::time::Duration;

    /// The node listens; a line for `systemctl status`.
    pub(in super::super) fn ready(status: &str) -> std::io::Result<()> {
        sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)])
    }

    /// The node is about to end. Whoever does not hear it will see it.
    pub(in super::super) fn stopping() {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
    }

    pub(super) fn alive() {
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }

    pub(super) fn wanted_within() -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }
}

#[cfg(not(target_os = "linux"))]
mod notify {
    pub(in super::super) fn ready(_status: &str) -> std::io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn stopping() {}

    pub(super) fn alive() {}

    pub(super) fn wanted_within() -> Option<std::time::Duration> {
        None
    }
}

pub(super) use notify::{ready, stopping};

/// Tells systemd's watchdog, where there is one, that the node answers: a node that hangs is started anew.
pub(super) async fn keep_alive(tox: Tox) {
    let Some(within) = notify::wanted_within() else { return };
    while tox.vitals().await.is_ok() {
        notify::alive();
        Timer::after(within / 2).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_comes_and_goes_and_no_other_file_does() {
        let path = std::env::temp_dir().join(format!("bluering-pid-{}", std::process::id()));
        fs::write(&path, "4242\n").expect("writable");
        let file = PidFile::write(&path).expect("an old pid file");
        assert_eq!(fs::read_to_string(&path).expect("there").trim(), std::process::id().to_string());
        drop(file);
        assert!(!path.exists());
        fs::write(&path, "a letter").expect("writable");
        assert_eq!(PidFile::write(&path).expect_err("foreign").kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("there"), "a letter");
        let file = PidFile(path.clone());
        drop(file);
        assert!(path.exists(), "not ours");
        fs::remove_file(&path).expect("there");
    }
}
