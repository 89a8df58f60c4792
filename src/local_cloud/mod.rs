//! (being built)

pub mod machines;
