//! JSON objects: Caddy's (<https://caddyserver.com/docs/caddyfile/directives/log>), Traefik's
//! (<https://doc.traefik.io/traefik/observe/logs-and-access-logs/>), Envoy's as Istio configures it, and what people write with
//! nginx's `log_format ... escape=json` or Apache's `%{...}` under names of their own. Nothing is allocated but for texts
//! with escapes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::address::endpoint;
use super::latency::{self, of, of_nginx, with_unit, written};
use super::{Latency, Request, Time, named, request_line, status};
use crate::model::web_log::{Format, LatencyField, LatencyRule, TimeUnit};

/// A value that may matter.
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Whole(i64),
    Fraction(f64),
    Other,
}

/// What was found under the names that are known.
#[derive(Debug, Default)]
struct Found<'a> {
    status: Option<Value<'a>>,
    traefik_status: Option<Value<'a>>,
    envoy_status: Option<Value<'a>>,
    has_flags: bool,
    has_request: bool,
    source: Option<(u8, Value<'a>)>,
    user: Option<Value<'a>>,
    method: Option<Value<'a>>,
    path: Option<Value<'a>>,
    request: Option<Value<'a>>,
    time: Option<Value<'a>>,
    request_time: Option<Value<'a>>,
    duration: Option<Value<'a>>,
    traefik_duration: Option<Value<'a>>,
    with_unit: Option<(TimeUnit, Value<'a>)>,
    told: Option<Value<'a>>,
}

pub(super) fn read<'a>(line: &'a str, rule: Option<&LatencyRule>) -> Result<Request<'a>, &'static str> {
    let told =
        rule.and_then(|rule| if let LatencyField::Key(key) = &rule.field { Some(&**key) } else { None });
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_str(line);
    let fill = Fill { into: &mut found, told };
    fill.deserialize(&mut json).and_then(|()| json.end()).map_err(|_| "not a JSON object")?;
    found
        .request(rule)
        .ok_or("a JSON object, but no request: it wants a status, and a method, path or request")
}

impl<'a> Found<'a> {
    fn put(&mut self, key: &str, value: Value<'a>, told: Option<&str>) {
        if told == Some(key) {
            self.told = Some(value.clone());
        }
        match key {
            "status" | "status_code" => self.status = Some(value),
            "DownstreamStatus" => self.traefik_status = Some(value),
            "response_code" => self.envoy_status = Some(value),
            "response_flags" => self.has_flags = true,
            "remote_addr" | "ClientHost" => self.client(0, value),
            "client_ip" | "downstream_remote_address" => self.client(1, value),
            "remote_ip" | "client" | "clientip" | "remote_host" => self.client(2, value),
            "remote_user" | "ClientUsername" | "user_id" => self.user = Some(value),
            "request_method" | "method" | "RequestMethod" => self.method = Some(value),
            "request_uri" | "RequestPath" => self.path = Some(value),
            "uri" | "path" | "url" if self.path.is_none() => self.path = Some(value),
            "request" => self.request = Some(value),
            "StartUTC" | "time_iso8601" | "start_time" => self.time = Some(value),
            "time_local" | "time" | "timestamp" | "@timestamp" | "ts" | "msec" if self.time.is_none() => {
                self.time = Some(value);
            }
            "request_time" => self.request_time = Some(value),
            "duration" => self.duration = Some(value),
            "Duration" => self.traefik_duration = Some(value),
            _ => {
                if let Some(unit) = unit_of(key) {
                    self.with_unit = Some((unit, value));
                }
            }
        }
    }

    /// The address that is believed most: what the server itself saw, or worked out by its own rules.
    fn client(&mut self, rank: u8, value: Value<'a>) {
        if self.source.as_ref().is_none_or(|(known, _)| rank < *known) {
            self.source = Some((rank, value));
        }
    }

    fn request(self, rule: Option<&LatencyRule>) -> Option<Request<'a>> {
        let format = match () {
            () if self.traefik_status.is_some() => Format::TraefikJson,
            () if self.envoy_status.is_some() && self.has_flags => Format::EnvoyJson,
            () if self.has_request && self.duration.is_some() => Format::Caddy,
            () => Format::Json,
        };
        let latency = self.latency(format, rule);
        let code = self.traefik_status.or(self.envoy_status).or(self.status)?;
        let status = match &code {
            Value::Whole(code) => status(&code.to_string())?,
            Value::Text(code) => status(code)?,
            Value::Fraction(_) | Value::Other => return None,
        };
        let (mut method, mut path) = (text(self.method), text(self.path));
        if let Some(Value::Text(line)) = &self.request {
            let (of_line, path_of_line) = request_line(line);
            method = method.or_else(|| of_line.map(|method| method.to_owned().into()));
            path = path.or_else(|| path_of_line.map(|path| path.to_owned().into()));
            if method.is_none() && path.is_none() && !(line.is_empty() || *line == "-") {
                return None;
            }
        } else if method.is_none() && path.is_none() {
            return None;
        }
        let time = match self.time {
            Some(Value::Text(text)) => match text.parse() {
                Ok(seconds) => Time::Epoch(seconds),
                Err(_) => Time::Text(text),
            },
            Some(Value::Fraction(seconds)) => Time::Epoch(seconds),
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            Some(Value::Whole(seconds)) => Time::Epoch(seconds as f64),
            Some(Value::Other) | None => Time::None,
        };
        let source = self.source.and_then(|(_, source)| text(Some(source)));
        Some(Request {
            format,
            time,
            status,
            latency,
            source: source.and_then(|source| endpoint(&source).0),
            user: text(self.user).filter(|user| named(user).is_some()),
            method,
            path,
        })
    }

    /// By the unit that the key's owner documents, or that stands in the key or the value.
    fn latency(&self, format: Format, rule: Option<&LatencyRule>) -> Latency {
        if let Some(rule) = rule {
            return in_unit(self.told.as_ref().ok_or(latency::NO_NUMBER)?, rule.unit);
        }
        match (format, &self.request_time, &self.duration, &self.traefik_duration) {
            (Format::TraefikJson, _, _, Some(nanoseconds)) => in_unit(nanoseconds, TimeUnit::Nanoseconds),
            (Format::EnvoyJson, _, Some(Value::Text(none)), _) if none == "-" => Err(latency::NONE),
            (Format::EnvoyJson, _, Some(milliseconds), _) => in_unit(milliseconds, TimeUnit::Milliseconds),
            // Whole numbers are of another `duration_format`, and do not say which.
            (Format::Caddy, _, Some(Value::Fraction(seconds)), _)
            | (Format::Json, Some(Value::Fraction(seconds)), ..) => of(*seconds, TimeUnit::Seconds),
            (Format::Json, Some(Value::Text(text)), ..) if of_nginx(text).is_some() => {
                of_nginx(text).unwrap_or(Err(latency::NONE))
            }
            (_, Some(Value::Text(text)), ..) | (_, _, Some(Value::Text(text)), _)
                if with_unit(text).is_some() =>
            {
                with_unit(text).unwrap_or(Err(latency::NONE))
            }
            _ => match &self.with_unit {
                Some((unit, value)) => in_unit(value, *unit),
                None if self.request_time.is_some() || self.duration.is_some() => Err(latency::UNIT),
                None => Err(latency::NONE),
            },
        }
    }
}

/// Names that say the unit: `duration_ms`, `latency_us`, `request_time_seconds`.
fn unit_of(key: &str) -> Option<TimeUnit> {
    let (name, unit) = key.rsplit_once('_')?;
    let is_one =
        matches!(name, "duration" | "latency" | "elapsed" | "request_time" | "response_time" | "time_taken");
    match unit {
        "ms" | "millis" | "milliseconds" => Some(TimeUnit::Milliseconds),
        "us" | "micros" | "microseconds" => Some(TimeUnit::Microseconds),
        "ns" | "nanos" | "nanoseconds" => Some(TimeUnit::Nanoseconds),
        "s" | "sec" | "seconds" => Some(TimeUnit::Seconds),
        _ => None,
    }
    .filter(|_| is_one)
}

fn text(value: Option<Value<'_>>) -> Option<Cow<'_, str>> {
    match value {
        Some(Value::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn in_unit(value: &Value<'_>, unit: TimeUnit) -> Latency {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a request are below 2^53")]
        Value::Whole(amount) => of(*amount as f64, unit),
        Value::Fraction(amount) => of(*amount, unit),
        Value::Text(text) => with_unit(text).unwrap_or_else(|| written(text, unit)),
        Value::Other => Err(latency::NO_NUMBER),
    }
}

/// Puts an object's values where they belong. That of `request` (Caddy) is opened, all others are passed over.
struct Fill<'f, 'a> {
    into: &'f mut Found<'a>,
    told: Option<&'f str>,
}

impl<'a> DeserializeSeed<'a> for Fill<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Fill<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(Key(key)) = map.next_key::<Key>()? {
            if key == "request" {
                let value = map.next_value_seed(Inner(Fill { into: &mut *self.into, told: self.told }))?;
                self.into.put(&key, value, self.told);
            } else {
                let Scalar(value) = map.next_value()?;
                self.into.put(&key, value, self.told);
            }
        }
        Ok(())
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'a> serde::Deserialize<'a> for Key<'a> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(json)? {
            Scalar(Value::Text(key)) => Ok(Key(key)),
            Scalar(_) => Ok(Key("".into())),
        }
    }
}

/// A value; what is none of those that matter is passed over.
struct Scalar<'a>(Value<'a>);

impl<'a> serde::Deserialize<'a> for Scalar<'a> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Scalars).map(Scalar)
    }
}

struct Scalars;

impl<'a> Visitor<'a> for Scalars {
    type Value = Value<'a>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Value<'a>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'a>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'a>, E> {
        Ok(Value::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'a>, E> {
        Ok(i64::try_from(number).map_or(Value::Other, Value::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'a>, E> {
        Ok(Value::Fraction(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut items: S) -> Result<Value<'a>, S::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Value<'a>, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

/// What stands under `request`: nginx's line, or Caddy's object, one level of which is opened.
struct Inner<'f, 'a>(Fill<'f, 'a>);

impl<'a> DeserializeSeed<'a> for Inner<'_, 'a> {
    type Value = Value<'a>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Value<'a>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Inner<'_, 'a> {
    type Value = Value<'a>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Value<'a>, M::Error> {
        self.0.into.has_request = true;
        while let Some(Key(key)) = map.next_key::<Key>()? {
            let Scalar(value) = map.next_value()?;
            self.0.into.put(&key, value, self.0.told);
        }
        Ok(Value::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Value<'a>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'a>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, items: S) -> Result<Value<'a>, S::Error> {
        Scalars.visit_seq(items)
    }
}
