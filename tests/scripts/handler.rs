//! What runs a job within a function, on either runtime, against links that are served here.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use aliform::project::bundle::pack;
use aliform::project::function::{Interpreter, package};
use serde_json::{Value as Json, json};

type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Serves objects by plain links, as the bucket does by signed ones. Nobody signs a content type.
struct Links {
    base: String,
    objects: Objects,
}

impl Links {
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (base, objects) = (format!("http://{}/", listener.local_addr().unwrap()), Objects::default());
        let served = Arc::clone(&objects);
        std::thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap(), &served)));
        Links { base, objects }
    }

    fn put(&self, name: &str, content: &str) {
        self.objects.lock().unwrap().insert(name.to_owned(), content.into());
    }

    fn text(&self, name: &str) -> Option<String> {
        self.objects.lock().unwrap().get(name).map(|content| String::from_utf8_lossy(content).into_owned())
    }
}

fn answer(stream: TcpStream, objects: &Objects) {
    let mut reader = BufReader::new(&stream);
    let (mut head, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        head.push(std::mem::take(&mut line).trim().to_ascii_lowercase());
    }
    let length = head.iter().find_map(|line| line.strip_prefix("content-length:")).map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = head[0].split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let name = path.trim_start_matches('/').strip_suffix("?signed").unwrap_or_default().to_owned();
    let typed = head.iter().any(|line| line.starts_with("content-type"));
    let (status, content) = match method {
        "put" if !typed => {
            objects.lock().unwrap().insert(name, body);
            (200, Vec::new())
        }
        "get" => objects.lock().unwrap().get(&name).map_or((404, Vec::new()), |content| (200, content.clone())),
        _ => (403, Vec::new()),
    };
    let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
    (&stream).write_all(&[head.as_bytes(), &content].concat()).unwrap();
}

/// Unpacks the code of a job as the service does.
fn unpacked(interpreter: Interpreter, folder: &Path) {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("data"), "from a file\n").unwrap();
    std::os::unix::fs::symlink("data", source.path().join("link")).unwrap();
    let package = package(&pack(source.path()).unwrap(), interpreter).unwrap();
    zip::ZipArchive::new(std::io::Cursor::new(package.archive)).unwrap().extract(folder).unwrap();
}

/// Hands an event to the handler, and gives back its answer.
fn handle(interpreter: Interpreter, folder: &Path, event: &Json) -> Json {
    let (program, flag, text) = match interpreter {
        Interpreter::Python => ("python3", "-c", "import sys, index; print(index.handler(sys.stdin.buffer.read(), None))"),
        Interpreter::Node => (
            "node",
            "-e",
            "require('./index.js').handler(require('fs').readFileSync(0), {}, (e, r) => { if (e) throw e; console.log(r); })",
        ),
    };
    let mut command = Command::new(program);
    command.args([flag, text]).current_dir(folder).env_remove("http_proxy").env_remove("HTTP_PROXY");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(event.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn event(links: &Links, command: &str) -> Json {
    let names = ["log", "result", "outputs", "begun", "gone", "ticket"];
    let all: BTreeMap<&str, String> = names.iter().map(|name| (*name, format!("{}{name}?signed", links.base))).collect();
    json!({ "command": command, "limit": 20, "environment": { "WORD": "it's" }, "outputs": ["out/", "none"], "links": all, "ticket": "one" })
}

#[test]
fn a_job_runs_where_it_may_write_and_says_all_that_came_of_it() {
    for interpreter in [Interpreter::Python, Interpreter::Node] {
        let (folder, links) = (tempfile::tempdir().unwrap(), Links::serve());
        unpacked(interpreter, folder.path());
        links.put("ticket", "one");
        let command = "cat link; echo \"$WORD\"; echo late >&2; echo more >> data; mkdir out; cp data out/; exit 3";
        let answer = handle(interpreter, folder.path(), &event(&links, command));
        assert_eq!(answer, json!({ "exit": 3, "missing": ["none"], "delivered": true, "trouble": [] }), "{interpreter:?}");
        assert_eq!(serde_json::from_str::<Json>(&links.text("result").unwrap()).unwrap(), answer);
        assert_eq!(links.text("log").unwrap(), "from a file\nit's\nlate\n", "{interpreter:?}");
        let objects = links.objects.lock().unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(objects["outputs"].as_slice()));
        let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["out/", "out/data"]);
        assert!(objects.contains_key("begun") && !objects.contains_key("gone"));
        // The code stays as it was, for the next one.
        assert_eq!(std::fs::read_to_string(folder.path().join("job/data")).unwrap(), "from a file\n");
    }
}

#[test]
fn one_whose_place_was_taken_runs_nothing_and_says_so() {
    for interpreter in [Interpreter::Python, Interpreter::Node] {
        let (folder, links) = (tempfile::tempdir().unwrap(), Links::serve());
        unpacked(interpreter, folder.path());
        links.put("ticket", "another");
        let answer = handle(interpreter, folder.path(), &event(&links, "echo it runs"));
        assert_eq!(answer, json!({ "superseded": true }), "{interpreter:?}");
        assert!(links.text("gone").is_some() && links.text("log").is_none() && links.text("result").is_none());
    }
}

#[test]
fn one_that_is_ended_by_its_time_or_a_signal_says_so_by_its_code() {
    for interpreter in [Interpreter::Python, Interpreter::Node] {
        let (folder, links) = (tempfile::tempdir().unwrap(), Links::serve());
        unpacked(interpreter, folder.path());
        links.put("ticket", "one");
        let mut slow = event(&links, "sleep 1000");
        slow["limit"] = json!(1);
        assert_eq!(handle(interpreter, folder.path(), &slow)["exit"], json!(124), "{interpreter:?}");
        assert_eq!(handle(interpreter, folder.path(), &event(&links, "kill -9 $$"))["exit"], json!(137), "{interpreter:?}");
    }
}
