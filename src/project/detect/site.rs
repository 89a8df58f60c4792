//! Files that are handed out as they are.

use super::Found;
use super::source::Source;
use crate::model::runtime::Runtime;

pub(super) fn find(source: &Source) -> Option<Found> {
    // The root's page wins: `public/` beside it holds its pictures.
    let (folder, mark) = if source.has("index.html") {
        (".", source.whole("index.html"))
    } else if source.has("public/index.html") {
        ("public", source.whole("public/index.html"))
    } else if source.has_folder("public") {
        ("public", source.whole("public"))
    } else {
        return None;
    };
    let mut found = Found::new(Runtime::Static, mark.clone());
    found.start(format!("serve {folder}"), mark);
    Some(found)
}
