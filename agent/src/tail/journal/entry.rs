//! One entry as `journalctl --output=json` writes it, systemd.journal-fields(7): values are strings, arrays of bytes
//! where they are not UTF-8, null where they are too long, and arrays of these where an entry has a field several times.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::LINE;
use crate::model::log_line::{LogLine, Writer};

/// What is asked for beside what each entry has anyway: `__CURSOR` and the times.
pub(super) const FIELDS: &str = "MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_COMM";

/// What becomes of line ends within a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnds {
    /// Spaces: an entry is one line whatever it holds, so that nobody can begin a line of their own within one.
    Joined,
    /// They stay, for whoever hands the entry on as it is.
    Kept,
}

/// What an entry says, as far as it is of use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// `__CURSOR`.
    pub(super) cursor: Option<String>,
    /// `__REALTIME_TIMESTAMP`, microseconds since 1970.
    pub(super) time_us: Option<i64>,
    message: Option<String>,
    program: Option<String>,
    command: Option<String>,
    pid: Option<u32>,
    syslog_pid: Option<u32>,
}

impl Entry {
    /// What the line says; false beside it where the line ended too soon or is no entry: then what came before.
    pub(super) fn read(line: &[u8]) -> (Entry, bool) {
        let mut entry = Entry::default();
        let mut json = serde_json::Deserializer::from_slice(line);
        let is_whole = json.deserialize_map(Fields(&mut entry)).is_ok() && entry.time_us.is_some();
        (entry, is_whole)
    }

    /// The line of a log that it is. None without a message or a time, unless it was cut off before them.
    pub(super) fn into_line(self, line_ends: LineEnds, is_cut: bool) -> Option<LogLine> {
        let time = self.time_us.and_then(|time| Timestamp::from_microsecond(time).ok());
        if !is_cut && (time.is_none() || self.message.is_none()) {
            return None;
        }
        let mut text = self.message.unwrap_or_default();
        let is_cut = is_cut || text.len() > LINE;
        text.truncate(text.floor_char_boundary(LINE));
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
        if line_ends == LineEnds::Joined {
            text = text.replace(['\n', '\r'], " ");
        }
        let program = self.program.or(self.command).unwrap_or_default();
        let pid = self.pid.or(self.syslog_pid);
        Some(LogLine { text, writer: time.map(|time| Writer { time, program, pid }), is_cut })
    }
}

#[derive(serde::Deserialize)]
enum Field {
    #[serde(rename = "__CURSOR")]
    Cursor,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    Time,
    #[serde(rename = "MESSAGE")]
    Message,
    #[serde(rename = "SYSLOG_IDENTIFIER")]
    Program,
    #[serde(rename = "_COMM")]
    Command,
    #[serde(rename = "_PID")]
    Pid,
    #[serde(rename = "SYSLOG_PID")]
    SyslogPid,
    #[serde(other)]
    Other,
}

/// Takes the fields into an entry as they come: of a line that is cut off, what came before is kept.
struct Fields<'a>(&'a mut Entry);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an entry of a journal")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut fields: M) -> Result<(), M::Error> {
        let entry = self.0;
        while let Some(field) = fields.next_key::<Field>()? {
            if matches!(field, Field::Other) {
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            let text = fields.next_value::<Value>()?.into_text();
            match field {
                Field::Cursor => entry.cursor = text,
                Field::Time => entry.time_us = text.and_then(|text| text.parse().ok()),
                Field::Message => entry.message = text,
                Field::Program => entry.program = text,
                Field::Command => entry.command = text,
                Field::Pid => entry.pid = text.and_then(|text| text.parse().ok()),
                Field::SyslogPid => entry.syslog_pid = text.and_then(|text| text.parse().ok()),
                Field::Other => {}
            }
        }
        Ok(())
    }
}

/// A field's value, the first where there are several.
enum Value {
    Nothing,
    Byte(u8),
    Text(String),
}

impl Value {
    fn into_text(self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text),
            Value::Nothing | Value::Byte(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a string, bytes, null, or several of these")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(u8::try_from(number).map_or(Value::Nothing, Value::Byte))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut fields: M) -> Result<Value, M::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Nothing)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut values: S) -> Result<Value, S::Error> {
        let mut bytes = Vec::new();
        let mut first = None;
        while let Some(value) = values.next_element::<Value>()? {
            match value {
                Value::Byte(byte) => bytes.push(byte),
                Value::Text(text) => first = first.or(Some(text)),
                Value::Nothing => {}
            }
        }
        Ok(Value::Text(first.unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned())))
    }
}
