//! `bluering node`: a bootstrap node for people who operate one.
//!
//! | file | what lives there |
//! |---|---|
//! | `options`, `settings` | the command line, and what it says together with a file |
//! | `toml_file`, `bootstrapd`, `libconfig` | our configuration file; tox-bootstrapd's, and its syntax |
//! | `keys`, `motd` | the keys file, the message of the day |
//! | `metrics`, `http` | the page for Prometheus, and who shows it |
//! | `service` | systemd, the pid file |

mod bootstrapd;
mod http;
mod keys;
mod libconfig;
mod metrics;
mod motd;
mod options;
mod service;
mod settings;
mod toml_file;

pub(super) use options::Options;

use super::{Failure, end_signal};
use bluering::core::Limits;
use bluering::core::crypto::SecretKey;
use bluering::core::relay::server::RelayLimits;
use bluering::{BootstrapError, Builder, Listen, Ports, StartError, Tox};
use motd::{Template, Values};
use options::Command;
use settings::{Given, Settings};
use smol::Timer;
use smol::future::FutureExt;
use smol::net::TcpListener;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Version that bootstrap info tells: a leading digit of our own (toxcore has 1, tox-rs 3), then this program's
/// version.
const INFO_VERSION: u32 = 4_000_001_000;
const MOTD: &str = "bluering";
/// A message of the day is as old as this at most.
const MOTD_EVERY: Duration = Duration::from_secs(10);
/// Pauses between attempts to find a bootstrap node's host.
const RESOLVE_FIRST: Duration = Duration::from_secs(5);
const RESOLVE_LAST: Duration = Duration::from_secs(600);
/// The core remembers a few bootstrap nodes only: each is asked at once, but they must not come all at once.
const BOOTSTRAP_PAUSE: Duration = Duration::from_millis(100);
/// Longer than this nobody waits for our end.
const FAREWELL: Duration = Duration::from_millis(900);

pub(super) async fn run(options: Options) -> Result<(), Failure> {
    match &options.command {
        Some(Command::CheckConfig { file }) => check_config(file),
        Some(Command::DerivePk { file }) => derive_pk(file),
        None => serve(options).await,
    }
}

fn derive_pk(file: &Path) -> Result<(), Failure> {
    match keys::load(file) {
        Ok(Some(secret)) => println!("{}", keys::public(&secret)),
        Ok(None) => return Err(failed(format!("keys file {}: there is no such file", file.display()))),
        Err(message) => return Err(failed(message)),
    }
    Ok(())
}

fn check_config(file: &Path) -> Result<(), Failure> {
    let settings = options::read(file)?;
    let mut findings = settings.check();
    for (name, is_missing) in [("udp", settings.udp.is_none()), ("keys", settings.keys.is_none())] {
        if is_missing {
            findings.warnings.push(format!("{}: {name} is missing, so --{name} must be given", file.display()));
        }
    }
    if let Some(given) = &settings.keys {
        match keys::load(&given.value) {
            Ok(Some(secret)) => println!("public key {}", keys::public(&secret)),
            Ok(None) => findings.warnings.push(given.wrong("there is no such file yet; a node would make new keys")),
            Err(why) => findings.errors.push(given.wrong(why)),
        }
    }
    warn(&findings.warnings);
    if !findings.errors.is_empty() {
        return Err(failed(findings.errors.join("\nbluering: ")));
    }
    println!("{}: good, with {} bootstrap nodes", file.display(), settings.bootstrap.len());
    Ok(())
}

async fn serve(options: Options) -> Result<(), Failure> {
    let (settings, mut warnings) = options.settings()?;
    let (Some(udp), Some(keys)) = (&settings.udp, &settings.keys) else {
        return Err(Failure::usage("--udp and --keys are needed, here or in the file that --config names"));
    };
    let end = end_signal()?;
    let secret = keys::load_or_create(&keys.value).map_err(|why| failed(keys.wrong(why)))?;
    if keys::is_open_to_others(&keys.value) {
        warnings.push(keys.wrong("others than its owner can read the secret key (chmod 600)"));
    }
    warn(&warnings);
    let (started, start) = (SystemTime::now(), Instant::now());
    let motd = template(&settings)?;
    let (tox, listener, pid_file) = open(&settings, udp, secret, motd.as_ref(), started).await?;
    let relays: String = tox.relay_at().iter().map(|at| format!(", TCP {at}")).collect();
    println!("bluering node: public key {}, UDP {}{relays}", tox.dht_key(), tox.local());
    if let Some(listener) = &listener {
        println!("bluering node: metrics on http://{}/metrics", listener.local_addr()?);
    }
    std::io::stdout().flush()?;
    if let Err(error) = service::ready(&format!("UDP {}", tox.local())) {
        warn(&[format!("systemd does not listen: {error}")]);
    }
    let mut tasks = vec![smol::spawn(service::keep_alive(tox.clone()))];
    tasks.extend(
        motd.filter(|motd| !motd.is_fixed()).map(|motd| smol::spawn(renew_motd(tox.clone(), motd, started, start))),
    );
    tasks.extend(
        settings.bootstrap.iter().enumerate().map(|(i, node)| smol::spawn(enter(tox.clone(), node.clone(), i))),
    );
    tasks.extend(listener.map(|listener| smol::spawn(show_metrics(tox.clone(), listener, started))));
    let _ = end.recv().await;
    service::stopping();
    drop(tasks);
    stop(&tox).await?;
    drop(pid_file);
    Ok(())
}

/// Everything that can be in the way at the start, in the order in which it is undone for free.
async fn open(
    settings: &Settings,
    udp: &Given<Listen>,
    secret: SecretKey,
    motd: Option<&Template>,
    started: SystemTime,
) -> Result<(Tox, Option<TcpListener>, Option<service::PidFile>), Failure> {
    let listener = match &settings.metrics {
        Some(at) => Some(TcpListener::bind(at.value).await.map_err(|error| failed(at.wrong(error)))?),
        None => None,
    };
    let mut limits = Limits::SERVER;
    if let Some(agreements) = &settings.agreements {
        limits.agreements = u32::try_from(agreements.value.0).unwrap_or(u32::MAX);
    }
    let mut builder = Builder::new().listen(udp.value).dht_secret_key(secret).limits(limits);
    builder = builder.lan_discovery(settings.lan_discovery.as_ref().is_some_and(|given| given.value));
    if let Some(workers) = &settings.workers {
        builder = builder.workers(workers.value.0);
    }
    if let Some(clients) = &settings.tcp_clients {
        builder = builder.relay_limits(RelayLimits::for_clients(clients.value.0));
    }
    if let Some(motd) = motd {
        let first = Values { started, uptime: Duration::ZERO, tcp_packets: [0; 2], udp_packets: [0; 2] };
        builder = builder.info(INFO_VERSION, motd.render(&first));
    }
    let builder = settings.tcp.iter().fold(builder, |builder, at| builder.relay(at.value));
    let (tox, events) = builder.start().map_err(|error| match &error {
        StartError::Bind(bind) => match settings.tcp.iter().find(|given| bind.is_tcp(given.value)) {
            Some(given) => failed(given.wrong(error)),
            None => failed(udp.wrong(error)),
        },
        StartError::Proxy(_)
        | StartError::RelayWithoutUdp
        | StartError::Load(_)
        | StartError::Build(_)
        | StartError::Random(_)
        | StartError::Thread(_) => error.into(),
    })?;
    drop(events);
    if let Listen::Dual(Ports::Fixed(_)) = udp.value
        && tox.local().ip().is_ipv4()
    {
        warn(&[udp.wrong("this host has no IPv6, so IPv4 alone is served")]);
    }
    let write =
        |given: &Given<PathBuf>| service::PidFile::write(&given.value).map_err(|error| failed(given.wrong(error)));
    let pid_file = settings.pid_file.as_ref().map(write).transpose()?;
    Ok((tox, listener, pid_file))
}

/// The message of the day; none where bootstrap info is turned off.
fn template(settings: &Settings) -> Result<Option<Template>, Failure> {
    match &settings.motd {
        None => Template::parse(MOTD).map(Some).map_err(failed),
        Some(given) => given.value.as_deref().map(Template::parse).transpose().map_err(|why| failed(given.wrong(why))),
    }
}

async fn renew_motd(tox: Tox, motd: Template, started: SystemTime, start: Instant) {
    while let Ok(vitals) = tox.vitals().await {
        let text = motd.render(&Values::of(&vitals, tox.relay_report().as_ref(), started, start.elapsed()));
        if tox.set_motd(text).await.is_err() {
            break;
        }
        Timer::after(MOTD_EVERY).await;
    }
}

/// Enters the network through a node, as soon as its host can be found: at boot there may be no resolver yet.
async fn enter(tox: Tox, node: Given<bluering::BootstrapNode>, place: usize) {
    Timer::after(BOOTSTRAP_PAUSE * u32::try_from(place).unwrap_or(u32::MAX)).await;
    let mut pause = RESOLVE_FIRST;
    loop {
        match tox.bootstrap(&node.value.host, node.value.port, node.value.key).await {
            // A node has no proxy.
            Ok(()) | Err(BootstrapError::Stopped | BootstrapError::NamePastProxy(_)) => break,
            Err(error @ BootstrapError::Resolve(_)) => {
                warn(&[node.wrong(format_args!("{error}; asking again in {} s", pause.as_secs()))]);
            }
        }
        Timer::after(pause).await;
        pause = (pause * 2).min(RESOLVE_LAST);
    }
}

async fn show_metrics(tox: Tox, listener: TcpListener, started: SystemTime) {
    let about = metrics::About { key: tox.dht_key().to_string(), started };
    let page = || {
        let (tox, about) = (tox.clone(), about.clone());
        async move {
            let vitals = tox.vitals().await.ok()?;
            Some(metrics::page(&about, &vitals, tox.relay_report().as_ref()))
        }
    };
    http::serve(listener, page).await;
}

async fn stop(tox: &Tox) -> Result<(), Failure> {
    let over = async { Ok(tox.shutdown().await?) };
    let too_long = async {
        Timer::after(FAREWELL).await;
        Err(failed("the node did not end in time".to_string()))
    };
    over.or(too_long).await
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("bluering: warning: {warning}");
    }
}

fn failed(message: String) -> Failure {
    Failure { code: 1, message }
}
