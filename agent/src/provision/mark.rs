//! Our mark on what we made: whose it is, and a hash of what was written, so that what a person changed afterwards is
//! known from one reading. It is the last line of an alarm's description and of a dashboard's first text.

/// A mark that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Whose it is.
    pub(super) owner: String,
    /// Of what was written.
    pub(super) hash: String,
    /// Of an operator's tags that were written with it; empty where there were none.
    pub(super) tags: String,
}

impl Mark {
    /// The text with this mark behind it.
    pub(super) fn sign(&self, text: &str) -> String {
        let tags = if self.tags.is_empty() { String::new() } else { format!("/{}", self.tags) };
        format!("{text}\n[vpcwatch {} {}{tags}]", self.owner, self.hash)
    }
}

/// A text and the mark behind it, if there is one.
pub(super) fn read(text: &str) -> (&str, Option<Mark>) {
    let Some((before, last)) = text.rsplit_once('\n') else { return (text, None) };
    let inner = last.strip_prefix("[vpcwatch ").and_then(|rest| rest.strip_suffix(']'));
    match inner.and_then(|inner| inner.rsplit_once(' ')) {
        Some((owner, hashes)) => {
            let (hash, tags) = hashes.split_once('/').unwrap_or((hashes, ""));
            (before, Some(Mark { owner: owner.into(), hash: hash.into(), tags: tags.into() }))
        }
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_read_again_and_what_is_not_has_no_mark() {
        for tags in ["", "0a0b"] {
            let mark = Mark { owner: "a host [1] x".into(), hash: "00ff".into(), tags: tags.into() };
            assert_eq!(read(&mark.sign("two\nlines")), ("two\nlines", Some(mark)));
        }
        for text in ["", "plain", "x\n[vpcwatch ]", "x\n[vpcwatch a b", "x\n[vpcwatchx a b]"] {
            assert_eq!(read(text), (text, None));
        }
    }
}
