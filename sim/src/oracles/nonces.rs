//! No nonce twice with one key.

use super::{Audited, Findings, Oracle, Rule};
use crate::observe::Observation;
use bluering_core::time::Instant;

/// Asks the world's ledger of sealed boxes; somebody must have switched it on
/// ([`keep_ledger`](crate::crypto::SimSuite::keep_ledger)).
#[derive(Clone, Copy, Debug, Default)]
pub struct Nonces {
    reported: bool,
}

impl Oracle for Nonces {
    fn rule(&self) -> Rule {
        Rule::Nonces
    }

    fn observe(&mut self, _: Instant, _: &Observation<'_>, _: &mut Findings) {}

    fn look(&mut self, world: &dyn Audited, findings: &mut Findings) {
        if self.reported {
            return;
        }
        if let Some(reuse) = world.suite().reuse() {
            self.reported = true;
            let what = format!("two different boxes under one key have nonce {:02x?}", reuse.nonce.0);
            findings.report(Rule::Nonces, world.now(), None, what);
        }
    }

    fn audit(&mut self, world: &dyn Audited, findings: &mut Findings) {
        self.look(world, findings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::World;
    use bluering_core::crypto::{Nonce, SharedKey, Suite};

    #[test]
    fn a_nonce_used_twice_is_reported_once() {
        let world = World::new(1);
        world.suite().keep_ledger();
        let key = SharedKey::from_bytes([1; 32]);
        let (mut oracle, mut findings) = (Nonces::default(), Findings::default());
        world.suite().seal(&key, &Nonce([7; 24]), &mut [1; 40]);
        oracle.look(&world, &mut findings);
        assert_eq!(findings.total(), 0);
        world.suite().seal(&key, &Nonce([7; 24]), &mut [2; 40]);
        oracle.look(&world, &mut findings);
        oracle.audit(&world, &mut findings);
        assert_eq!((findings.total(), findings.violations()[0].rule), (1, Rule::Nonces));
    }
}
