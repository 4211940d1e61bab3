//! What there is, against what there should be: pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dashboard::MARKED;
use super::desired::{Alarm, Dashboard, Desired, hash_of_tags, wished};
use super::mark::{self, Mark};

/// What a change of an operator's tags is called: no field of an alarm.
pub(super) const TAGS: &str = "Tags";
/// Who owns what all hosts share.
const SHARED: &str = "shared";

/// What there is in CloudWatch under our names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Existing {
    /// Alarms whose names begin as this host's do, with their marks still in their descriptions.
    pub alarms: Vec<Alarm>,
    /// The body of the dashboard of our name, if there is one; what is no JSON is a text.
    pub dashboard: Option<Value>,
}

/// What is to be done to one thing.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is not there.
    Create,
    /// It is ours, and of an earlier configuration: which fields, as they are and as they should be.
    Update(Vec<FieldChange>),
    /// It is ours, and nothing wants it any more.
    Delete,
    /// A person changed it after us: left alone, unless forced.
    Edited(Vec<FieldChange>),
    /// It has our name and not our mark.
    Foreign,
    /// As it should be.
    Same,
}

/// A field of an alarm that is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// CloudWatch's name for it.
    pub field: String,
    /// As it is.
    pub from: String,
    /// As it should be; empty where nothing should be.
    pub to: String,
}

/// What is to be done, alarm by alarm in the order of names.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// By the alarm's name.
    pub alarms: BTreeMap<String, Change>,
    /// By the dashboard's name.
    pub dashboard: Option<(String, Change)>,
}

/// What has to be done for there to be what there should be.
pub fn compare(desired: &Desired, existing: &Existing) -> Plan {
    let mut alarms: BTreeMap<String, Change> = BTreeMap::new();
    for wanted in &desired.alarms {
        let there = existing.alarms.iter().find(|alarm| alarm.alarm_name == wanted.alarm_name);
        let change = there.map_or(Change::Create, |there| against(wanted, there, desired));
        alarms.insert(wanted.alarm_name.clone(), change);
    }
    for there in &existing.alarms {
        if !alarms.contains_key(&there.alarm_name)
            && let Some(change) = surplus(there, &desired.owner)
        {
            alarms.insert(there.alarm_name.clone(), change);
        }
    }
    let dashboard = desired.dashboard.as_ref().map(|wanted| {
        let change = existing.dashboard.as_ref().map_or(Change::Create, |there| dashboard(wanted, there));
        (wanted.name.clone(), change)
    });
    Plan { alarms, dashboard }
}

fn against(wanted: &Alarm, signed: &Alarm, desired: &Desired) -> Change {
    let (owner, (there, mark)) = (&desired.owner, unsigned(signed));
    match mark {
        Some(mark) if mark.owner == *owner && mark.hash == there.hash() => {
            let mut fields = differences(&there, wanted);
            if mark.tags != hash_of_tags(&desired.tags) {
                let tags: Vec<String> =
                    wished(&desired.tags).map(|(key, value)| format!("{key}={value}")).collect();
                fields.push(FieldChange { field: TAGS.into(), from: "others".into(), to: tags.join(", ") });
            }
            if fields.is_empty() { Change::Same } else { Change::Update(fields) }
        }
        Some(mark) if mark.owner == *owner => Change::Edited(differences(&there, wanted)),
        _ => Change::Foreign,
    }
}

/// Of an alarm that nothing wants: ours go, others' under our prefix (of a host whose name begins as ours does) are not
/// even ours to speak of.
fn surplus(signed: &Alarm, owner: &str) -> Option<Change> {
    let (there, mark) = unsigned(signed);
    let mark = mark.filter(|mark| mark.owner == owner)?;
    Some(if mark.hash == there.hash() { Change::Delete } else { Change::Edited(Vec::new()) })
}

fn dashboard(wanted: &Dashboard, there: &Value) -> Change {
    let there_unsigned = unsigned_body(there);
    match there_unsigned {
        Some((body, mark)) => {
            let there = Dashboard { name: wanted.name.clone(), body };
            match (mark.hash == there.hash(), there.hash() == wanted.hash()) {
                (true, true) => Change::Same,
                (true, false) => Change::Update(Vec::new()),
                (false, _) => Change::Edited(Vec::new()),
            }
        }
        None => Change::Foreign,
    }
}

/// The alarm as it was written, and our mark.
fn unsigned(signed: &Alarm) -> (Alarm, Option<Mark>) {
    let (text, mark) = mark::read(&signed.alarm_description);
    (Alarm { alarm_description: text.to_owned(), ..signed.clone() }, mark)
}

fn unsigned_body(signed: &Value) -> Option<(Value, Mark)> {
    let (text, mark) = mark::read(signed.pointer(MARKED)?.as_str()?);
    let (text, mut body) = (text.to_owned(), signed.clone());
    *body.pointer_mut(MARKED)? = Value::String(text);
    Some((body, mark?))
}

/// Whose alarm it is, and whether it is as it was written; `None` without our mark.
pub(super) fn written_by_us(signed: &Alarm) -> Option<(String, bool)> {
    let (there, mark) = unsigned(signed);
    let mark = mark?;
    let unchanged = mark.hash == there.hash();
    Some((mark.owner, unchanged))
}

impl Alarm {
    /// The alarm with our mark in its description, as it is sent with these tags.
    pub fn signed(&self, owner: &str, tags: &[(String, String)]) -> Alarm {
        let mark = Mark { owner: owner.into(), hash: self.hash(), tags: hash_of_tags(tags) };
        Alarm { alarm_description: mark.sign(&self.alarm_description), ..self.clone() }
    }
}

impl Dashboard {
    /// The body with our mark in it, as it is sent.
    pub fn signed(&self) -> Value {
        let mark = Mark { owner: SHARED.into(), hash: self.hash(), tags: String::new() };
        let mut body = self.body.clone();
        if let Some(Value::String(text)) = body.pointer_mut(MARKED) {
            *text = mark.sign(text);
        }
        body
    }
}

/// Field by field.
fn differences(there: &Alarm, wanted: &Alarm) -> Vec<FieldChange> {
    let fields = |alarm: &Alarm| match serde_json::to_value(alarm) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (there, wanted) = (fields(there), fields(wanted));
    let shown = |value: Option<&Value>| value.map(shown).unwrap_or_default();
    let mut names: Vec<&String> = there.keys().chain(wanted.keys()).collect();
    names.sort();
    names.dedup();
    let changed = names.into_iter().filter(|name| there.get(*name) != wanted.get(*name));
    changed
        .map(|name| FieldChange {
            field: name.clone(),
            from: shown(there.get(name)),
            to: shown(wanted.get(name)),
        })
        .collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
