//! How text looks: colours, width, and what must not reach a terminal as it is.
//!
//! Colour only repeats what the words say already. Nothing here looks at the terminal or the environment: whoever
//! makes a `Style` has.

use std::borrow::Cow;
use std::fmt::Write;

use anstyle::{AnsiColor, Effects};
use unicode_width::UnicodeWidthStr;

/// What a piece of text is, from which its colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Something that comes.
    Added,
    /// Something that changes where it stands.
    Changed,
    /// Something that is made anew.
    Replaced,
    /// Something that goes.
    Removed,
    /// A heading or a name.
    Strong,
    /// Beside the point.
    Dim,
    /// An error, or a danger.
    Error,
    /// A warning.
    Warning,
    /// What to do next.
    Hint,
}

/// Whether to colour, and how wide a line may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether ANSI colours are written.
    pub(crate) colour: bool,
    /// Columns of a line.
    pub(crate) width: usize,
}

impl Style {
    /// The widest that a line is laid out: what is right-aligned on a very wide screen is hard to find.
    const WIDEST: usize = 100;
    /// The narrowest; below that, alignment would cut into the words.
    const NARROWEST: usize = 40;

    /// No colours.
    #[cfg(test)]
    pub(crate) const fn plain(width: usize) -> Self {
        Style { colour: false, width }
    }

    /// `text` in the colour of its role.
    pub(crate) fn paint(&self, role: Role, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let plain = anstyle::Style::new();
        let style = match role {
            Role::Added => AnsiColor::Green.on_default(),
            Role::Changed | Role::Warning => AnsiColor::Yellow.on_default(),
            Role::Replaced => AnsiColor::Magenta.on_default(),
            Role::Removed => AnsiColor::Red.on_default(),
            Role::Strong => plain.effects(Effects::BOLD),
            Role::Dim => plain.effects(Effects::DIMMED),
            Role::Error => AnsiColor::Red.on_default().effects(Effects::BOLD),
            Role::Hint => AnsiColor::Cyan.on_default(),
        };
        format!("{style}{text}{style:#}")
    }

    /// `left`, and `right` at the end of the line. Two spaces at least stay between them.
    pub(crate) fn edge(&self, left: &str, right: &str) -> String {
        let line = self.width.clamp(Self::NARROWEST, Self::WIDEST);
        let room = line.saturating_sub(columns(left) + columns(right)).max(2);
        format!("{left}{:room$}{right}", "")
    }
}

/// How many columns `text` takes, colours not counted.
pub(crate) fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().width()
}

/// `text` with everything written out that a terminal would obey or hide: escapes, bells, and the marks that turn the
/// direction of writing, by which a script can look like another one than it is. Line ends and tabs stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if harmful(c) {
            // Writing to a String can't fail.
            let _ = write!(safe, "{}", c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// `text` as [`visible`] leaves it and on one line, for places where a line end would look like the end of something.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    let safe = visible(text);
    if safe.contains(['\n', '\t']) { Cow::Owned(safe.trim_end().replace(['\n', '\t'], " ")) } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_there_is_nothing_but_text() {
        for role in [Role::Added, Role::Changed, Role::Replaced, Role::Removed, Role::Strong, Role::Dim, Role::Error, Role::Hint] {
            assert_eq!(Style::plain(80).paint(role, "text"), "text");
            let coloured = Style { colour: true, width: 80 }.paint(role, "text");
            assert!(coloured.starts_with('\u{1b}') && coloured.ends_with("\u{1b}[0m"), "{coloured:?}");
        }
    }

    #[test]
    fn the_right_part_ends_at_the_edge_whatever_the_letters_and_colours() {
        let style = Style { colour: true, width: 50 };
        for left in ["short", "更新页面", &style.paint(Role::Added, "green")] {
            assert_eq!(columns(&style.edge(left, "free")), 50);
        }
        assert!(style.edge(&"x".repeat(60), "free").ends_with("x  free"));
        assert_eq!(columns(&Style::plain(300).edge("a", "b")), 100);
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(visible("a\tb\nc"), "a\tb\nc");
        assert_eq!(one_line("a\tb\nc\n"), "a b c");
        assert_eq!(visible("\u{1b}[2Jgone\r"), "\\u{1b}[2Jgone\\r");
        assert_eq!(visible("if \u{202e}evil"), "if \\u{202e}evil");
    }
}
