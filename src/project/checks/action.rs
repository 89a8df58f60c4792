//! Whether a script holds something that executes, and not only comments, `pass` and plans for later.

use std::collections::BTreeSet;

use super::complaint as at;
use crate::model::diagnostic::Diagnostic;
use crate::project::code::python::{self, Statement};
use crate::project::code::shell::{self, Command};
use crate::project::code::{Language, Script};

/// What is wrong with a script that does nothing.
pub(super) fn complaint(script: &Script) -> Option<Diagnostic> {
    let hint = "write what it is to do; nothing was created";
    if script.text.trim().is_empty() {
        return Some(at("script-empty", format!("the script `{}` is empty", script.file), script, script.first, "", hint));
    }
    let acts = match script.language {
        Language::Shell => shell::commands(&script.text).iter().any(does),
        Language::Python => python_acts(&python::statements(&script.text)),
        Language::JavaScript => javascript_acts(&script.text),
        Language::Other => script.text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')),
    };
    if acts {
        return None;
    }
    let (number, line) = first_line(script);
    let message = format!("nothing in the script `{}` executes: it holds only comments, placeholders or definitions", script.file);
    Some(at("script-does-nothing", message, script, number, line, hint))
}

/// The line to show: the first that is neither empty nor the interpreter's.
fn first_line(script: &Script) -> (u32, &str) {
    let told = |(_, line): &(u32, &str)| !line.trim().is_empty() && !line.starts_with("#!");
    let (number, line) = (1..).zip(script.text.lines()).find(told).unwrap_or((1, script.text.lines().next().unwrap_or_default()));
    (script.line(number), line)
}

/// Whether a text only says that something is still to be done.
fn is_plan(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    ["TODO", "FIXME", "NOT IMPLEMENTED", "NOTIMPLEMENTED"].iter().any(|word| text.contains(word))
}

fn does(command: &Command) -> bool {
    match command.program() {
        "" | ":" | "true" | "set" | "shopt" | "return" | "export" | "case" | "in" => false,
        // To fail on purpose is to do something.
        "exit" => command.words.get(1).is_some_and(|code| code != "0"),
        "echo" | "printf" => !is_plan(&command.words[1..].join(" ")),
        _ => true,
    }
}

/// Heads of blocks that are looked into.
const BLOCKS: &[&str] =
    &["if", "elif", "else", "for", "while", "with", "try", "except", "finally", "async for", "async with", "match", "case"];

fn begins(code: &str, word: &str) -> bool {
    code.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()))
}

fn is_definition(statement: &Statement) -> bool {
    ["def", "async def", "class"].iter().any(|head| begins(&statement.code, head))
}

/// Whether a statement leaves everything as it was.
fn is_idle(statement: &Statement) -> bool {
    let code = statement.code.as_str();
    let words = ["import", "from", "global", "nonlocal", "return None"];
    matches!(code, "pass" | "..." | "return" | "print()")
        || statement.is_text()
        || code.starts_with('@')
        || words.iter().any(|word| begins(code, word))
        || code.starts_with("raise NotImplementedError")
        || (code.starts_with("print(") && is_plan(&statement.strings.join(" ")))
        || is_constant(code)
}

/// `EPOCHS = 3`: a name for a value, and nothing called.
fn is_constant(code: &str) -> bool {
    let Some((name, value)) = code.split_once('=') else { return false };
    let plain = name.chars().all(|c| matches!(c, '_' | ' ' | ':' | '[' | ']' | ',') || c.is_alphanumeric());
    plain && !value.starts_with('=') && !value.contains('(')
}

/// The part of a head behind its colon: `if x: pass`.
fn one_line_body(code: &str) -> Option<&str> {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ':' if depth == 0 => return Some(code[at + 1..].trim()).filter(|body| !body.is_empty()),
            _ => {}
        }
    }
    None
}

fn python_acts(statements: &[Statement]) -> bool {
    let stubs = stubs(statements);
    let mut inside_definition: Option<usize> = None;
    for statement in statements {
        if inside_definition.is_some_and(|indent| statement.indent > indent) {
            continue;
        }
        inside_definition = None;
        if is_definition(statement) {
            inside_definition = Some(statement.indent);
            continue;
        }
        let inline;
        let looked = if BLOCKS.iter().any(|head| begins(&statement.code, head)) && statement.code.contains(':') {
            let Some(body) = one_line_body(&statement.code) else { continue };
            inline = Statement { code: body.to_owned(), ..statement.clone() };
            &inline
        } else {
            statement
        };
        if !is_idle(looked) && !only_calls(looked, &stubs) {
            return true;
        }
    }
    false
}

/// Functions in which nothing happens.
fn stubs(statements: &[Statement]) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (at, head) in statements.iter().enumerate() {
        let name = head.code.trim_start_matches("async ").strip_prefix("def ").and_then(|rest| rest.split('(').next());
        let Some(name) = name.filter(|_| head.indent == 0) else { continue };
        let body: Vec<&Statement> = statements[at + 1..].iter().take_while(|statement| statement.indent > 0).collect();
        let inline = one_line_body(&head.code).is_none_or(|body| matches!(body, "pass" | "..." | "return" | "return None"));
        if inline && body.iter().all(|statement| is_idle(statement)) {
            found.insert(name.trim());
        }
    }
    found
}

/// Whether a statement does nothing but call such functions.
fn only_calls(statement: &Statement, stubs: &BTreeSet<&str>) -> bool {
    let calls = statement.calls();
    let through = ["sys.exit", "exit", "quit", "asyncio.run"];
    let calls_a_stub = calls.iter().any(|name| stubs.contains(name));
    calls_a_stub && calls.iter().all(|name| stubs.contains(name) || through.contains(name))
}

fn javascript_acts(text: &str) -> bool {
    let mut rest = text;
    let mut code = String::new();
    while let Some(at) = rest.find("/*") {
        code.push_str(&rest[..at]);
        rest = rest[at..].find("*/").map_or("", |end| &rest[at + end + 2..]);
    }
    code.push_str(rest);
    code.lines().any(|line| {
        let line = line.trim();
        let placeholder = (line.starts_with("console.log(") || line.starts_with("throw ")) && is_plan(line);
        !(line.is_empty() || line.starts_with("//") || line.starts_with("#!") || line == ";" || line.contains("use strict") || placeholder)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(file: &str, text: &str) -> Option<&'static str> {
        complaint(&Script::file(file, text)).map(|complaint| complaint.code)
    }

    #[test]
    fn what_does_nothing_is_told_from_what_does_little() {
        let idle = [
            ("a.py", "# later\n"),
            ("a.py", "\"\"\"Trains a model.\"\"\"\npass\n"),
            ("a.py", "...\n"),
            ("a.py", "import torch\n"),
            ("a.py", "EPOCHS = 3\n\ndef main():\n    train()\n"),
            ("a.py", "def main():\n    # TODO\n    pass\n\nif __name__ == '__main__':\n    main()\n"),
            ("a.py", "def main(): pass\nimport sys\nsys.exit(main())\n"),
            ("a.py", "print('TODO: train')\n"),
            ("a.py", "raise NotImplementedError('train')\n"),
            ("a.py", "if __name__ == '__main__': pass\n"),
            ("a.py", "try:\n    import torch\nexcept ImportError:\n    pass\n"),
            ("a.sh", "#!/bin/sh\nset -eu\n# python train.py\n"),
            ("a.sh", ":\n"),
            ("a.sh", "true\nexit 0\n"),
            ("a.sh", "echo \"TODO: run the training\"\n"),
            ("a.js", "// soon\n/* or\n later */\n'use strict';\n"),
            ("a.rb", "# nothing\n"),
        ];
        for (file, text) in idle {
            assert_eq!(code(file, text), Some("script-does-nothing"), "{text}");
        }
        for (file, text) in [("a.py", ""), ("a.sh", " \n\n"), ("a.js", "\n")] {
            assert_eq!(code(file, text), Some("script-empty"), "{text:?}");
        }
        let active = [
            ("a.py", "print('hello')\n"),
            ("a.py", "raise SystemExit(3)\n"),
            ("a.py", "def main():\n    print(1)\n\nif __name__ == '__main__':\n    main()\n"),
            ("a.py", "import json; json.dump({}, open('x', 'w'))\n"),
            ("a.py", "x = compute()\n"),
            ("a.py", "with open('a') as a: a.read()\n"),
            ("a.py", "for i in range(3):\n    # TODO: more\n    print(i)\n"),
            ("a.py", "pass\n# TODO\nx += 1\n"),
            ("a.sh", "# TODO\npython3 train.py\n"),
            ("a.sh", "echo done\n"),
            ("a.sh", "exit 9\n"),
            ("a.sh", "for i in 1 2; do make $i; done\n"),
            ("a.js", "console.log('TODO'); run()\n// x\nrun()\n"),
            ("a.rb", "puts 1\n"),
        ];
        for (file, text) in active {
            assert_eq!(code(file, text), None, "{text}");
        }
    }

    #[test]
    fn a_complaint_points_at_the_first_line_that_says_something() {
        let complaint = complaint(&Script::file("jobs/a.sh", "#!/bin/sh\n\n# later\n")).unwrap();
        let place = complaint.location.unwrap();
        assert_eq!((place.file.as_str(), place.line, place.text.as_str()), ("jobs/a.sh", 3, "# later"));
    }
}
