//! ENA allowance counters, from the driver's ethtool statistics. No capability needed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use super::{Source, SourceError};
use crate::host::ethtool::{Driver, Ethtool};
use crate::model::snapshot::{EnaAllowances, Interface, Snapshot};

pub(super) struct EnaSource {
    ethtool: Option<Ethtool>,
    /// By interface name and index: its driver and where the allowances stand among its statistics; `None` for an
    /// interface that is not ENA.
    known: HashMap<(String, Option<u32>), Option<Layout>>,
}

struct Layout {
    driver: Driver,
    names: Vec<String>,
}

impl EnaSource {
    pub(super) fn new() -> Self {
        EnaSource { ethtool: None, known: HashMap::new() }
    }
}

impl EnaSource {
    fn allowances(&mut self, ethtool: &Ethtool, interface: &Interface) -> io::Result<Option<EnaAllowances>> {
        let layout = match self.known.entry(key(interface)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(layout(ethtool, &interface.name)?),
        };
        let Some(Layout { driver, names }) = layout else { return Ok(None) };
        Ok(Some(allowances(names, &ethtool.statistics(&interface.name, driver)?)))
    }
}

impl Source for EnaSource {
    fn name(&self) -> &'static str {
        "ena"
    }

    fn read(&mut self, into: &mut Snapshot) -> Result<(), SourceError> {
        let interfaces = into.interfaces.as_deref_mut().unwrap_or_default();
        let ethtool = match self.ethtool.take() {
            Some(ethtool) => ethtool,
            None => Ethtool::open()
                .map_err(|error| SourceError::Failed(format!("no socket for ethtool: {error}")))?,
        };
        self.known.retain(|(name, index), _| interfaces.iter().any(|i| i.name == *name && i.index == *index));
        let mut failed = Vec::new();
        let mut found = false;
        for interface in interfaces {
            match self.allowances(&ethtool, interface) {
                Ok(None) => {}
                Ok(allowances) => {
                    found = true;
                    interface.allowances = allowances;
                }
                Err(error) => {
                    // It may have been given other queues, or be resetting: look again at the next tick.
                    self.known.remove(&key(interface));
                    failed.push(format!("ethtool statistics of {}: {error}", interface.name));
                }
            }
        }
        self.ethtool = Some(ethtool);
        match (failed.is_empty(), found) {
            (false, _) => Err(SourceError::Degraded(failed.join("; "))),
            (true, true) => Ok(()),
            (true, false) => {
                Err(SourceError::Absent("no interface with the ENA driver's allowance counters".into()))
            }
        }
    }
}

/// Where the allowances stand; `None` if the interface has none. What failed may be different at the next look.
fn layout(ethtool: &Ethtool, interface: &str) -> io::Result<Option<Layout>> {
    let driver = match ethtool.driver(interface) {
        // Loopback and tunnels have no driver to ask.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
        driver => driver?,
    };
    if driver.name() != "ena" {
        return Ok(None);
    }
    let names = ethtool.names(interface, &driver)?;
    let has_them = names.iter().any(|name| name.ends_with("_allowance_exceeded"));
    Ok(has_them.then_some(Layout { driver, names }))
}

fn key(interface: &Interface) -> (String, Option<u32>) {
    (interface.name.clone(), interface.index)
}

fn allowances(names: &[String], values: &[u64]) -> EnaAllowances {
    let mut allowances = EnaAllowances::default();
    for (name, value) in names.iter().zip(values) {
        let field = match name.as_str() {
            "bw_in_allowance_exceeded" => &mut allowances.bw_in_exceeded,
            "bw_out_allowance_exceeded" => &mut allowances.bw_out_exceeded,
            "pps_allowance_exceeded" => &mut allowances.pps_exceeded,
            "conntrack_allowance_exceeded" => &mut allowances.conntrack_exceeded,
            "linklocal_allowance_exceeded" => &mut allowances.linklocal_exceeded,
            "conntrack_allowance_available" => &mut allowances.conntrack_available,
            _ => continue,
        };
        *field = Some(*value);
    }
    allowances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowances_by_name_and_what_an_older_driver_lacks_is_absent() {
        let names: Vec<String> =
            ["tx_timeout", "bw_in_allowance_exceeded", "pps_allowance_exceeded"].map(Into::into).into();
        let found = allowances(&names, &[9, 5, 7]);
        let expected =
            EnaAllowances { bw_in_exceeded: Some(5), pps_exceeded: Some(7), ..EnaAllowances::default() };
        assert_eq!(found, expected);
    }
}
