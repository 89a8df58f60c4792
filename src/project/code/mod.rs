//! Source text as far as it can be read without running it: which commands a shell script holds, which statements a
//! Python script. It must never take a comment or a text in quotes for something that runs.

pub(super) mod python;
pub(super) mod shell;

/// What a script is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// For `sh`, `bash` and their kind.
    Shell,
    /// Python.
    Python,
    /// JavaScript.
    JavaScript,
    /// Anything else: only whether there is something in it can be told.
    Other,
}

impl Language {
    /// The language of a script: by its first line, else by its name. What says nothing is given to `sh`.
    pub fn of(path: &str, text: &str) -> Language {
        let interpreter = text.lines().next().and_then(|line| line.strip_prefix("#!"));
        if let Some(words) = interpreter {
            let last = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
            let named: Vec<String> = words.split_whitespace().map(last).filter(|word| word != "env" && !word.starts_with('-')).collect();
            return match named.first().map(String::as_str).unwrap_or_default() {
                word if word.starts_with("python") => Language::Python,
                "node" | "nodejs" | "deno" | "bun" => Language::JavaScript,
                "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" => Language::Shell,
                _ => Language::Other,
            };
        }
        match path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("py") => Language::Python,
            Some("js" | "mjs" | "cjs") => Language::JavaScript,
            Some("rb" | "pl" | "php" | "lua" | "r" | "R" | "jl") => Language::Other,
            _ => Language::Shell,
        }
    }
}

/// A text that runs, and where its first line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What it is written in.
    pub language: Language,
    /// The text.
    pub text: String,
    /// The file, as messages call it.
    pub file: String,
    /// The number of its first line in the file; 0 if the file as a whole is meant.
    pub first: u32,
}

impl Script {
    /// The script in a file.
    pub fn file(path: &str, text: &str) -> Script {
        Script { language: Language::of(path, text), text: text.to_owned(), file: path.to_owned(), first: 1 }
    }

    /// Commands that stand in a file from the line `first` on.
    pub fn commands(text: &str, file: &str, first: u32) -> Script {
        Script { language: Language::Shell, text: text.to_owned(), file: file.to_owned(), first }
    }

    /// The line in its file of the line of the text that has the number `line`, from 1.
    pub(super) fn line(&self, line: u32) -> u32 {
        if self.first == 0 { 0 } else { self.first + line.saturating_sub(1) }
    }

    /// The shell commands in it: all of a shell script, those that a program hands to a shell.
    pub(super) fn shell_commands(&self) -> Vec<shell::Command> {
        match self.language {
            Language::Shell => shell::commands(&self.text),
            Language::Python => {
                let statements = python::statements(&self.text);
                statements
                    .iter()
                    .flat_map(|statement| handed_over(&statement.code, &statement.strings, statement.line, &statement.text))
                    .collect()
            }
            Language::JavaScript => {
                let lines = self.text.lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with("//"));
                lines.flat_map(|(line, number)| handed_over(line, &quoted(line), number, line.trim())).collect()
            }
            Language::Other => Vec::new(),
        }
    }
}

/// Calls by which programs run commands.
const RUNNING: &[&str] = &[
    "os.system(",
    "os.popen(",
    "subprocess.",
    "check_call(",
    "check_output(",
    "Popen(",
    "execSync(",
    "exec(",
    "spawnSync(",
    "spawn(",
    "execFileSync(",
];

/// The commands in the texts of a line that runs some: one text is a command line, several are its words.
fn handed_over(code: &str, strings: &[String], line: u32, text: &str) -> Vec<shell::Command> {
    if !RUNNING.iter().any(|call| code.contains(call)) {
        return Vec::new();
    }
    let whole = strings.iter().find(|text| text.contains(char::is_whitespace));
    let command = whole.cloned().unwrap_or_else(|| strings.join(" "));
    let found = shell::commands(&command).into_iter();
    found.map(|command| shell::Command { line, text: text.to_owned(), ..command }).collect()
}

/// What stands between quotes in a line.
fn quoted(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find(['\'', '"', '`']) {
        let quote = &rest[at..=at];
        let after = &rest[at + 1..];
        let Some(end) = after.find(quote) else { break };
        found.push(after[..end].to_owned());
        rest = &after[end + 1..];
    }
    found
}
