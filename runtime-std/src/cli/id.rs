//! `bluering id`: Tox IDs and profiles, without a network.

use super::Failure;
use bluering::core::crypto::{Nospam, SecretKey, ToxId};
use bluering::core::profile::{Profile, ProfileWriter, section};
use bluering::{LoadError, ProfileBytes, ProfileStore};
use std::path::{Path, PathBuf};

/// Options of `bluering id`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the Tox ID of a profile
    Print {
        /// Profile in the Tox save format
        profile: PathBuf,
    },
    /// Check a Tox ID and print its parts
    Check {
        /// 76 hexadecimal digits
        tox_id: String,
    },
    /// Give a profile a new nospam and print its new Tox ID; friend requests to the old one then reach nobody
    NewNospam {
        /// Profile in the Tox save format
        profile: PathBuf,
    },
    /// Create a profile with a new identity and print its Tox ID
    New {
        /// File to create; it must not exist
        profile: PathBuf,
        /// Name to be shown to friends
        #[arg(long, default_value = "")]
        name: String,
    },
}

pub(super) fn run(options: Options) -> Result<(), Failure> {
    match options.command {
        Command::Print { profile } => {
            let (_, bytes) = load(&profile)?;
            println!("{}", tox_id(&parse(&bytes)?));
        }
        Command::Check { tox_id } => {
            let id: ToxId = tox_id.parse().map_err(|error| Failure::usage(format!("'{tox_id}': {error}")))?;
            println!("Tox ID      {id}\npublic key  {}\nnospam      {}", id.public_key, id.nospam);
        }
        Command::NewNospam { profile } => {
            let (store, bytes) = load(&profile)?;
            let bytes = with_nospam(&parse(&bytes)?, Nospam::generate(&mut bluering::rng()?))?;
            store.write(&bytes)?;
            println!("{}", tox_id(&parse(&bytes)?));
        }
        Command::New { profile, name } => {
            let (store, None) = ProfileStore::open(&profile)? else {
                return Err(Failure { code: 1, message: format!("{}: a profile exists already", profile.display()) });
            };
            let bytes = new_profile(name.as_bytes())?;
            store.write(&bytes)?;
            println!("{}", tox_id(&parse(&bytes)?));
        }
    }
    Ok(())
}

fn load(path: &Path) -> Result<(ProfileStore, ProfileBytes), Failure> {
    match ProfileStore::open(path).map_err(|error: LoadError| Failure::from(error))? {
        (store, Some(bytes)) => Ok((store, bytes)),
        (_, None) => Err(Failure { code: 1, message: format!("{}: no such file", path.display()) }),
    }
}

fn parse(bytes: &[u8]) -> Result<Profile<'_>, Failure> {
    Ok(Profile::parse(bytes)?)
}

fn tox_id(profile: &Profile<'_>) -> ToxId {
    ToxId { public_key: profile.public_key(), nospam: profile.nospam() }
}

/// Everything else stays byte for byte.
fn with_nospam(profile: &Profile<'_>, nospam: Nospam) -> Result<ProfileBytes, Failure> {
    let mut writer = ProfileWriter::new(Vec::new(), nospam, &profile.secret_key())?;
    for section in profile.sections().filter(|section| section.kind != section::KEYS) {
        writer.other(section)?;
    }
    Ok(writer.finish()?.into())
}

fn new_profile(name: &[u8]) -> Result<ProfileBytes, Failure> {
    let mut rng = bluering::rng()?;
    let secret = SecretKey::generate(&mut rng);
    let mut writer = ProfileWriter::new(Vec::new(), Nospam::generate(&mut rng), &secret)?;
    writer.name(name)?;
    Ok(writer.finish()?.into())
}
