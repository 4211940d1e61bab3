//! The kernel's two layouts of names with values, for the files that procfs has no types for.

/// Reads the paired lines of `/proc/net/netstat` and `snmp`: `Group: name name ...` above `Group: value value ...`.
/// Returns how many lines and values were damaged; they are passed over.
pub fn paired_lines(text: &str, mut found: impl FnMut(&str, &str, u64)) -> usize {
    let mut damaged = 0;
    let mut above: Option<(&str, &str)> = None;
    for line in text.lines() {
        let Some((group, words)) = line.split_once(':') else {
            damaged += 1;
            continue;
        };
        match above.take() {
            Some((same, names)) if same == group => {
                let (mut names, mut values) =
                    (names.split_ascii_whitespace(), words.split_ascii_whitespace());
                for (name, value) in names.by_ref().zip(values.by_ref()) {
                    damaged += usize::from(!number(value, |value| found(group, name, value)));
                }
                damaged += names.count() + values.count();
            }
            // A lone line: this one may be the names of the next.
            Some(_) => {
                damaged += 1;
                above = Some((group, words));
            }
            None => above = Some((group, words)),
        }
    }
    damaged + usize::from(above.is_some())
}

/// Reads the lines of `/proc/net/sockstat` and `sockstat6`: `Group: name value name value ...`. Returns how many
/// lines and values were damaged.
pub fn inline_pairs(text: &str, mut found: impl FnMut(&str, &str, u64)) -> usize {
    let mut damaged = 0;
    for line in text.lines() {
        let Some((group, rest)) = line.split_once(':') else {
            damaged += 1;
            continue;
        };
        let mut words = rest.split_ascii_whitespace();
        while let Some(name) = words.next() {
            let good = words.next().is_some_and(|value| number(value, |value| found(group, name, value)));
            damaged += usize::from(!good);
        }
    }
    damaged
}

/// Reads the lines of `/proc/net/snmp6`: `GroupName value`, of which those that begin with `group`. Returns how many
/// of those were damaged.
pub fn prefixed_lines(text: &str, group: &str, mut found: impl FnMut(&str, u64)) -> usize {
    let mut damaged = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if let Some(name) = words.next().and_then(|name| name.strip_prefix(group)) {
            let good = words.next().is_some_and(|value| number(value, |value| found(name, value)));
            damaged += usize::from(!good);
        }
    }
    damaged
}

/// Gives a value that fits; false for what is no number. A negative one (`MaxConn -1`) is a number, but no counter.
fn number(text: &str, found: impl FnOnce(u64)) -> bool {
    match text.parse() {
        Ok(value) => found(value),
        Err(_) => return text.parse::<i64>().is_ok(),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What was found, and how much was damaged.
    type Found = (Vec<(String, String, u64)>, usize);

    fn collect(read: impl Fn(&mut dyn FnMut(&str, &str, u64)) -> usize) -> Found {
        let mut all = Vec::new();
        let damaged = read(&mut |group, name, value| all.push((group.to_owned(), name.to_owned(), value)));
        (all, damaged)
    }

    fn row(group: &str, name: &str, value: u64) -> (String, String, u64) {
        (group.into(), name.into(), value)
    }

    #[test]
    fn damage_is_counted_and_costs_only_itself() {
        let text = "\nlone: A\nTcpExt: A B C D\nTcpExt: 1 99999999999999999999999 3 -1\nIp: X\nOther: 1\nUdp: A\nUdp: 7 8";
        let found = vec![row("TcpExt", "A", 1), row("TcpExt", "C", 3), row("Udp", "A", 7)];
        // The empty line, `lone`, the huge number, `Ip`, `Other`, and the value without a name.
        assert_eq!(collect(|f| paired_lines(text, f)), (found, 6));
        let text = "sockets: used 8\nTCP: inuse 1 orphan -1 tw 2\nTCP: dangling\nnothing\n";
        let found = vec![row("sockets", "used", 8), row("TCP", "inuse", 1), row("TCP", "tw", 2)];
        assert_eq!(collect(|f| inline_pairs(text, f)), (found, 2));
        let text = "Udp6InErrors 5\nUdp6NoPorts x\nIp6InReceives y\n";
        let read = |f: &mut dyn FnMut(&str, &str, u64)| {
            prefixed_lines(text, "Udp6", |name, value| f("Udp6", name, value))
        };
        assert_eq!(collect(read), (vec![row("Udp6", "InErrors", 5)], 1));
    }

    proptest! {
        #[test]
        fn hostile_text_does_no_harm(text in "(?s).{0,400}", lines in "([A-Za-z]{1,3}: ([0-9a-z-]{0,30} ?){0,6}\n){0,12}") {
            for text in [&text, &lines] {
                paired_lines(text, |_, _, _| {});
                inline_pairs(text, |_, _, _| {});
                prefixed_lines(text, "Udp6", |_, _| {});
            }
        }
    }
}
