//! The program `bluering-sim`, from the outside.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const EXE: &str = env!("CARGO_BIN_EXE_bluering-sim");

/// A folder of its own for a test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run_in(folder: &Path, args: &[&str]) -> Output {
    Command::new(EXE).args(args).current_dir(folder).output().unwrap()
}

fn run(args: &[&str]) -> Output {
    run_in(Path::new(env!("CARGO_TARGET_TMPDIR")), args)
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap()
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    text(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn seeds(bytes: &[u8]) -> Vec<u64> {
    json_lines(bytes).iter().map(|line| line["seed"].as_u64().unwrap()).collect()
}

/// One line on stderr that has all of `words`, and exit code 2.
fn assert_refused(args: &[&str], words: &[&str]) {
    let output = run(args);
    let told = text(&output.stderr);
    assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{args:?}: {told}");
    assert!(words.iter().all(|word| told.contains(word)), "{args:?}: {told}");
    assert!(output.stdout.is_empty());
}

#[test]
fn list_names_every_scenario() {
    let output = run(&["list"]);
    let names: Vec<&str> = text(&output.stdout).lines().filter_map(|line| line.split_whitespace().next()).collect();
    let known: Vec<&str> = bluering_sim::scenarios::ALL.iter().map(|scenario| scenario.name).collect();
    assert!(output.status.success());
    assert_eq!(names, known);
}

#[test]
fn a_seed_is_a_run() {
    let args = |seed| ["run", "pair", "--seed", seed, "--minutes", "1", "--json", "--replay-out", "seed.toxsim"];
    let [one, again, other] = ["7", "7", "8"].map(|seed| run(&args(seed)));
    let line = &json_lines(&one.stdout)[0];
    assert_eq!(one.stdout, again.stdout);
    assert_ne!(line["hash"], json_lines(&other.stdout)[0]["hash"]);
    assert_eq!((&line["scenario"], &line["seed"]), (&"pair".into(), &7.into()));
    for field in ["nodes", "virtual_minutes", "events", "packets", "violations"] {
        assert!(line[field].is_number(), "{field}: {line}");
    }
    for field in ["p50", "p95", "max"] {
        assert!(line["online"][field].is_u64(), "{field}: {line}");
    }
    assert!(line["probes"].is_object() && line["broken"].is_array(), "{line}");
    assert_eq!(line["hash"].as_str().map(str::len), Some(16));
}

#[test]
fn what_is_unknown_is_named_with_what_is_known() {
    assert_refused(&["run", "crwd"], &["crwd", "pair", "soak", "a similar value exists: 'crowd'"]);
    assert_refused(&["run", "crowd", "--sed", "1"], &["--sed", "a similar argument exists: '--seed'", "--minutes"]);
    assert_refused(&["sweeep"], &["sweeep", "a similar subcommand exists: 'sweep'", "replay"]);
    assert_refused(&[], &["list", "run", "sweep", "replay", "shrink"]);
    assert_refused(&["sweep", "pair", "--seeds", "9..3"], &["9..3", "A..B"]);
    assert_refused(&["sweep", "pair", "--seeds", "0..3", "--shard", "0/4"], &["0/4", "K from 1 to N"]);
    assert_refused(&["run", "pair", "--nodes", "none"], &["none", "--nodes"]);
}

#[test]
fn a_file_that_is_none_is_refused() {
    let folder = folder("broken-replay");
    let file = folder.join("x.toxsim");
    let path = file.to_str().unwrap();
    assert_refused(&["replay", path], &[path, "No such file"]);
    for (bytes, words) in [
        (&b"GIF89a"[..], "not a replay file"),
        (b"toxsim\x07", "version 7; known is version 1"),
        (b"toxsim\x01\x04pair", "damaged"),
    ] {
        fs::write(&file, bytes).unwrap();
        assert_refused(&["replay", path], &[path, words]);
        assert_refused(&["shrink", path], &[path, words]);
    }
}

/// A file that was written for a rule which the run does not break.
#[test]
fn a_replay_tells_what_became_of_what_was_recorded() {
    use bluering_sim::oracles::{Rule, Violation};
    use bluering_sim::replay::{Case, ReplayFile};
    let folder = folder("replay");
    let mut case = Case::of(bluering_sim::scenarios::find("pair").unwrap(), 3);
    case.overrides.end = Some(5000);
    let broken = Violation { rule: Rule::Receipts, at: 2_500_000, host: Some(1), what: "too early".into() };
    fs::write(folder.join("a.toxsim"), ReplayFile::new(&case, Some(broken), Some(1)).to_bytes()).unwrap();
    let output = run_in(&folder, &["replay", "a.toxsim"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("Receipts after 1.500 s, host 1: too early; no longer broken; another run"), "{told}");
    let output = run_in(&folder, &["shrink", "a.toxsim"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("a.toxsim: not broken: Receipts"), "{}", text(&output.stderr));
}

#[test]
fn a_sweep_goes_on_where_it_was_stopped() {
    let folder = folder("resume");
    let sweep = |range| run_in(&folder, &["sweep", "pair", "--minutes", "1", "--seeds", range, "--out", "a.jsonl"]);
    let _ = sweep("0..3");
    let path = folder.join("a.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    assert_eq!(whole.lines().count(), 3);
    // The last line is torn, and the first is another than a new run would write.
    let kept = whole.lines().next().unwrap().replace("\"events\":", "\"events\":1");
    let torn = whole.lines().nth(1).unwrap().split_at(40).0.to_owned();
    fs::write(&path, format!("{kept}\n{torn}")).unwrap();
    let output = sweep("0..4");
    let now = fs::read_to_string(&path).unwrap();
    assert_eq!(now.lines().next(), Some(&*kept), "{}", text(&output.stderr));
    assert_eq!(seeds(now.as_bytes()).into_iter().collect::<BTreeSet<_>>(), [0, 1, 2, 3].into());
    assert_eq!(now.lines().count(), 4);
    assert!(text(&output.stderr).starts_with("pair: 4 of 4 seeds"), "{}", text(&output.stderr));

    let other = run_in(&folder, &["sweep", "crowd", "--seeds", "0..1", "--out", "a.jsonl"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("a.jsonl: line 1: it is about pair"), "{}", text(&other.stderr));
}

#[test]
fn shards_have_each_seed_once() {
    let shard = |part: &str| {
        let shard = format!("{part}/3");
        let args = ["sweep", "pair", "--minutes", "1", "--seeds", "10..=14", "--jobs", "1", "--shard", &shard];
        seeds(&run_in(&folder(&format!("shard-{part}")), &args).stdout)
    };
    assert_eq!(["1", "2", "3"].map(shard), [vec![10, 13], vec![11, 14], vec![12]]);
}

#[test]
fn a_probe_that_was_never_hit_is_an_error_when_required() {
    let folder = folder("require");
    let args = ["sweep", "pair", "--minutes", "1", "--seeds", "3", "--require", "no such probe"];
    let output = run_in(&folder, &args);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("\"no such probe\" was never hit [probes: "), "{}", text(&output.stderr));
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_finished_seeds() {
    use std::io::{BufRead as _, BufReader};
    let folder = folder("interrupt");
    let mut child = Command::new(EXE)
        .args(["sweep", "pair", "--minutes", "1", "--seeds", "0..1000000", "--jobs", "2"])
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    interrupt(&child);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!([first].iter().chain(&rest).all(|line| serde_json::from_str::<Value>(line).is_ok()));
    let summary = format!("pair: {} of 1,000,000 seeds", rest.len() + 1);
    assert!(text(&output.stderr).contains(&summary), "{}", text(&output.stderr));
}

#[test]
fn a_run_writes_what_was_asked_for() {
    let folder = folder("outputs");
    let args = ["run", "pair", "--seed", "3", "--minutes", "1"];
    let files = ["--pcap", "a.pcapng", "--trace", "a.txt", "--report", "a.html"];
    let output = run_in(&folder, &[&args[..], &files].concat());
    let read = |name| fs::read(folder.join(name)).unwrap();
    assert!(text(&output.stdout).starts_with("pair, seed 3: 3 nodes, "), "{}", text(&output.stdout));
    assert!(read("a.pcapng").starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
    assert!(text(&read("a.txt")).lines().count() > 1000);
    assert!(text(&read("a.html")).contains("pair"));
    let output = run_in(&folder, &["run", "pair", "--pcap", "no/such/folder/a.pcapng"]);
    assert_eq!((output.status.code(), text(&output.stderr).lines().count()), (Some(2), 1));
}
