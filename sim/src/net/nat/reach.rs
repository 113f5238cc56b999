//! Which hosts can talk to each other without a relay.

use super::{Dependence, NatSpec};
use serde::{Deserialize, Serialize};

/// How two hosts can talk without a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reach {
    /// At least one of them can just send.
    Direct,
    /// Both must send to each other (hole punching).
    Punched,
    /// Not at all, short of guessing ports.
    Unreachable,
}

/// What two hosts behind these NATs can reach by themselves, when each knows the other's endpoint as third parties see
/// it, and answers where it hears the other from. `None` is a public host. It does not hold for two hosts behind the
/// same NAT.
///
/// | | public | full cone | restricted | port-restricted | symmetric |
/// |---|---|---|---|---|---|
/// | public, full cone | direct | direct | direct | direct | direct |
/// | restricted | | | punched | punched | punched |
/// | port-restricted | | | | punched | unreachable |
/// | symmetric | | | | | unreachable |
///
/// A restricted host can be punched with a symmetric one, since it filters by address: whatever port the other's
/// packets come from, they pass, and so the true port becomes known.
#[must_use]
pub fn reach(a: Option<&NatSpec>, b: Option<&NatSpec>) -> Reach {
    let (a, b) = (Outlook::of(a), Outlook::of(b));
    let meet = |both| a.hears(b, both) && b.hears_answer(a) || b.hears(a, both) && a.hears_answer(b);
    match (meet(false), meet(true)) {
        (true, _) => Reach::Direct,
        (false, true) => Reach::Punched,
        (false, false) => Reach::Unreachable,
    }
}

/// How a host looks to another one that knows its endpoint from a third party.
#[derive(Clone, Copy)]
struct Outlook {
    /// It has that endpoint towards everybody.
    fixed: bool,
    filtering: Dependence,
}

impl Outlook {
    fn of(spec: Option<&NatSpec>) -> Self {
        spec.map_or(Self { fixed: true, filtering: Dependence::Endpoint }, |spec| Self {
            fixed: spec.mapping == Dependence::Endpoint,
            filtering: spec.filtering,
        })
    }

    /// Whether a first packet of `peer` to the known endpoint comes in. `sending`: we send to the peer's known one, too.
    fn hears(self, peer: Self, sending: bool) -> bool {
        match self.filtering {
            Dependence::Endpoint => true,
            Dependence::Address => sending && self.fixed,
            Dependence::AddressAndPort => sending && self.fixed && peer.fixed,
        }
    }

    /// Whether the answer of `peer`, which heard us, comes in: it does not when it comes from another port than the one
    /// we sent to and we care.
    fn hears_answer(self, peer: Self) -> bool {
        peer.fixed || self.filtering != Dependence::AddressAndPort
    }
}
