//! The kernel's two layouts of names with values, for the files that procfs has no types for.

/// Reads the paired lines of `/proc/net/netstat` and `snmp`: `Group: name name ...` above `Group: value value ...`.
/// What is damaged is passed over; a value that does not fit 64 bits is absent.
pub fn paired_lines(text: &str, mut found: impl FnMut(&str, &str, u64)) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((group, names)), Some((same, values))) = (names.split_once(':'), values.split_once(':'))
        else {
            continue;
        };
        if group != same {
            continue;
        }
        for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
            if let Ok(value) = value.parse() {
                found(group, name, value);
            }
        }
    }
}

/// Reads the lines of `/proc/net/sockstat` and `sockstat6`: `Group: name value name value ...`.
pub fn inline_pairs(text: &str, mut found: impl FnMut(&str, &str, u64)) {
    for line in text.lines() {
        let Some((group, rest)) = line.split_once(':') else { continue };
        let mut words = rest.split_ascii_whitespace();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            if let Ok(value) = value.parse() {
                found(group, name, value);
            }
        }
    }
}

/// Reads the lines of `/proc/net/snmp6`: `GroupName value`, of which those that begin with `group`.
pub fn prefixed_lines(text: &str, group: &str, mut found: impl FnMut(&str, u64)) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if let (Some(name), Some(value)) = (words.next(), words.next())
            && let (Some(name), Ok(value)) = (name.strip_prefix(group), value.parse())
        {
            found(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collect(read: impl Fn(&mut dyn FnMut(&str, &str, u64))) -> Vec<(String, String, u64)> {
        let mut all = Vec::new();
        read(&mut |group, name, value| all.push((group.to_owned(), name.to_owned(), value)));
        all
    }

    fn row(group: &str, name: &str, value: u64) -> (String, String, u64) {
        (group.into(), name.into(), value)
    }

    #[test]
    fn pairs() {
        let text = "TcpExt: A B C\nTcpExt: 1 99999999999999999999999 3\nIp: X\nOther: 1\nlone\n";
        assert_eq!(collect(|f| paired_lines(text, f)), [row("TcpExt", "A", 1), row("TcpExt", "C", 3)]);
        let text = "sockets: used 8\nTCP: inuse 1 orphan -1 tw 2\nTCP: dangling\n";
        assert_eq!(
            collect(|f| inline_pairs(text, f)),
            [row("sockets", "used", 8), row("TCP", "inuse", 1), row("TCP", "tw", 2)]
        );
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
