//! What has to be added to a stamp to make it true.

use crate::model::spool::ClockEra;

/// A clock that was set by less than this is slewed by NTP in daily life.
const WORTH_CORRECTING_MS: i64 = 5_000;

/// Milliseconds, in whole seconds, to add to what was stamped in the era `stamped`, seen from the era `now`.
///
/// Within one boot, what the wall clock was set by since is known exactly, and what it is off now was told by
/// CloudWatch. Of an earlier boot, what was known then is all there is.
pub(super) fn correction_ms(stamped: &ClockEra, now: &ClockEra) -> i64 {
    if stamped.boot != now.boot || stamped.boot.is_empty() {
        return stamped.offset_ms;
    }
    let set_since = now.wall_less_boottime_ms - stamped.wall_less_boottime_ms;
    let correction = set_since + now.offset_ms;
    if correction.abs() < WORTH_CORRECTING_MS { 0 } else { correction / 1000 * 1000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_were_set_since_and_clocks_that_are_off_now() {
        let era = |boot: &str, wall_less_boottime_ms, offset_ms| ClockEra {
            boot: boot.into(),
            wall_less_boottime_ms,
            offset_ms,
        };
        let hour = 3_600_000;
        for (stamped, now, correction) in [
            (era("a", 0, 0), era("a", 900, 0), 0),             // slewed
            (era("a", 0, 0), era("a", 0, hour), hour),         // an hour behind, and still is
            (era("a", 0, 0), era("a", hour, 0), hour),         // was, and has been set
            (era("a", 0, 0), era("a", -hour, 2 * hour), hour), // was, and was set the wrong way
            (era("a", hour, 0), era("a", 0, 0), -hour),        // was ahead
            (era("a", 0, hour), era("b", 77 * hour, 0), hour), // of an earlier boot: as was known then
            (era("", 0, 0), era("", hour, hour), 0),           // of unknown boots
        ] {
            assert_eq!(correction_ms(&stamped, &now), correction, "{stamped:?} {now:?}");
        }
    }
}
