//! Reads a scenario file: YAML to a typed scenario, or what is wrong with it, where, and what to do about it.

use serde_saphyr::Error;

use super::Scenario;
use crate::model::diagnostic::{Diagnostic, Location};

/// The scenario in `text`, which came from `file`.
///
/// # Errors
/// The first complaint: reading stops there.
pub fn read(file: &str, text: &str) -> Result<Scenario, Box<Diagnostic>> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Scenario::default());
    }
    serde_saphyr::from_str(text).map_err(|error| Box::new(complaint(file, text, error.without_snippet())))
}

fn complaint(file: &str, text: &str, error: &Error) -> Diagnostic {
    let location = error.location().map(|at| {
        let (line, column) = (u32::try_from(at.line()).unwrap_or(1).max(1), u32::try_from(at.column()).unwrap_or(1).max(1));
        let source = text.lines().nth(line as usize - 1).unwrap_or_default();
        // Of a plain word all of it is meant.
        let word = source.chars().skip(column as usize - 1).take_while(|c| !c.is_whitespace() && !",:}]".contains(*c)).count();
        Location { file: file.to_owned(), line, column, length: u32::try_from(word).unwrap_or(1).max(1), text: source.to_owned() }
    });
    let (code, message, hint) = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            ("unknown-key", format!("`{field}` is not known here"), likely(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            ("unknown-value", format!("`{variant}` is not one of the values"), likely(variant, expected))
        }
        Error::SerdeMissingField { field, .. } => ("missing-key", format!("`{field}` is missing"), format!("add `{field}`")),
        other => {
            let text = other.to_string();
            let first = text.lines().next().unwrap_or_default();
            // The place is told apart from it.
            ("invalid-scenario", first.split(" at line ").next().unwrap_or(first).to_owned(), schema())
        }
    };
    Diagnostic { code, message, location, hints: vec![hint] }
}

fn schema() -> String {
    "`aliform schema scenario` prints what a scenario may hold".to_owned()
}

/// The most similar of the words, or all of them.
fn likely(word: &str, known: &[&'static str]) -> String {
    let likeness = |known: &&&str| (strsim::normalized_damerau_levenshtein(word, known) * 1000.0) as u32;
    match known.iter().max_by_key(likeness).filter(|best| likeness(best) > 500) {
        Some(best) => format!("did you mean `{best}`?"),
        None => format!("known are {}", known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::config::Stock;

    #[test]
    fn a_scenario_says_only_what_differs() {
        assert_eq!(read("s.yaml", "# nothing\n\n").unwrap(), Scenario::default());
        let text = "seed: 7\nclock: { speed: 60 }\nbalance: 99.5\nlatency: { scale: 0, agent: 2s }\nquotas: { vpcs: 1 }\ncalls:\n\
                    - { call: 'ecs:*', takes: 100ms..2s, throttled: 0.25 }\n- { call: vpc:CreateVpc, fails: { code: X, times: 2 } }\n\
                    stock:\n- { place: cn-hangzhou-h, stock: sold_out }\n- { instance_type: t, stock: { limited: 3 } }\n\
                    prices:\n- { region: cn-beijing, factor: 2.5 }\n";
        let scenario = read("s.yaml", text).unwrap();
        assert_eq!((scenario.seed, scenario.quotas.vpcs, scenario.quotas.eips), (7, 1, 1000));
        assert_eq!(scenario.stock.iter().map(|rule| rule.stock).collect::<Vec<_>>(), [Stock::SoldOut, Stock::Limited(3)]);
        let json = serde_json::to_string(&scenario).unwrap();
        assert_eq!(serde_json::from_str::<Scenario>(&json).unwrap(), scenario, "{json}");
    }

    #[test]
    fn a_complaint_has_its_place_and_a_hint() {
        let wrong = |text: &str, line: u32, code: &str, message: &str, hint: &str| {
            let complaint = read("s.yaml", text).unwrap_err();
            let place = complaint.location.clone().map(|location| location.line);
            assert_eq!((complaint.code, place), (code, Some(line)), "{complaint:?}");
            assert!(complaint.message.contains(message) && complaint.hints[0].contains(hint), "{complaint:?}");
        };
        wrong("seed: 1\nlatancy: {}\n", 2, "unknown-key", "latancy", "did you mean `latency`?");
        wrong("stock:\n- { stock: sold-out }\n", 2, "unknown-value", "sold-out", "did you mean `sold_out`?");
        wrong("calls:\n- takes: 1s\n", 2, "missing-key", "call", "add `call`");
        wrong("calls:\n- call: ecs:*\n  throttled: 2\n", 3, "invalid-scenario", "2 is no share", "schema scenario");
        wrong("calls:\n- call: RunInstances\n", 2, "invalid-scenario", "names no calls", "schema scenario");
        wrong("latency:\n  agent: soon\n", 2, "invalid-scenario", "`soon` is not a duration", "schema scenario");
        wrong("clock: { speed: 0 }\n", 1, "invalid-scenario", "0 is no speed", "schema scenario");
        wrong("seed: [\n", 1, "invalid-scenario", "", "schema scenario");
    }
}
