//! Every kind of NAT against every other.

use super::{Scenario, Size, Table};
use crate::choices::Choices;
use crate::net::{Dependence, NatSpec, Place, V4, V6};
use crate::plan::{Meeting, NatPlan, Plan, meeting};
use crate::run::Outcome;
use bluering_core::Connection;
use core::time::Duration;
use std::collections::BTreeSet;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "nat-matrix",
    about: "A pair of friends behind every pair of NATs, and relays: who meets directly, by punching, or by relay.",
    size: Size { nodes: 0, minutes: 2 },
    plan,
    table: Some(table),
};

/// Kinds of places, besides the NATs of [`NatSpec::ALL`].
const PUBLIC: &str = "public";
const CARRIER: &str = "carrier-grade";
const FIREWALLED: &str = "IPv6 firewall";
const BLOCKED: &str = "UDP blocked";

fn kinds() -> Vec<&'static str> {
    let nats = NatSpec::ALL.iter().map(|(name, _)| *name);
    [PUBLIC].into_iter().chain(nats).chain([CARRIER, FIREWALLED, BLOCKED]).collect()
}

fn pairs() -> Vec<(usize, usize)> {
    let count = kinds().len();
    (0..count).flat_map(|row| (row..count).map(move |column| (row, column))).collect()
}

fn plan(choices: &mut Choices, size: Size) -> Plan {
    let mut plan = Plan::new(choices.word("seed"));
    for _ in 0..4 {
        let id = plan.add_relay();
        // Both families, so that those with IPv6 only meet the others' nodes.
        plan.hosts[id as usize].place.v6 = V6::Public;
    }
    let kinds = kinds();
    for (row, column) in pairs() {
        let (a, b) = (place(&mut plan, kinds[row]), place(&mut plan, kinds[column]));
        let pair = (plan.add_client(a), plan.add_client(b));
        plan.friends.push(pair);
    }
    plan.phases.warm_up = Duration::from_secs(u64::from(size.minutes) * 60);
    plan
}

fn place(plan: &mut Plan, kind: &str) -> Place {
    let nat = |plan: &mut Plan, spec| Place::behind(plan.add_nat(spec));
    match kind {
        PUBLIC => Place::PUBLIC,
        BLOCKED => Place { udp: false, ..Place::PUBLIC },
        FIREWALLED => Place { v4: V4::None, v6: V6::Firewalled(Dependence::AddressAndPort), ..Place::PUBLIC },
        CARRIER => {
            let outer = plan.add_nat(NatSpec::PORT_RESTRICTED);
            let home = NatPlan { spec: NatSpec::PORT_RESTRICTED, place: Place::PUBLIC, outer: Some(outer) };
            plan.nats.push(home);
            Place::behind(outer + 1)
        }
        _ => match NatSpec::ALL.iter().find(|(name, _)| *name == kind) {
            Some((_, spec)) => nat(plan, spec.clone()),
            None => Place::PUBLIC,
        },
    }
}

/// What was seen of each pair; in capitals where the model expects another thing.
fn table(plan: &Plan, outcome: &Outcome) -> Table {
    let kinds = kinds();
    let mut rows: Vec<Vec<String>> = kinds.iter().map(|kind| vec![(*kind).to_string()]).collect();
    for row in &mut rows {
        row.resize(kinds.len() + 1, String::new());
    }
    for ((row, column), ((a, b, _), link)) in pairs().into_iter().zip(outcome.pairs.iter().zip(&outcome.links)) {
        let word = match (meeting(plan, *a, *b, &BTreeSet::new()), link) {
            (Meeting::Direct, Connection::Udp) => "direct",
            (Meeting::Punched, Connection::Udp) => "punched",
            (Meeting::Relayed, Connection::Tcp) => "relayed",
            (Meeting::Never, Connection::None) => "-",
            (Meeting::Direct | Meeting::Punched, Connection::Tcp) => "RELAYED",
            (Meeting::Relayed | Meeting::Never, Connection::Udp) => "DIRECT",
            (Meeting::Never, Connection::Tcp) => "UNEXPECTED",
            (Meeting::Direct | Meeting::Punched | Meeting::Relayed, Connection::None) => "MISSED",
        };
        rows[row][column + 1] = word.to_string();
        rows[column][row + 1] = word.to_string();
    }
    let head = [""].into_iter().chain(kinds).map(str::to_string).collect();
    Table { head, rows }
}
