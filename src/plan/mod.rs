//! What has to be done and what it will cost: desired, remembered and observed in, a plan out. Pure: the same
//! inputs give the same bytes. It asks nobody, reads no clock and changes nothing.

pub mod cost;
pub mod diff;
mod fallback;
pub mod make;
mod past;
pub mod resumed;
pub mod saved;
pub mod worn;
