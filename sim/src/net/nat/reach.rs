//! Which hosts can talk to each other without a relay.

use super::{Dependence, NatSpec, PortPolicy};
use serde::{Deserialize, Serialize};

/// How two hosts can talk without a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reach {
    /// At least one of them can just send.
    Direct,
    /// Both must send to each other (hole punching).
    Punched,
    /// Not at all.
    Unreachable,
}

/// What two hosts behind these NATs can reach by themselves, when each knows the other's endpoint as third parties see
/// it, answers where it hears the other from, and guesses ports near those that third parties see. `None` is a public
/// host. It does not hold for two hosts behind the same NAT.
///
/// | | public | full cone | restricted | port-restricted | symmetric, in order | symmetric, random |
/// |---|---|---|---|---|---|---|
/// | public, full cone | direct | direct | direct | direct | direct | direct |
/// | restricted | | | punched | punched | punched | punched |
/// | port-restricted | | | | punched | punched | unreachable |
/// | symmetric | | | | | unreachable | unreachable |
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
    /// Or else one near it.
    guessable: bool,
    filtering: Dependence,
}

impl Outlook {
    fn of(spec: Option<&NatSpec>) -> Self {
        let public = Self { fixed: true, guessable: false, filtering: Dependence::Endpoint };
        spec.map_or(public, |spec| Self {
            fixed: spec.mapping == Dependence::Endpoint,
            guessable: spec.ports != PortPolicy::Random,
            filtering: spec.filtering,
        })
    }

    /// Whether a first packet of `peer` to the known endpoint comes in. `sending`: we send to the peer's known one as
    /// well, and to those near it.
    fn hears(self, peer: Self, sending: bool) -> bool {
        match self.filtering {
            Dependence::Endpoint => true,
            Dependence::Address => sending && self.fixed,
            Dependence::AddressAndPort => sending && self.fixed && (peer.fixed || peer.guessable),
        }
    }

    /// Whether the answer of `peer`, which heard us, comes in: it does not when it comes from another port than the one
    /// we sent to and we care.
    fn hears_answer(self, peer: Self) -> bool {
        peer.fixed || self.filtering != Dependence::AddressAndPort
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Nat, PortPolicy};
    use super::*;
    use crate::rng::SimRng;
    use bluering_core::Endpoint;
    use bluering_core::time::Instant;

    const NOW: Instant = Instant::from_secs(1);
    const THIRD: Endpoint = Endpoint::v4([9, 9, 9, 9], 33445);
    /// Ports to each side of the known one that are guessed.
    const GUESSES: u16 = 8;

    /// A host, perhaps behind a NAT, that answers whoever it hears.
    struct Host {
        at: Endpoint,
        nat: Option<Nat>,
        /// The other one, as the third party sees it.
        known: Endpoint,
        heard: Vec<Endpoint>,
    }

    impl Host {
        fn new(spec: Option<&NatSpec>, number: u8) -> Self {
            let external = Endpoint::v4([number; 4], 0).ip();
            let nat = spec.map(|spec| Nat::new(spec.clone(), external, SimRng::new(number.into())));
            let at = if nat.is_some() { [10, 0, 0, number] } else { [number; 4] };
            Self { at: Endpoint::v4(at, 33445), nat, known: THIRD, heard: Vec::new() }
        }

        /// What `to` sees as the source of our packet.
        fn outbound(&mut self, to: Endpoint) -> Endpoint {
            self.nat.as_mut().map_or(self.at, |nat| nat.outbound(NOW, self.at, to).unwrap())
        }

        fn hear(&mut self, from: Endpoint, to: Endpoint) {
            let arrived = match &mut self.nat {
                Some(nat) => to.ip() == nat.external() && nat.inbound(NOW, to.port(), from) == Ok(self.at),
                None => to == self.at,
            };
            if arrived && !self.heard.contains(&from) {
                self.heard.push(from);
            }
        }

        /// Sends to everything it knows of `other`; on its own accord only when `active`. Whoever has another port for
        /// each need not guess: the other would have to guess the same.
        fn send(&mut self, other: &mut Self, active: bool) {
            let fixed = self.nat.as_ref().is_none_or(|nat| nat.spec().mapping == Dependence::Endpoint);
            let near = self.known.port() - GUESSES..=self.known.port() + GUESSES;
            let guesses = near.filter(|_| fixed).map(|port| Endpoint::new(self.known.ip(), port));
            let own: Vec<_> = core::iter::once(self.known).chain(guesses).filter(|_| active).collect();
            for to in self.heard.clone().into_iter().chain(own) {
                let from = self.outbound(to);
                other.hear(from, to);
            }
        }
    }

    /// Whether both hear each other after some rounds.
    fn meet(a: Option<&NatSpec>, b: Option<&NatSpec>, active: (bool, bool)) -> bool {
        let (mut a, mut b) = (Host::new(a, 1), Host::new(b, 2));
        (a.known, b.known) = (b.outbound(THIRD), a.outbound(THIRD));
        for _ in 0..5 {
            a.send(&mut b, active.0);
            b.send(&mut a, active.1);
        }
        !a.heard.is_empty() && !b.heard.is_empty()
    }

    fn tried(a: Option<&NatSpec>, b: Option<&NatSpec>) -> Reach {
        match (meet(a, b, (true, false)) || meet(a, b, (false, true)), meet(a, b, (true, true))) {
            (true, _) => Reach::Direct,
            (false, true) => Reach::Punched,
            (false, false) => Reach::Unreachable,
        }
    }

    /// Every mapping, filtering and port policy.
    fn all() -> Vec<Option<NatSpec>> {
        use Dependence::{Address, AddressAndPort, Endpoint};
        use PortPolicy::{Preserve, Random, Sequential};
        let mut all = vec![None];
        for mapping in [Endpoint, Address, AddressAndPort] {
            for filtering in [Endpoint, Address, AddressAndPort] {
                let specs = [Preserve, Random, Sequential].map(|ports| NatSpec {
                    mapping,
                    filtering,
                    ports,
                    ..NatSpec::FULL_CONE
                });
                all.extend(specs.map(Some));
            }
        }
        all.extend(NatSpec::ALL.map(|(_, spec)| Some(spec)));
        all
    }

    #[test]
    fn the_predicate_agrees_with_two_nats_that_try() {
        let all = all();
        for a in &all {
            for b in &all {
                let (a, b) = (a.as_ref(), b.as_ref());
                assert_eq!(reach(a, b), tried(a, b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_table_is_as_documented() {
        use Reach::{Direct, Punched, Unreachable};
        let (restricted, port) = (&NatSpec::RESTRICTED, &NatSpec::PORT_RESTRICTED);
        for (symmetric, guessed) in [(&NatSpec::SYMMETRIC, Unreachable), (&NatSpec::SYMMETRIC_SEQUENTIAL, Punched)] {
            assert_eq!(reach(Some(restricted), Some(symmetric)), Punched);
            assert_eq!(reach(Some(port), Some(symmetric)), guessed);
            assert_eq!(reach(Some(symmetric), Some(symmetric)), Unreachable);
        }
        for (a, b) in [(restricted, restricted), (restricted, port), (port, port)] {
            assert_eq!(reach(Some(a), Some(b)), Punched);
        }
        for (_, spec) in &NatSpec::ALL {
            assert_eq!(reach(None, Some(spec)), Direct);
            assert_eq!(reach(Some(&NatSpec::FULL_CONE), Some(spec)), Direct);
        }
        assert_eq!(reach(None, None), Direct);
    }
}
