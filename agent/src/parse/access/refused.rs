//! Requests that were refused, and when they are attempts to log in.
//!
//! A user who comes with a name and is answered 401 has failed to log in. Without a name a 401 may be no more than a browser
//! asking what is wanted, and a 403 a page that is not for everybody: only a burst of them from one address counts, and then
//! each of it.

use std::collections::HashMap;
use std::net::IpAddr;

/// So many refusals without a name are a burst ...
const BURST: u32 = 20;
/// ... within so many seconds.
const WINDOW: i64 = 60;
/// Addresses that are followed at once; those that were seen longest ago make room.
const MOST: usize = 4096;

/// Refusals of late, by address.
#[derive(Debug, Default)]
pub(super) struct Refused(HashMap<IpAddr, Window>);

#[derive(Debug)]
struct Window {
    began: i64,
    last: i64,
    count: u32,
}

impl Refused {
    /// Takes in a refusal without a name; gives the attempts that it makes: none before there is a burst, then all of it at once,
    /// then one.
    pub(super) fn attempts(&mut self, source: IpAddr, second: i64) -> u32 {
        if self.0.len() >= MOST && !self.0.contains_key(&source) {
            self.make_room(second);
        }
        let window = self.0.entry(source).or_insert(Window { began: second, last: second, count: 0 });
        // A burst that goes on stays one; a clock that was set back begins anew.
        let is_over = if window.count >= BURST { window.last } else { window.began };
        if !(0..WINDOW).contains(&(second - is_over)) {
            *window = Window { began: second, last: second, count: 0 };
        }
        window.last = second;
        window.count = window.count.saturating_add(1);
        match window.count {
            count if count < BURST => 0,
            BURST => BURST,
            _ => 1,
        }
    }

    fn make_room(&mut self, second: i64) {
        self.0.retain(|_, window| (0..WINDOW).contains(&(second - window.last)));
        if self.0.len() >= MOST {
            // Half of them: a sort for each address would be what an attacker wants.
            let mut last: Vec<i64> = self.0.values().map(|window| window.last).collect();
            let middle = last.len() / 2;
            let (_, &mut median, _) = last.select_nth_unstable(middle);
            self.0.retain(|_, window| window.last > median || window.count >= BURST);
            if self.0.len() >= MOST {
                self.0.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0xc612_0000 + number).into()
    }

    #[test]
    fn a_burst_counts_whole_and_less_not_at_all() {
        let mut refused = Refused::default();
        let attempts: Vec<u32> = (0..25).map(|second| refused.attempts(address(1), second)).collect();
        assert_eq!(attempts[..19], [0; 19]);
        assert_eq!(attempts[19..], [20, 1, 1, 1, 1, 1]);
        // It goes on after a pause that is shorter than the window, and is over after a longer one.
        assert_eq!(refused.attempts(address(1), 80), 1);
        assert_eq!(refused.attempts(address(1), 140), 0);
        // One each four seconds never is a burst.
        assert!((0..100).all(|number| refused.attempts(address(2), number * 4) == 0));
        assert_eq!(refused.attempts(address(2), -1000), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut refused = Refused::default();
        for number in 0..20_000 {
            refused.attempts(address(number), i64::from(number / 10_000));
            assert!(refused.0.len() <= MOST);
        }
    }
}
