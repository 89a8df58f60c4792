//! Complaints about a text of the user, with the line they are about, and every other error with its causes and hints.

use std::ops::Range;

use aliform::model::diagnostic::{Diagnostic, Location};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::style::{Role, Style, visible};

/// The complaints, a blank line between them, in the look that compilers have.
pub(crate) fn diagnostics(complaints: &[Diagnostic], style: &Style) -> String {
    let renderer = if style.colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(style.width.max(40)).hyperlink(false);
    complaints.iter().map(|complaint| one(complaint, &renderer)).collect::<Vec<_>>().join("\n")
}

fn one(complaint: &Diagnostic, renderer: &Renderer) -> String {
    let hint = Level::HELP.with_name("hint");
    let title = Level::ERROR.primary_title(visible(&complaint.message)).id(complaint.code);
    let hints = complaint.hints.iter().map(|text| hint.clone().message(visible(text)));
    let group = match &complaint.location {
        None => title.elements(hints),
        Some(location) => {
            // A tab is a column like any other to an editor, and `visible` would change where the columns are.
            let line = Snippet::source(location.text.as_str())
                .line_start(usize::try_from(location.line).unwrap_or(usize::MAX))
                .path(location.file.as_str())
                .annotation(AnnotationKind::Primary.span(span(location)));
            title.element(line).elements(hints)
        }
    };
    renderer.render(&[group]) + "\n"
}

/// Where in the bytes of its line a place is; its end is the line's at most.
fn span(location: &Location) -> Range<usize> {
    let text = &location.text;
    let byte = |characters: u32| {
        let characters = usize::try_from(characters).unwrap_or(usize::MAX);
        text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
    };
    let first = location.column.saturating_sub(1);
    byte(first)..byte(first.saturating_add(location.length.max(1)))
}

/// An error of another kind: what is wrong, why, outermost first, and what to do.
pub(crate) fn error(message: &str, causes: &[String], hints: &[String], style: &Style) -> String {
    let mut text = format!("{} {}\n", style.paint(Role::Error, "error:"), visible(message));
    for cause in causes {
        text += &format!("  {} {}\n", style.paint(Role::Dim, "caused by:"), visible(cause).replace('\n', "\n    "));
    }
    for hint in hints {
        text += &format!("  {} {}\n", style.paint(Role::Hint, "hint:"), visible(hint).replace('\n', "\n    "));
    }
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn complaint(text: &str, line: u32, column: u32, length: u32) -> Diagnostic {
        let (file, text) = ("aliform.yaml".to_owned(), text.to_owned());
        Diagnostic {
            code: "unknown-key",
            message: "unknown key `regoin`".to_owned(),
            location: Some(Location { file, line, column, length, text }),
            hints: vec!["did you mean `region`?".to_owned(), "the keys here are `stack`, `region`".to_owned()],
        }
    }

    #[test]
    fn a_complaint_shows_its_line_and_what_to_do() {
        let both = [
            complaint("regoin: auto", 3, 1, 6),
            Diagnostic { code: "no-manifest", message: "`aliform.yaml` can't be read".to_owned(), location: None, hints: Vec::new() },
        ];
        assert_snapshot!(diagnostics(&both, &Style::plain(80)), @r"
        error[unknown-key]: unknown key `regoin`
         --> aliform.yaml:3:1
          |
        3 | regoin: auto
          | ^^^^^^
          |
          = hint: did you mean `region`?
          = hint: the keys here are `stack`, `region`

        error[no-manifest]: `aliform.yaml` can't be read
        ");
    }

    #[test]
    fn columns_are_characters_and_may_lie_behind_the_line() {
        let wide = diagnostics(&[complaint("名前: regoin", 1, 5, 6)], &Style::plain(80));
        assert!(wide.contains("aliform.yaml:1:5"), "{wide}");
        assert_eq!(span(complaint("名前: regoin", 1, 5, 6).location.as_ref().unwrap()), 8..14);
        let behind = diagnostics(&[complaint("port:", 2, 6, 1)], &Style::plain(80));
        assert!(behind.contains("aliform.yaml:2:6") && behind.contains('^'), "{behind}");
        assert_eq!(span(complaint("", 1, 9, 0).location.as_ref().unwrap()), 0..0);
    }

    #[test]
    fn an_error_says_what_why_and_what_to_do() {
        let text =
            error("the plan can't be saved", &["permission denied".to_owned()], &["name another folder".to_owned()], &Style::plain(80));
        assert_eq!(text, "error: the plan can't be saved\n  caused by: permission denied\n  hint: name another folder\n");
        let coloured = error("no", &[], &[], &Style { colour: true, width: 80 });
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), "error: no\n");
    }
}
