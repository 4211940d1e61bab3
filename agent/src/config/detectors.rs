//! What detectors call unusual: `detectors.*`, and a section for each of them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Origin;
use super::check::{Checking, Wrong, each};
use crate::model::settings::{
    DetectorSettings, FlashCrowdSettings, PortScanSettings, StraySegmentsSettings, SynFloodSettings,
};

/// Events per second beyond which a threshold is a slip of the pen: no interface carries as many packets.
const MOST: f64 = 100_000_000.0;

impl Checking<'_> {
    pub(super) fn detectors(&mut self) -> DetectorSettings {
        let settings = DetectorSettings {
            ignore_sources: self.read("detectors.ignore_sources", |value| {
                each(value, "write a list of networks: [\"10.0.0.0/8\", \"192.0.2.7\"]", network)
            }),
            ignore_ports: self.read("detectors.ignore_ports", |value| {
                each(value, "write a list of ports: [25, 8443]", port)
            }),
            syn_flood: SynFloodSettings {
                tolerance: self.number("syn_flood.tolerance", 0.1..=MOST),
                sum: self.number("syn_flood.sum", 1.0..=MOST),
                ratio: self.number("syn_flood.ratio", 0.0..=1.0),
                least_ratio: self.number("syn_flood.least_ratio", 0.0..=1.0),
                quiet_seconds: self.seconds("syn_flood.quiet", 5..=3600),
            },
            flash_crowd: FlashCrowdSettings {
                least: self.number("flash_crowd.least", 1.0..=MOST),
                times_usual: self.number("flash_crowd.times_usual", 1.1..=1000.0),
            },
            port_scan: PortScanSettings {
                ports: self.number("port_scan.ports", 2..=1000),
                window_seconds: self.seconds("port_scan.window", 5..=600),
            },
            stray_segments: StraySegmentsSettings { least: self.number("stray_segments.least", 1.0..=MOST) },
            logins: self.logins(),
        };
        let flood = settings.syn_flood;
        self.compare("syn_flood.least_ratio", "syn_flood.ratio", flood.least_ratio <= flood.ratio, "above");
        self.compare("syn_flood.sum", "syn_flood.tolerance", flood.sum > flood.tolerance, "not above");
        settings
    }

    /// Notes two values that contradict each other, at the one that somebody wrote.
    fn compare(&mut self, key: &str, other: &str, agree: bool, how: &str) {
        let is_wrong = |key: &str| self.mistakes.iter().any(|mistake| mistake.key.as_deref() == Some(key));
        if agree || is_wrong(key) || is_wrong(other) {
            return;
        }
        let strongest = |key: &str| self.written.0.get(key).and_then(|settings| settings.last());
        let (Some(one), Some(two)) = (strongest(key), strongest(other)) else { return };
        let (at, origin) =
            if one.origin == Origin::Default { (other, &two.origin) } else { (key, &one.origin) };
        let problem =
            format!("{key} = {} is {how} {other} = {}", super::toml(&one.value), super::toml(&two.value));
        let (origin, cure) = (origin.clone(), format!("change {key} or {other}"));
        self.note(at, origin, (problem, cure));
    }
}

/// A network, or an address, which is a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let network =
        text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
            let cure = "write an address, or a network with the length of its prefix: 10.0.0.0/8";
            (format!("{text:?} is no network"), cure.to_owned())
        })?;
    if network.prefix_len() == 0 {
        let cure = "name those that you trust";
        return Err((format!("{text:?} is everybody"), cure.into()));
    }
    if matches!(network, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some()) {
        return Err((format!("{text:?} is an IPv4 address within IPv6"), "write it as IPv4".into()));
    }
    if network.addr() != network.network() {
        let cure = format!("write {} for the network, {} for the address", network.trunc(), network.addr());
        return Err((format!("{text:?} has bits behind its prefix"), cure));
    }
    Ok(network)
}

fn port(text: &str) -> Result<u16, Wrong> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| (format!("{text:?} is no port"), "write a number from 1 to 65535".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_with as load;

    #[test]
    fn the_default_file_says_what_the_model_does() {
        let config = load(&[]).unwrap();
        assert_eq!(config.settings.detectors, DetectorSettings::default());
        assert!(config.sources.capture);
    }

    #[test]
    fn every_key_has_its_place() {
        let config = load(&[
            ("detectors.ignore_sources", "10.0.0.0/8, 192.0.2.7, 2001:db8::/32, ::1"),
            ("detectors.ignore_ports", "[25, \"8443\"]"),
            ("syn_flood.capture", "false"),
            ("syn_flood.tolerance", "3"),
            ("syn_flood.sum", "40.5"),
            ("syn_flood.ratio", "0.6"),
            ("syn_flood.least_ratio", "0.1"),
            ("syn_flood.quiet", "2m"),
            ("flash_crowd.least", "1e3"),
            ("flash_crowd.times_usual", "4"),
            ("port_scan.ports", "30"),
            ("port_scan.window", "90s"),
            ("stray_segments.least", "70"),
        ])
        .unwrap();
        assert!(!config.sources.capture);
        let network = |text: &str| text.parse::<IpNet>().unwrap();
        let expected = DetectorSettings {
            ignore_sources: ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128"].map(network).to_vec(),
            ignore_ports: vec![25, 8443],
            syn_flood: SynFloodSettings {
                tolerance: 3.0,
                sum: 40.5,
                ratio: 0.6,
                least_ratio: 0.1,
                quiet_seconds: 120,
            },
            flash_crowd: FlashCrowdSettings { least: 1000.0, times_usual: 4.0 },
            port_scan: PortScanSettings { ports: 30, window_seconds: 90 },
            stray_segments: StraySegmentsSettings { least: 70.0 },
            logins: crate::model::settings::LoginSettings::default(),
        };
        assert_eq!(config.settings.detectors, expected);
    }

    #[test]
    fn what_is_out_of_range_or_no_number_is_one_mistake() {
        for (key, value, told) in [
            ("syn_flood.tolerance", "NaN", "is out of range; write a number from 0.1 to 100000000"),
            ("syn_flood.tolerance", "0", "is out of range"),
            ("syn_flood.sum", "inf", "is out of range"),
            ("syn_flood.sum", "-20", "is out of range"),
            ("syn_flood.ratio", "50%", "is no such number; write a number from 0 to 1"),
            ("syn_flood.quiet", "4s", "is out of range; write whole seconds from 5s to 1h"),
            ("syn_flood.quiet", "30", "has no unit"),
            ("syn_flood.capture", "perhaps", "is neither true nor false"),
            ("flash_crowd.least", "0", "is out of range"),
            ("flash_crowd.times_usual", "1", "is out of range; write a number from 1.1 to 1000"),
            ("port_scan.ports", "1", "is out of range; write a number from 2 to 1000"),
            ("port_scan.ports", "2.5", "is no such number"),
            ("port_scan.window", "11m", "is out of range; write whole seconds from 5s to 10m"),
            ("stray_segments.least", "many", "is no such number"),
            ("detectors.ignore_ports", "0", "\"0\" is no port; write a number from 1 to 65535"),
            ("detectors.ignore_ports", "22, 65536", "\"65536\" is no port"),
            ("detectors.ignore_sources", "web-1", "\"web-1\" is no network"),
            ("detectors.ignore_sources", "10.0.0.0/33", "is no network"),
            ("detectors.ignore_sources", "0.0.0.0/0", "is everybody"),
            ("detectors.ignore_sources", "::/0", "is everybody"),
            ("detectors.ignore_sources", "::ffff:10.0.0.0/104", "write it as IPv4"),
            ("detectors.ignore_sources", "10.1.2.3/8", "write 10.0.0.0/8 for the network, 10.1.2.3 for the"),
        ] {
            let mistakes = load(&[(key, value)]).unwrap_err();
            assert!(mistakes.contains("has 1 mistake:"), "{key} = {value}: {mistakes}");
            assert!(mistakes.contains(key) && mistakes.contains(told), "{key} = {value}: {mistakes}");
        }
    }

    #[test]
    fn values_that_contradict_each_other_are_told_where_they_were_written() {
        for (sets, told) in [
            (
                &[("syn_flood.ratio", "0.01")][..],
                "command line: syn_flood.ratio: syn_flood.least_ratio = 0.05 is above syn_flood.ratio = \"0.01\"; \
                 change syn_flood.least_ratio or syn_flood.ratio",
            ),
            (&[("syn_flood.least_ratio", "0.9")], "command line: syn_flood.least_ratio: "),
            (
                &[("syn_flood.tolerance", "20")],
                "command line: syn_flood.tolerance: syn_flood.sum = 20 is not above",
            ),
            (&[("syn_flood.sum", "5"), ("syn_flood.tolerance", "6")], "command line: syn_flood.sum: "),
        ] {
            let mistakes = load(sets).unwrap_err();
            assert!(mistakes.contains("has 1 mistake:") && mistakes.contains(told), "{sets:?}: {mistakes}");
        }
        assert!(load(&[("syn_flood.ratio", "0.3"), ("syn_flood.least_ratio", "0.3")]).is_ok());
        // One mistake each, not a third for what they would contradict.
        let mistakes = load(&[("syn_flood.ratio", "x"), ("syn_flood.sum", "0")]).unwrap_err();
        assert!(mistakes.contains("has 2 mistakes:"), "{mistakes}");
    }
}
