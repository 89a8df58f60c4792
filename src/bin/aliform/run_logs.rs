//! What runs write, kept on disk beside the state as it comes: a machine that is gone says nothing any more. It is the runs'
//! own output with their secrets taken out; nothing else is ever written here, and only its owner can read it.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aliform::model::address::Address;
use aliform::model::event::{Event, EventSink};
use aliform::resources::registry;

/// The folder of all of them, beside the manifest.
const FOLDER: &str = ".aliform/runs";
/// How many logs of earlier commands are kept of a stack.
const KEPT: usize = 100;

/// Keeps what the runs of one command write, and hands every event on.
pub(crate) struct RunLogs<'a> {
    next: &'a dyn EventSink,
    /// The folder of the manifest.
    home: PathBuf,
    /// The folder of the stack's logs, from there.
    folder: String,
    /// When the command began, as their names begin.
    stamp: String,
    /// `None` where one could not be written.
    files: Mutex<BTreeMap<Address, Option<File>>>,
}

impl<'a> RunLogs<'a> {
    /// Of the runs of a stack.
    pub(crate) fn new(next: &'a dyn EventSink, home: &Path, stack: &str) -> Self {
        let stamp = crate::workspace::clock().now().strftime("%Y%m%dT%H%M%S%3fZ").to_string();
        RunLogs { next, home: home.to_owned(), folder: format!("{FOLDER}/{stack}"), stamp, files: Mutex::default() }
    }

    fn name(&self, run: &Address) -> String {
        format!("{}/{}-{}.log", self.folder, self.stamp, run.name)
    }

    /// Where lies what a run wrote, from the folder of the manifest; `None` if it wrote nothing, or it could not be kept.
    pub(crate) fn of(&self, run: &Address) -> Option<String> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(run)?.as_ref().map(|_| self.name(run))
    }

    fn open(&self, run: &Address) -> io::Result<File> {
        let folder = self.home.join(&self.folder);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let of_before = |path: &PathBuf| name_of(path).ends_with(".log") && !name_of(path).starts_with(&self.stamp);
        let mut earlier: Vec<PathBuf> = entries(&folder).into_iter().filter(of_before).collect();
        // Their names begin with when they were written.
        earlier.sort();
        for old in earlier.iter().rev().skip(KEPT) {
            drop(std::fs::remove_file(old));
        }
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.home.join(self.name(run)))
    }

    fn keep(&self, run: &Address, text: &str) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.entry(run.clone()).or_insert_with(|| self.open(run).ok());
        // A disk that is full must not end a run; a log that lacks something is not named.
        if file.as_mut().is_some_and(|file| file.write_all(text.as_bytes()).is_err()) {
            *file = None;
        }
    }
}

impl EventSink for RunLogs<'_> {
    fn emit(&self, event: Event) {
        if let Event::StepOutput { address, text } = &event
            && registry::kind(address.kind).ends()
        {
            self.keep(address, text);
        }
        self.next.emit(event);
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned()
}

/// What is kept of the last command that ran something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The stack.
    pub(crate) stack: String,
    /// The runs, and where lies what each wrote.
    pub(crate) logs: Vec<(String, PathBuf)>,
}

/// Whether a run is of that job: it has its name, or its name and a number if it is one of a matrix.
fn is_of(run: &str, job: &str) -> bool {
    let number = run.strip_prefix(job).and_then(|rest| rest.strip_prefix('-'));
    run == job || number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What the last command left of a stack or a job, whichever is called so; of anything without a name.
pub(crate) fn last(home: &Path, name: Option<&str>) -> Option<Kept> {
    let mut found: BTreeMap<(String, String), Vec<(String, PathBuf)>> = BTreeMap::new();
    for folder in entries(&home.join(FOLDER)) {
        let stack = name_of(&folder);
        for path in entries(&folder) {
            let file = name_of(&path);
            let Some((stamp, run)) = file.strip_suffix(".log").and_then(|file| file.split_once('-')) else { continue };
            if name.is_none_or(|name| name == stack || is_of(run, name) || stack == format!("run-{name}")) {
                found.entry((stamp.to_owned(), stack.clone())).or_default().push((run.to_owned(), path));
            }
        }
    }
    let ((_, stack), mut logs) = found.pop_last()?;
    // The tenth of a matrix comes after the ninth.
    logs.sort_by_key(|(run, _)| (run.len(), run.clone()));
    Some(Kept { stack, logs })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use aliform::model::address::Kind;
    use aliform::model::event::Silent;

    use super::*;

    #[test]
    fn what_a_run_writes_is_kept_for_its_owner_and_found_by_every_name_it_has() {
        let home = tempfile::tempdir().unwrap();
        let logs = RunLogs::new(&Silent, home.path(), "run-train");
        let (run, machine) = (Address::new(Kind::Run, "train"), Address::new(Kind::Instance, "train"));
        for (address, text) in [(&run, "a\n"), (&machine, "no run\n"), (&run, "b\n")] {
            logs.emit(Event::StepOutput { address: address.clone(), text: text.to_owned() });
        }
        assert_eq!(logs.of(&machine), None);
        let file = home.path().join(logs.of(&run).unwrap());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a\nb\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for name in [None, Some("train"), Some("run-train")] {
            let kept = Kept { stack: "run-train".to_owned(), logs: vec![("train".to_owned(), file.clone())] };
            assert_eq!(last(home.path(), name), Some(kept), "{name:?}");
        }
        assert_eq!(last(home.path(), Some("other")), None);
        let logs = RunLogs::new(&Silent, home.path(), "lab-sweep");
        for number in [1, 10, 2] {
            logs.emit(Event::StepOutput { address: Address::new(Kind::Run, format!("sweep-{number}")), text: "a\n".to_owned() });
        }
        for name in ["sweep", "lab-sweep"] {
            let names: Vec<String> = last(home.path(), Some(name)).unwrap().logs.into_iter().map(|(run, _)| run).collect();
            assert_eq!(names, ["sweep-1", "sweep-2", "sweep-10"]);
        }
    }

    #[test]
    fn the_last_logs_of_a_stack_are_kept_and_no_others_are_touched() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(FOLDER).join("lab");
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..KEPT + 3 {
            std::fs::write(folder.join(format!("20200101T000000{number:03}Z-train.log")), "").unwrap();
        }
        std::fs::write(folder.join("notes.txt"), "").unwrap();
        let logs = RunLogs::new(&Silent, home.path(), "lab");
        for name in ["one", "two"] {
            logs.emit(Event::StepOutput { address: Address::new(Kind::Run, name), text: "a\n".to_owned() });
        }
        let left: Vec<String> = entries(&folder).iter().map(|path| name_of(path)).collect();
        assert_eq!(left.len(), KEPT + 3, "{left:?}");
        assert!(left.contains(&"notes.txt".to_owned()) && !left.contains(&"20200101T000000002Z-train.log".to_owned()), "{left:?}");
        assert!(left.contains(&"20200101T000000003Z-train.log".to_owned()), "{left:?}");
    }
}
