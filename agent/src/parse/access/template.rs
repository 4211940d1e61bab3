//! Paths without what differs from one request to the next, so that those of one kind are one.

use std::fmt::Write;

/// Segments that are kept; what is behind them is `...`.
const SEGMENTS: usize = 16;
/// Letters and digits, mixed, of which a segment this long is a token and no word.
const TOKEN: usize = 20;

/// The path without query and fragment, without scheme and host; segments that are numbers, UUIDs, hexadecimal or tokens are
/// `{id}`: `/users/17/orders?x=1` is `/users/{id}/orders`.
pub fn of(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let path = match path.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => path,
    };
    let mut template = String::with_capacity(path.len().min(256));
    for (number, segment) in path.split('/').enumerate() {
        if number > 0 {
            template.push('/');
        }
        if number > SEGMENTS {
            template.push_str("...");
            break;
        }
        // Writing to a String cannot fail.
        let _ = write!(template, "{}", if is_id(segment) { "{id}" } else { segment });
    }
    template
}

fn is_id(segment: &str) -> bool {
    let (mut digits, mut hex, mut letters, mut others) = (0_usize, 0_usize, 0_usize, 0_usize);
    for byte in segment.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'f' | b'A'..=b'F' => hex += 1,
            b'g'..=b'z' | b'G'..=b'Z' => letters += 1,
            b'-' | b'_' => {}
            _ => others += 1,
        }
    }
    if digits == 0 || others > 0 {
        return false;
    }
    let is_number = hex + letters == 0;
    let is_hexadecimal = letters == 0 && digits + hex >= 8;
    is_number || is_hexadecimal || digits + hex + letters >= TOKEN
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths() {
        for (path, template) in [
            ("/", "/"),
            ("*", "*"),
            ("/users/17/orders?id=3", "/users/{id}/orders"),
            ("/users/-17", "/users/{id}"),
            ("/a/2f1a6c0e-8f5b-4a34-9d6e-0f6a0c1b2d3e/b", "/a/{id}/b"),
            ("/sha/3f786850e387550fdab836ed7e6dc881de23001b", "/sha/{id}"),
            ("/facade/decade", "/facade/decade"),
            ("/v2/api", "/v2/api"),
            ("/2026-11-24/report", "/{id}/report"),
            ("/t/eyJhbGciOiJIUzI1NiIsInR5cCI6", "/t/{id}"),
            ("/style.css#top", "/style.css"),
            ("http://shop.example.org/cart/9", "/cart/{id}"),
            ("http://shop.example.org", "/"),
            ("/h\u{e9}/\u{1f600}/7", "/h\u{e9}/\u{1f600}/{id}"),
            ("", ""),
        ] {
            assert_eq!(super::of(path), template, "{path}");
        }
        assert_eq!(super::of(&"/a".repeat(20)), format!("{}/...", "/a".repeat(16)));
    }
}
