//! The server under the stand-ins, met with bytes.

use std::io::{Read, Write};
use std::net::TcpStream;

use vpcwatch_tests::fake_aws::FakeAws;

/// Sends bytes and returns all that comes back until the server, told so by `Connection: close`, closes.
fn exchange(fake: &FakeAws, parts: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(fake.endpoint().strip_prefix("http://").unwrap()).unwrap();
    for part in parts {
        stream.write_all(part).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const CREATE: &str = "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Logs_20140328.CreateLogGroup\r\n\
                      Content-Type: application/x-amz-json-1.1\r\n";

#[test]
fn who_does_not_sign_is_refused() {
    let fake = FakeAws::start().unwrap();
    let answer = exchange(
        &fake,
        &[CREATE.as_bytes(), b"Connection: close\r\nContent-Length: 23\r\n\r\n{\"logGroupName\":\"many\"}"],
    );
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("MissingAuthenticationTokenException"), "{answer}");

    let path = "/service/GraniteServiceVersion20100801/operation/PutMetricData";
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nSmithy-Protocol: rpc-v2-cbor\r\nContent-Type: application/cbor\r\n\
         Connection: close\r\nContent-Length: 1\r\n\r\n\u{20}"
    );
    let answer = exchange(&fake, &[head.as_bytes()]);
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(answer.contains("x-amzn-query-error: MissingAuthenticationToken;Sender\r\n"), "{answer}");
}

#[test]
fn what_is_not_of_aws_is_a_violation() {
    let fake = FakeAws::start().unwrap();
    let answer = exchange(&fake, &[b"GET /favicon.ico HTTP/1.1\r\nConnection: close\r\n\r\n"]);
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert_eq!(fake.violations(), ["request 0 : UnknownOperationException: no such operation"]);
}

#[test]
fn bodies_come_in_chunks_and_after_leave() {
    let fake = FakeAws::start().unwrap();
    let date = fake.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let signed = format!(
        "X-Amz-Date: {date}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIA/{}/eu-west-3/logs/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={}\r\n",
        date.split('T').next().unwrap(),
        "0".repeat(64)
    );
    // Two requests at once: the first in chunks, with an extension and a trailer.
    let answer = exchange(
        &fake,
        &[
            CREATE.as_bytes(),
            signed.as_bytes(),
            b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5;x=y\r\n{\"log\r\n12\r\nGroupName\":\"many\"}\r\n0\r\nTrailer: x\r\n\r\n",
            CREATE.as_bytes(),
            signed.as_bytes(),
            b"Content-Length: 22\r\nConnection: close\r\n\r\n{\"logGroupName\":\"one\"}",
        ],
    );
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answer}");
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\n"), "{answer}");
    assert_eq!(fake.groups().into_keys().collect::<Vec<_>>(), ["many", "one"]);
}
