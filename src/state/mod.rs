//! What aliform remembers of a stack, on disk, so that it loses no resource whenever it is killed.
//!
//! The state is a snapshot (`<stack>.state.json`) and a journal of what happened since (`<stack>.journal`). A record
//! is on disk before [`store::Store::append`] returns; the snapshot replaces the journal at the end of a command. One
//! command at a time writes a stack: it holds `<stack>.lock`. Beside them all stacks share a short memory of what was
//! sold out of late (`sold-out.json`).
//!
//! The room never speaks to the cloud, never decides what happens to a resource, and never guesses: a record that
//! does not follow from what is known is refused, and so is a file that is damaged or made by a newer aliform. Fields
//! that it does not know are refused too: written back without them, the state would have lost something.

pub mod contents;
pub mod error;
mod files;
mod journal;
pub mod lock;
pub mod record;
pub mod shortages;
mod snapshot;
pub mod store;
pub mod token;
mod transition;
