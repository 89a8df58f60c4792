//! The simple commands of a shell script, in order, with the line each begins on. Quotes, comments, continued lines,
//! here-documents and substitutions are read as `sh` does; nothing is expanded.

use std::iter::Peekable;
use std::str::Chars;

/// One command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::project) struct Command {
    /// The program and its arguments, without quotes, settings and words such as `sudo`.
    pub(in crate::project) words: Vec<String>,
    /// What is set before it, or by it if it is an `export`.
    pub(in crate::project) settings: Vec<(String, String)>,
    /// What is handed to it as a here-document.
    pub(in crate::project) document: String,
    /// Its line in the text, from 1.
    pub(in crate::project) line: u32,
    /// That line, trimmed.
    pub(in crate::project) text: String,
}

impl Command {
    /// The program's name without its folder.
    pub(in crate::project) fn program(&self) -> &str {
        self.words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default()
    }

    /// Its arguments that are no options.
    pub(in crate::project) fn operands(&self) -> impl Iterator<Item = &str> {
        self.words.iter().skip(1).map(String::as_str).filter(|word| !word.starts_with('-'))
    }
}

/// How deep commands inside commands are followed.
const DEPTH: usize = 4;
/// Words before a command that belong to the shell.
const KEYWORDS: &[&str] = &["if", "then", "else", "elif", "do", "while", "until", "!", "{", "}", "fi", "done", "esac", "time"];
/// Programs that run the command behind them.
const WRAPPERS: &[&str] = &["sudo", "exec", "nohup", "command", "builtin", "env", "nice", "stdbuf", "timeout", "xargs", "retry", "doas"];
/// Options of those that take a value.
const VALUED: &[&str] = &["-u", "-g", "-n", "-k", "-s", "-P", "-I", "-L"];

/// The commands of a script.
pub(in crate::project) fn commands(text: &str) -> Vec<Command> {
    read(text, 1, text, DEPTH)
}

fn read(text: &str, first: u32, whole: &str, depth: usize) -> Vec<Command> {
    let mut reader = Reader {
        chars: text.chars().peekable(),
        line: first,
        whole: whole.lines().collect(),
        found: Vec::new(),
        words: Vec::new(),
        word: None,
        started: first,
        documents: Vec::new(),
        depth,
    };
    reader.run();
    reader.found
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    line: u32,
    whole: Vec<&'a str>,
    found: Vec<Command>,
    words: Vec<String>,
    word: Option<String>,
    started: u32,
    /// Here-documents that begin with the next line: their ends, and whether tabs before them don't count.
    documents: Vec<(String, bool)>,
    depth: usize,
}

impl Reader<'_> {
    fn run(&mut self) {
        while let Some(c) = self.chars.next() {
            match c {
                '\\' => match self.chars.next() {
                    Some('\n') => self.line += 1,
                    Some(next) => self.push(next),
                    None => {}
                },
                '\'' => {
                    let text = self.until('\'');
                    self.extend(&text);
                }
                '"' => self.double(),
                '#' if self.word.is_none() => self.comment(),
                '$' if self.chars.peek() == Some(&'(') => self.substitution(),
                '`' => {
                    let (line, text) = (self.line, self.until('`'));
                    self.nested(&text, line);
                }
                '<' if self.chars.peek() == Some(&'<') => self.here_document(),
                '\n' => {
                    self.end_command();
                    self.line += 1;
                    self.read_documents();
                }
                '&' if self.word.as_deref().is_some_and(|word| word.ends_with('>')) || self.chars.peek() == Some(&'>') => self.push(c),
                ';' | '&' | '|' | '(' | ')' => self.end_command(),
                c if c.is_whitespace() => self.end_word(),
                c => self.push(c),
            }
        }
        self.end_command();
    }

    fn push(&mut self, c: char) {
        if self.words.is_empty() && self.word.is_none() {
            self.started = self.line;
        }
        self.word.get_or_insert_default().push(c);
    }

    fn extend(&mut self, text: &str) {
        if self.words.is_empty() && self.word.is_none() {
            self.started = self.line;
        }
        self.word.get_or_insert_default().push_str(text);
    }

    fn until(&mut self, end: char) -> String {
        let mut text = String::new();
        for c in self.chars.by_ref() {
            if c == end {
                break;
            }
            self.line += u32::from(c == '\n');
            text.push(c);
        }
        text
    }

    fn double(&mut self) {
        self.extend("");
        while let Some(c) = self.chars.next() {
            match c {
                '"' => return,
                '\\' => {
                    if let Some(next) = self.chars.next() {
                        self.line += u32::from(next == '\n');
                        if !matches!(next, '\n' | '"' | '\\' | '$' | '`') {
                            self.push('\\');
                        }
                        if next != '\n' {
                            self.push(next);
                        }
                    }
                }
                '$' if self.chars.peek() == Some(&'(') => self.substitution(),
                c => {
                    self.line += u32::from(c == '\n');
                    self.push(c);
                }
            }
        }
    }

    fn comment(&mut self) {
        while self.chars.next_if(|c| *c != '\n').is_some() {}
    }

    /// `$(...)`: the commands in it are commands too.
    fn substitution(&mut self) {
        let (line, mut depth, mut text) = (self.line, 0, String::new());
        for c in self.chars.by_ref() {
            self.line += u32::from(c == '\n');
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            text.push(c);
            if depth == 0 {
                break;
            }
        }
        let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(&text).to_owned();
        // `$((1 + 2))` is a number.
        if !inner.starts_with('(') {
            self.nested(&inner, line);
        }
    }

    fn nested(&mut self, text: &str, line: u32) {
        if self.depth > 0 {
            let whole = self.whole.join("\n");
            self.found.extend(read(text, line, &whole, self.depth - 1));
        }
        self.extend("$()");
    }

    fn here_document(&mut self) {
        self.end_word();
        self.chars.next();
        if self.chars.next_if_eq(&'<').is_some() {
            return;
        }
        let tabs = self.chars.next_if_eq(&'-').is_some();
        while self.chars.next_if(|c| *c == ' ').is_some() {}
        let mut end = String::new();
        while let Some(c) = self.chars.next_if(|c| !c.is_whitespace() && !matches!(c, ';' | '&' | '|' | ')' | '>')) {
            if !matches!(c, '\'' | '"' | '\\') {
                end.push(c);
            }
        }
        self.documents.push((end, tabs));
    }

    /// Reads the here-documents that the line before announced; they belong to the last command of it.
    fn read_documents(&mut self) {
        for (end, tabs) in std::mem::take(&mut self.documents) {
            let mut body = String::new();
            while self.chars.peek().is_some() {
                let line = self.until('\n');
                let ends = if tabs { line.trim_start_matches('\t') == end } else { line == end };
                if ends {
                    self.line += 1;
                    break;
                }
                body.push_str(&line);
                body.push('\n');
                self.line += 1;
            }
            let begun = self.found.last().map_or(1, |last| last.line);
            if let Some(last) = self.found.last_mut() {
                last.document.push_str(&body);
            }
            let shell = self.found.last().is_some_and(|last| matches!(last.program(), "sh" | "bash"));
            if shell && self.depth > 0 {
                let whole = self.whole.join("\n");
                self.found.extend(read(&body, begun + 1, &whole, self.depth - 1));
            }
        }
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            self.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        let words = std::mem::take(&mut self.words);
        if words.is_empty() {
            return;
        }
        let line = self.started;
        let text = usize::try_from(line.saturating_sub(1)).ok().and_then(|index| self.whole.get(index)).map_or("", |text| text.trim());
        let mut command = Command { line, text: text.to_owned(), ..Command::default() };
        command.take(words);
        let inner = command.inner().filter(|_| self.depth > 0);
        self.found.push(command);
        if let Some(inner) = inner {
            let text = text.to_owned();
            let commands = read(&inner, 1, &inner, self.depth - 1).into_iter();
            self.found.extend(commands.map(|command| Command { line, text: text.clone(), ..command }));
        }
    }
}

/// `NAME=VALUE`.
fn setting(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let plain = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    (plain && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())).then(|| (name.to_owned(), value.to_owned()))
}

impl Command {
    /// Takes the words of the command, without what only leads to it.
    fn take(&mut self, words: Vec<String>) {
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.peek() {
            if let Some(setting) = setting(word) {
                self.settings.push(setting);
                words.next();
            } else if KEYWORDS.contains(&word.as_str()) {
                words.next();
            } else if WRAPPERS.contains(&word.as_str()) {
                let wrapper = words.next().unwrap_or_default();
                while let Some(option) = words.next_if(|word| word.starts_with('-')) {
                    if VALUED.contains(&option.as_str()) {
                        words.next();
                    }
                }
                if wrapper == "timeout" {
                    words.next();
                }
            } else {
                break;
            }
        }
        self.words = words.collect();
        if matches!(self.program(), "export" | "declare" | "local" | "readonly") {
            self.settings.extend(self.words.iter().skip(1).filter_map(|word| setting(word)));
        }
    }

    /// The script that is handed over in a word: `sh -c '...'`.
    fn inner(&self) -> Option<String> {
        match self.program() {
            "sh" | "bash" | "dash" | "zsh" | "su" => {
                let at = self.words.iter().position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))?;
                self.words.get(at + 1).cloned()
            }
            "eval" => Some(self.words[1..].join(" ")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        commands(text)
            .iter()
            .filter(|command| !command.words.is_empty())
            .map(|command| format!("{}: {}", command.line, command.words.join(" ")))
            .collect()
    }

    #[test]
    fn commands_are_what_runs() {
        assert_eq!(read("# pip install a\necho \"pip install b\" # pip install c\n"), ["2: echo pip install b"]);
        assert_eq!(
            read("cd x && sudo -E apt-get \\\n  install -y y; ls | wc -l"),
            ["1: cd x", "1: apt-get install -y y", "2: ls", "2: wc -l"]
        );
        assert_eq!(read("if ! command -v uv; then\n  pip install uv\nfi\n"), ["1: uv", "2: pip install uv"]);
        assert_eq!(read("A=1 B='x y' make 2>&1"), ["1: make 2>&1"]);
        assert_eq!(read("bash -lc 'pip install z'"), ["1: bash -lc pip install z", "1: pip install z"]);
        assert_eq!(read("x=$(curl -s https://a.example/b)\n"), ["1: curl -s https://a.example/b"]);
        assert_eq!(read("timeout -k 5 60 python3 a.py"), ["1: python3 a.py"]);
    }

    #[test]
    fn a_here_document_belongs_to_its_command() {
        let found = commands("cat > pip.conf <<'EOF'\nindex-url = x\nEOF\npip install y\n");
        assert_eq!((found[0].document.as_str(), found[1].line), ("index-url = x\n", 4));
        assert_eq!(found[1].words, ["pip", "install", "y"]);
    }

    #[test]
    fn settings_are_told_from_words() {
        let found = commands("export HF_ENDPOINT=https://hf-mirror.com X=1\nGOPROXY=direct go build ./...\n");
        assert_eq!(found[0].settings[0], ("HF_ENDPOINT".to_owned(), "https://hf-mirror.com".to_owned()));
        assert_eq!((found[1].settings[0].1.as_str(), found[1].program()), ("direct", "go"));
    }
}
