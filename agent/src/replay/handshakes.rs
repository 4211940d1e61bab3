//! Handshakes rebuilt from segments. Pure, and bounded: whatever a capture holds, no table here grows past its constant.
//!
//! Half-open handshakes are kept for [`LIFE_MS`], as the kernel keeps them with its default of five repeats. Where they are
//! more than [`MAX_HALF_OPEN`] the oldest makes room: it counts as unanswered if it has not been counted yet, and is forgotten.
//! Connections are kept until [`MAX_CONNECTIONS`] others were used since. One that is forgotten, or that began before the
//! capture did, is known again by the first segment that this host sends; until then its peer's segments are told from strays
//! only by this host's answer to them, a RST or none.
//!
//! Nothing here goes through a hash map in its own order, so the same segments always give the same counts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;

use super::local_side::Local;
use super::segments::Segment;
use crate::model::snapshot::Listener;
use crate::model::syns::{Handshakes, SynKind};

/// Half-open handshakes that are kept: more than most hosts' SYN queues hold.
const MAX_HALF_OPEN: usize = 65_536;
/// Connections that are known.
const MAX_CONNECTIONS: usize = 65_536;
/// Segments of unknown connections that wait for this host's answer, which comes within milliseconds.
const MAX_UNCLEAR: usize = 4096;
/// Listeners that are told of; a snapshot has few.
const MAX_LISTENERS: usize = 1024;
/// How long the kernel keeps a handshake: the first SYN-ACK and five repeats, 1 + 2 + 4 + 8 + 16 + 32 s.
const LIFE_MS: u64 = 63_000;
/// The same segment again within this time was captured twice (several interfaces, a bridge); nobody repeats so soon.
const TWICE_MS: u64 = 50;
/// How far the segment that completes a handshake may be beyond the expected one, which the capture may have missed.
const MISSED: u32 = 1 << 20;

/// A connection's ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ends {
    remote: (IpAddr, u16),
    local: (IpAddr, u16),
}

/// A handshake that is not completed.
#[derive(Debug)]
struct HalfOpen {
    /// Tells it from others with the same ends.
    number: u64,
    /// The client's sequence number.
    sequence: u32,
    /// When its SYN was last seen.
    syn_ms: u64,
    /// This host's sequence number, once it has answered.
    answer: Option<u32>,
    counted: bool,
}

/// A connection that is known.
#[derive(Debug)]
struct Connection {
    kind: Kind,
    /// Of the client's SYN, where it was seen.
    sequence: Option<u32>,
    /// When the handshake, or a repetition of it, was last seen.
    seen_ms: u64,
    used: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Begun by a client and completed.
    Accepted,
    /// Begun by this host.
    Ours,
    /// Found in use.
    Found,
    /// Begun by a client and refused, or reset before it was completed.
    Ended,
}

/// A segment for no known connection that waits for this host's word on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unclear {
    /// A SYN-ACK, which has been counted.
    Answer,
    Other,
}

/// One local address and port that SYNs came for, and whether anybody listens there: it was seen to answer, or handshakes
/// to be completed.
#[derive(Debug, Default)]
struct Door {
    half_open: u32,
    answers: bool,
}

/// What became of each handshake.
#[derive(Debug, Default)]
pub(super) struct Table {
    counts: Handshakes,
    numbers: u64,
    half_open: HashMap<Ends, HalfOpen>,
    /// Those that may still be answered in time, and those that have grown old: ends and number, in order of age. Some may be
    /// half-open no more.
    young: VecDeque<(Ends, u64, u64)>,
    old: VecDeque<(Ends, u64, u64)>,
    connections: HashMap<Ends, Connection>,
    /// The same in the order in which they make room.
    order: VecDeque<Ends>,
    unclear: HashMap<Ends, Unclear>,
    unclear_order: VecDeque<Ends>,
    /// Whether a SYN-ACK of this host was captured.
    has_answers: bool,
    doors: BTreeMap<(IpAddr, u16), Door>,
    answering: usize,
}

impl Table {
    /// Takes in a segment of that time, milliseconds; says what it is if it came with SYN to this host, or passed it.
    pub(super) fn segment(&mut self, segment: &Segment, local: &Local, now: u64) -> Option<SynKind> {
        self.age(now);
        let (source, destination) = (local.has(segment.source), local.has(segment.destination));
        let there = Ends {
            remote: (segment.source, segment.source_port),
            local: (segment.destination, segment.destination_port),
        };
        let back = Ends { remote: there.local, local: there.remote };
        // Within this host the side that sent the SYN is the client: each segment is seen once, and is both.
        let towards = || segment.is_syn() || !segment.is_answer() && self.knows(&there);
        match (source, destination) {
            (false, false) => segment.is_syn().then_some(SynKind::Forwarded),
            (true, true) if towards() => self.received(there, segment, now),
            (true, _) => self.sent(back, segment, now),
            (false, true) => self.received(there, segment, now),
        }
    }

    /// What there was since the last call.
    pub(super) fn second(&mut self, now: u64) -> Handshakes {
        self.age(now);
        self.counts.half_open = self.half_open.len() as u64;
        std::mem::take(&mut self.counts)
    }

    /// Whether handshakes are open that have not had their time.
    pub(super) fn waits(&self) -> bool {
        self.young.iter().any(|(ends, number, _)| self.is_open(ends, *number))
    }

    /// Local addresses and ports that answered a SYN, with their half-open handshakes.
    pub(super) fn listeners(&self) -> Vec<Listener> {
        let answering = self.doors.iter().filter(|(_, door)| door.answers);
        answering
            .map(|((address, port), door)| Listener {
                half_open: Some(door.half_open),
                ..Listener::at(*address, *port)
            })
            .collect()
    }

    fn knows(&self, ends: &Ends) -> bool {
        self.half_open.contains_key(ends) || self.connections.contains_key(ends)
    }

    fn received(&mut self, ends: Ends, segment: &Segment, now: u64) -> Option<SynKind> {
        if segment.is_syn() {
            return self.syn(ends, segment.sequence, now).then_some(SynKind::Syn);
        }
        if segment.is_answer() {
            self.answer_received(ends);
            return Some(SynKind::Answer);
        }
        if segment.is_reset() {
            self.reset_received(ends, now);
        } else if segment.is_acknowledgement() {
            self.acknowledged(ends, segment, now);
        }
        None
    }

    /// A client asks for a connection; false for a SYN that was captured twice.
    fn syn(&mut self, ends: Ends, sequence: u32, now: u64) -> bool {
        let seen = match (self.half_open.get_mut(&ends), self.connections.get_mut(&ends)) {
            (Some(open), _) if open.sequence == sequence => Some(&mut open.syn_ms),
            // After a RST it is asked anew, not again.
            (_, Some(known)) if known.kind == Kind::Ended && is_apart(known.seen_ms, now) => None,
            (_, Some(known)) if known.sequence == Some(sequence) => Some(&mut known.seen_ms),
            _ => None,
        };
        let Some(seen) = seen else {
            self.begin(ends, sequence, now);
            return true;
        };
        let repeated = is_repeated(seen, now);
        // A client that was answered, and one at a port where nobody is, does not wait for a slow program.
        let is_answered = self.half_open.get(&ends).is_some_and(|open| open.answer.is_some());
        self.counts.retried += u64::from(repeated && !is_answered && self.answers_at(&ends));
        repeated
    }

    fn begin(&mut self, ends: Ends, sequence: u32, now: u64) {
        self.connections.remove(&ends);
        self.give_up(&ends);
        if self.half_open.len() >= MAX_HALF_OPEN {
            self.make_room();
        }
        self.numbers += 1;
        self.counts.begun += 1;
        let number = self.numbers;
        let open = HalfOpen { number, sequence, syn_ms: now, answer: None, counted: false };
        self.half_open.insert(ends, open);
        self.doors.entry(ends.local).or_default().half_open += 1;
        if self.young.len() >= MAX_HALF_OPEN {
            self.grow_old();
        }
        self.young.push_back((ends, number, now));
    }

    /// A handshake that nobody will complete.
    fn give_up(&mut self, ends: &Ends) {
        let answers = self.answers_at(ends);
        if self.close(ends).is_some_and(|open| !open.counted) {
            self.count_unanswered(answers);
        }
    }

    /// Whether this host answers at that port.
    fn answers_at(&self, ends: &Ends) -> bool {
        self.doors.get(&ends.local).is_some_and(|door| door.answers)
    }

    fn count_unanswered(&mut self, answers: bool) {
        let count = if answers { &mut self.counts.unanswered } else { &mut self.counts.unheeded };
        *count += 1;
    }

    fn make_room(&mut self) {
        while self.half_open.len() >= MAX_HALF_OPEN {
            let oldest = self.old.pop_front().or_else(|| self.young.pop_front());
            let Some((ends, number, _)) = oldest else { return };
            if self.is_open(&ends, number) {
                self.give_up(&ends);
            }
        }
    }

    fn close(&mut self, ends: &Ends) -> Option<HalfOpen> {
        let open = self.half_open.remove(ends)?;
        if let Some(door) = self.doors.get_mut(&ends.local) {
            door.half_open = door.half_open.saturating_sub(1);
            if door.half_open == 0 && !door.answers {
                self.doors.remove(&ends.local);
            }
        }
        Some(open)
    }

    fn is_open(&self, ends: &Ends, number: u64) -> bool {
        self.half_open.get(ends).is_some_and(|open| open.number == number)
    }

    /// The oldest of the young becomes old: by now it is unanswered.
    fn grow_old(&mut self) {
        let Some((ends, number, begun)) = self.young.pop_front() else { return };
        let answers = self.answers_at(&ends);
        if let Some(open) = self.half_open.get_mut(&ends).filter(|open| open.number == number) {
            open.counted = true;
            self.count_unanswered(answers);
            if self.old.len() >= MAX_HALF_OPEN {
                self.die();
            }
            self.old.push_back((ends, number, begun));
        }
    }

    /// The oldest of the old is forgotten.
    fn die(&mut self) {
        if let Some((ends, number, _)) = self.old.pop_front()
            && self.is_open(&ends, number)
        {
            self.close(&ends);
        }
    }

    fn age(&mut self, now: u64) {
        let older = |queue: &VecDeque<(Ends, u64, u64)>, than: u64| {
            queue.front().is_some_and(|(_, _, begun)| now.saturating_sub(*begun) > than)
        };
        while older(&self.young, Handshakes::PATIENCE_MS) {
            self.grow_old();
        }
        while older(&self.old, LIFE_MS) {
            self.die();
        }
    }

    /// Somebody answers a SYN of this host, or one that was sent in its name.
    fn answer_received(&mut self, ends: Ends) {
        match self.connections.get_mut(&ends) {
            Some(known) if matches!(known.kind, Kind::Ours | Kind::Found) => known.used = true,
            _ => {
                self.counts.stray_answers += 1;
                self.remember_unclear(ends, Unclear::Answer);
            }
        }
    }

    fn reset_received(&mut self, ends: Ends, now: u64) {
        if let Some(open) = self.close(&ends) {
            self.counts.reset += 1;
            self.remember(ends, Kind::Ended, Some(open.sequence), now);
        } else if let Some(known) = self.connections.get_mut(&ends) {
            known.used = true;
        } else {
            self.counts.stray_answers += 1;
        }
    }

    fn acknowledged(&mut self, ends: Ends, segment: &Segment, now: u64) {
        if let Some(open) = self.half_open.get(&ends) {
            if !open.is_completed_by(segment, self.has_answers) {
                return;
            }
            self.answers_now(&ends); // whether that was captured or not
            if let Some(open) = self.close(&ends) {
                self.counts.completed += 1;
                self.counts.late += u64::from(open.counted);
                self.remember(ends, Kind::Accepted, Some(open.sequence), now);
            }
        } else if let Some(known) = self.connections.get_mut(&ends) {
            known.used = true;
        } else {
            self.remember_unclear(ends, Unclear::Other);
        }
    }

    fn sent(&mut self, ends: Ends, segment: &Segment, now: u64) -> Option<SynKind> {
        if segment.is_syn() {
            self.unclear.remove(&ends);
            self.remember(ends, Kind::Ours, None, now);
        } else if segment.is_answer() {
            self.answered(ends, segment.sequence, now);
        } else if segment.is_reset() {
            self.refused(ends, now);
        } else if let Some(known) = self.connections.get_mut(&ends) {
            known.used = true;
        } else if !self.half_open.contains_key(&ends) {
            self.unclear.remove(&ends);
            self.remember(ends, Kind::Found, None, now);
        }
        None
    }

    /// This host sends a SYN-ACK; to a client that acknowledged one before, because the accept queue is full.
    fn answered(&mut self, ends: Ends, sequence: u32, now: u64) {
        if let Some(open) = self.half_open.get_mut(&ends) {
            open.answer = Some(sequence);
            self.has_answers = true;
            self.answers_now(&ends);
        } else if let Some(known) =
            self.connections.get_mut(&ends).filter(|known| known.kind == Kind::Accepted)
        {
            self.counts.retried += u64::from(is_repeated(&mut known.seen_ms, now));
        }
    }

    /// Somebody listens at that port.
    fn answers_now(&mut self, ends: &Ends) {
        let may = self.answering < MAX_LISTENERS;
        if let Some(door) = self.doors.get_mut(&ends.local).filter(|door| !door.answers && may) {
            door.answers = true;
            self.answering += 1;
        }
    }

    /// This host sends a RST.
    fn refused(&mut self, ends: Ends, now: u64) {
        if self.half_open.get(&ends).is_some_and(|open| open.answer.is_none()) {
            if let Some(open) = self.close(&ends) {
                self.counts.refused += 1;
                self.remember(ends, Kind::Ended, Some(open.sequence), now);
            }
        } else if self.unclear.remove(&ends) == Some(Unclear::Other) {
            self.counts.stray_segments += 1;
        }
    }

    /// Keeps a connection; the one that was not used for longest makes room.
    fn remember(&mut self, ends: Ends, kind: Kind, sequence: Option<u32>, now: u64) {
        let connection = Connection { kind, sequence, seen_ms: now, used: false };
        if self.connections.insert(ends, connection).is_some() {
            return;
        }
        self.order.push_back(ends);
        while self.order.len() > MAX_CONNECTIONS {
            let Some(first) = self.order.pop_front() else { return };
            match self.connections.get_mut(&first) {
                Some(known) if known.used => {
                    known.used = false;
                    self.order.push_back(first);
                }
                _ => drop(self.connections.remove(&first)),
            }
        }
    }

    fn remember_unclear(&mut self, ends: Ends, what: Unclear) {
        if self.unclear.insert(ends, what).is_some() {
            return;
        }
        self.unclear_order.push_back(ends);
        if self.unclear_order.len() > MAX_UNCLEAR
            && let Some(first) = self.unclear_order.pop_front()
        {
            self.unclear.remove(&first);
        }
    }
}

impl HalfOpen {
    /// Whether a segment with ACK says that its sender has this host's answer. Where the capture has no answers at all, the
    /// client's own numbers must do; else whoever acknowledges what was not sent yet may have made up his address.
    fn is_completed_by(&self, segment: &Segment, has_answers: bool) -> bool {
        let near = |number: u32, before: u32| number.wrapping_sub(before.wrapping_add(1)) < MISSED;
        let follows = near(segment.sequence, self.sequence);
        match self.answer {
            Some(answer) => follows && near(segment.acknowledgement, answer),
            None => follows && !has_answers,
        }
    }
}

fn is_apart(seen: u64, now: u64) -> bool {
    now.saturating_sub(seen) >= TWICE_MS
}

/// Whether what was last seen then is repeated now, and not only captured twice.
fn is_repeated(seen: &mut u64, now: u64) -> bool {
    let repeated = is_apart(*seen, now);
    if repeated {
        *seen = now;
    }
    repeated
}

#[cfg(test)]
mod tests {
    use pnet::packet::tcp::TcpFlags;

    use super::*;

    const HOST: (IpAddr, u16) = (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5)), 80);

    fn local() -> Local {
        Local::new(vec!["10.0.0.5/32".parse().unwrap()])
    }

    fn client(number: u32) -> (IpAddr, u16) {
        ((0xc612_0000 + (number >> 4)).to_be_bytes().into(), 40_000 + u16::try_from(number & 15).unwrap())
    }

    fn between(
        from: (IpAddr, u16),
        to: (IpAddr, u16),
        flags: u8,
        sequence: u32,
        acknowledgement: u32,
    ) -> Segment {
        Segment {
            source: from.0,
            source_port: from.1,
            destination: to.0,
            destination_port: to.1,
            flags,
            sequence,
            acknowledgement,
            way: None,
        }
    }

    /// Segments written as `MS FROM FLAGS SEQUENCE ACKNOWLEDGEMENT; ...`, from `c`lient or `h`ost, and a last time.
    fn counts(script: &str, until: u64) -> Handshakes {
        let mut table = Table::default();
        for line in script.split(';').map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words.get(at).map_or(0, |word| word.parse().unwrap());
            let flags = words[2].chars().map(|letter| match letter {
                'S' => TcpFlags::SYN,
                'A' => TcpFlags::ACK,
                'R' => TcpFlags::RST,
                'F' => TcpFlags::FIN,
                other => panic!("{other}"),
            });
            let (from, to) = if words[1] == "c" { (client(1), HOST) } else { (HOST, client(1)) };
            let segment = between(from, to, flags.sum(), number(3), number(4));
            table.segment(&segment, &local(), number(0).into());
        }
        table.second(until)
    }

    fn begun() -> Handshakes {
        Handshakes { begun: 1, ..Handshakes::default() }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn what_becomes_of_handshakes() {
        let none = Handshakes::default;
        for (name, script, until, expected) in [
            (
                "completed",
                "0 c S 7; 1 h SA 9 8; 40 c A 8 10; 50 c A 8 10; 60 h A 10 9",
                1000,
                Handshakes { completed: 1, ..begun() },
            ),
            (
                "completed, as numbers wrap",
                "0 c S 4294967295; 1 h SA 4294967295 0; 40 c A 0 0",
                1000,
                Handshakes { completed: 1, ..begun() },
            ),
            (
                "its ACK was missed",
                "0 c S 7; 1 h SA 9 8; 40 c A 500 10",
                1000,
                Handshakes { completed: 1, ..begun() },
            ),
            ("only the client's side", "0 c S 7; 40 c A 8 10", 1000, Handshakes { completed: 1, ..begun() }),
            (
                "an ACK that acknowledges nothing",
                "0 c S 7; 1 h SA 9 8; 40 c A 8 99999999",
                400,
                Handshakes { half_open: 1, ..begun() },
            ),
            ("patience", "0 c S 7; 1 h SA 9 8", 500, Handshakes { half_open: 1, ..begun() }),
            ("unanswered", "0 c S 7; 1 h SA 9 8", 501, Handshakes { unanswered: 1, half_open: 1, ..begun() }),
            ("forgotten", "0 c S 7; 1 h SA 9 8", 63_001, Handshakes { unanswered: 1, ..begun() }),
            (
                "acknowledged before it was answered",
                "0 c S 7; 1 h SA 9 8; 2 c A 8 10; 5000 c S 70; 5001 c A 71 5; 5002 h SA 90 71",
                6000,
                Handshakes { begun: 2, completed: 1, unanswered: 1, half_open: 1, ..none() },
            ),
            (
                "asked again",
                "0 c S 7; 1000 c S 7; 3000 c S 7",
                3000,
                Handshakes { unheeded: 1, half_open: 1, ..begun() },
            ),
            (
                "asked again where others are answered",
                "0 c S 7; 1 h SA 9 8; 2 c A 8 10; 5000 c S 70; 6000 c S 70",
                6000,
                Handshakes { begun: 2, completed: 1, retried: 1, unanswered: 1, half_open: 1, ..none() },
            ),
            (
                "asked again though it was answered",
                "0 c S 7; 1 h SA 9 8; 1000 c S 7",
                1000,
                Handshakes { unanswered: 1, half_open: 1, ..begun() },
            ),
            (
                "captured twice",
                "0 c S 7; 0 c S 7; 1 h SA 9 8; 1 h SA 9 8; 9 c A 8 10; 9 c A 8 10",
                400,
                Handshakes { completed: 1, ..begun() },
            ),
            ("reset", "0 c S 7; 1 h SA 9 8; 20 c R 8; 21 c R 8", 1000, Handshakes { reset: 1, ..begun() }),
            ("refused", "0 c S 7; 1 h RA 0 8", 1000, Handshakes { refused: 1, ..begun() }),
            (
                "refused and asked again",
                "0 c S 7; 1 h RA 0 8; 500 c S 7; 501 h RA 0 8",
                1000,
                Handshakes { begun: 2, refused: 2, ..none() },
            ),
            (
                "a slow program",
                "0 c S 7; 1 h SA 9 8; 2 c A 8 10; 1000 h SA 9 8; 1001 c A 8 10; 3000 h SA 9 8",
                3000,
                Handshakes { completed: 1, retried: 2, ..begun() },
            ),
            (
                "a port used anew",
                "0 c S 7; 1 h SA 9 8; 2 c A 8 10; 5000 c S 70; 5001 h SA 90 71; 5002 c A 71 91",
                6000,
                Handshakes { begun: 2, completed: 2, ..none() },
            ),
            (
                "a port used anew before it was answered",
                "0 c S 7; 100 c S 70",
                200,
                Handshakes { begun: 2, unheeded: 1, half_open: 1, ..none() },
            ),
            ("this host's own", "0 h S 7; 20 c SA 9 8; 21 h A 8 10; 30 c A 10 9; 90 c R 10", 1000, none()),
            ("this host's own, refused", "0 h S 7; 20 c RA 0 8", 1000, none()),
            (
                "somebody else's answer",
                "0 c SA 9 8; 1 h R 8; 1000 c SA 9 8; 1001 h R 8",
                1000,
                Handshakes { stray_answers: 2, ..none() },
            ),
            ("somebody else's reset", "0 c RA 9 8", 1000, Handshakes { stray_answers: 1, ..none() }),
            ("a stray segment", "0 c A 9 8; 1 h R 8", 1000, Handshakes { stray_segments: 1, ..none() }),
            ("a segment that nobody answers", "0 c A 9 8; 1 c A 9 8", 1000, none()),
            (
                "a connection from before the capture",
                "0 c A 9 8; 1 h A 8 10; 2 c A 10 9; 3 h R 8; 4 c R 9",
                1000,
                none(),
            ),
            ("nonsense", "0 c SF 7; 1 c SFA 7 8; 2 c F 7", 1000, none()),
        ] {
            assert_eq!(counts(script, until), expected, "{name}");
        }
    }

    #[test]
    fn late_is_counted_with_completed_and_after_unanswered() {
        let mut table = Table::default();
        table.segment(&between(client(1), HOST, TcpFlags::SYN, 7, 0), &local(), 0);
        assert_eq!(table.second(1000).unheeded, 1);
        assert_eq!(table.second(2000), Handshakes { half_open: 1, ..Handshakes::default() });
        table.segment(&between(client(1), HOST, TcpFlags::ACK, 8, 10), &local(), 2500);
        assert_eq!(table.second(3000), Handshakes { completed: 1, late: 1, ..Handshakes::default() });
    }

    #[test]
    fn memory_is_bounded_and_nobody_goes_uncounted() {
        let (mut table, mut sum) = (Table::default(), Handshakes::default());
        let stray = (HOST.0, 81);
        // Within a fifth of a second, more SYNs and more strays than fit.
        for number in 0..70_000 {
            let now = u64::from(number) * 3 / 1000;
            table.segment(&between(client(number), HOST, TcpFlags::SYN, 7, 0), &local(), now);
            if number < 5000 {
                table.segment(&between(client(number), stray, TcpFlags::ACK, 7, 9), &local(), now);
            }
            if number % 10_000 == 0 {
                let second = table.second(now);
                sum.unheeded += second.unheeded;
                sum.begun += second.begun;
            }
        }
        for length in [table.half_open.len(), table.young.len(), table.old.len()] {
            assert!(length <= MAX_HALF_OPEN, "{length}");
        }
        assert_eq!((table.unclear.len(), table.unclear_order.len()), (MAX_UNCLEAR, MAX_UNCLEAR));
        let last = table.second(100_000);
        assert_eq!((sum.begun + last.begun, sum.unheeded + last.unheeded), (70_000, 70_000));
        assert_eq!(last.half_open, 0);
        assert!(table.doors.is_empty());
    }

    #[test]
    fn a_connection_in_use_outlives_those_that_are_not() {
        let mut table = Table::default();
        let mut see = |from, to, flags| {
            table.segment(&between(from, to, flags, 8, 8), &local(), 0);
        };
        let mine = client(1_000_000);
        for number in 0..70_000 {
            see((HOST.0, 82), client(number), TcpFlags::SYN);
            if number == 0 {
                see(HOST, mine, TcpFlags::SYN);
            }
            see(mine, HOST, TcpFlags::ACK);
        }
        see(mine, HOST, TcpFlags::SYN | TcpFlags::ACK);
        assert_eq!(table.second(0), Handshakes::default(), "still the answer to this host's own SYN");
    }

    #[test]
    fn within_this_host_whoever_sent_the_syn_is_the_client() {
        let (one, other) = (([127, 0, 0, 1].into(), 4000), ([127, 0, 0, 1].into(), 80));
        let mut table = Table::default();
        let (syn, ack) = (TcpFlags::SYN, TcpFlags::ACK);
        for (from, to, flags, sequence, acknowledgement) in [
            (one, other, syn, 7, 0),
            (other, one, syn | ack, 9, 8),
            (one, other, ack, 8, 10),
            (other, one, ack, 10, 9),
            (one, other, ack, 9, 11),
            (one, (one.0, 81), syn, 7, 0),
            ((one.0, 81), one, TcpFlags::RST | ack, 0, 8),
        ] {
            table.segment(&between(from, to, flags, sequence, acknowledgement), &Local::default(), 0);
        }
        let expected = Handshakes { begun: 2, completed: 1, refused: 1, ..Handshakes::default() };
        assert_eq!(table.second(1000), expected);
        let ports: Vec<u16> = table.listeners().iter().map(|listener| listener.port).collect();
        assert_eq!(ports, [80], "81 refused");
    }

    #[test]
    fn what_passes_between_others_is_said_to() {
        let mut table = Table::default();
        let syn = |from, to| between(from, to, TcpFlags::SYN, 7, 0);
        assert_eq!(table.segment(&syn(client(1), client(99)), &local(), 0), Some(SynKind::Forwarded));
        assert_eq!(table.segment(&syn(client(1), HOST), &local(), 0), Some(SynKind::Syn));
        assert_eq!(table.segment(&syn(client(1), HOST), &local(), 0), None, "captured twice");
        assert_eq!(table.segment(&syn(HOST, client(2)), &local(), 0), None, "sent by this host");
        let answer = between(client(2), HOST, TcpFlags::SYN | TcpFlags::ACK, 7, 8);
        assert_eq!(table.segment(&answer, &local(), 0), Some(SynKind::Answer));
        assert_eq!(table.second(0).begun, 1);
    }
}
