//! What can be bought and what it costs: answers of price and stock calls, and tariffs that no call quotes.
//! A price that nobody could tell is unknown, never zero.

pub mod avoiding;
pub mod clusters;
pub mod estimate;
pub mod existing;
pub mod lookup;
pub mod quote;
pub mod tariff;
pub mod training;
