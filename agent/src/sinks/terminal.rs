//! Text that came from elsewhere (interface names, cgroups, file names) on its way to a terminal: nothing in it may steer
//! the terminal or change the order in which a line reads.

use std::fmt::Write;

/// The text with such characters replaced.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// JSON with such characters escaped. They stand only within its strings, and those below U+0020 are escaped already.
pub fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && c != '\n' {
            // Writing to a String cannot fail; all of them are below U+10000.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Control characters (C0, DEL, C1), line separators, and what turns the direction of writing.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let name = "a\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\u{e9}";
        assert_eq!(printable(name), "a\u{fffd}[31m\u{fffd}2J\u{fffd}\u{fffd}\u{e9}");
        let shown = json(&serde_json::to_string(name).unwrap());
        assert!(!shown.chars().any(steers), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), name);
    }
}
