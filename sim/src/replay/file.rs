//! Replay files: `toxsim`, a version, a case and what it showed in postcard, and a checksum of it all.
//!
//! | bytes | what |
//! |---|---|
//! | 6 | `toxsim` |
//! | 1 | version |
//! | any | the body |
//! | 8 | SipHash-2-4 of all before, keyed with zeros, little end first |

use super::Case;
use crate::choices::Source;
use crate::oracles::Violation;
use crate::plan::Overrides;
use crate::scenarios::{self, Size};
use core::fmt;
use core::hash::Hasher as _;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

const MAGIC: &[u8] = b"toxsim";
const VERSION: u8 = 1;
const CHECKSUM: usize = 8;

/// A case in a file, and what it showed when it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayFile {
    /// The scenario's name.
    pub scenario: String,
    /// Its size: hosts.
    pub nodes: u32,
    /// Its size: minutes.
    pub minutes: u32,
    /// Its choices.
    pub source: Source,
    /// What is taken out of its plan.
    pub overrides: Overrides,
    /// The rule that was broken, when, and how.
    pub broken: Option<Violation>,
    /// The run's hash; none when the run did not end.
    pub hash: Option<u64>,
}

/// Why a file is of no use. Each is one line of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// It is something else.
    Foreign,
    /// It is of another version.
    Version(u8),
    /// It is cut off or changed.
    Damaged,
    /// Nobody knows its scenario any more.
    Scenario(String),
}

impl ReplayFile {
    /// A case as a file, with what it showed.
    #[must_use]
    pub fn new(case: &Case, broken: Option<Violation>, hash: Option<u64>) -> Self {
        Self {
            scenario: case.scenario.name.into(),
            nodes: case.size.nodes,
            minutes: case.size.minutes,
            source: case.source.clone(),
            overrides: case.overrides.clone(),
            broken,
            hash,
        }
    }

    /// The case again.
    ///
    /// # Errors
    /// The scenario's name, when there is none of that name.
    pub fn case(&self) -> Result<Case, FileError> {
        let unknown = || FileError::Scenario(self.scenario.clone());
        Ok(Case {
            scenario: scenarios::find(&self.scenario).ok_or_else(unknown)?,
            size: Size { nodes: self.nodes, minutes: self.minutes },
            source: self.source.clone(),
            overrides: self.overrides.clone(),
        })
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        // Writing to memory fails for no value of this type: all its sequences know their lengths.
        bytes.extend(postcard::to_stdvec(self).unwrap_or_default());
        bytes.extend(checksum(&bytes));
        bytes
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let versioned = bytes.strip_prefix(MAGIC).ok_or(FileError::Foreign)?;
        match versioned.first() {
            None => return Err(FileError::Damaged),
            Some(&VERSION) => {}
            Some(other) => return Err(FileError::Version(*other)),
        }
        let end = bytes.len().checked_sub(CHECKSUM).ok_or(FileError::Damaged)?;
        let (content, sum) = bytes.split_at(end);
        let body = content.get(MAGIC.len() + 1..).ok_or(FileError::Damaged)?;
        if sum != checksum(content) {
            return Err(FileError::Damaged);
        }
        match postcard::take_from_bytes(body) {
            Ok((file, [])) => Ok(file),
            Ok(_) | Err(_) => Err(FileError::Damaged),
        }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = SipHasher24::new();
    hasher.write(bytes);
    hasher.finish().to_le_bytes()
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it does not begin with \"toxsim\": not a replay file"),
            Self::Version(found) => write!(f, "it has version {found}; known is version {VERSION}"),
            Self::Damaged => f.write_str("it is damaged: cut off, or changed since it was written"),
            Self::Scenario(name) => {
                let names: Vec<_> = scenarios::ALL.iter().map(|scenario| scenario.name).collect();
                write!(f, "its scenario \"{name}\" is unknown; known are {}", names.join(", "))
            }
        }
    }
}

impl std::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::Rule;
    use quickcheck::{TestResult, quickcheck};

    fn some() -> ReplayFile {
        let mut case = Case::of(&scenarios::ALL[0], 5);
        case.source = Source::Recorded(vec![1, u64::MAX, 3]);
        case.overrides.deeds = [4, 5].into();
        case.overrides.end = Some(1500);
        let broken = Violation { rule: Rule::Receipts, at: 1_400_000, host: Some(2), what: "too early".into() };
        ReplayFile::new(&case, Some(broken), Some(7))
    }

    #[test]
    fn a_file_comes_back_as_it_was() {
        let file = ReplayFile::from_bytes(&some().to_bytes()).unwrap();
        assert_eq!(file, some());
        let case = file.case().unwrap();
        assert_eq!((case.scenario.name, case.source), (scenarios::ALL[0].name, Source::Recorded(vec![1, u64::MAX, 3])));
    }

    /// These bytes are in people's hands: when this fails, the version must rise, or the file stay readable.
    #[test]
    fn the_format_is_fixed() {
        let file = ReplayFile { scenario: "pair".into(), ..some() };
        let body = b"\x04pair\x03\x03\x02\x03\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x03\
            \0\0\x02\x04\x05\x01\xdc\x0b\x01\x01\xc0\xb9U\x01\x02\x09too early\x01\x07";
        let bytes = file.to_bytes();
        assert_eq!(&bytes[..7], b"toxsim\x01");
        assert_eq!(&bytes[7..bytes.len() - 8], body);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = some().to_bytes();
        let mut newer = good.clone();
        newer[6] = 9;
        let told = |bytes: &[u8]| ReplayFile::from_bytes(bytes).unwrap_err().to_string();
        assert_eq!(told(b"GIF89a"), "it does not begin with \"toxsim\": not a replay file");
        assert_eq!(told(&newer), "it has version 9; known is version 1");
        assert_eq!(told(&good[..good.len() - 1]), "it is damaged: cut off, or changed since it was written");
        let lost = ReplayFile { scenario: "gone".into(), ..some() };
        let words = lost.case().unwrap_err().to_string();
        assert!(words.starts_with("its scenario \"gone\" is unknown; known are "), "{words}");
        assert!(words.contains(scenarios::ALL[0].name), "{words}");
    }

    quickcheck! {
        fn no_damage_goes_unseen(at: usize, bits: u8, cut: usize) -> TestResult {
            let good = some().to_bytes();
            let mut bad = good.clone();
            let at = at % bad.len();
            bad[at] ^= bits;
            bad.truncate(good.len() - cut % good.len());
            if bad == good {
                return TestResult::discard();
            }
            TestResult::from_bool(ReplayFile::from_bytes(&bad).is_err())
        }
    }
}
