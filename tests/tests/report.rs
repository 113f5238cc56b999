//! What people look at after a run, in the programs that they look with: a capture in tshark, a report in Chromium.

#![cfg(feature = "interop")]

use bluering_core::time::Instant;
use bluering_core::{Endpoint, Limits};
use bluering_sim::actor::{Actor, ActorCx};
use bluering_sim::crypto::Strength;
use bluering_sim::net::{LinkSpec, NatSpec, Place};
use bluering_sim::observe::{Observation, Tap};
use bluering_sim::oracles::{Rule, Violation};
use bluering_sim::output::{Capture, Report, Summary, TableUse};
use bluering_sim::world::{HostSpec, World};
use bluering_tests::{Outcome, TempDir, ensure, in_path};
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::process::Command;
use std::rc::Rc;

/// Hosts of the run: one to enter through, and people.
const PEOPLE: u32 = 40;

#[test]
fn tshark_reads_a_capture() -> Outcome {
    let folder = TempDir::new()?;
    let path = folder.file("run.pcapng");
    let capture = Rc::new(RefCell::new(Some(Capture::new(File::create(&path)?, "test, seed 1")?)));
    let world = network(1, Watcher { capture: Some(capture.clone()), ..Watcher::default() });
    let Some(capture) = capture.borrow_mut().take() else { panic!("nobody else took it") };
    capture.finish()?;

    let fields = ["frame.time_epoch", "ip.src", "udp.dstport", "udp.checksum.status", "udp.length", "frame.comment"];
    let mut tshark = Command::new(in_path("tshark")?);
    tshark.args(["-r", &path, "-o", "udp.check_checksum:TRUE", "-T", "fields", "-E", "separator=|"]);
    fields.iter().for_each(|field| _ = tshark.args(["-e", field]));
    let output = tshark.output()?;
    let (text, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure(output.status.success() && !told.contains("damaged") && !told.contains("cut short"), || told.to_string())?;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.splitn(fields.len(), '|').collect()).collect();
    ensure(lines.len() as u64 == world.datagrams(), || format!("{} of {} packets", lines.len(), world.datagrams()))?;
    for (i, line) in lines.iter().enumerate() {
        let [_, _, _, checksum, _, comment] = line[..] else { panic!("{line:?}") };
        assert_eq!(checksum, "1", "a good checksum: {line:?}");
        assert!(comment.starts_with(&format!("#{} host ", i + 1)), "{line:?}");
    }
    assert!(lines.iter().map(|line| line[0].parse::<f64>().unwrap()).is_sorted());
    assert!(lines[0][0].starts_with("1.000000"), "the world's clock: {:?}", lines[0]);
    for words in ["nodes request (DHT)", "lost: Filtered", "dropped", "answered", "by way of 12."] {
        assert!(lines.iter().any(|line| line[5].contains(words)), "{words}");
    }
    Ok(())
}

#[test]
fn chromium_shows_a_report() -> Outcome {
    let folder = TempDir::new()?;
    let (page, picture) = (folder.file("report.html"), folder.file("report.png"));
    let report = Rc::new(RefCell::new(Report::new()));
    let world = network(2, Watcher { report: Some(report.clone()), ..Watcher::default() });
    let summary = summary(&world);
    let html = report.borrow().render(&summary);
    std::fs::write(&page, &html)?;
    if let Some(keep) = std::env::var_os("BLUERING_KEEP_REPORT") {
        std::fs::write(keep, &html)?;
    }

    let dom = chromium(&folder, &["--dump-dom"], &page)?;
    for id in ["network", "online", "fault", "traffic", "latency"] {
        assert!(dom.contains(&format!("<svg id=\"{id}-chart\"")), "{id}");
    }
    for words in ["crypto data", "seed 2", "close list", "host 5 asleep", "hole punched", "Delivery", "symmetric"] {
        assert!(dom.contains(words), "{words}");
    }
    assert!(dom.contains(&format!("{:016x}", world.digest())), "the hash");
    assert!(!html.contains("http") && !html.contains(" src="), "nothing is fetched");

    chromium(&folder, &[&format!("--screenshot={picture}"), "--window-size=1280,2400"], &page)?;
    let (width, height, colours) = look_at(&picture)?;
    assert_eq!((width, height), (1280, 2400));
    assert!(colours > 200, "a blank page has one colour, this one {colours}");
    Ok(())
}

#[test]
fn an_error_in_a_page_is_noticed() -> Outcome {
    let folder = TempDir::new()?;
    let page = folder.file("broken.html");
    std::fs::write(&page, "<!DOCTYPE html><script>nothing.there()</script>")?;
    let result = chromium(&folder, &["--dump-dom"], &page);
    ensure(result.is_err_and(|why| why.0.contains("not defined")), || "nobody noticed".into())
}

/// Shows a page without a network; what it printed. What the page writes to the console is an error.
fn chromium(folder: &TempDir, options: &[&str], page: &str) -> Outcome<String> {
    let mut program = Command::new(in_path("chromium")?);
    program.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]);
    program.args(["--host-resolver-rules=MAP * ~NOTFOUND", &format!("--user-data-dir={}", folder.file("profile"))]);
    let output = program.args(options).arg(format!("file://{page}")).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let console: Vec<&str> = told.lines().filter(|line| line.contains(":CONSOLE")).collect();
    ensure(output.status.success(), || told.to_string())?;
    ensure(console.is_empty(), || console.join("\n"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Width, height, and number of colours.
fn look_at(picture: &str) -> Outcome<(u32, u32, usize)> {
    let mut reader = png::Decoder::new(BufReader::new(File::open(picture)?)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits into memory")];
    let info = reader.next_frame(&mut pixels).expect("a whole picture");
    let samples = info.color_type.samples();
    let colours: BTreeSet<&[u8]> = pixels.chunks_exact(samples).map(|pixel| &pixel[..3]).collect();
    Ok((info.width, info.height, colours.len()))
}

/// People behind all sorts of NATs, some of whom sleep or crash, and one who floods.
fn network(seed: u64, watcher: Watcher) -> World<Watcher> {
    let mut world = World::watched(seed, Strength::Toy, watcher);
    world.mark("warm-up");
    let through = world.add_host(HostSpec::public(Limits::MICRO));
    let nats = NatSpec::ALL.map(|(_, spec)| spec);
    for i in 0..PEOPLE {
        let place = match i as usize % (nats.len() + 1) {
            0 => Place::PUBLIC,
            other => {
                let access = if i % 2 == 0 { LinkSpec::MOBILE } else { LinkSpec::DSL };
                let place = Place { access, ..Place::PUBLIC };
                Place::behind(world.net_mut().add_nat(nats[other - 1].clone(), &place, None))
            }
        };
        let id = world.add_host(HostSpec { place, ..HostSpec::public(Limits::MICRO) });
        world.bootstrap(id, through);
        world.run_for(Duration::from_millis(300));
    }
    world.add_actor(&Place::PUBLIC, Box::new(Flooder(world.net().address(through))));
    for (a, b) in friends() {
        world.befriend(a, b);
    }
    world.run_for(Duration::from_secs(60));
    pass_chaos(&mut world);
    world.mark("healed");
    pass_time(&mut world, 40);
    world.mark("quiet begins");
    pass_time(&mut world, 30);
    world
}

fn pass_chaos(world: &mut World<Watcher>) {
    world.mark("chaos");
    for host in [5, 9, 17] {
        world.mark(&format!("begins: host {host} asleep"));
        world.suspend(host);
        pass_time(world, 8);
    }
    world.mark("begins: bad lines at 4 hosts: 20 % loss");
    pass_time(world, 20);
    for host in [5, 9] {
        world.mark(&format!("ends: host {host} asleep"));
        world.resume(host, true);
        pass_time(world, 10);
    }
    world.mark("ends: bad lines at 4 hosts: 20 % loss");
}

/// So many seconds, in which people talk and tables are looked at.
fn pass_time(world: &mut World<Watcher>, seconds: u32) {
    for second in 0..seconds {
        let (a, b) = friends()[second as usize % friends().len()];
        if world.try_node(a).is_some() {
            // Refused when they are not online.
            let _ = world.say(a, b, b"a message of some length, as people write them");
        }
        world.run_for(Duration::from_secs(1));
        for host in 0..=PEOPLE {
            if let Some(occupancy) = world.try_node(host).map(|node| node.occupancy()) {
                let now = world.now();
                world.tap.tables.add(now, host, &occupancy);
            }
        }
    }
}

fn friends() -> Vec<(u32, u32)> {
    let neighbours = (1..PEOPLE).map(|i| (i, i + 1));
    neighbours.chain((1..=PEOPLE - 7).step_by(3).map(|i| (i, i + 7))).collect()
}

fn summary(world: &World<Watcher>) -> Summary {
    let what = "message 3 of host 17 was accepted, and neither delivered nor reported as failed".to_owned();
    Summary {
        scenario: "crowd".into(),
        seed: 2,
        nodes: world.len(),
        took: world.now().since(Instant::from_secs(1)),
        hash: world.digest(),
        events: world.events(),
        packets: world.datagrams(),
        violations: vec![Violation { rule: Rule::Delivery, at: 110_000_000, host: Some(17), what }],
        violation_count: 1,
        probes: vec![("hole punched".into(), 42), ("cookie refused".into(), 7), ("window full".into(), 0)],
        replay_command: "bluering-sim replay crowd-2.replay".into(),
        pairs: friends(),
        bootstrap: vec![0],
        occupancy: world.tap.tables.clone(),
        ..Summary::default()
    }
}

/// Sends what no node wants, ten times a second.
struct Flooder(Endpoint);

impl Actor for Flooder {
    fn start(&mut self, cx: &mut ActorCx<'_>) {
        cx.wake_at(cx.now + Duration::from_millis(100));
    }

    fn on_datagram(&mut self, _: &mut ActorCx<'_>, _: Endpoint, _: &[u8]) {}

    fn on_timer(&mut self, cx: &mut ActorCx<'_>) {
        cx.send(self.0, vec![0x18; 145]);
        cx.wake_at(cx.now + Duration::from_millis(100));
    }
}

/// Each of them, when it is wanted.
#[derive(Default)]
struct Watcher {
    capture: Option<Rc<RefCell<Option<Capture<File>>>>>,
    report: Option<Rc<RefCell<Report>>>,
    tables: TableUse,
}

impl Tap for Watcher {
    fn observe(&mut self, at: Instant, seen: &Observation<'_>) {
        if let Some(capture) = &self.capture {
            capture.borrow_mut().iter_mut().for_each(|capture| capture.observe(at, seen));
        }
        if let Some(report) = &mut self.report {
            report.observe(at, seen);
        }
    }
}
