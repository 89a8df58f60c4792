//! From needs to what can be bought: the types that have what is needed, where they are in stock, and what they cost;
//! which product runs a job; what may stand in for the chosen one. It asks through
//! [`Lookup`](crate::pricing::lookup::Lookup) alone, in parallel and in batches, and creates nothing. Every ranking is a
//! pure function of the answers.

pub mod classify;
pub mod fallback;
pub mod function;
pub mod machine;
pub mod offers;
pub mod product;
pub mod quote;
pub mod rank;
pub mod training;
pub mod wants;
