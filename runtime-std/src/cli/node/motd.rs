//! The message of the day: a text with tox-node's variables in double braces, filled in now and then.

use bluering::{MOTD_LEN_MAX, RelayReport, Vitals};
use std::time::{Duration, SystemTime};

/// A message, cut into what stays and what is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    StartDate,
    Uptime,
    TcpPacketsIn,
    TcpPacketsOut,
    UdpPacketsIn,
    UdpPacketsOut,
}

/// Their names, as tox-node has them.
const VARIABLES: [(&str, Variable); 6] = [
    ("start_date", Variable::StartDate),
    ("uptime", Variable::Uptime),
    ("tcp_packets_in", Variable::TcpPacketsIn),
    ("tcp_packets_out", Variable::TcpPacketsOut),
    ("udp_packets_in", Variable::UdpPacketsIn),
    ("udp_packets_out", Variable::UdpPacketsOut),
];

/// What is filled in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    pub(super) started: SystemTime,
    pub(super) uptime: Duration,
    /// In and out.
    pub(super) tcp_packets: [u64; 2],
    /// In and out.
    pub(super) udp_packets: [u64; 2],
}

impl Values {
    /// Those of a node that was started then; without a relay there are no TCP packets.
    pub(super) fn of(vitals: &Vitals, relay: Option<&RelayReport>, started: SystemTime, uptime: Duration) -> Self {
        let stats = &vitals.stats;
        let tcp_packets = relay.map_or([0; 2], |relay| [relay.stats.frames_in, relay.stats.frames_out]);
        Self { started, uptime, tcp_packets, udp_packets: [stats.datagrams_in, stats.datagrams_out] }
    }
}

impl Template {
    /// Reads a message; says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or("'{{' without '}}'")?;
            let known = VARIABLES.iter().find(|(known, _)| *known == name.trim());
            let (_, variable) = known.ok_or_else(|| {
                let names: Vec<_> = VARIABLES.iter().map(|(name, _)| format!("{{{{{name}}}}}")).collect();
                format!("there is no {{{{{name}}}}}, only {}", names.join(" "))
            })?;
            pieces.extend([Piece::Text(before.to_string()), Piece::Variable(*variable)]);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_string()));
        Ok(Self(pieces))
    }

    /// Nothing in it changes.
    pub(super) fn is_fixed(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// The message as of now: cut between characters where it is too long, and, like tox-bootstrapd's, with a zero
    /// byte at its end where there is room for it.
    pub(super) fn render(&self, values: &Values) -> Vec<u8> {
        let text: String = self.0.iter().map(|piece| piece.filled(values)).collect();
        let mut bytes = text.as_bytes()[..text.floor_char_boundary(MOTD_LEN_MAX)].to_vec();
        if bytes.len() < MOTD_LEN_MAX {
            bytes.push(0);
        }
        bytes
    }
}

impl Piece {
    fn filled(&self, values: &Values) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Variable(Variable::StartDate) => humantime::format_rfc3339_seconds(values.started).to_string(),
            Self::Variable(Variable::Uptime) => {
                humantime::format_duration(Duration::from_secs(values.uptime.as_secs())).to_string()
            }
            Self::Variable(Variable::TcpPacketsIn) => values.tcp_packets[0].to_string(),
            Self::Variable(Variable::TcpPacketsOut) => values.tcp_packets[1].to_string(),
            Self::Variable(Variable::UdpPacketsIn) => values.udp_packets[0].to_string(),
            Self::Variable(Variable::UdpPacketsOut) => values.udp_packets[1].to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    const VALUES: Values = Values {
        started: SystemTime::UNIX_EPOCH,
        uptime: Duration::from_millis(90_061_500),
        tcp_packets: [1, 2],
        udp_packets: [3, 4],
    };

    #[test]
    fn variables_are_filled_in() {
        let text = "since {{start_date}}, {{ uptime }}: {{tcp_packets_in}}/{{tcp_packets_out}} \
                    {{udp_packets_in}}/{{udp_packets_out}}";
        let template = Template::parse(text).expect("a template");
        assert!(!template.is_fixed());
        assert_eq!(template.render(&VALUES), b"since 1970-01-01T00:00:00Z, 1day 1h 1m 1s: 1/2 3/4\0");
        assert!(Template::parse("{ plain }").expect("a text").is_fixed());
    }

    #[test]
    fn wrong_variables_are_named() {
        let error = Template::parse("x {{frob}}").expect_err("unknown");
        assert!(error.contains("{{frob}}") && error.contains("{{uptime}}"), "{error}");
        assert_eq!(Template::parse("x {{uptime").expect_err("open"), "'{{' without '}}'");
    }

    quickcheck! {
        fn what_is_rendered_fits(text: String, times: u8) -> bool {
            let text = text.repeat(usize::from(times)) + "{{uptime}}";
            Template::parse(&text).map_or(true, |template| {
                let bytes = template.render(&VALUES);
                bytes.len() <= MOTD_LEN_MAX && String::from_utf8(bytes).is_ok()
            })
        }

        fn a_text_without_braces_stays(text: String) -> bool {
            let text: String = text.chars().filter(|c| *c != '{').take(60).collect();
            Template::parse(&text).is_ok_and(|template| template.render(&VALUES) == [text.as_bytes(), b"\0"].concat())
        }
    }
}
