//! What a failed call means. Classified here once; what is done about it is [`crate::sinks::deliver`]'s policy.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::answer::is_of_aws;

/// Why a call failed, by what can be done about it. The text says what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Try again soon: transport, the service's own trouble, throttles, times and credentials that were refreshed.
    Retry {
        /// What happened.
        why: String,
        /// Whether the request may have been carried out: it was written, and the answer was lost.
        ambiguous: bool,
        /// Whether the service asked for less.
        throttled: bool,
        /// Whether the credentials are no good any more: fresh ones may be there.
        expired: bool,
    },
    /// The request itself is wrong; the same request will always be.
    Rejected {
        /// What is wrong with it.
        why: String,
        /// Whether AWS said so. Who else says so may only mean its size.
        proven: bool,
    },
    /// Nothing is wrong with the request, but an operator has to do something first.
    Waiting {
        /// What is missing, and the cure.
        why: String,
    },
    /// The log group or stream is not there.
    Missing {
        /// As the service says.
        why: String,
    },
    /// What was to be created is there already.
    Exists,
}

impl Failure {
    /// Try again soon, for a reason of our own.
    pub fn again(why: String) -> Self {
        Failure::Retry { why, ambiguous: false, throttled: false, expired: false }
    }

    /// What happened, for people.
    pub fn why(&self) -> &str {
        match self {
            Failure::Retry { why, .. }
            | Failure::Rejected { why, .. }
            | Failure::Waiting { why }
            | Failure::Missing { why } => why,
            Failure::Exists => "it is there already",
        }
    }
}

/// Error codes that say that the request itself is wrong. Everything else is tried again: data is dropped only when it
/// is proven invalid. `PutMetricData`'s and `PutLogEvents`' own, and those of every AWS service:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html>.
const REJECTED: &[&str] = &[
    "InvalidParameterValue",
    "InvalidParameterValueException",
    "InvalidParameterCombination",
    "InvalidParameterCombinationException",
    "InvalidParameterException",
    "InvalidParameter",
    "InvalidParameterInput",
    "MissingParameter",
    "MissingRequiredParameterException",
    "ValidationError",
    "ValidationException",
    "SerializationException",
    "MalformedQueryString",
    "InvalidQueryParameter",
    "RequestEntityTooLarge",
    "RequestEntityTooLargeException",
];

/// Codes for "less, please", in the spellings that services use.
const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "LimitExceededException",
    "SlowDown",
    "BandwidthLimitExceeded",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
];

/// Codes for "you may not": an operator grants the permission.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "UnauthorizedException",
    "NotAuthorized",
];

/// Codes for "who are you": an operator gives other credentials, or enables the region for the account.
const UNKNOWN_KEYS: &[&str] = &[
    "OptInRequired",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
];

/// What a failed call of `action` (`cloudwatch:PutMetricData`) means.
pub fn classify<E>(error: &SdkError<E, HttpResponse>, action: &str) -> Failure
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let (code, message) = (answer.err().code().unwrap_or_default(), answer.err().message());
            match (is_of_aws(answer.raw()), code) {
                (false, _) | (true, "") if !(400..600).contains(&status) => unreadable(action),
                (false, _) => of_stranger(status, action),
                (true, code) => of_answer(status, code, message.unwrap_or_default(), action),
            }
        }
        // An answer came and cannot be read: whether the request was carried out, nobody knows.
        SdkError::ResponseError(answer) if answer.raw().status().is_success() => unreadable(action),
        SdkError::ResponseError(answer) => of_stranger(answer.raw().status().as_u16(), action),
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
            of_transport(error, action)
        }
        _ => retry(format!("{action}: {}", causes(error)), true),
    }
}

fn retry(why: String, ambiguous: bool) -> Failure {
    Failure::Retry { why, ambiguous, throttled: false, expired: false }
}

fn unreadable(action: &str) -> Failure {
    retry(
        format!(
            "{action}: the answer was cut short, or is not of AWS; is there a proxy or a portal in between?"
        ),
        true,
    )
}

/// An error that somebody in between answered with: what AWS got to see, nobody knows.
fn of_stranger(status: u16, action: &str) -> Failure {
    let why = format!("{action}: HTTP status {status}, not from AWS; is there a proxy in between?");
    match status {
        413 => Failure::Rejected { why, proven: false },
        429 => Failure::Retry { why, ambiguous: false, throttled: true, expired: false },
        status => retry(why, status >= 500),
    }
}

fn of_answer(status: u16, code: &str, message: &str, action: &str) -> Failure {
    let message = shortened(message);
    let why = match (code, message.as_str()) {
        ("", "") => format!("{action}: HTTP status {status}"),
        (code, "") => format!("{action}: {code}"),
        ("", message) => format!("{action}: HTTP status {status}, {message}"),
        (code, message) => format!("{action}: {code}: {message}"),
    };
    if THROTTLED.contains(&code) || status == 429 {
        return Failure::Retry { why, ambiguous: false, throttled: true, expired: false };
    }
    match code {
        "ExpiredToken" | "ExpiredTokenException" => {
            Failure::Retry { why, ambiguous: false, throttled: false, expired: true }
        }
        "ResourceNotFoundException" => Failure::Missing { why },
        "ResourceAlreadyExistsException" => Failure::Exists,
        code if DENIED.contains(&code) => {
            Failure::Waiting { why: format!("{why}; allow {action} to this host's role") }
        }
        code if UNKNOWN_KEYS.contains(&code) => Failure::Waiting {
            why: format!("{why}; are the credentials valid, and is this region enabled for the account?"),
        },
        code if REJECTED.contains(&code) || status == 413 => Failure::Rejected { why, proven: true },
        "ServiceUnavailable" | "ServiceUnavailableException" => retry(why, false),
        // Signatures and times that a wrong clock spoils, and whatever is new. After a fault within the service the
        // request may have been carried out.
        _ => retry(why, status >= 500),
    }
}

/// Failures before or without an answer.
fn of_transport<E: Error + 'static>(error: &SdkError<E, HttpResponse>, action: &str) -> Failure {
    let text = causes(error);
    let lower = text.to_lowercase();
    if lower.contains("credential")
        || lower.contains("identity resolver")
        || lower.contains("no providers in chain")
    {
        let cure = "on EC2: is instance metadata on, and has the instance a role? Elsewhere: set AWS_PROFILE, or \
                    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        return Failure::Waiting { why: format!("{action}: no credentials ({text}); {cure}") };
    }
    if lower.contains("region")
        && matches!(error, SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_))
    {
        return Failure::Waiting {
            why: format!("{action}: no region ({text}); set aws.region or AWS_REGION"),
        };
    }
    let connected = match error {
        SdkError::ConstructionFailure(_) => false,
        _ => !never_connected(error),
    };
    retry(format!("{action}: {text}"), connected)
}

/// Whether the failure came before a byte of the request was written.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| {
        let of_client = cause.downcast_ref::<hyper_util::client::legacy::Error>();
        of_client.is_some_and(hyper_util::client::legacy::Error::is_connect)
            || cause.to_string().to_lowercase().contains("connect timeout")
    })
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// What the SDK wraps its causes in, and what says nothing.
const WRAPPINGS: [&str; 8] = [
    "dispatch failure",
    "other",
    "io error",
    "service error",
    "unhandled error",
    "timeout",
    "request has timed out",
    "client error (Connect)",
];

/// What went wrong and why, without saying anything twice.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut all = chain(error).map(ToString::to_string).peekable();
    while let Some(text) = all.next() {
        if WRAPPINGS.contains(&text.as_str()) && all.peek().is_some() {
            continue;
        }
        if !texts.iter().any(|told| told.contains(&text)) {
            texts.push(text);
        }
    }
    let text = texts.join(": ");
    // Some errors show the whole answer, or the request.
    let dump = ["Response {", "Request {"].iter().filter_map(|dump| text.find(dump)).min();
    shortened(text.get(..dump.unwrap_or(text.len())).unwrap_or_default())
}

/// Fit for a message: some errors hold whole requests, some a list of lines.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 400;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        assert_eq!(
            shortened("none found. Attempted:\n  Environment: no\n"),
            "none found. Attempted: Environment: no"
        );
        assert_eq!(shortened(&"x".repeat(500)), "x".repeat(400) + "...");
    }

    #[test]
    fn answers_are_told_apart_by_what_can_be_done() {
        let kind = |status, code: &str| match of_answer(status, code, "m", "logs:PutLogEvents") {
            Failure::Retry { throttled: true, .. } => "throttled",
            Failure::Retry { ambiguous: true, .. } => "ambiguous",
            Failure::Retry { .. } => "retry",
            Failure::Rejected { .. } => "rejected",
            Failure::Waiting { .. } => "waiting",
            Failure::Missing { .. } => "missing",
            Failure::Exists => "exists",
        };
        for (status, code, expected) in [
            (400, "Throttling", "throttled"),
            (400, "ThrottlingException", "throttled"),
            (429, "", "throttled"),
            (503, "ServiceUnavailable", "retry"),
            (500, "InternalFailure", "ambiguous"),
            (403, "ExpiredToken", "retry"),
            (400, "ExpiredTokenException", "retry"),
            (403, "SignatureDoesNotMatch", "retry"),
            (403, "RequestTimeTooSkewed", "retry"),
            (400, "RequestExpired", "retry"),
            (400, "InvalidSignatureException", "retry"),
            (400, "SomethingNew", "retry"),
            (403, "AccessDenied", "waiting"),
            (400, "AccessDeniedException", "waiting"),
            (400, "UnrecognizedClientException", "waiting"),
            (400, "InvalidParameterValue", "rejected"),
            (400, "InvalidParameterException", "rejected"),
            (413, "", "rejected"),
            (400, "ResourceNotFoundException", "missing"),
            (400, "ResourceAlreadyExistsException", "exists"),
        ] {
            assert_eq!(kind(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn a_denial_names_the_missing_permission() {
        let denied =
            of_answer(400, "AccessDeniedException", "User: x is not authorized", "logs:CreateLogGroup");
        assert!(
            matches!(denied, Failure::Waiting { why } if why.ends_with("allow logs:CreateLogGroup to this host's role"))
        );
    }
}
