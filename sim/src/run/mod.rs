//! Carries out a [`Plan`]: set-up, warm-up, chaos, healing, a demand for liveness, quiet, and an audit.
//!
//! The plan's faults and deeds stand in an agenda by time. Between its entries the world runs by itself. When chaos is
//! over every fault has ended, and each pair that can meet must be online within the plan's bound; then nobody does
//! anything for a while, and the oracles look at what is left.

mod agenda;
mod faults;
mod outcome;

pub use outcome::Outcome;

use crate::actors::Proxy;
use crate::adversaries::Strategy;
use crate::net::V4;
use crate::observe::{HostId, Tap};
use crate::oracles::{QUIET_BEGINS, QUIET_ENDS, Settings, Watch, all};
use crate::plan::{DeedKind, HostPlan, Overrides, Plan, Role};
use crate::world::{AllocationMeter, HostSpec, World};
use agenda::{Agenda, Item};
use bluering_core::time::Instant;
use bluering_core::wire::NodeInfo;
use core::time::Duration;
use faults::Undo;
use std::collections::HashMap;

/// How a plan is carried out.
#[derive(Default)]
pub struct Options {
    /// What is taken out of the plan.
    pub overrides: Overrides,
    /// Counts allocations, when the program can.
    pub meter: Option<AllocationMeter>,
    /// Further watchers: captures, traces, reports.
    pub sinks: Vec<Box<dyn Tap>>,
    /// No oracles at all: for measuring.
    pub blind: bool,
}

/// Between two looks at the insides of the nodes.
const INSPECTION: Duration = Duration::from_secs(5);
/// Between two looks at who is online.
const LOOK: Duration = Duration::from_millis(100);
/// The time of the world at which runs start.
pub const START: Instant = Instant::from_secs(1);
/// What is in flight when healing is over arrives within this time, or never.
const DRAIN: Duration = Duration::from_secs(20);

/// Carries out `plan`.
#[must_use]
pub fn run(plan: &Plan, options: Options) -> Outcome {
    let mut run = Run::new(plan, options);
    run.pass_warm_up_and_chaos();
    if run.overrides.end.is_none() {
        run.demand_liveness();
        run.be_quiet();
    }
    run.finish()
}

/// A run under way.
struct Run<'p> {
    plan: &'p Plan,
    overrides: Overrides,
    world: World<Watch>,
    agenda: Agenda,
    /// Ids in the world of the plan's hosts, once they have come.
    present: Vec<bool>,
    /// Bootstrap lines, as they were when the node first started.
    lines: HashMap<HostId, NodeInfo>,
    undo: HashMap<u32, Undo>,
    said: u64,
    blind: bool,
    next_inspection: Duration,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, options: Options) -> Self {
        let Options { overrides, meter, sinks, blind } = options;
        let settings = Settings { needles: vec![plan.marker().to_vec()], idle: plan.demands.idle };
        let oracles = if blind { Vec::new() } else { all(&settings) };
        let mut watch = Watch::new(oracles, &plan.reachable_pairs(&overrides.hosts));
        watch.sinks = sinks;
        let mut world = World::watched(plan.seed, plan.strength, watch);
        if plan.shuffle_ties {
            world.shuffle_ties();
        }
        if let Some(meter) = meter {
            world.meter_allocations(meter);
        }
        if !blind {
            world.suite().keep_ledger();
        }
        world.net_mut().backbone = plan.backbone;
        for (from, to, spec) in &plan.regions {
            world.net_mut().set_region_link(*from, *to, spec.clone());
        }
        for nat in &plan.nats {
            world.net_mut().add_nat(nat.spec.clone(), &nat.place, nat.outer);
        }
        let agenda = Agenda::new(plan, &overrides);
        let present = vec![false; plan.hosts.len()];
        Self {
            plan,
            overrides,
            world,
            agenda,
            present,
            lines: HashMap::new(),
            undo: HashMap::new(),
            said: 0,
            blind,
            next_inspection: INSPECTION,
        }
    }

    /// Time since the start.
    fn elapsed(&self) -> Duration {
        self.world.now().since(START)
    }

    fn pass_warm_up_and_chaos(&mut self) {
        let whole = self.plan.phases.warm_up + self.plan.phases.chaos;
        let end = self.overrides.end.map_or(whole, Duration::from_millis);
        self.world.mark("warm-up");
        self.run_to(self.plan.phases.warm_up.min(end));
        if !self.plan.phases.chaos.is_zero() && end > self.plan.phases.warm_up {
            self.world.mark("chaos");
        }
        self.run_to(end);
    }

    /// Lets the world run until `to`, doing what stands in the agenda.
    fn run_to(&mut self, to: Duration) {
        while let Some((at, item)) = self.agenda.next_before(to) {
            self.advance(at);
            match item {
                Item::Arrive(id) => self.arrive(id),
                Item::Leave(id) => self.world.crash(id),
                Item::Begin(i) => self.begin(i),
                Item::End(i) => self.end(i),
                Item::Do(i) => self.do_deed(i),
            }
        }
        self.advance(to);
    }

    /// Lets the world run until `to`, with a look at it now and then.
    fn advance(&mut self, to: Duration) {
        while !self.blind && self.elapsed() + INSPECTION <= to {
            let next = self.next_inspection.min(to);
            self.world.run_for(next.saturating_sub(self.elapsed()));
            self.next_inspection = self.elapsed() + INSPECTION;
            Watch::look(&mut self.world);
        }
        self.world.run_for(to.saturating_sub(self.elapsed()));
    }

    fn demand_liveness(&mut self) {
        self.world.mark("healed");
        let until = self.elapsed() + self.plan.phases.heal;
        while !self.world.tap.online.all_online() && self.elapsed() < until {
            let next = (self.elapsed() + LOOK).min(until);
            self.run_to(next);
        }
        if self.plan.demands.liveness {
            let (now, bound) = (self.world.now(), self.plan.phases.heal);
            let mut findings = core::mem::take(&mut self.world.tap.findings);
            let are_friends = |a, b| self.world.friend(a, b).is_some() && self.world.friend(b, a).is_some();
            self.world.tap.online.demand(now, bound, are_friends, &mut findings);
            self.world.tap.findings = findings;
        }
    }

    fn be_quiet(&mut self) {
        self.run_to(self.elapsed() + DRAIN);
        if !self.plan.phases.quiet.is_zero() {
            self.world.mark(QUIET_BEGINS);
            self.run_to(self.elapsed() + self.plan.phases.quiet);
            self.world.mark(QUIET_ENDS);
        }
    }

    fn finish(mut self) -> Outcome {
        if self.overrides.end.is_none() {
            Watch::audit(&mut self.world);
        }
        Outcome::of(self.plan, &self.world)
    }

    /// A host comes. Ids must be those of the plan, so hosts that come out of order, or never, are put in as down.
    fn arrive(&mut self, id: u32) {
        while self.world.len() <= id {
            let place = self.plan.hosts[self.world.len() as usize].place.clone();
            self.world.reserve(&place);
        }
        let host = &self.plan.hosts[id as usize];
        match &host.role {
            Role::Bootstrap | Role::Client => self.arrive_node(id, host),
            Role::Proxy(spec) => self.world.settle_actor(id, Box::new(Proxy::new(spec.clone()))),
            Role::Adversary { strategy, after } => self.arrive_adversary(id, strategy.clone(), *after),
        }
        self.present[id as usize] = true;
    }

    fn arrive_node(&mut self, id: u32, host: &HostPlan) {
        let fixed_dht = matches!(host.role, Role::Bootstrap);
        let HostPlan { limits, clock, relay, .. } = *host;
        let spec = HostSpec { place: host.place.clone(), limits, clock, fixed_dht, relay };
        self.world.settle(id, &spec);
        self.lines.insert(id, self.world.info(id));
        let name = self.text(&format!(" host {id}"), 0);
        self.world.with(id, |node, _| {
            // Both are shorter than they may be.
            let _ = node.set_name(&name);
            let _ = node.set_status_message(&name);
        });
        for info in self.ways_in(id) {
            self.world.with(id, |node, now| node.bootstrap(now, info));
        }
        let friends = self.plan.friends.iter().filter_map(|(a, b)| match (*a == id, *b == id) {
            (true, _) => Some(*b),
            (_, true) => Some(*a),
            (false, false) => None,
        });
        for other in friends.collect::<Vec<_>>() {
            if other < self.world.len() && self.present[other as usize] {
                self.world.befriend(id, other);
            }
        }
    }

    fn arrive_adversary(&mut self, id: u32, mut strategy: Strategy, after: Option<HostId>) {
        let target = after.filter(|host| *host < self.world.len()).and_then(|host| self.world.try_node(host));
        if let (Strategy::Sybil(sybil), Some(node)) = (&mut strategy, target) {
            sybil.target = node.tox_id().public_key.0;
        }
        let actor = strategy.actor(&self.ways_in(id), &self.world.suite().for_adversaries());
        self.world.settle_actor(id, actor);
    }

    /// The bootstrap lines that a host has, each in a family that it can use.
    fn ways_in(&self, id: u32) -> Vec<NodeInfo> {
        let host = &self.plan.hosts[id as usize];
        let line = |other: &HostId| {
            let line = *self.lines.get(other)?;
            match host.place.v4 {
                V4::None => self.world.net().address_v6(*other).map(|at| NodeInfo { at, ..line }),
                V4::Public | V4::Behind(_) => Some(line),
            }
        };
        host.through.iter().filter_map(line).collect()
    }

    fn do_deed(&mut self, i: u32) {
        let deed = &self.plan.deeds[i as usize];
        let host = deed.host;
        if !self.present[host as usize] || self.world.try_node(host).is_none() || !self.world.is_awake(host) {
            return;
        }
        match deed.what {
            DeedKind::Say(to, len) => {
                self.said += 1;
                let text = self.text(&format!(" {host}>{to} #{}", self.said), len as usize);
                // Refused when the friend is offline or the window is full: the watcher has seen it.
                let _ = self.world.say(host, to, &text);
            }
            DeedKind::Type(to, typing) => {
                if let Some(friend) = self.world.friend(host, to) {
                    let _ = self.world.with(host, |node, now| node.set_typing(now, friend, typing));
                }
            }
            DeedKind::Rename => {
                self.said += 1;
                let name = self.text(&format!(" host {host} #{}", self.said), 0);
                let _ = self.world.with(host, |node, _| node.set_name(&name));
            }
            DeedKind::Checkpoint => self.world.checkpoint(host),
        }
    }

    /// Words of this run: the marker, what they are about, and stuffing up to `len` bytes.
    fn text(&self, about: &str, len: usize) -> Vec<u8> {
        let mut text = self.plan.marker().to_vec();
        text.extend_from_slice(about.as_bytes());
        text.resize(text.len().max(len).min(1372), b'.');
        text
    }
}
