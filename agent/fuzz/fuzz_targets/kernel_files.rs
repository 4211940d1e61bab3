//! Every text parser of the sources, over one input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vpcwatch::sources::parse_anything(bytes));
