use bluering_sim::{choices::Choices, run, scenarios};
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
        let o = run::run(&plan, run::Options::default());
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
        for v in o.violations.iter().take(3) {
            println!("   {v:?}");
        }
    }
}
