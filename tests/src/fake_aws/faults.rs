//! What goes wrong, on demand: outages, throttling, lost answers, missing permissions, data that a service will not have.

use std::time::Duration;

use super::protocol::{Refusal, Service};

/// One thing that goes wrong. Of several, the first that applies to a request counts.
#[derive(Debug, Clone)]
pub struct Fault {
    /// As the service calls it, `PutLogEvents`; `*` for all.
    pub operation: &'static str,
    /// To which of the requests it happens.
    pub times: Times,
    /// What happens.
    pub kind: Kind,
}

impl Fault {
    /// A fault of every request of one operation, or of all with `*`, until faults are cleared.
    pub fn always(operation: &'static str, kind: Kind) -> Self {
        Fault { operation, times: Times::Forever, kind }
    }

    /// A fault of the next so many requests.
    pub fn next(operation: &'static str, count: u64, kind: Kind) -> Self {
        Fault { operation, times: Times::Count(count), kind }
    }
}

/// To which of the requests that it concerns a fault happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Times {
    /// The next so many.
    Count(u64),
    /// That one alone, from 1 on.
    Only(u64),
    /// All.
    Forever,
    /// Each second, third, ...: the 2nd, 4th, 6th with `EveryNth(2)`.
    EveryNth(u64),
    /// This share of them, drawn by this seed: the same requests each time.
    Share(f64, u64),
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Refused with this error. The code is CloudWatch's query error code, or the type of Logs.
    Error {
        /// HTTP status.
        status: u16,
        /// `InternalServiceError`, `ServiceUnavailableException`.
        code: String,
        /// What a person would read.
        message: String,
    },
    /// Refused for its rate.
    Throttle(Throttle),
    /// Applied, and answered after this long.
    Delay(Duration),
    /// Read, and never answered, until the client or the server gives up. Not applied.
    Hang,
    /// The connection is reset, the request not applied.
    Reset,
    /// Applied, but the connection is reset instead of an answer: the client cannot know.
    ResetAfterApplying,
    /// Applied, but the answer ends in the middle of its body.
    Truncate,
    /// Not applied, and answered 200 with a web page, as by a captive portal.
    Garbage,
    /// Refused for want of permission, in the service's words.
    Deny,
    /// Refused if it contains what the service will not have, whatever else it contains.
    Poison(Poison),
}

/// What makes a request unacceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poison {
    /// A datum of this metric.
    Metric(String),
    /// An event whose message contains this text.
    Text(String),
}

/// The names under which AWS services refuse a request for its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// `ThrottlingException`, 400.
    ThrottlingException,
    /// `Throttling`, 400.
    Throttling,
    /// `RequestLimitExceeded`, 503.
    RequestLimitExceeded,
    /// `TooManyRequestsException`, 429.
    TooManyRequests,
    /// `ServiceUnavailable` of CloudWatch and `ServiceUnavailableException` of Logs, 503.
    ServiceUnavailable,
}

impl Throttle {
    /// Each of them.
    pub const ALL: [Throttle; 5] = [
        Throttle::ThrottlingException,
        Throttle::Throttling,
        Throttle::RequestLimitExceeded,
        Throttle::TooManyRequests,
        Throttle::ServiceUnavailable,
    ];

    /// The spelling of each service: CloudWatch's in the list of errors common to its actions, that of Logs in its model.
    pub(super) fn usual(service: Service) -> Self {
        match service {
            Service::Metrics => Throttle::Throttling,
            Service::Logs => Throttle::ThrottlingException,
        }
    }

    pub(super) fn refusal(self, service: Service) -> Refusal {
        let (status, code) = match (self, service) {
            (Throttle::ThrottlingException, _) => (400, "ThrottlingException"),
            (Throttle::Throttling, _) => (400, "Throttling"),
            (Throttle::RequestLimitExceeded, _) => (503, "RequestLimitExceeded"),
            (Throttle::TooManyRequests, _) => (429, "TooManyRequestsException"),
            (Throttle::ServiceUnavailable, Service::Metrics) => (503, "ServiceUnavailable"),
            (Throttle::ServiceUnavailable, Service::Logs) => (503, "ServiceUnavailableException"),
        };
        Refusal::new(status, code, "Rate exceeded")
    }
}

/// The faults in force, and how far each has come.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Armed>);

#[derive(Debug)]
struct Armed {
    fault: Fault,
    seen: u64,
    random: u64,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        let random = if let Times::Share(_, seed) = fault.times { seed } else { 0 };
        self.0.push(Armed { fault, seen: 0, random });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What happens to the next request of this operation; `poisoned` tells whether it has what a poison names.
    pub(super) fn strike(&mut self, operation: &str, poisoned: impl Fn(&Poison) -> bool) -> Option<Kind> {
        self.0.iter_mut().find_map(|armed| {
            let concerned = ["*", operation].contains(&armed.fault.operation)
                && if let Kind::Poison(poison) = &armed.fault.kind { poisoned(poison) } else { true };
            (concerned && armed.strikes()).then(|| armed.fault.kind.clone())
        })
    }
}

impl Armed {
    fn strikes(&mut self) -> bool {
        self.seen += 1;
        match self.fault.times {
            Times::Forever => true,
            Times::Count(count) => self.seen <= count,
            Times::Only(number) => self.seen == number,
            Times::EveryNth(n) => self.seen.is_multiple_of(n),
            Times::Share(share, _) => self.draw() < share,
        }
    }

    /// A number from 0 to 1 (`SplitMix64`).
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0);
        f64::from(top) / f64::from(u32::MAX)
    }
}
