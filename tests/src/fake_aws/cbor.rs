//! Reading requests of CloudWatch, and writing what it answers.

use ciborium::Value as Cbor;
use jiff::Timestamp;

use super::protocol::Refusal;

/// A CBOR map with text for keys.
#[derive(Debug)]
pub(super) struct Map {
    place: String,
    members: Vec<(Cbor, Cbor)>,
}

impl Map {
    /// A whole body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let mut rest = body;
        let value: Cbor = ciborium::from_reader(&mut rest).map_err(|error| malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("more than one CBOR item"));
        }
        Map::read(value, "the request")
    }

    pub(super) fn read(value: Cbor, place: &str) -> Result<Self, Refusal> {
        let members = value.into_map().map_err(|_| malformed(format!("{place} is not a map")))?;
        Ok(Map { place: place.to_owned(), members })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A member as it is, which stays.
    pub(super) fn get(&self, name: &str) -> Option<&Cbor> {
        self.members.iter().find_map(|(key, value)| (key.as_text() == Some(name)).then_some(value))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Cbor> {
        let index = self.members.iter().position(|(key, _)| key.as_text() == Some(name))?;
        Some(self.members.swap_remove(index).1)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let text = self.take(name).map(Cbor::into_text).transpose();
        text.map_err(|_| malformed(format!("{name} of {} is not text", self.place)))
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Cbor>>, Refusal> {
        let list = self.take(name).map(Cbor::into_array).transpose();
        list.map_err(|_| malformed(format!("{name} of {} is not a list", self.place)))
    }

    /// A list of texts, empty if it is not there.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, Refusal> {
        let list = self.list(name)?.unwrap_or_default().into_iter();
        list.map(|item| item.into_text().map_err(|_| malformed(format!("{name} has other than text"))))
            .collect()
    }

    /// A list of pairs of texts by these two names, empty if it is not there.
    pub(super) fn pairs(
        &mut self,
        name: &str,
        first: &str,
        second: &str,
    ) -> Result<Vec<(String, String)>, Refusal> {
        let mut pairs = Vec::new();
        for (item, n) in self.list(name)?.unwrap_or_default().into_iter().zip(1..) {
            let mut item = Map::read(item, &format!("{name}.member.{n}"))?;
            pairs.push((item.text(first)?.unwrap_or_default(), item.text(second)?.unwrap_or_default()));
            item.end()?;
        }
        Ok(pairs)
    }

    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let integer = value.as_integer().and_then(|value| i64::try_from(value).ok());
        integer.map(Some).ok_or_else(|| malformed(format!("{name} of {} is no integer", self.place)))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| malformed(format!("{name} of {} is no boolean", self.place)))
    }

    /// Refuses what nobody took: a member that the service has and the fake does not, or a slip of the client.
    pub(super) fn end(&self) -> Result<(), Refusal> {
        match self.members.first() {
            None => Ok(()),
            Some((key, _)) => {
                let message = format!("the fake knows no {key:?} of {}", self.place);
                Err(Refusal::violation("UnsupportedOperation", message))
            }
        }
    }
}

pub(super) fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::violation("SerializationException", message)
}

#[expect(clippy::cast_precision_loss, reason = "a double is what the service makes of it too")]
pub(super) fn number(value: &Cbor) -> Option<f64> {
    value.as_float().or_else(|| i64::try_from(value.as_integer()?).ok().map(|integer| integer as f64))
}

/// A map of those members that are there.
pub(super) fn map<const N: usize>(members: [(&str, Option<Cbor>); N]) -> Cbor {
    let there = members.into_iter().filter_map(|(name, value)| Some((Cbor::from(name), value?)));
    Cbor::Map(there.collect())
}

pub(super) fn list(texts: &[String]) -> Cbor {
    Cbor::Array(texts.iter().map(|text| Cbor::from(text.as_str())).collect())
}

pub(super) fn pairs(pairs: &[(String, String)], first: &str, second: &str) -> Cbor {
    let pair = |(a, b): &(String, String)| {
        map([(first, Some(a.as_str().into())), (second, Some(b.as_str().into()))])
    };
    Cbor::Array(pairs.iter().map(pair).collect())
}

/// Seconds since 1970 under tag 1, as the protocol has it.
pub(super) fn time(time: Timestamp) -> Cbor {
    Cbor::Tag(1, Box::new(Cbor::Float(time.as_duration().as_secs_f64())))
}
