//! The answers of a sock_diag walk.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = vpcwatch::sources::sock_diag::read_messages(bytes, 0, &mut |_| {});
});
