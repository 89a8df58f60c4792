//! A folder with an example in it, and the program run there with a clean environment.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    folder: tempfile::TempDir,
    /// What a command is put behind.
    before: Vec<&'static str>,
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Fails with everything that was printed unless it ended with that code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

impl Stage {
    /// A copy of an example.
    pub(crate) fn example(name: &str) -> Self {
        let stage = Stage::empty();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name), stage.path());
        stage
    }

    pub(crate) fn empty() -> Self {
        Stage { folder: tempfile::tempdir().unwrap(), before: Vec::new() }
    }

    /// The same where the system forbids namespaces: by a limit that counts inside a user namespace, if there can be one.
    pub(crate) fn without_namespaces(mut self) -> Self {
        let forbid = ["unshare", "--map-root-user", "sh", "-c", "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"", "sh"];
        let permitted = Command::new(forbid[0]).args(&forbid[1..]).arg("true").stderr(Stdio::null()).status();
        if permitted.is_ok_and(|status| status.success()) {
            self.before = forbid.into();
        }
        self
    }

    /// The same where a closed terminal ends what runs in it, however the tests themselves were started.
    pub(crate) fn in_a_terminal(mut self) -> Self {
        self.before = vec!["env", "--default-signal=HUP"];
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    /// Replaces a text that has to be in a file.
    #[track_caller]
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.file(name)).unwrap();
        assert!(text.contains(from), "`{from}` is not in {name}");
        self.write(name, &text.replace(from, to));
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.before.iter().copied().chain([env!("CARGO_BIN_EXE_aliform")]).chain(arguments.iter().copied());
        let mut command = Command::new(words.next().unwrap());
        command.args(words).current_dir(self.path()).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", self.path()).env("ALIFORM_CLOUD", "local");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs it with something typed.
    pub(crate) fn type_in(&self, arguments: &[&str], text: &str) -> Ran {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    #[track_caller]
    pub(crate) fn apply(&self) -> Ran {
        self.run(&["apply", "--auto-approve"]).expect(0)
    }

    /// What a plan would do: address to action, kept ones left out.
    #[track_caller]
    pub(crate) fn planned(&self) -> BTreeMap<String, String> {
        let plan = self.run(&["plan", "--output", "json"]).expect(0).json();
        let text = |json: &Json| json.as_str().unwrap().to_owned();
        let changes = plan["changes"].as_array().unwrap().iter().map(|change| (text(&change["address"]), text(&change["action"])));
        changes.filter(|(_, action)| action != "keep").collect()
    }

    #[track_caller]
    pub(crate) fn output(&self, name: &str) -> String {
        self.run(&["output", name]).expect(0).stdout.trim().to_owned()
    }

    /// What the local cloud holds: kind to how many.
    #[track_caller]
    pub(crate) fn resources(&self) -> BTreeMap<String, usize> {
        let listed = self.run(&["cloud", "resources", "--output", "json"]).expect(0).json();
        let mut count = BTreeMap::new();
        for resource in listed.as_array().unwrap() {
            *count.entry(resource["kind"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        count
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let reset = self.run(&["cloud", "reset"]);
        if reset.code != 0 && !std::thread::panicking() {
            panic!("the local cloud could not be reset: {}", reset.stderr);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_name() == ".aliform" {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The body of `url`, or why there is none.
pub(crate) fn get(url: &str) -> Result<String, std::io::Error> {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect_timeout(&host.parse().unwrap(), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("GET /{path} HTTP/1.0\r\nhost: {host}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Asks the running local cloud what is no part of the real API.
pub(crate) fn control(stage: &Stage, method: &str, what: &str, body: &str) -> String {
    let running: Json = serde_json::from_slice(&fs::read(stage.file(".aliform/cloud/server.json")).unwrap()).unwrap();
    let address = running["address"].as_str().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{method} /_aliform/{what} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    answer
}

/// Looks again and again until `condition` holds: what is waited for happens in other processes.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "no event tells that another process ended")]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every process whose environment or command line holds `marker`.
pub(crate) fn processes_with(marker: &str) -> Vec<String> {
    let holds = |path: PathBuf| fs::read(path).is_ok_and(|bytes| bytes.windows(marker.len()).any(|window| window == marker.as_bytes()));
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    ids.filter(|id| id.parse::<u32>().is_ok())
        .filter(|id| holds(format!("/proc/{id}/environ").into()) || holds(format!("/proc/{id}/cmdline").into()))
        .collect()
}
