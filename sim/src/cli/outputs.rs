//! The files that a run can write, and the timeline of what it broke.

use super::Failure;
use super::guard::{self, Ran};
use super::options::ShowOptions;
use super::show;
use bluering_sim::observe::Tap;
use bluering_sim::oracles::{Rule, Violation};
use bluering_sim::output::{Capture, Report, Summary, Timeline, Trace};
use bluering_sim::replay::Case;
use bluering_sim::run::START;
use std::cell::RefCell;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::rc::Rc;

type Shared<T> = Rc<RefCell<T>>;
type Writer = BufWriter<File>;

/// The files that were asked for, open.
pub(super) struct Files {
    title: String,
    capture: Option<(PathBuf, Writer)>,
    trace: Option<(PathBuf, Writer)>,
    report: Option<PathBuf>,
}

/// What watches a run. It stays on the run's thread.
pub(super) struct Outputs {
    capture: Option<(PathBuf, Shared<Capture<Writer>>)>,
    trace: Option<(PathBuf, Shared<Trace<Writer>>)>,
    report: Option<(PathBuf, Shared<Report>)>,
}

/// So long after a violation its timeline goes on, in milliseconds.
const AFTERWARDS: u64 = 200;

impl Files {
    /// Opens the files that were asked for.
    pub(super) fn create(case: &Case, show: &ShowOptions) -> Result<Self, Failure> {
        let open = |path: &PathBuf| Ok::<_, Failure>((path.clone(), create(path)?));
        let report = show.report.as_ref().map(open).transpose()?.map(|(path, _)| path);
        let capture = show.pcap.as_ref().map(open).transpose()?;
        let trace = show.trace.as_ref().map(open).transpose()?;
        Ok(Self { title: show::title(case), capture, trace, report })
    }

    /// Begins to watch.
    pub(super) fn watch(self) -> Result<Outputs, Failure> {
        let Self { title, capture, trace, report } = self;
        let capture = capture.map(|(path, file)| match Capture::new(file, &title) {
            Ok(capture) => Ok((path, shared(capture))),
            Err(why) => Err(Failure::file(&path, why)),
        });
        let trace = trace.map(|(path, file)| (path, shared(Trace::new(file))));
        let report = report.map(|path| (path, shared(Report::new())));
        Ok(Outputs { capture: capture.transpose()?, trace, report })
    }
}

impl Outputs {
    /// What the run is to show everything to.
    pub(super) fn sinks(&self) -> Vec<Box<dyn Tap>> {
        let mut sinks: Vec<Box<dyn Tap>> = Vec::new();
        sinks.extend(self.capture.iter().map(|(_, tap)| Box::new(Rc::clone(tap)) as Box<dyn Tap>));
        sinks.extend(self.trace.iter().map(|(_, tap)| Box::new(Rc::clone(tap)) as Box<dyn Tap>));
        sinks.extend(self.report.iter().map(|(_, tap)| Box::new(Rc::clone(tap)) as Box<dyn Tap>));
        sinks
    }

    /// Writes what is left to write; the timeline of the first violation.
    pub(super) fn finish(self, case: &Case, ran: &Ran) -> Result<Option<String>, Failure> {
        if let Some((path, capture)) = self.capture {
            sole(capture).map_or(Ok(()), |tap| tap.finish().map(drop)).map_err(|why| Failure::file(&path, why))?;
        }
        if let Some((path, trace)) = self.trace {
            sole(trace).map_or(Ok(()), |tap| tap.finish().map(drop)).map_err(|why| Failure::file(&path, why))?;
        }
        let seen = ran.broken.first().map(|violation| (violation, timeline(case, violation)));
        let text = seen.as_ref().map(|(violation, timeline)| timeline.around(violation));
        if let Some((path, report)) = self.report
            && let Some(mut report) = sole(report)
        {
            report.timeline = seen.map(|(_, timeline)| timeline).unwrap_or_default();
            let page = report.render(&told(case, ran));
            std::fs::write(&path, page).map_err(|why| Failure::file(&path, why))?;
        }
        Ok(text)
    }
}

fn shared<T>(tap: T) -> Shared<T> {
    Rc::new(RefCell::new(tap))
}

/// The run is over, so nobody else has it.
fn sole<T>(tap: Shared<T>) -> Option<T> {
    Rc::into_inner(tap).map(RefCell::into_inner)
}

fn create(path: &Path) -> Result<Writer, Failure> {
    File::create(path).map(BufWriter::new).map_err(|why| Failure::file(path, why))
}

/// The timeline of a violation. It is a window of the last things that happened, so the case runs once more, and ends
/// where it is broken.
fn timeline(case: &Case, violation: &Violation) -> Timeline {
    let mut case = case.clone();
    let at = violation.at.saturating_sub(START.micros()) / 1000 + AFTERWARDS;
    if !matches!(violation.rule, Rule::Liveness | Rule::Determinism) {
        case.overrides.end = Some(case.overrides.end.map_or(at, |end| end.min(at)));
    }
    let begin = || {
        let timeline = shared(Timeline::new());
        (Rc::clone(&timeline), vec![Box::new(timeline) as Box<dyn Tap>])
    };
    let (_, timeline) = guard::run_watched(&case, begin, |timeline, _| sole(timeline));
    let mut timeline = timeline.flatten().unwrap_or_default();
    timeline.keep(violation);
    timeline
}

/// What the report cannot see itself; of a run that panicked, no more than its case and what broke.
fn told(case: &Case, ran: &Ran) -> Summary {
    let (plan, _) = case.resolved();
    let seed = show::seed(case).unwrap_or(plan.seed);
    let (name, command) = (case.scenario.name, show::command(case));
    let known = match &ran.outcome {
        Some(outcome) => Summary::of(name, seed, command, &plan, outcome),
        None => Summary {
            scenario: name.into(),
            seed,
            nodes: plan.hosts.len() as u32,
            replay_command: command,
            pairs: plan.friends.clone(),
            bootstrap: plan.bootstrap_nodes(),
            ..Summary::default()
        },
    };
    // What only a second run or the panic's guard could see stands here.
    Summary { violations: ran.broken.clone(), violation_count: ran.count, ..known }
}
