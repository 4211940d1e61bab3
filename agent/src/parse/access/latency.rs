//! How a latency is written, and whether the writing tells its unit.

use super::Latency;
use super::words::Word;
use crate::model::web_log::{LatencyField, LatencyRule, TimeUnit};

pub(super) const NONE: &str = "the line has no latency";
pub(super) const UNIT: &str =
    "a number without a unit: set latency_field and latency_unit of this log if it is the latency";
pub(super) const SEVERAL: &str =
    "several numbers that may be the latency: set latency_field and latency_unit of this log";
pub(super) const NO_NUMBER: &str = "where the latency should stand there is no number";
pub(super) const NEGATIVE: &str = "the latency is negative";
/// Longer than any request, and shorter than a time since the epoch: 30 years.
const LONGEST: f64 = 1e12;

/// Milliseconds of a number in that unit. No request takes a time that is negative, or decades.
pub(super) fn of(amount: f64, unit: TimeUnit) -> Latency {
    let milliseconds = unit.milliseconds(amount);
    match milliseconds {
        _ if milliseconds < 0.0 => Err(NEGATIVE),
        // To a nanosecond: 0.123 s are 123 ms, not a little more or less.
        _ if milliseconds < LONGEST => Ok((milliseconds * 1e6).round() / 1e6),
        _ => Err(NO_NUMBER),
    }
}

/// The same of digits, with or without a fraction; no sign but minus, no exponent, no name of a number.
pub(super) fn written(text: &str, unit: TimeUnit) -> Latency {
    number(text).ok_or(NO_NUMBER).and_then(|amount| of(amount, unit))
}

fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_one = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_one)
}

/// A number with its unit behind it: `12ms`, `0.5s`.
pub(super) fn with_unit(text: &str) -> Option<Latency> {
    if !text.ends_with('s') {
        return None;
    }
    let digits = text.trim_end_matches(|last: char| !last.is_ascii_digit());
    let unit = match text.get(digits.len()..)? {
        "s" => TimeUnit::Seconds,
        "ms" => TimeUnit::Milliseconds,
        "us" | "\u{b5}s" | "\u{3bc}s" => TimeUnit::Microseconds,
        "ns" => TimeUnit::Nanoseconds,
        _ => return None,
    };
    number(digits).map(|amount| of(amount, unit))
}

/// nginx's `$request_time` and its like: seconds with exactly three decimals (`src/http/ngx_http_variables.c`). Nobody else
/// writes those; `$msec`, which is a time of day, is too large.
pub(super) fn of_nginx(text: &str) -> Option<Latency> {
    let (whole, fraction) = text.split_once('.')?;
    let sign = whole.strip_prefix('-').unwrap_or(whole);
    let is_one = fraction.len() == 3
        && (1..=9).contains(&sign.len())
        && sign.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    is_one.then(|| written(text, TimeUnit::Seconds))
}

/// Keys of `key=value` words that are the whole request's time, as nginx's documentation and its followers name it.
const KEYS: [&str; 2] = ["rt", "request_time"];

/// The latency among words behind the size, by what the words themselves show.
pub(super) fn among<'a>(words: impl Iterator<Item = Word<'a>>) -> Latency {
    let (mut found, mut bare_number) = (None, false);
    for word in words {
        let (Word::Bare(text) | Word::Quoted(text)) = word else { continue };
        if let Some((key, value)) = text.split_once('=') {
            if KEYS.contains(&key) {
                let value = value.trim_matches('"');
                return of_nginx(value).or_else(|| with_unit(value)).unwrap_or(Err(UNIT));
            }
            continue;
        }
        match of_nginx(text).or_else(|| with_unit(text)) {
            Some(_) if found.is_some() => found = Some(Err(SEVERAL)),
            Some(latency) => found = Some(latency),
            None => bare_number |= matches!(word, Word::Bare(_)) && number(text).is_some(),
        }
    }
    found.unwrap_or(Err(if bare_number { UNIT } else { NONE }))
}

/// The latency among the words behind the status, where the configuration says.
pub(super) fn told<'a>(rule: &LatencyRule, mut words: impl Iterator<Item = Word<'a>>) -> Latency {
    let text = match &rule.field {
        LatencyField::Last => words.last().map(Word::text),
        LatencyField::Word(number) => words.nth(number.saturating_sub(1)).map(Word::text),
        LatencyField::Key(key) => words.find_map(|word| word.text().strip_prefix(&**key)?.strip_prefix('=')),
    };
    let text = text.ok_or(NO_NUMBER)?.trim_matches('"');
    with_unit(text).unwrap_or_else(|| written(text, rule.unit))
}

#[cfg(test)]
mod tests {
    use super::super::words::Words;
    use super::*;

    #[test]
    fn what_words_show() {
        for (words, expected) in [
            ("0.123", Ok(123.0)),
            ("\"0.123\"", Ok(123.0)),
            ("12 0.123 x", Ok(123.0)),
            ("rt=1.500 uct=\"0.001\" urt=\"0.002\"", Ok(1500.0)),
            ("request_time=0.007", Ok(7.0)),
            ("12ms", Ok(12.0)),
            ("1.5s", Ok(1500.0)),
            ("250us", Ok(0.25)),
            ("250\u{b5}s", Ok(0.25)),
            ("1500ns", Ok(0.0015)),
            ("-0.001", Err(NEGATIVE)),
            ("-12ms", Err(NEGATIVE)),
            ("1700000000.123", Err(UNIT)),
            ("1234", Err(UNIT)),
            ("0.12", Err(UNIT)),
            ("rt=123", Err(UNIT)),
            ("rt=-", Err(UNIT)),
            ("0.123 0.122", Err(SEVERAL)),
            ("0.123 0.122 0.121", Err(SEVERAL)),
            ("-", Err(NONE)),
            ("\"1234\"", Err(NONE)),
            ("", Err(NONE)),
            ("[0.123]", Err(NONE)),
            ("nan inf 1e3 +1 ms s", Err(NONE)),
        ] {
            assert_eq!(among(Words::of(words)), expected, "{words}");
        }
    }

    #[test]
    fn what_the_configuration_says() {
        let rule = |field, unit| LatencyRule { field, unit };
        for (words, rule, expected) in [
            ("512 \"-\" \"x\" 1234", rule(LatencyField::Last, TimeUnit::Microseconds), Ok(1.234)),
            ("512 3 \"-\"", rule(LatencyField::Word(2), TimeUnit::Seconds), Ok(3000.0)),
            ("512 t=3 \"-\"", rule(LatencyField::Key("t".into()), TimeUnit::Milliseconds), Ok(3.0)),
            // A unit that is written is stronger than one that is told.
            ("512 3ms", rule(LatencyField::Last, TimeUnit::Seconds), Ok(3.0)),
            ("512 -", rule(LatencyField::Last, TimeUnit::Seconds), Err(NO_NUMBER)),
            ("512 -1", rule(LatencyField::Last, TimeUnit::Seconds), Err(NEGATIVE)),
            ("512", rule(LatencyField::Word(7), TimeUnit::Seconds), Err(NO_NUMBER)),
            ("512 1e3", rule(LatencyField::Last, TimeUnit::Seconds), Err(NO_NUMBER)),
        ] {
            assert_eq!(told(&rule, Words::of(words)), expected, "{words}");
        }
    }
}
