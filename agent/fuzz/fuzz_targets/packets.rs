//! A captured packet, from its network header on.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vpcwatch::sources::parse_packet(bytes));
