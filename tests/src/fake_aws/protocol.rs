//! The two protocols: Smithy RPC v2 CBOR for CloudWatch, AWS JSON 1.1 for CloudWatch Logs; and who signed a request, when.
//!
//! Sources: <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>,
//! <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#awsquerycompatible>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html>.

use std::collections::BTreeSet;
use std::io::Read;

use ciborium::Value as Cbor;
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::json;

use crate::http::{Answer, Call};

const METRICS_PATH: &str = "/service/GraniteServiceVersion20100801/operation/";
const LOGS_TARGET: &str = "Logs_20140328.";

/// The account in which all happens.
pub(super) const ACCOUNT: &str = "123456789012";

/// How far a signature's time may be from the service's. <https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html>
const SIGNATURE_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// More than this after unpacking is refused, for the fake's own sake.
const MOST_UNPACKED: u64 = 64 << 20;

/// Which service a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Metrics,
    Logs,
}

/// An error that a service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    code: String,
    message: String,
    /// The error's shape in the model, where the code does not tell it.
    shape: Option<&'static str>,
    /// Whether the client broke a rule that it could have known, apart from credentials and what exists.
    violation: bool,
}

impl Refusal {
    pub(super) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { status, code: code.into(), message: message.into(), shape: None, violation: false }
    }

    /// Of a request that breaks a rule.
    pub(super) fn violation(code: &str, message: impl Into<String>) -> Self {
        Refusal::new(400, code, message).into_violation()
    }

    pub(super) fn into_violation(self) -> Self {
        Refusal { violation: true, ..self }
    }

    pub(super) fn is_violation(&self) -> bool {
        self.violation
    }

    pub(super) fn with_status(self, status: u16) -> Self {
        Refusal { status, ..self }
    }

    pub(super) fn with_shape(self, shape: &'static str) -> Self {
        Refusal { shape: Some(shape), ..self }
    }

    /// The message, if it is of the same code as another.
    pub(super) fn message_under(&self, other: &Refusal) -> Option<&str> {
        (self.code == other.code).then_some(&*self.message)
    }

    pub(super) fn with_message(self, message: String) -> Self {
        Refusal { message, ..self }
    }

    /// `CODE: message`.
    pub(super) fn text(&self) -> String {
        format!("{}: {}", self.code, self.message)
    }

    pub(super) fn answer(&self, service: Service) -> Answer {
        match service {
            Service::Metrics => {
                let side = if self.status < 500 { "Sender" } else { "Receiver" };
                let shape = match self.code.as_str() {
                    "InvalidParameterValue" => Some("InvalidParameterValueException"),
                    "InvalidParameterCombination" => Some("InvalidParameterCombinationException"),
                    "MissingParameter" => Some("MissingRequiredParameterException"),
                    "InternalServiceError" => Some("InternalServiceFault"),
                    modelled @ ("InvalidNextToken" | "ResourceNotFound" | "ResourceNotFoundException") => {
                        Some(modelled)
                    }
                    _ => None,
                };
                let shape = self.shape.or(shape).map_or_else(
                    || format!("com.amazon.coral.service#{}", self.code),
                    |shape| format!("com.amazonaws.cloudwatch#{shape}"),
                );
                let text = |text: &str| Cbor::Text(text.into());
                let body =
                    Cbor::Map(vec![(text("__type"), text(&shape)), (text("message"), text(&self.message))]);
                Service::cbor(self.status, &body).with("x-amzn-query-error", format!("{};{side}", self.code))
            }
            Service::Logs => {
                Service::json(self.status, &json!({ "__type": self.code, "message": self.message }))
            }
        }
    }
}

impl Service {
    pub(super) fn cbor(status: u16, body: &Cbor) -> Answer {
        let mut bytes = Vec::new();
        let written = ciborium::into_writer(body, &mut bytes);
        let status = if written.is_ok() { status } else { 500 };
        Answer::new(status, bytes)
            .with("Content-Type", "application/cbor")
            .with("smithy-protocol", "rpc-v2-cbor")
    }

    fn json(status: u16, body: &serde_json::Value) -> Answer {
        Answer::new(status, body.to_string()).with("Content-Type", "application/x-amz-json-1.1")
    }

    /// The answer of an operation that went well.
    pub(super) fn success(self, output: Option<&serde_json::Value>) -> Answer {
        match (self, output) {
            (Service::Metrics, _) => Service::cbor(200, &Cbor::Map(Vec::new())),
            (Service::Logs, Some(output)) => Service::json(200, output),
            (Service::Logs, None) => Answer::new(200, "").with("Content-Type", "application/x-amz-json-1.1"),
        }
    }

    /// The name in a credential's scope.
    fn signing_name(self) -> &'static str {
        match self {
            Service::Metrics => "monitoring",
            Service::Logs => "logs",
        }
    }

    /// One of an error's two names and statuses: those common to CloudWatch's actions, and those of JSON services.
    fn credential_refusal(self, name: &str, message: impl Into<String>) -> Refusal {
        match self {
            Service::Metrics => Refusal::new(403, name, message),
            Service::Logs => Refusal::new(400, format!("{name}Exception"), message),
        }
    }

    /// Refuses for want of permission, as IAM words it; some operations have no resource.
    pub(super) fn denied(self, operation: &str, resource: Option<&str>) -> Refusal {
        let prefix = match self {
            Service::Metrics => "cloudwatch",
            Service::Logs => "logs",
        };
        let resource = resource.map(|arn| format!(" on resource: {arn}")).unwrap_or_default();
        self.credential_refusal(
            "AccessDenied",
            format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/vpcwatch/i-0123456789abcdef0 is not authorized to \
                 perform: {prefix}:{operation}{resource} because no identity-based policy allows the \
                 {prefix}:{operation} action"
            ),
        )
    }
}

/// A request's envelope.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) service: Service,
    pub(super) operation: String,
    pub(super) gzip: bool,
    /// The credential's access key and region, if the request is signed at all.
    pub(super) access_key: Option<String>,
    pub(super) region: String,
}

impl Envelope {
    /// Reads all but the body. Fails for what is neither service's.
    pub(super) fn read(call: &Call) -> Result<Self, Refusal> {
        let unknown = || Refusal::new(404, "UnknownOperationException", "no such operation");
        let (service, operation) = match (call.path.strip_prefix(METRICS_PATH), call.header("x-amz-target")) {
            (Some(operation), _) => (Service::Metrics, operation),
            (None, Some(target)) if call.path == "/" => {
                (Service::Logs, target.strip_prefix(LOGS_TARGET).ok_or_else(unknown)?)
            }
            _ => return Err(unknown()),
        };
        let credential = credential(call).unwrap_or_default();
        let mut scope = credential.split('/');
        Ok(Envelope {
            service,
            operation: operation.into(),
            gzip: call.header("content-encoding") == Some("gzip"),
            access_key: scope.next().filter(|key| !key.is_empty()).map(str::to_owned),
            region: scope.nth(1).unwrap_or("us-east-1").to_owned(),
        })
    }

    /// Refuses what breaks the protocol.
    pub(super) fn check(&self, call: &Call) -> Result<(), Refusal> {
        let bad = |message: &str| Err(Refusal::violation("SerializationException", message));
        if call.method != "POST" {
            return bad("not a POST");
        }
        let content_type = call.header("content-type");
        match self.service {
            Service::Metrics if call.header("smithy-protocol") != Some("rpc-v2-cbor") => {
                bad("no smithy-protocol: rpc-v2-cbor")
            }
            Service::Metrics if content_type != Some("application/cbor") => {
                bad("the content type is not application/cbor")
            }
            Service::Logs if content_type != Some("application/x-amz-json-1.1") => {
                bad("the content type is not application/x-amz-json-1.1")
            }
            // Of the two models only PutMetricData has the trait requestCompression.
            Service::Logs if self.gzip => bad("a compressed body, which only CloudWatch documents"),
            Service::Metrics if self.gzip && self.operation != "PutMetricData" => {
                bad("a compressed body, which only PutMetricData documents")
            }
            _ if !self.gzip && call.header("content-encoding").is_some() => bad("a strange Content-Encoding"),
            _ => Ok(()),
        }
    }

    /// Refuses a request that is not signed, by a key that has expired, or at another time than now. The signature's
    /// own arithmetic is not repeated.
    pub(super) fn authenticate(
        &self,
        call: &Call,
        now: Timestamp,
        expired: &BTreeSet<String>,
    ) -> Result<(), Refusal> {
        let service = self.service;
        let Some(key) = &self.access_key else {
            return Err(service.credential_refusal(
                "MissingAuthenticationToken",
                "Request is missing Authentication Token",
            ));
        };
        let date = call.header("x-amz-date").unwrap_or_default();
        if let Some(flaw) = self.flaw(call, date) {
            return Err(service.credential_refusal("IncompleteSignature", flaw).into_violation());
        }
        if expired.contains(key) {
            let message = "The security token included in the request is expired";
            return Err(service.credential_refusal("ExpiredToken", message));
        }
        let Some(signed) = read_date(date) else {
            return Err(service
                .credential_refusal("IncompleteSignature", format!("Date must be in ISO-8601: {date}")));
        };
        let ahead = signed.duration_since(now);
        if ahead.abs() > SIGNATURE_WINDOW {
            let (early, says, sign) = if ahead.is_negative() {
                (now - SIGNATURE_WINDOW, "Signature expired: DATE is now earlier than", '-')
            } else {
                (now + SIGNATURE_WINDOW, "Signature not yet current: DATE is still later than", '+')
            };
            let message = format!(
                "{} {} ({} {sign} 5 min.)",
                says.replace("DATE", date),
                write_date(early),
                write_date(now)
            );
            return Err(match service {
                Service::Metrics => Refusal::new(403, "SignatureDoesNotMatch", message),
                Service::Logs => Refusal::new(400, "InvalidSignatureException", message),
            });
        }
        Ok(())
    }

    /// What is wrong with the form of an Authorization header (Signature Version 4).
    fn flaw(&self, call: &Call, date: &str) -> Option<String> {
        let scope = credential(call)?;
        let wanted = format!(
            "{}/{}/{}/aws4_request",
            date.split('T').next().unwrap_or_default(),
            self.region,
            self.service.signing_name()
        );
        if scope.split_once('/').map(|(_, scope)| scope) != Some(&wanted) {
            return Some(format!("Credential should be scoped to {wanted}"));
        }
        let signed: Vec<&str> = parameter(call, "SignedHeaders").unwrap_or_default().split(';').collect();
        if let Some(absent) = ["host", "x-amz-date"].into_iter().find(|name| !signed.contains(name)) {
            return Some(format!("SignedHeaders lacks {absent}"));
        }
        let signature = parameter(call, "Signature").unwrap_or_default();
        (signature.len() != 64 || !signature.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .then(|| "no Signature".into())
    }
}

fn credential(call: &Call) -> Option<&str> {
    parameter(call, "Credential")
}

fn parameter<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    let header = call.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    header.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

const DATE: &str = "%Y%m%dT%H%M%SZ";

fn read_date(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime(DATE, text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn write_date(time: Timestamp) -> String {
    time.strftime(DATE).to_string()
}

/// A Date header's value.
pub(super) fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A body as it was before compression.
pub(super) fn unpack(body: &[u8], gzip: bool) -> Result<Vec<u8>, Refusal> {
    let mut unpacked = Vec::new();
    if gzip {
        let read = flate2::read::GzDecoder::new(body).take(MOST_UNPACKED).read_to_end(&mut unpacked);
        read.map_err(|error| Refusal::violation("SerializationException", format!("not gzip: {error}")))?;
    } else {
        unpacked.extend(body);
    }
    Ok(unpacked)
}
