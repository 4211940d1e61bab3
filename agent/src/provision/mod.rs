//! What an account needs around the agent: what its role may do.

pub mod policy;
