//! Two peers that are friends.

use crate::{Failure, Heard, Kind, Net, Node, Outcome, Peer, TempDir, ensure};
use serde_json::json;
use std::time::{Duration, Instant};

/// For how long [`Pair::talk`] goes on.
pub const TALK: Duration = Duration::from_secs(180);
/// Between two tries of it, for each side.
const TALK_STEP: Duration = Duration::from_millis(25);

/// Two peers, and the numbers that they have for each other.
pub struct Pair {
    /// The one that asked.
    pub a: Peer,
    /// The one that accepted.
    pub b: Peer,
    /// What `a` calls `b`.
    pub b_at_a: u64,
    /// What `b` calls `a`.
    pub a_at_b: u64,
    /// With which arguments each is started.
    args: [Vec<String>; 2],
    _folder: TempDir,
}

impl Pair {
    /// Starts `a` and `b` beside a running node, and waits until both are connected to the network.
    ///
    /// # Errors
    /// When one does not start or does not get connected.
    pub fn online(net: &Net, node: &Node, a: Kind, b: Kind) -> Outcome<Self> {
        Self::online_with(net, node, (a, &[]), (b, &[]))
    }

    /// The same, each started with arguments of its own besides the node and its profile.
    ///
    /// # Errors
    /// When one does not start or does not get connected.
    pub fn online_with(net: &Net, node: &Node, a: (Kind, &[&str]), b: (Kind, &[&str])) -> Outcome<Self> {
        Self::online_apart(node, (net, a.0, a.1), (net, b.0, b.1))
    }

    /// The same in networks of their own.
    ///
    /// # Errors
    /// When one does not start or does not get connected.
    pub fn online_apart(node: &Node, a: (&Net, Kind, &[&str]), b: (&Net, Kind, &[&str])) -> Outcome<Self> {
        let (folder, node) = (TempDir::new()?, node.address());
        let args = [("alice", a.2), ("bob", b.2)].map(|(name, args)| -> Vec<String> {
            let save = folder.file(&format!("{name}.tox"));
            let all = ["--bootstrap", &node, "--save", &save].into_iter().chain(args.iter().copied());
            all.map(String::from).collect()
        });
        let (a, b) = (start(a.0, a.1, "alice", &args[0])?, start(b.0, b.1, "bob", &args[1])?);
        a.online()?;
        b.online()?;
        Ok(Self { a, b, b_at_a: 0, a_at_b: 0, args, _folder: folder })
    }

    /// Two friends of which each was started with arguments of its own.
    ///
    /// # Errors
    /// When they do not start, get connected or become friends.
    pub fn friends_with(net: &Net, node: &Node, a: (Kind, &[&str]), b: (Kind, &[&str])) -> Outcome<Self> {
        let mut pair = Self::online_with(net, node, a, b)?;
        pair.befriend()?;
        Ok(pair)
    }

    /// Two friends in networks of their own, with arguments of their own, who are told of no node.
    ///
    /// # Errors
    /// When they do not start, get connected or become friends.
    pub fn friends_apart(a: (&Net, Kind, &[&str]), b: (&Net, Kind, &[&str])) -> Outcome<Self> {
        let start = |(net, kind, args): (&Net, Kind, &[&str]), name| Peer::start(net, kind, name, args);
        let (a, b) = (start(a, "alice")?, start(b, "bob")?);
        a.online()?;
        b.online()?;
        let mut pair = Self { a, b, b_at_a: 0, a_at_b: 0, args: Default::default(), _folder: TempDir::new()? };
        pair.befriend()?;
        Ok(pair)
    }

    /// As [`Self::online`], and makes them friends.
    ///
    /// # Errors
    /// When they do not become friends.
    pub fn friends(net: &Net, node: &Node, a: Kind, b: Kind) -> Outcome<Self> {
        let mut pair = Self::online(net, node, a, b)?;
        pair.befriend()?;
        Ok(pair)
    }

    /// `a` asks, `b` accepts, both see each other. The moments when `a` asked, when `b` heard of it, and when the later
    /// of the two saw its friend.
    ///
    /// # Errors
    /// When one of these does not happen.
    pub fn befriend(&mut self) -> Outcome<[Instant; 3]> {
        let (a, b) = (&self.a, &self.b);
        let asked = Instant::now();
        let add = json!({"address": b.address(), "message": "let me in, Grüße 🐧"});
        self.b_at_a = a.cmd("add_friend", add)?.number("friend")?;
        let request = b.wait("friend_request", |heard| heard.text("pk") == a.pk())?;
        let message = request.text("message");
        ensure(message == "let me in, Grüße 🐧", || format!("the request says {message:?}"))?;
        self.a_at_b = b.cmd("accept", json!({"pk": a.pk()}))?.number("friend")?;
        Ok([asked, request.at, self.meet(0, 0)?])
    }

    /// Waits until both see each other after these marks; when the later one did.
    ///
    /// # Errors
    /// When they do not.
    pub fn meet(&self, mark_a: usize, mark_b: usize) -> Outcome<Instant> {
        let seen_by_a = self.a.friend_online(mark_a, self.b_at_a);
        let seen_by_b = self.b.friend_online(mark_b, self.a_at_b);
        match (seen_by_a, seen_by_b) {
            (Ok(a), Ok(b)) => Ok(a.at.max(b.at)),
            (Err(why), Ok(_)) => Err(Failure(format!("{why}\n  and {}", self.b.quote("sees its friend")))),
            (Ok(_), Err(why)) => Err(Failure(format!("{why}\n  and {}", self.a.quote("sees its friend")))),
            (Err(a), Err(b)) => Err(Failure(format!("{a}\n  and {b}"))),
        }
    }

    /// The same pair seen from the other side: `a` and `b` exchanged.
    #[must_use]
    pub fn turned(self) -> Self {
        let [a, b] = self.args;
        Self { a: self.b, b: self.a, b_at_a: self.a_at_b, a_at_b: self.b_at_a, args: [b, a], ..self }
    }

    /// Ends `a`, which saves its profile, and starts it again from there.
    ///
    /// # Errors
    /// When it does not end or does not start.
    pub fn restart_a(self, net: &Net) -> Outcome<Self> {
        let kind = self.a.kind();
        self.restart_a_as(net, kind)
    }

    /// Ends `a`, and starts `kind` from its profile.
    ///
    /// # Errors
    /// When it does not end or does not start.
    pub fn restart_a_as(self, net: &Net, kind: Kind) -> Outcome<Self> {
        let name = self.a.name().to_string();
        self.a.save_and_close()?;
        let a = start(net, kind, &name, &self.args[0])?;
        Ok(Self { a, ..self })
    }

    /// Ends both, and starts both again from their profiles.
    ///
    /// # Errors
    /// When one does not end or does not start.
    pub fn restart_both(self, net: &Net) -> Outcome<Self> {
        let (a, b) = ((self.a.kind(), self.a.name().to_string()), (self.b.kind(), self.b.name().to_string()));
        self.a.save_and_close()?;
        self.b.save_and_close()?;
        let a = start(net, a.0, &a.1, &self.args[0])?;
        let b = start(net, b.0, &b.1, &self.args[1])?;
        Ok(Self { a, b, ..self })
    }

    /// `a` sends `text` and `b` gets exactly that; `a` hears that it arrived. `b`'s event.
    ///
    /// # Errors
    /// When it does not arrive, arrives changed, or no receipt comes.
    pub fn say(&self, kind: &str, text: &str) -> Outcome<Heard> {
        let (at_a, at_b) = (self.a.mark(), self.b.mark());
        let send = json!({"friend": self.b_at_a, "text": text, "type": kind});
        let id = self.a.cmd("send_message", send)?.number("message_id")?;
        let heard = self.b.wait_after(at_b, "message", |_| true)?;
        let same = heard.text("text") == text && heard.text("type") == kind && heard.number("friend")? == self.a_at_b;
        ensure(same, || format!("sent {kind} {text:?}, got {}", heard.line))?;
        self.a.wait_after(at_a, "read_receipt", |heard| heard.line["message_id"] == id)?;
        Ok(heard)
    }

    /// What both have said until now, to be given to [`Self::talk`].
    #[must_use]
    pub fn marks(&self) -> [usize; 2] {
        [self.a.mark(), self.b.mark()]
    }

    /// Both say something again and again, as far as their programs let them, until each has heard something after its
    /// mark. How long that took from now on.
    ///
    /// # Errors
    /// When it takes longer than [`TALK`].
    pub fn talk(&self, marks: [usize; 2]) -> Outcome<Duration> {
        let start = Instant::now();
        let mut heard = [None; 2];
        while heard.contains(&None) {
            ensure(start.elapsed() < TALK, || format!("not heard within {TALK:?}: {heard:?}"))?;
            let sides = [(&self.a, self.b_at_a), (&self.b, self.a_at_b)];
            for (peer, friend) in sides {
                // Refused while the friend is offline.
                let _ = peer.cmd("send_message", json!({"friend": friend, "text": "are you there?"}));
            }
            for ((peer, _), (mark, heard)) in sides.into_iter().zip(marks.into_iter().zip(&mut heard)) {
                if heard.is_none() {
                    *heard = peer.wait_since(mark, "message", TALK_STEP, |_| true).ok().map(|message| message.at);
                }
            }
        }
        let last = heard.into_iter().flatten().max();
        Ok(last.map_or(Duration::ZERO, |last| last.saturating_duration_since(start)))
    }
}

fn start(net: &Net, kind: Kind, name: &str, args: &[String]) -> Outcome<Peer> {
    Peer::start(net, kind, name, &args.iter().map(String::as_str).collect::<Vec<_>>())
}
