//! The scripts of an application, run for real: below a temporary root, on free ports, with the system's own `sh`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aliform::model::runtime::Runtime;
use aliform::project::bundle::{Bundle, pack};
use aliform::project::failure::known_failure;
use aliform::project::scripts::{AppSettings, PackageManager, Scripts, scripts};
use base64::Engine;

#[path = "scripts/handler.rs"]
mod handler;
mod ports;

use ports::free_port;

/// A machine's folders below a root of their own; what still runs there is stopped in the end.
struct Machine {
    root: tempfile::TempDir,
    stops: std::cell::RefCell<Vec<String>>,
}

struct Ran {
    code: Option<i32>,
    text: String,
}

impl Ran {
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self.text
    }
}

impl Machine {
    fn new() -> Self {
        Machine { root: tempfile::tempdir().unwrap(), stops: std::cell::RefCell::default() }
    }

    fn home(&self, settings: &AppSettings) -> PathBuf {
        self.root.path().join("opt/aliform").join(&settings.stack).join(&settings.app)
    }

    fn run(&self, before: &str, script: &str) -> Ran {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{before}\n{script}").unwrap();
        let out = Command::new("sh")
            .arg(file.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.root.path())
            .env("ALIFORM_ROOT", self.root.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran { code: out.status.code(), text: String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr) }
    }

    fn start(&self, scripts: &Scripts, bundle: &Bundle) -> Ran {
        self.stops.borrow_mut().push(scripts.stop.clone());
        let url = serve(bundle.archive.to_vec());
        let before = format!("RELEASE='{}'\nBUNDLE_URL='{url}'\nBUNDLE_SHA256='{}'", &bundle.digest[..12], bundle.digest);
        self.run(&before, &scripts.start)
    }

    fn pid(&self, settings: &AppSettings) -> u32 {
        fs::read_to_string(self.home(settings).join("app.pid")).unwrap().split(' ').next().unwrap().parse().unwrap()
    }

    fn current(&self, settings: &AppSettings) -> String {
        fs::read_link(self.home(settings).join("current")).unwrap().display().to_string()
    }

    fn deliver(&self, settings: &AppSettings, secrets: &[(&str, &str)]) -> PathBuf {
        let folder = self.root.path().join(format!("run/aliform/{}.{}", settings.stack, settings.app));
        fs::create_dir_all(&folder).unwrap();
        let encode = |value: &str| base64::engine::general_purpose::STANDARD.encode(value);
        let text: String = secrets.iter().map(|(name, value)| format!("{name}={}\n", encode(value))).collect();
        let file = folder.join("secrets.env");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for stop in self.stops.take() {
            self.run("GRACE=1", &stop);
        }
    }
}

/// Serves a bundle on the loopback address, to as many as ask, until the test process ends.
fn serve(bytes: Vec<u8>) -> String {
    format!("{}/bundle?Signature=abc%2Bd&Expires=1", serve_files(vec![("/bundle", bytes)]))
}

/// Serves files by their paths likewise; the others are not found.
fn serve_files(files: Vec<(&'static str, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 2048];
            let length = stream.read(&mut request).unwrap_or(0);
            let path = String::from_utf8_lossy(&request[..length]);
            let path = path.split([' ', '?']).nth(1).unwrap_or_default();
            let (status, bytes) = match files.iter().find(|(known, _)| *known == path) {
                Some((_, bytes)) => ("200 OK", bytes.as_slice()),
                None => ("404 Not Found", [].as_slice()),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(bytes));
        }
    });
    format!("http://{address}")
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn settings(app: &str, runtime: Runtime, start: &str) -> AppSettings {
    AppSettings {
        stack: "test".into(),
        app: app.into(),
        runtime,
        install: None,
        build: None,
        start: start.into(),
        stop: None,
        port: Some(free_port()),
        environment: BTreeMap::new(),
        secrets: Vec::new(),
        health_path: None,
        within_seconds: 20,
        package_manager: PackageManager::Apt,
    }
}

fn bundle(files: &[(&str, &str)]) -> Bundle {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let full = folder.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, text).unwrap();
    }
    pack(folder.path()).unwrap()
}

fn example(name: &str) -> Bundle {
    pack(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).unwrap()
}

/// A server that answers every path with the Python expression.
fn answering(expression: &str) -> String {
    format!(
        "import hashlib, http.server, os\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        \
         self.send_response(200); self.end_headers(); self.wfile.write(str({expression}).encode())\n\
         http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), H).serve_forever()\n"
    )
}

fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

#[test]
fn a_python_app_starts_restarts_switches_goes_back_and_stops() {
    let machine = Machine::new();
    let mut app = settings("web", Runtime::Python, "python3 app.py");
    app.environment.insert("GREETING".into(), "it's \"here\" & $HOME".into());
    app.health_path = Some("/healthz".into());
    let port = app.port.unwrap();
    let first = scripts(&app);

    assert!(machine.run("", &first.setup).ok().contains("python is /"));
    let bundle_one = example("hello-web");
    let text = machine.start(&first, &bundle_one).ok();
    assert!(text.contains("aliform: log:"), "{text}");
    let report = machine.run("", &first.verify).ok();
    let pid = machine.pid(&app);
    assert_eq!(
        report,
        format!(
            "check=process ok=1 detail=pid {pid}\ncheck=port ok=1 detail=listening on {port}\n\
             check=health ok=1 detail=/healthz answers 200\ncheck=log ok=1 detail=no known sign of failure\n"
        )
    );
    let page = get(port, "/").unwrap();
    assert!(page.contains("it&#x27;s &quot;here&quot; &amp; $HOME"), "{page}");
    assert!(machine.run("LINES_WANTED=5", &first.logs).ok().contains(&format!("listening on port {port}")));

    // The same release again: a restart with the new environment, nothing unpacked.
    app.environment.insert("GREETING".into(), "again".into());
    let again = scripts(&app);
    let text = machine.start(&again, &bundle_one).ok();
    assert!(text.contains("is unpacked already") && text.contains("are in place"), "{text}");
    machine.run("", &again.verify).ok();
    assert_ne!(machine.pid(&app), pid);
    assert!(!alive(pid) && get(port, "/").unwrap().contains("again"));

    // Another release switches, and the one before can be had back.
    let bundle_two = bundle(&[("app.py", &answering("'two'"))]);
    machine.start(&again, &bundle_two).ok();
    machine.run("", &again.verify).ok();
    assert_eq!(machine.current(&app), format!("releases/{}", &bundle_two.digest[..12]));
    assert!(get(port, "/").unwrap().ends_with("two"));
    machine.run("", &again.rollback).ok();
    machine.run("", &again.verify).ok();
    assert_eq!(machine.current(&app), format!("releases/{}", &bundle_one.digest[..12]));
    machine.run(&format!("ROLLBACK_TO={}", &bundle_two.digest[..12]), &again.rollback).ok();
    assert_eq!(machine.current(&app), format!("releases/{}", &bundle_two.digest[..12]));
    let gone = machine.run("ROLLBACK_TO=none", &again.rollback);
    assert!(gone.code == Some(1) && gone.text.contains("release none is not on this machine"), "{}", gone.text);

    // Stopping twice is as good as once; removing leaves a neighbour's folder.
    let pid = machine.pid(&app);
    machine.run("", &again.stop).ok();
    machine.run("", &again.stop).ok();
    assert!(!alive(pid) && get(port, "/").is_none());
    let neighbour = machine.root.path().join("opt/aliform/test/other/current");
    fs::create_dir_all(&neighbour).unwrap();
    machine.run("REMOVE=1", &again.stop).ok();
    assert!(!machine.home(&app).exists() && neighbour.exists());
    assert_eq!(machine.run("", &again.verify).code, Some(1), "what was removed is not well");
}

#[test]
fn a_node_app_starts() {
    if Command::new("node").arg("--version").output().is_err() {
        return;
    }
    let machine = Machine::new();
    let mut app = settings("api", Runtime::Node, "node server.js");
    app.environment.insert("GREETING".into(), "hi".into());
    app.health_path = Some("/healthz".into());
    let scripts = scripts(&app);
    machine.run("", &scripts.setup).ok();
    machine.start(&scripts, &example("hello-node")).ok();
    machine.run("", &scripts.verify).ok();
    assert!(get(app.port.unwrap(), "/").unwrap().contains("\"greeting\": \"hi\""));
    machine.run("", &scripts.stop).ok();
    assert!(get(app.port.unwrap(), "/").is_none());
}

/// A folder with only the common tools in it, to be a PATH without runtimes and package managers.
fn bare_tools() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tools =
        ["sh", "sed", "tar", "gzip", "curl", "mktemp", "uname", "head", "cut", "grep", "sha256sum", "mkdir", "rm", "mv", "date", "cat"];
    let path = std::env::var_os("PATH").unwrap();
    for tool in tools {
        let found = std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file()).unwrap();
        std::os::unix::fs::symlink(found, folder.path().join(tool)).unwrap();
    }
    folder
}

#[test]
fn a_missing_node_is_fetched_and_checked() {
    let name = match std::env::consts::ARCH {
        "aarch64" => "node-v22.9.0-linux-arm64",
        _ => "node-v22.9.0-linux-x64",
    };
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let program = b"#!/bin/sh\n[ \"$1\" != --version ] || echo v22.9.0\n";
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, format!("{name}/bin/node"), program.as_slice()).unwrap();
    let archive = archive.into_inner().unwrap().finish().unwrap();
    let file: &'static str = format!("/latest-v22.x/{name}.tar.gz").leak();
    let mirror = |archive: &[u8], digest: String| {
        let digests = format!("{}  node-v22.9.0.tar.gz\n{digest}  {name}.tar.gz\n", "0".repeat(64));
        serve_files(vec![("/latest-v22.x/SHASUMS256.txt", digests.into_bytes()), (file, archive.to_vec())])
    };
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&archive));
    let (good, wrong) = (mirror(&archive, digest), mirror(&archive, "1".repeat(64)));
    let setup = scripts(&settings("api", Runtime::Node, "node server.js")).setup;
    let tools = bare_tools();
    let before = |mirrors: &str| format!("PATH='{}'\nNODE_MIRRORS='{mirrors}'", tools.path().display());

    let machine = Machine::new();
    let ran = machine.run(&before(&wrong), &setup);
    assert!(ran.code == Some(1) && ran.text.contains("does not match its digest"), "{}", ran.text);
    assert!(ran.text.contains("neither dnf, yum nor apt-get is there"), "{}", ran.text);
    assert!(!machine.root.path().join("opt/aliform/runtimes/node").exists());
    let text = machine.run(&before(&format!("{wrong} {good}")), &setup).ok();
    assert!(text.contains("opt/aliform/runtimes/node/bin/node, v22.9.0"), "{text}");
    let text = machine.run(&before("http://127.0.0.1:1"), &setup).ok();
    assert!(text.starts_with("aliform: node is "), "what is there is not fetched again: {text}");
}

#[test]
fn a_folder_is_served_and_nothing_beside_it() {
    let machine = Machine::new();
    let mut app = settings("site", Runtime::Static, "serve .");
    app.environment.insert("INTERNAL".into(), "not for visitors".into());
    app.health_path = Some("/".into());
    let scripts = scripts(&app);
    machine.run("", &scripts.setup).ok();
    machine.start(&scripts, &example("static-site")).ok();
    machine.run("", &scripts.verify).ok();
    let port = app.port.unwrap();
    assert!(get(port, "/index.html").unwrap().contains("A page and its style"));
    for path in ["/env", "/run", "/.aliform/env", "/../env", "/../../env"] {
        assert!(get(port, path).is_none_or(|answer| !answer.contains("not for visitors")), "{path}");
    }
}

#[test]
fn a_crash_at_start_is_seen_at_once_and_named() {
    let machine = Machine::new();
    let mut app = settings("web", Runtime::Python, "python3 app.py");
    app.within_seconds = 600;
    let scripts = scripts(&app);
    machine.start(&scripts, &bundle(&[("app.py", "print('hello')\nimport flask_that_is_not_there\n")])).ok();
    let ran = machine.run("", &scripts.verify);
    assert_eq!(ran.code, Some(1), "{}", ran.text);
    // Either it waits to be started again, or it was.
    assert!(ran.text.contains("check=process ok=0"), "{}", ran.text);
    assert!(ran.text.contains("check=log ok=0 detail=ModuleNotFoundError"), "{}", ran.text);
    let log = ran.text.split_once("--- log ---\n").unwrap().1;
    assert!(log.starts_with("hello\n"), "{log}");
    assert_eq!(known_failure(log).unwrap().message, "python module `flask_that_is_not_there` is missing");
}

/// The processes of an app's group besides the one that starts them again.
fn workers(pid: u32) -> Vec<u32> {
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let of_group = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        *id != pid && fields.first() != Some(&"Z") && fields.get(2) == Some(&pid.to_string().as_str())
    };
    ids.filter(of_group).collect()
}

/// Waits for what happens in other processes.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "no event tells what became of another process")]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed().as_secs() < 60, "{what} did not come about");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[test]
fn an_app_that_is_killed_comes_back_and_is_well_again() {
    let machine = Machine::new();
    let mut app = settings("web", Runtime::Python, "exec python3 app.py");
    app.health_path = Some("/".into());
    let port = app.port.unwrap();
    let scripts = scripts(&app);
    machine.start(&scripts, &bundle(&[("app.py", &answering("os.getpid()"))])).ok();
    machine.run("", &scripts.verify).ok();
    let supervisor = machine.pid(&app);
    for again in ["once", "2 times"] {
        let before = get(port, "/").unwrap();
        let [worker] = workers(supervisor)[..] else { panic!("{:?}", workers(supervisor)) };
        kill(worker);
        until("another process that answers", || get(port, "/").is_some_and(|page| page != before));
        assert_eq!(machine.pid(&app), supervisor);
        let report = machine.run("", &scripts.verify).ok();
        assert!(report.starts_with(&format!("check=process ok=1 detail=pid {supervisor}, started again {again}\n")), "{report}");
    }
    let log = machine.run("", &scripts.logs).ok();
    assert!(log.contains("aliform: the app ended with exit code 137; it is started again in 1 s"), "{log}");
    // What is stopped is not started again, not even between two lives.
    kill(workers(supervisor)[0]);
    until("the wait for the next start", || machine.home(&app).join("down").exists());
    machine.run("", &scripts.stop).ok();
    assert!(!alive(supervisor) && workers(supervisor).is_empty() && get(port, "/").is_none());
}

#[test]
fn an_app_that_ends_by_itself_is_started_again_later_and_later() {
    let machine = Machine::new();
    let mut app = settings("worker", Runtime::Shell, "date +%s >>../../lives; [ -f ../../stay ] && sleep 600");
    app.port = None;
    let scripts = scripts(&app);
    machine.start(&scripts, &bundle(&[("x", "")])).ok();
    let ran = machine.run("", &scripts.verify);
    assert!(ran.code == Some(1) && ran.text.contains("check=process ok=0"), "{}", ran.text);
    let lives = || -> Vec<u64> {
        let text = fs::read_to_string(machine.home(&app).join("lives")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    until("the third life", || lives().len() >= 3);
    fs::write(machine.home(&app).join("stay"), "").unwrap();
    // One second after the first, two after the second.
    assert!(lives()[2] - lives()[1] >= 2, "{:?}", lives());
}

/// A `docker` that runs no container: a process of its own answers behind the port, with what it was given.
const DOCKER: &str = r#"#!/bin/sh
echo "$*" >>"$HOME/docker.log"
case "$1 $2" in
  'info '*) [ ! -f "$HOME/no-daemon" ] || { echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.'; exit 1; } ;;
  'pull '*) case $2 in *missing*) echo "Error: manifest for $2 not found: manifest unknown" >&2; exit 1 ;; esac ;;
  'image inspect') echo '80/tcp 443/udp ' ;;
  'ps '* | 'rm '*) ;;
  'run '*)
    while [ $# -gt 0 ]; do
      case $1 in -p) ports=$2 ;; --name) name=$2 ;; *lab/*) image=$1 ;; esac
      shift
    done
    WHAT="$name $image inside ${ports#*:} greeting $GREETING key $KEY"
    export WHAT
    PORT=${ports%%:*} exec python3 -c "$SERVER" ;;
esac
"#;

#[test]
fn an_image_runs_behind_its_port_with_its_secrets_and_goes_back_to_the_one_before() {
    let machine = Machine::new();
    let tools = tempfile::tempdir().unwrap();
    let docker = tools.path().join("docker");
    fs::write(&docker, DOCKER.replace("\"$SERVER\"", &format!("'{}'", answering("os.environ[\"WHAT\"]").replace('\'', "\"")))).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("PATH='{}':\"$PATH\"\nexport PATH", tools.path().display());
    let said = || fs::read_to_string(machine.root.path().join("docker.log")).unwrap();

    let mut app = settings("web", Runtime::Docker, "run_image 'lab/web:1' ''");
    app.build = Some("docker pull 'lab/web:1'".into());
    app.environment.insert("GREETING".into(), "hi there".into());
    app.secrets = vec!["KEY".into()];
    app.health_path = Some("/".into());
    let port = app.port.unwrap();
    let (first, one) = (scripts(&app), bundle(&[("image", "lab/web:1\n")]));
    fs::write(machine.root.path().join("no-daemon"), "").unwrap();
    let ran = machine.run(&path, &first.setup);
    assert!(ran.code == Some(1) && known_failure(&ran.text).unwrap().id == "container-engine-missing", "{}", ran.text);
    fs::remove_file(machine.root.path().join("no-daemon")).unwrap();
    machine.run(&path, &first.setup).ok();
    machine.deliver(&app, &[("KEY", "s3cr3t")]);
    let start = |scripts: &Scripts, bundle: &Bundle| {
        let scripts = Scripts { start: format!("{path}\n{}", scripts.start), ..scripts.clone() };
        machine.start(&scripts, bundle)
    };
    start(&first, &one).ok();
    machine.run("", &first.verify).ok();
    let page = get(port, "/").unwrap();
    assert!(page.ends_with("aliform-test-web lab/web:1 inside 80 greeting hi there key s3cr3t"), "{page}");
    let options = said().lines().find(|line| line.starts_with("run ")).unwrap().to_owned();
    assert!(options.contains("--env GREETING --env KEY") && options.contains(&format!("-p {port}:80 -e PORT=80 lab/web:1")), "{options}");
    assert!(!said().contains("s3cr3t") && !said().contains("hi there"), "{}", said());
    assert!(machine.run("", &first.logs).ok().contains(&format!("port {port} leads to port 80")), "no log");

    // An image that is not there leaves the one that runs alone.
    app.start = "run_image 'lab/missing:2' ''".into();
    app.build = Some("docker pull 'lab/missing:2'".into());
    let ran = start(&scripts(&app), &bundle(&[("image", "lab/missing:2\n")]));
    let failure = known_failure(&ran.text).unwrap();
    assert_eq!(
        (ran.code, failure.message.as_str()),
        (Some(1), "the image `lab/missing:2` can't be pulled: it is not there, or not for everyone")
    );
    assert!(get(port, "/").unwrap().contains("lab/web:1"));

    // Another image, its port by name, and back.
    app.start = "run_image 'lab/web:2' '8000'".into();
    app.build = Some("docker pull 'lab/web:2'".into());
    let second = scripts(&app);
    start(&second, &bundle(&[("image", "lab/web:2\n")])).ok();
    machine.run("", &second.verify).ok();
    assert!(get(port, "/").unwrap().contains("lab/web:2 inside 8000"));
    machine.run(&path, &second.rollback).ok();
    machine.run("", &second.verify).ok();
    assert!(get(port, "/").unwrap().contains("lab/web:1 inside 80 "));
    machine.run(&format!("{path}\nREMOVE=1"), &second.stop).ok();
    assert!(get(port, "/").is_none());
    assert!(said().contains("ps -aq --filter name=^/?aliform-test-web$"), "{}", said());
}

#[test]
fn docker_comes_from_its_own_packages_on_alibaba_cloud_linux() {
    let machine = Machine::new();
    let root = machine.root.path();
    fs::create_dir_all(root.join("etc/yum.repos.d")).unwrap();
    fs::write(root.join("etc/os-release"), "NAME=\"Alibaba Cloud Linux\"\nID=\"alinux\"\n").unwrap();
    let tools = bare_tools();
    let tool = |name: &str, text: &str| {
        // One that is a link leads to the real program.
        let _ = fs::remove_file(tools.path().join(name));
        fs::write(tools.path().join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(tools.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    tool("curl", "echo 'baseurl=https://mirrors.aliyun.com/docker-ce' >\"$3\"");
    tool("chmod", "exec /bin/chmod \"$@\"");
    let docker = tools.path().join("docker").display().to_string();
    let brings = format!("case $* in *docker-ce*) printf '#!/bin/sh\\n' >{docker}; chmod 755 {docker} ;; esac");
    tool("dnf", &format!("echo \"$*\" >>\"$HOME/dnf.log\"\n{brings}"));
    let setup = scripts(&settings("web", Runtime::Docker, "run_image 'lab/web:1' ''")).setup;
    let text = machine.run(&format!("PATH='{}'", tools.path().display()), &setup).ok();
    assert!(text.contains(&format!("docker is {docker}")), "{text}");
    let asked = fs::read_to_string(root.join("dnf.log")).unwrap();
    assert!(asked.contains("releasever-adapter --repo alinux3-plus") && asked.contains("docker-ce-cli"), "{asked}");
    assert!(!asked.contains("install docker\n"), "{asked}");
    let source = fs::read_to_string(root.join("etc/yum.repos.d/docker-ce.repo")).unwrap();
    assert_eq!(source, "baseurl=http://mirrors.cloud.aliyuncs.com/docker-ce\n");
}

#[test]
fn a_machine_without_docker_says_so() {
    let machine = Machine::new();
    let tools = bare_tools();
    let setup = scripts(&settings("web", Runtime::Docker, "run_image 'lab/web:1' ''")).setup;
    let ran = machine.run(&format!("PATH='{}'", tools.path().display()), &setup);
    let failure = known_failure(&ran.text).unwrap();
    assert_eq!((ran.code, failure.id), (Some(1), "container-engine-missing"), "{}", ran.text);
    assert!(ran.text.contains("is there to install docker") && failure.hint.contains("`source:`"), "{failure:?}");
}

#[test]
fn a_log_from_before_the_start_does_not_count() {
    let machine = Machine::new();
    let app = settings("web", Runtime::Python, "python3 app.py");
    let scripts = scripts(&app);
    machine.start(&scripts, &bundle(&[("app.py", "import nothing_of_this_name\n")])).ok();
    assert_eq!(machine.run("", &scripts.verify).code, Some(1));
    machine.start(&scripts, &bundle(&[("app.py", &answering("'mended'"))])).ok();
    machine.run("", &scripts.verify).ok();
}

#[test]
fn an_app_on_the_wrong_port_is_told_which_one_it_took() {
    let machine = Machine::new();
    let mut app = settings("web", Runtime::Python, "python3 app.py");
    let other = free_port();
    app.within_seconds = 2;
    let scripts = scripts(&app);
    let code = answering("1").replace("int(os.environ['PORT'])", &other.to_string());
    machine.start(&scripts, &bundle(&[("app.py", &code)])).ok();
    let ran = machine.run("", &scripts.verify);
    let port = app.port.unwrap();
    assert!(
        ran.code == Some(1) && ran.text.contains(&format!("check=port ok=0 detail=nothing listens on {port}; the app listens on {other}")),
        "{}",
        ran.text
    );
}

#[test]
fn an_app_without_a_port_only_has_to_live() {
    let machine = Machine::new();
    let mut app = settings("worker", Runtime::Python, "python3 -c 'import time; time.sleep(600)'");
    app.port = None;
    let good = scripts(&app);
    machine.start(&good, &bundle(&[("x.py", "")])).ok();
    let report = machine.run("", &good.verify).ok();
    assert!(report.starts_with("check=process ok=1") && !report.contains("check=port"), "{report}");
    app.start = "python3 -c 'import time; time.sleep(1.5)'".into();
    let brief = scripts(&app);
    machine.start(&brief, &bundle(&[("x.py", "")])).ok();
    assert_eq!(machine.run("", &brief.verify).code, Some(1));
}

#[test]
fn secrets_reach_the_app_and_no_other_place() {
    let machine = Machine::new();
    let mut app = settings("web", Runtime::Python, "python3 app.py");
    app.secrets = vec!["API_KEY".into(), "name".into()];
    let scripts = scripts(&app);
    let secret = "s3cr3t-\"quoted\" $(id) 'x'\\n\nsecond line = é\n\n";
    let bundle = bundle(&[("app.py", &answering("hashlib.sha256(os.environ['API_KEY'].encode()).hexdigest() + os.environ['name']"))]);

    machine.start(&scripts, &bundle).ok();
    let ran = machine.run("", &scripts.verify);
    assert!(ran.code == Some(1) && ran.text.contains("the secret `API_KEY` was not delivered"), "{}", ran.text);

    let file = machine.deliver(&app, &[("API_KEY", secret), ("name", "lower")]);
    let shown = machine.start(&scripts, &bundle).ok() + &machine.run("", &scripts.verify).ok();
    let answer = get(app.port.unwrap(), "/").unwrap();
    let expected = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(secret));
    assert!(answer.ends_with(&(expected + "lower")), "{answer}");

    let encoded = fs::read_to_string(&file).unwrap();
    let encoded = encoded.lines().next().unwrap().strip_prefix("API_KEY=").unwrap();
    let leaks = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.contains("s3cr3t-") || text.contains(encoded)
    };
    assert!(!leaks(shown.as_bytes()), "{shown}");
    for path in files_below(machine.root.path()) {
        assert!(path == file || !leaks(&fs::read(&path).unwrap()), "{}", path.display());
    }
    for process in fs::read_dir("/proc").unwrap().flatten() {
        assert!(!fs::read(process.path().join("cmdline")).is_ok_and(|line| leaks(&line)), "{}", process.path().display());
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn a_stranger_with_the_apps_number_is_left_alone() {
    let machine = Machine::new();
    let app = settings("web", Runtime::Python, "python3 app.py");
    let scripts = scripts(&app);
    let mut stranger = Command::new("setsid").args(["sleep", "600"]).spawn().unwrap();
    // Until `setsid` has made it the leader of a group.
    while !fs::read_to_string(format!("/proc/{}/cmdline", stranger.id())).unwrap().starts_with("sleep") {
        std::thread::yield_now();
    }
    fs::create_dir_all(machine.home(&app)).unwrap();
    fs::write(machine.home(&app).join("app.pid"), format!("{} 12345\n", stranger.id())).unwrap();
    machine.run("", &scripts.stop).ok();
    let survived = alive(stranger.id());
    let process = machine.run("WITHIN=0", &scripts.verify);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(survived, "the stop script ended a process that is not the app's");
    assert!(process.text.contains("check=process ok=0"), "{}", process.text);
}

#[test]
fn a_whole_group_is_stopped_even_if_it_ignores_term() {
    let machine = Machine::new();
    let mut app = settings("web", Runtime::Python, "trap '' TERM; python3 app.py & python3 -c 'import time; time.sleep(600)'; wait");
    let port = app.port.unwrap();
    app.stop = Some("echo \"stopping on $PORT\" > said".into());
    let scripts = scripts(&app);
    machine.start(&scripts, &bundle(&[("app.py", &answering("1"))])).ok();
    machine.run("", &scripts.verify).ok();
    let text = machine.run("GRACE=1", &scripts.stop).ok();
    assert!(text.contains("it is killed"), "{text}");
    assert!(get(port, "/").is_none());
    let said = fs::read_to_string(machine.home(&app).join("current/said")).unwrap();
    assert_eq!(said, format!("stopping on {port}\n"));
}

#[test]
fn a_bundle_that_is_not_the_one_packed_is_refused() {
    let machine = Machine::new();
    let app = settings("web", Runtime::Python, "python3 app.py");
    let mut bundle = bundle(&[("app.py", "")]);
    bundle.digest = "0".repeat(64);
    let ran = machine.start(&scripts(&app), &bundle);
    assert!(ran.code == Some(1) && ran.text.contains("the bundle is not the one that was packed"), "{}", ran.text);
    assert!(!machine.home(&app).join("current").exists());
    assert!(!machine.home(&app).join("releases").join(&bundle.digest[..12]).exists());
}

#[test]
fn a_port_that_someone_else_holds_is_named() {
    let machine = Machine::new();
    let app = settings("web", Runtime::Python, "python3 app.py");
    let _stranger = TcpListener::bind(("127.0.0.1", app.port.unwrap())).unwrap();
    let ran = machine.start(&scripts(&app), &bundle(&[("app.py", "")]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.text.contains(&format!("the port {} is in use by pid {} (", app.port.unwrap(), std::process::id())), "{}", ran.text);
    assert_eq!(known_failure(&ran.text).unwrap().id, "port-in-use");
}

#[test]
fn dependencies_go_into_an_environment_of_their_own_once() {
    let machine = Machine::new();
    let mut app = settings("web", Runtime::Python, "python app.py");
    app.install = Some("pip --version && python -c 'import sys; assert sys.prefix != sys.base_prefix' && echo once >> installed".into());
    app.build = Some("test \"$VIRTUAL_ENV\" = \"$PWD/.venv\" && test \"$LEVEL\" = 3".into());
    app.environment.insert("LEVEL".into(), "3".into());
    let good = scripts(&app);
    let files = bundle(&[("app.py", &answering("__import__('sys').prefix"))]);
    machine.start(&good, &files).ok();
    machine.start(&good, &files).ok();
    machine.run("", &good.verify).ok();
    assert!(get(app.port.unwrap(), "/").unwrap().trim_end().ends_with("/.venv"));
    assert_eq!(fs::read_to_string(machine.home(&app).join("current/installed")).unwrap(), "once\n");

    // A step that fails says so with its output, and the release before goes on running.
    let pid = machine.pid(&app);
    app.build = Some("echo 'something in the way' && false".into());
    let ran = machine.start(&scripts(&app), &bundle(&[("app.py", "print(2)")]));
    assert!(
        ran.code == Some(1) && ran.text.contains("something in the way\n") && ran.text.contains("the build step failed"),
        "{}",
        ran.text
    );
    assert!(alive(pid) && machine.pid(&app) == pid);
}

#[test]
fn the_last_five_releases_stay() {
    let machine = Machine::new();
    let mut app = settings("web", Runtime::Python, "python3 -c 'import time; time.sleep(600)'");
    app.port = None;
    let releases = machine.home(&app).join("releases");
    for age in 1..=7u64 {
        let old = releases.join(format!("old{age}"));
        fs::create_dir_all(&old).unwrap();
        let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(2_000_000 - age);
        fs::File::open(&old).unwrap().set_modified(then).unwrap();
    }
    let bundle = bundle(&[("x.py", "")]);
    machine.start(&scripts(&app), &bundle).ok();
    let mut left: Vec<String> = fs::read_dir(&releases).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, [&bundle.digest[..12], "old1", "old2", "old3", "old4"]);
}
