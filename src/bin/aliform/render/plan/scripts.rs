//! The scripts of a plan: each text in full once, however many resources run it.

use std::collections::BTreeMap;

use aliform::model::address::Address;

use crate::render::style::{Role, Style, visible};

/// Scripts that were met so far.
#[derive(Default)]
pub(super) struct Scripts {
    /// Where a field's text or diff was shown first, and under which field there.
    first: BTreeMap<(String, String), (Address, String)>,
    /// New texts, to be shown below the changes.
    below: Vec<(Address, String, String)>,
}

impl Scripts {
    /// The resource that this very text of this field was shown for already; else it is remembered for `address`, where
    /// it is shown under the field `under`.
    pub(super) fn shown(&mut self, address: &Address, field: &str, text: &str, under: &str) -> Option<Address> {
        let key = (field.to_owned(), text.to_owned());
        match self.first.get(&key) {
            Some((first, _)) => Some(first.clone()),
            None => {
                self.first.insert(key, (address.clone(), under.to_owned()));
                None
            }
        }
    }

    /// The field of the same resource under which this very diff is shown already.
    pub(super) fn same(&self, address: &Address, text: &str) -> Option<&str> {
        let same = self.first.iter().find(|((_, known), (first, _))| known == text && first == address);
        same.map(|(_, (_, under))| under.as_str())
    }

    /// Shows a text below the changes.
    pub(super) fn show_below(&mut self, address: &Address, field: &str, text: &str) {
        self.below.push((address.clone(), field.to_owned(), text.to_owned()));
    }

    /// The texts, if there are any. A bar stands before each line, so that no script can pass for a part of the plan.
    pub(super) fn section(&self, style: &Style) -> Option<String> {
        if self.below.is_empty() {
            return None;
        }
        let bar = style.paint(Role::Dim, "|");
        let mut text = format!("{}\n", style.paint(Role::Strong, "Scripts"));
        for (at, (address, field, script)) in self.below.iter().enumerate() {
            if at > 0 {
                text.push('\n');
            }
            text += &format!("  {field} of {address}\n");
            for line in script.lines() {
                text += format!("  {bar} {}", visible(line)).trim_end();
                text.push('\n');
            }
        }
        Some(text)
    }
}
