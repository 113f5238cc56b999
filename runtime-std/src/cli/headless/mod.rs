//! `bluering headless`: a client driven by JSON lines, the same as `toxpeer` around c-toxcore speaks, so that one test
//! drives either.
//!
//! `{"cmd":NAME,"id":ANY,...}` on stdin is answered by `{"event":"reply","id":ANY,"ok":true|false,...}` on stdout, and
//! everything that happens is an event line. `{"cmd":"help"}` lists the commands.

mod args;
mod bench;
mod commands;
mod events;
mod output;

use super::{ClientOptions, Failure, end_signal, input};
use bench::{Flood, Sink};
use bluering::{Events, Tox, ToxEvent};
use output::Output;
use smol::Timer;
use smol::future::{self, FutureExt};
use std::path::PathBuf;

/// Options of `bluering headless`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    client: ClientOptions,
    /// Use IPv6 too (default: IPv4 alone)
    #[arg(long)]
    ipv6: bool,
    /// Save the profile soon after each change and at the end (default: only on command)
    #[arg(long)]
    save_on_exit: bool,
    /// Send every message back
    #[arg(long)]
    echo: bool,
    /// Do not stop at the end of stdin
    #[arg(long)]
    keep_running: bool,
    #[command(flatten)]
    missing: Missing,
}

/// Options of toxpeer whose features are still to come.
#[derive(Debug, clap::Args)]
struct Missing {
    #[arg(long, hide = true)]
    tcp_relay_port: Option<String>,
    #[arg(long, hide = true)]
    password: Option<String>,
    #[arg(long, hide = true)]
    auto_accept_files: bool,
    #[arg(long, hide = true)]
    download_dir: Option<PathBuf>,
    #[arg(long, hide = true)]
    log: Option<String>,
    /// There is no hole punching to turn off.
    #[arg(long, hide = true)]
    no_hole_punching: bool,
}

impl Missing {
    fn refuse(&self) -> Result<(), Failure> {
        let given = [
            (self.tcp_relay_port.is_some(), "--tcp-relay-port: a relay of a client is"),
            (self.password.is_some(), "--password: encrypted profiles are"),
            (self.auto_accept_files, "--auto-accept-files: file transfers are"),
            (self.download_dir.is_some(), "--download-dir: file transfers are"),
            (self.log.is_some(), "--log: a log is"),
        ];
        match given.iter().find(|(given, _)| *given) {
            Some((_, what)) => Err(Failure::usage(format!("{what} not supported yet"))),
            None => Ok(()),
        }
    }
}

/// A client and its two ends.
struct Headless {
    tox: Tox,
    out: Output,
    options: Options,
    flood: Option<Flood>,
    sink: Option<Sink>,
    stopping: bool,
}

/// What there is to do next.
enum Wake {
    Event(Option<ToxEvent>),
    Line(Option<String>),
    End,
}

/// Events printed in one go before commands are looked at.
const EVENTS_AT_ONCE: usize = 256;

pub(super) async fn run(options: Options) -> Result<(), Failure> {
    options.missing.refuse()?;
    let end = end_signal()?;
    let (tox, mut events) = options.client.builder(options.ipv6, options.save_on_exit).start()?;
    options.client.apply(&tox).await?;
    let mut timer = options.client.max_seconds.map_or_else(Timer::never, Timer::after);
    let mut headless = Headless { tox, out: Output::new(), options, flood: None, sink: None, stopping: false };
    let ready = headless.describe().await?;
    headless.out.emit("ready", ready)?;
    let lines = input::lines();
    let mut open = true;
    while !headless.stopping {
        headless.out.flush()?;
        let event = async { Wake::Event(events.next().await) };
        let line = async { if open { Wake::Line(lines.recv().await.ok()) } else { future::pending().await } };
        let over = async {
            (&mut timer).await;
            Wake::End
        };
        let signal = async {
            let _ = end.recv().await;
            Wake::End
        };
        match event.or(line).or(over).or(signal).await {
            Wake::Event(Some(event)) => headless.on_events(event, &mut events).await?,
            Wake::Line(Some(line)) => headless.on_line(&line).await?,
            Wake::Line(None) if headless.options.keep_running => open = false,
            Wake::Event(None) | Wake::Line(None) | Wake::End => break,
        }
    }
    headless.tox.shutdown().await?;
    headless.out.emit("bye", serde_json::json!({}))?;
    Ok(headless.out.flush()?)
}

impl Headless {
    async fn on_events(&mut self, first: ToxEvent, events: &mut Events) -> Result<(), Failure> {
        let more = std::iter::from_fn(|| events.try_next()).take(EVENTS_AT_ONCE);
        for event in std::iter::once(first).chain(more) {
            self.on_event(event).await?;
        }
        self.drive_flood().await
    }
}
