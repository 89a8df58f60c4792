//! Small rules that neither compiler nor linter holds. Each looks at the files of the checkout as they are.

use std::path::{Path, PathBuf};

/// Lines that a file of `src` may have at most, its tests included.
const LONGEST: usize = 600;

/// What nobody wrote. In a linked work tree `.git` is a file.
const NOT_OURS: &[&str] = &[".git", "target", "node_modules", ".aliform"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `directory`, as a path from the root of the checkout.
fn files_in(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if NOT_OURS.contains(&entry.file_name().to_str().unwrap_or_default()) {
            continue;
        }
        if kind.is_dir() {
            found.extend(files_in(&path));
        } else if kind.is_file() {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// Every Rust file below one of the folders, with its text.
fn rust_in(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let folders = folders.iter().map(|folder| root().join(folder)).filter(|folder| folder.exists());
    let files = folders.flat_map(|folder| files_in(&folder)).filter(|path| path.extension().is_some_and(|it| it == "rs"));
    files.map(|path| (path.clone(), std::fs::read_to_string(root().join(path)).unwrap())).collect()
}

/// Fails with every line that holds one of the texts; a comment may speak of them.
fn refuse(files: &[(PathBuf, String)], texts: &[String], why: &str) {
    assert!(!files.is_empty(), "nothing was looked at");
    let mut problems = Vec::new();
    for (path, content) in files {
        for (i, line) in content.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for text in texts.iter().filter(|text| holds(line, text)) {
                problems.push(format!("{}:{}: `{text}`", path.display(), i + 1));
            }
        }
    }
    assert!(problems.is_empty(), "{why}:\n{}", problems.join("\n"));
}

/// Whether `line` holds `text` and not only as the end of a longer name: `eprint!` is not `print!`.
fn holds(line: &str, text: &str) -> bool {
    let inside_a_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(text).any(|(at, _)| !text.starts_with(inside_a_name) || !line[..at].ends_with(inside_a_name))
}

/// Names of macros as they are called. Put together here, so that this file does not call them.
fn calls(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{name}!")).collect()
}

#[test]
fn every_module_says_what_it_is_for() {
    let missing: Vec<PathBuf> =
        rust_in(&["src", "tests", "benches"]).into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    assert!(missing.is_empty(), "these begin without `//!`: {missing:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    refuse(&rust_in(&["src", "tests", "benches"]), &calls(&["todo", "unimplemented", "dbg"]), "finish it or leave it out");
}

#[test]
fn no_lint_is_silenced_without_a_reason() {
    let texts = ["#[", "#!["].map(|start| format!("{start}allow("));
    refuse(&rust_in(&["src", "tests", "benches"]), &texts, "use `#[expect(lint, reason = \"...\")]`");
}

#[test]
fn no_test_is_left_out() {
    let texts = ["ignore]", "ignore ="].map(|end| format!("#[{end}"));
    refuse(&rust_in(&["src", "tests", "benches"]), &texts, "a test that does not run holds nothing");
}

#[test]
fn the_library_never_prints() {
    let mut files = rust_in(&["src"]);
    files.retain(|(path, _)| !path.starts_with("src/bin"));
    refuse(&files, &calls(&["print", "println", "eprint", "eprintln"]), "the engine tells what happens by events");
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = rust_in(&["src"])
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "more than {LONGEST} lines; find the two purposes in it:\n{}", long.join("\n"));
}

#[test]
fn no_file_names_a_path_of_the_machine_it_was_written_on() {
    // Put together, so that this file holds none itself. Where the checkout stands is such a path too.
    let mut texts = vec![format!("/{}/", "work"), format!("/{}/", "Users"), format!("/{}/", "workspace")];
    texts.extend(root().to_str().filter(|_| root().components().count() > 2).map(str::to_owned));
    let files = files_in(root()).into_iter().filter_map(|path| {
        let text = std::fs::read_to_string(root().join(&path)).ok()?;
        Some((path, text))
    });
    let named: Vec<String> = files
        .flat_map(|(path, text)| {
            texts.iter().filter(|it| text.contains(*it)).map(|it| format!("{}: {it}", path.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(named.is_empty(), "paths of a machine:\n{}", named.join("\n"));
}

#[test]
fn every_example_says_how_to_run_it() {
    let Ok(examples) = std::fs::read_dir(root().join("examples")) else { return };
    let silent: Vec<PathBuf> =
        examples.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir() && !path.join("README.md").is_file()).collect();
    assert!(silent.is_empty(), "no README.md in {silent:#?}");
}
