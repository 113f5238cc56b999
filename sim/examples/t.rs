use bluering_sim::{choices::Choices, run, scenarios};
struct K(std::collections::BTreeMap<(u64, u8), u64>);
impl bluering_sim::observe::Tap for K {
    fn observe(&mut self, at: bluering_core::time::Instant, s: &bluering_sim::observe::Observation<'_>) {
        if let bluering_sim::observe::Observation::Sent { packet, .. } = s {
            *self.0.entry((at.millis() / 60000, packet.bytes[0])).or_default() += 1;
        }
    }
}
impl Drop for K {
    fn drop(&mut self) {
        for ((m, k), n) in &self.0 {
            print!("{m}:{k:02x}={n} ");
        }
        println!();
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let s = scenarios::find(&a[1]).unwrap();
    let mut size = s.size;
    if let Some(n) = a.get(3) {
        size.nodes = n.parse().unwrap();
    }
    if let Some(n) = a.get(4) {
        size.minutes = n.parse().unwrap();
    }
    let range: Vec<u64> = a[2].split("..").map(|x| x.parse().unwrap()).collect();
    for seed in range[0]..*range.get(1).unwrap_or(&(range[0] + 1)) {
        let t = std::time::Instant::now();
        let plan = (s.plan)(&mut Choices::seeded(seed), size);
        let o = run::run(
            &plan,
            run::Options {
                sinks: if std::env::var("K").is_ok() { vec![Box::new(K(Default::default()))] } else { vec![] },
                blind: std::env::var("BLIND").is_ok(),
                ..Default::default()
            },
        );
        let e = t.elapsed().as_secs_f64();
        println!(
            "{seed} {:?} hash {:x} events {} packets {} online {:?} viol {} in {e:.2}s = {:.0} node-s/s {}",
            o.took,
            o.hash,
            o.events,
            o.packets,
            o.online,
            o.violation_count,
            f64::from(o.nodes) * o.took.as_secs_f64() / e,
            if a.len() > 5 { format!("{:?}", o.violations) } else { String::new() }
        );
        if let Some(t) = s.table {
            let t = t(&plan, &o);
            println!("{}", t.head.join(" | "));
            for r in t.rows {
                println!("{}", r.join(" | "));
            }
        }
        for v in o.violations.iter().take(3) {
            println!("   {v:?}");
        }
    }
}
