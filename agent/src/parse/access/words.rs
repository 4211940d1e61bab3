//! The words of a line: bare ones between spaces, and what stands in quotes or brackets.

/// A word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word<'a> {
    Bare(&'a str),
    /// Without its quotes, with its escapes.
    Quoted(&'a str),
    /// Without its brackets.
    Bracketed(&'a str),
}

impl<'a> Word<'a> {
    /// What it says.
    pub(super) fn text(self) -> &'a str {
        match self {
            Word::Bare(text) | Word::Quoted(text) | Word::Bracketed(text) => text,
        }
    }
}

/// Takes a text apart. What is opened and not closed reaches to the end.
#[derive(Debug, Clone)]
pub(super) struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Words(text)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let text = self.0.trim_start_matches(' ');
        let (word, rest) = match text.as_bytes().first()? {
            b'"' => {
                let (inner, rest) = quoted(text.get(1..)?);
                (Word::Quoted(inner), rest)
            }
            b'[' => {
                let (inner, rest) = text.get(1..)?.split_once(']').unwrap_or((text.get(1..)?, ""));
                (Word::Bracketed(inner), rest)
            }
            _ => {
                let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
                (Word::Bare(word), rest)
            }
        };
        self.0 = rest;
        Some(word)
    }
}

/// What stands before the first quote that is not escaped, and what behind it.
pub(super) fn quoted(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return (text.get(..at).unwrap_or(text), text.get(at + 1..).unwrap_or("")),
            _ => at += 1,
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let words: Vec<_> = Words::of(r#"12  "a \" b" [x y] - "" "open \"#).collect();
        let expected = [
            Word::Bare("12"),
            Word::Quoted(r#"a \" b"#),
            Word::Bracketed("x y"),
            Word::Bare("-"),
            Word::Quoted(""),
            Word::Quoted(r"open \"),
        ];
        assert_eq!(words, expected);
    }
}
