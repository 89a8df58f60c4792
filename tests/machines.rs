//! Machines for real: namespaces, processes, ports. Run as root, everything is run once more as an ordinary user.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aliform::local_cloud::machines::processes::Processes;
use aliform::local_cloud::machines::{CommandOutcome, CommandSpec, Ending, FileFault, FileSpec, MachineSpec, Machines, Opening};
use tempfile::TempDir;
use tokio::sync::watch;

/// Where the ordinary user finds the agent's binary.
const EXECUTABLE: &str = "ALIFORM_TEST_EXECUTABLE";
const NOBODY: u32 = 65534;

static NUMBER: AtomicU32 = AtomicU32::new(1);

fn number() -> u32 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Machines of one test. All of them end with it, also when it fails.
struct Lab {
    directory: PathBuf,
    gateway: SocketAddr,
    processes: Processes,
    _scratch: TempDir,
}

impl Lab {
    fn new() -> Lab {
        Lab::with_gateway(SocketAddr::from(([127, 0, 0, 1], 1)))
    }

    fn with_gateway(gateway: SocketAddr) -> Lab {
        let scratch = tempfile::tempdir().unwrap();
        // Longer than the address of a socket may be.
        let directory = scratch.path().join("a-directory-with-a-long-name".repeat(5)).join("machines");
        Lab { processes: processes(&directory, gateway), directory, gateway, _scratch: scratch }
    }

    async fn boot(&self, openings: &[Opening]) -> MachineSpec {
        let isolation = self.processes.isolation().await;
        let wanted = !isolation.missing.iter().any(|missing| missing.contains("switched off"));
        assert_eq!(isolation.namespaces, wanted, "{isolation:?}");
        let machine = spec();
        self.processes.boot(&machine, openings).await.unwrap();
        machine
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let (directory, gateway) = (self.directory.clone(), self.gateway);
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(processes(&directory, gateway).adopt(&[])).unwrap();
        });
        let cleaned = cleaning.join();
        assert!(cleaned.is_ok() || std::thread::panicking(), "machines were left behind");
    }
}

fn processes(directory: &Path, gateway: SocketAddr) -> Processes {
    let executable = std::env::var_os(EXECUTABLE).map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_aliform")), PathBuf::from);
    Processes::new(directory, executable, gateway)
}

/// A machine with a public address that no other test has, in this process or the next.
fn spec() -> MachineSpec {
    let (process, number) = (std::process::id(), number() as u8);
    MachineSpec {
        id: format!("i-test{number}"),
        hostname: format!("test{number}"),
        vcpu: 1,
        memory_mib: 512,
        public_ip: Some(Ipv4Addr::new(127, 64 + (process >> 8 & 63) as u8, process as u8, number)),
        private_ip: Ipv4Addr::new(192, 168, 7, number),
    }
}

fn command(script: &str) -> CommandSpec {
    CommandSpec {
        id: format!("t-{}", number()),
        script: script.as_bytes().to_vec(),
        interpreter: "/bin/sh",
        working_directory: None,
        user: None,
        environment: BTreeMap::new(),
        timeout: Duration::from_secs(60),
        kill_tree: true,
    }
}

async fn run(processes: &Processes, machine: &MachineSpec, command: CommandSpec) -> CommandOutcome {
    let (_keep, stop) = watch::channel(false);
    processes.run(machine, command, Arc::new(|_| {}), stop).await
}

/// Runs a script that must succeed and answers its output.
async fn output(processes: &Processes, machine: &MachineSpec, script: &str) -> String {
    let outcome = run(processes, machine, command(script)).await;
    let text = String::from_utf8_lossy(&outcome.output).trim().to_owned();
    assert_eq!(outcome.ending, Ending::Exited(0), "`{script}` put out: {text}");
    text
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// Asks for a page; an error is the connection's.
fn fetch(machine: &MachineSpec, port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect((machine.public_ip.unwrap(), port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /name HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

async fn page(machine: &MachineSpec, port: u16) -> Option<String> {
    let machine = machine.clone();
    tokio::task::spawn_blocking(move || fetch(&machine, port)).await.unwrap().ok().filter(|text| text.contains("200 OK"))
}

fn is_refused(machine: &MachineSpec, port: u16) -> bool {
    matches!(fetch(machine, port), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

fn opening(port: u16, source: &str) -> Opening {
    Opening { from: port, to: port, source: source.parse().unwrap() }
}

fn world(port: u16) -> Vec<Opening> {
    vec![opening(port, "0.0.0.0/0")]
}

/// Serves the machine's name on a port, in the background.
fn serve(name: &str, port: u16) -> String {
    format!(
        "mkdir -p /srv/www && echo {name} > /srv/www/name && cd /srv/www && \
         nohup /usr/bin/python3 -m http.server {port} > /var/log/www.log 2>&1 &"
    )
}

/// How many processes of this computer carry the mark in their arguments.
fn marked(mark: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| has(&line, mark))).count()
}

fn has(line: &[u8], mark: &str) -> bool {
    line.windows(mark.len()).any(|window| window == mark.as_bytes())
}

/// An argument for `sleep` that names its process.
fn mark() -> String {
    format!("77{}{:03}", std::process::id(), number())
}

fn file(path: &str, content: &[u8]) -> FileSpec {
    FileSpec {
        path: path.to_owned(),
        content: content.to_vec(),
        owner: "root".to_owned(),
        group: "root".to_owned(),
        mode: 0o640,
        overwrite: false,
    }
}

#[test]
fn all_of_this_holds_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(scratch.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    // The build may lie where only root can go.
    let copy = |from: &Path, name: &str| {
        let to = scratch.path().join(name);
        std::fs::copy(from, &to).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755)).unwrap();
        to
    };
    let agent = copy(Path::new(env!("CARGO_BIN_EXE_aliform")), "aliform");
    let tests = copy(&std::env::current_exe().unwrap(), "tests");
    let finished = std::process::Command::new(tests)
        .args(["--skip", "ordinary_user", "--test-threads", "2"])
        .env(EXECUTABLE, agent)
        .env("TMPDIR", scratch.path())
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&finished.stdout);
    assert!(finished.status.success(), "{text}{}", String::from_utf8_lossy(&finished.stderr));
    assert!(!text.contains(" 0 passed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_has_the_memory_of_its_type_or_is_told_not_to() {
    let lab = Lab::new();
    let limited = !lab.processes.isolation().await.missing.iter().any(|missing| missing.starts_with("processor and memory:"));
    let machine = MachineSpec { memory_mib: 128, ..spec() };
    lab.processes.boot(&machine, &[]).await.unwrap();
    // `tail` keeps what has no end of a line.
    let greedy = "head -c 400000000 /dev/zero | tail -c 390000000 >/dev/null";
    let ended = run(&lab.processes, &machine, command(greedy)).await.ending;
    assert_eq!(matches!(ended, Ending::Exited(0)), !limited, "{ended:?}");
    assert_eq!(output(&lab.processes, &machine, "echo alive").await, "alive");
    let groups = std::fs::read_to_string(lab.directory.join(&machine.id).join("groups")).unwrap_or_default();
    assert_eq!(!groups.is_empty(), limited);
    lab.processes.remove(&machine.id).await.unwrap();
    assert!(!groups.lines().any(|group| Path::new(group).exists()), "{groups}");
}

#[tokio::test]
async fn a_script_ends_with_its_code_and_its_output_in_order() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let seen = Arc::new(Mutex::new(Vec::<u8>::new()));
    let sink = seen.clone();
    let (_keep, stop) = watch::channel(false);
    let progress = Arc::new(move |piece: &[u8]| sink.lock().unwrap().extend(piece));
    let script = command("echo one; echo two >&2; echo three; exit 7");
    let outcome = lab.processes.run(&machine, script, progress, stop).await;
    assert_eq!(outcome.ending, Ending::Exited(7));
    assert_eq!(outcome.output, b"one\ntwo\nthree\n");
    assert_eq!(*seen.lock().unwrap(), outcome.output);
    assert_eq!(outcome.dropped, 0);
}

#[tokio::test]
async fn a_script_gets_a_clean_environment_and_its_own() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let mut asking = command("echo $HOME:$(pwd):$LANG:$GREETING:$no_proxy; env | grep -c CARGO; hostname; id -un");
    asking.environment.insert("GREETING".to_owned(), "hello there".to_owned());
    let text = String::from_utf8(run(&lab.processes, &machine, asking).await.output).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("/root:/root:C.UTF-8:hello there:localhost,127.0.0.1"), "{text}");
    assert_eq!(lines[1..], ["0", machine.hostname.as_str(), "root"], "{text}");
    let elsewhere = CommandSpec { working_directory: Some("/opt".to_owned()), ..command("pwd") };
    assert_eq!(run(&lab.processes, &machine, elsewhere).await.output, b"/opt\n");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    for (spec, reason) in [
        (
            CommandSpec { working_directory: Some("/nowhere".to_owned()), ..command("true") },
            "the working directory `/nowhere` does not exist",
        ),
        (CommandSpec { interpreter: "/bin/no-such-shell", ..command("true") }, "the interpreter `/bin/no-such-shell` does not exist"),
        (CommandSpec { user: Some("nobody-knows".to_owned()), ..command("true") }, "the user `nobody-knows` does not exist"),
    ] {
        assert_eq!(run(&lab.processes, &machine, spec).await.ending, Ending::NotStarted(reason.to_owned()));
    }
    let other = spec();
    assert_eq!(run(&lab.processes, &other, command("true")).await.ending, Ending::NotStarted("the machine is not running".to_owned()));
}

#[tokio::test]
async fn output_is_kept_up_to_its_limit_and_the_rest_is_counted() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let outcome = run(&lab.processes, &machine, command("head -c 100000 /dev/zero | tr '\\0' x; exit 3")).await;
    assert_eq!(outcome.ending, Ending::Exited(3));
    assert_eq!(outcome.output, vec![b'x'; 24 * 1024]);
    assert_eq!(outcome.dropped, 100_000 - 24 * 1024);
}

#[tokio::test]
async fn a_command_out_of_time_is_ended_with_its_whole_tree() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let mark = mark();
    let script = format!("echo begun; setsid sleep {mark} & (setsid sleep {mark} &) ; sleep {mark}");
    let limited = CommandSpec { timeout: Duration::from_millis(700), ..command(&script) };
    let outcome = run(&lab.processes, &machine, limited).await;
    assert_eq!(outcome.ending, Ending::TimedOut);
    assert_eq!(outcome.output, b"begun\n");
    until("the tree's end", async || (marked(&mark) == 0).then_some(())).await;
}

#[tokio::test]
async fn a_stopped_command_ends_and_leaves_what_is_not_its_group() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let (own, apart) = (mark(), mark());
    let script = CommandSpec { kill_tree: false, ..command(&format!("setsid sleep {apart} & sleep {own}")) };
    let (stopper, stop) = watch::channel(false);
    let running = lab.processes.run(&machine, script, Arc::new(|_| {}), stop);
    let stopping = async {
        until("both processes", async || (marked(&own) == 1 && marked(&apart) == 1).then_some(())).await;
        stopper.send_replace(true);
    };
    let (outcome, ()) = tokio::join!(running, stopping);
    assert_eq!(outcome.ending, Ending::Stopped);
    until("the end of the group", async || (marked(&own) == 0).then_some(())).await;
    assert_eq!(marked(&apart), 1);
}

#[tokio::test]
async fn a_background_process_lives_on_and_keeps_writing_without_harm() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    // Holds the command's output open, and would die of a broken pipe.
    let script = "setsid sh -c 'while [ ! -e /tmp/go ]; do echo line; sleep 0.01; done; echo last && touch /tmp/alive' & echo done";
    let outcome = run(&lab.processes, &machine, command(script)).await;
    assert_eq!(outcome.ending, Ending::Exited(0));
    assert!(outcome.output.windows(4).any(|window| window == b"done"));
    output(&lab.processes, &machine, "touch /tmp/go").await;
    until("the background's last line", async || {
        (run(&lab.processes, &machine, command("test -e /tmp/alive")).await.ending == Ending::Exited(0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_machines_answer_on_the_same_port_of_their_own_addresses_when_opened() {
    let lab = Lab::new();
    let (one, two) = (lab.boot(&[]).await, lab.boot(&[]).await);
    for machine in [&one, &two] {
        output(&lab.processes, machine, &serve(&machine.hostname, 8080)).await;
        let up =
            "for i in $(seq 500); do /usr/bin/python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8080))' && exit 0; done";
        output(&lab.processes, machine, up).await;
        assert!(is_refused(machine, 8080), "nothing is open yet");
    }
    lab.processes.open(&one, &world(8080)).await.unwrap();
    let text = page(&one, 8080).await.expect("open returns when the port answers");
    assert!(text.trim_end().ends_with(&one.hostname), "{text}");
    assert!(is_refused(&two, 8080));
    lab.processes.open(&two, &[opening(8000, "0.0.0.0/0"), opening(8080, "127.0.0.0/8")]).await.unwrap();
    let text = page(&two, 8080).await.expect("the second answers too");
    assert!(text.trim_end().ends_with(&two.hostname), "{text}");
    assert!(is_refused(&two, 8000), "open, but nothing listens");
    assert!(is_refused(&one, 8081));
    assert_eq!(lab.processes.status(&one.id).await.unwrap().answering, [8080]);

    lab.processes.open(&one, &world(8081)).await.unwrap();
    assert!(is_refused(&one, 8080), "closed again");
    lab.processes.open(&one, &[opening(8080, "10.0.0.0/8")]).await.unwrap();
    assert!(is_refused(&one, 8080), "open to somebody else");
    assert!(page(&two, 8080).await.is_some());
}

#[tokio::test]
async fn a_port_answers_from_the_moment_that_something_listens_until_it_ends() {
    let lab = Lab::new();
    let machine = lab.boot(&world(8080)).await;
    assert!(is_refused(&machine, 8080));
    output(&lab.processes, &machine, &serve("late", 8080)).await;
    until("the page", || page(&machine, 8080)).await;
    output(&lab.processes, &machine, "kill $(cat /proc/[0-9]*/stat | grep python | cut -d' ' -f1)").await;
    until("the port's end", async || is_refused(&machine, 8080).then_some(())).await;
}

#[tokio::test]
async fn an_app_on_the_loopback_alone_is_not_reachable_from_outside() {
    let lab = Lab::new();
    let machine = lab.boot(&world(8080)).await;
    let bind =
        |address: &str| format!("cd /srv && echo x > name && nohup /usr/bin/python3 -m http.server -b {address} 8080 >/dev/null 2>&1 &");
    output(&lab.processes, &machine, &bind("127.0.0.1")).await;
    let up = "for i in $(seq 500); do /usr/bin/python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8080))' && exit 0; done";
    output(&lab.processes, &machine, up).await;
    lab.processes.open(&machine, &world(8080)).await.unwrap();
    assert!(is_refused(&machine, 8080));
    output(&lab.processes, &machine, &bind(&machine.private_ip.to_string())).await;
    until("the page on the private address", || page(&machine, 8080)).await;
}

#[tokio::test]
async fn a_port_that_nothing_opens_is_asked_from_within() {
    let lab = Lab::new();
    let (one, two) = (lab.boot(&[]).await, lab.boot(&[]).await);
    for (machine, name) in [(&one, "one"), (&two, "two")] {
        assert!(!lab.processes.listens(machine, 9000).await);
        output(&lab.processes, machine, &serve(name, 9000)).await;
    }
    let ask = async |machine: &MachineSpec, path: &str| {
        let request = http::Request::get(path).header("host", "127.0.0.1").body(bytes::Bytes::new()).unwrap();
        lab.processes.exchange(machine, 9000, request).await
    };
    for (machine, name) in [(&one, "one\n"), (&two, "two\n")] {
        until("the port", async || lab.processes.listens(machine, 9000).await.then_some(())).await;
        assert_eq!(ask(machine, "/name").await.unwrap().body().as_ref(), name.as_bytes());
        assert_eq!(ask(machine, "/nothing").await.unwrap().status(), 404);
    }
    lab.processes.halt(&one.id).await.unwrap();
    assert!(ask(&one, "/name").await.is_err());
    assert!(!lab.processes.listens(&one, 9000).await);
    assert!(ask(&two, "/name").await.is_ok());
}

#[tokio::test]
async fn a_part_of_a_file_is_read_and_what_is_no_file_is_not() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    output(&lab.processes, &machine, "echo 0123456789 > /var/log/some; mkfifo /var/log/pipe").await;
    let read = async |path: &str, from, most| lab.processes.read_file(&machine, path, from, most).await;
    let part = read("/var/log/some", 4, 4).await.unwrap();
    assert_eq!((part.size, part.bytes.as_slice()), (11, b"789\n".as_slice()));
    assert!(read("/var/log/some", 11, 4).await.unwrap().bytes.is_empty());
    assert!(read("/proc/1/status", 0, 9999).await.unwrap().bytes.starts_with(b"Name:"));
    for path in ["/var/log/pipe", "/var/log", "/var/log/missing", "/../etc/passwd", "relative"] {
        assert!(read(path, 0, 1).await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn a_port_that_the_host_refuses_is_told() {
    let lab = Lab::new();
    let machine = lab.boot(&world(8080)).await;
    let taken = TcpListener::bind((machine.public_ip.unwrap(), 8080)).unwrap();
    output(&lab.processes, &machine, &serve("taken", 8080)).await;
    until("the refusal", async || lab.processes.status(&machine.id).await.unwrap().refused.get(&8080).cloned()).await;
    drop(taken);
    until("the page", || page(&machine, 8080)).await;
    assert!(lab.processes.status(&machine.id).await.unwrap().refused.is_empty());
}

#[tokio::test]
async fn a_port_below_1024_answers_for_root_and_is_told_to_others() {
    let lab = Lab::new();
    let machine = lab.boot(&world(80)).await;
    output(&lab.processes, &machine, &serve("low", 80)).await;
    let first: u32 = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap().trim().parse().unwrap();
    if rustix::process::geteuid().is_root() || first <= 80 {
        until("the page", || page(&machine, 80)).await;
    } else {
        let reason = until("the refusal", async || lab.processes.status(&machine.id).await.unwrap().refused.get(&80).cloned()).await;
        assert!(reason.contains("below 1024"), "{reason}");
        let log = std::fs::read_to_string(lab.directory.join(&machine.id).join("agent.log")).unwrap();
        assert!(log.contains(":80` should answer but can't"), "{log}");
    }
}

#[tokio::test]
async fn a_command_whose_machine_is_halted_was_stopped() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let mark = mark();
    let script = command(&format!("echo begun; sleep {mark}"));
    let halting = async {
        until("the process", async || (marked(&mark) == 1).then_some(())).await;
        lab.processes.halt(&machine.id).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(run(&lab.processes, &machine, script), halting);
    assert_eq!((outcome.ending, outcome.output.as_slice()), (Ending::Stopped, b"begun\n".as_slice()));
}

#[tokio::test]
async fn each_machine_has_files_of_its_own_and_the_system_read_only() {
    let lab = Lab::new();
    let (one, two) = (lab.boot(&[]).await, lab.boot(&[]).await);
    let name = mark();
    output(
        &lab.processes,
        &one,
        &format!("for d in /root /opt /srv /tmp /var/lib /run /dev/shm; do echo mine > $d/{name} || exit 1; done"),
    )
    .await;
    for folder in ["/root", "/opt", "/srv", "/tmp", "/var/lib", "/run", "/dev/shm"] {
        assert!(!Path::new(folder).join(&name).exists(), "{folder} of the host");
        output(&lab.processes, &two, &format!("test ! -e {folder}/{name}")).await;
    }
    output(&lab.processes, &one, &format!("mkdir /{name} && echo mine > /{name}/file")).await;
    assert!(!Path::new("/").join(&name).exists());
    output(&lab.processes, &two, &format!("test ! -e /{name}")).await;
    lab.processes.halt(&one.id).await.unwrap();
    lab.processes.boot(&one, &[]).await.unwrap();
    output(&lab.processes, &one, &format!("test $(cat /{name}/file) = mine")).await;
    for folder in ["/etc", "/usr", "/usr/bin", "/home"] {
        let tried = run(&lab.processes, &one, command(&format!("touch {folder}/{name}"))).await;
        assert_ne!(tried.ending, Ending::Exited(0), "{folder}");
        let said = String::from_utf8_lossy(&tried.output).into_owned();
        assert!(said.contains("Read-only") || said.contains("Permission denied"), "{folder}: {said}");
        assert!(!Path::new(folder).join(&name).exists());
    }
    // Neither the way back nor the way to the kernel.
    for forbidden in
        ["mount -o remount,rw /usr", "umount /proc/sys", "echo x > /proc/sys/kernel/core_pattern", "ls /dev/vda /dev/sda /dev/mem"]
    {
        assert_ne!(run(&lab.processes, &one, command(forbidden)).await.ending, Ending::Exited(0), "{forbidden}");
    }
    let seen = run(&lab.processes, &one, command(&format!("ls -A {} 2>/dev/null | wc -l", lab.directory.display()))).await;
    assert_eq!(String::from_utf8_lossy(&seen.output).trim(), "0", "the machines' own directory is hidden");
    output(&lab.processes, &one, "echo x > /dev/null && head -c 8 /dev/urandom | wc -c && test -d /var/log && test -d /var/tmp").await;
}

#[tokio::test]
async fn a_machine_sees_only_its_own_processes_and_network() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let text = output(&lab.processes, &machine, "ls -d /proc/[0-9]* | wc -l; cat /proc/net/dev | grep -c :").await;
    let counts: Vec<u32> = text.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert!(counts[0] <= 5, "{text}");
    assert_eq!(counts[1], 1, "only the loopback");
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let connect = format!("/usr/bin/python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5)'");
    assert_eq!(run(&lab.processes, &machine, command(&connect)).await.ending, Ending::Exited(1));
    let bind = format!("/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind((\"{}\", 80))'", machine.private_ip);
    output(&lab.processes, &machine, &bind).await;
}

#[tokio::test]
async fn files_are_sent_with_their_permissions_and_faults_are_named() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    lab.processes.write_file(&machine, file("/opt/app/config", b"one")).await.unwrap();
    assert_eq!(output(&lab.processes, &machine, "stat -c %a:%U:%G /opt/app/config; cat /opt/app/config").await, "640:root:root\none");
    assert_eq!(lab.processes.write_file(&machine, file("/opt/app/config", b"two")).await, Err(FileFault::AlreadyExists));
    let replacing = FileSpec { overwrite: true, ..file("/opt/app/config", b"two") };
    lab.processes.write_file(&machine, replacing).await.unwrap();
    assert_eq!(output(&lab.processes, &machine, "cat /opt/app/config").await, "two");
    assert_eq!(lab.processes.write_file(&machine, file("opt/x", b"")).await, Err(FileFault::PathInvalid));
    assert_eq!(lab.processes.write_file(&machine, file("/opt/../etc/x", b"")).await, Err(FileFault::PathInvalid));
    let stranger = FileSpec { owner: "nobody-knows".to_owned(), ..file("/opt/y", b"") };
    assert_eq!(lab.processes.write_file(&machine, stranger).await, Err(FileFault::UserGroupNotExists));
    let system = lab.processes.write_file(&machine, file("/usr/x", b"")).await;
    assert!(matches!(&system, Err(FileFault::CreateFailed(_))), "{system:?}");
}

#[tokio::test]
async fn a_command_runs_as_its_user_where_users_can_be_mapped() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let asking =
        CommandSpec { user: Some("nobody".to_owned()), working_directory: Some("/tmp".to_owned()), ..command("id -u; echo $USER") };
    let text = String::from_utf8(run(&lab.processes, &machine, asking).await.output).unwrap();
    let lacks_users = lab.processes.isolation().await.missing.iter().any(|missing| missing.starts_with("users:"));
    assert_eq!(lacks_users, !rustix::process::geteuid().is_root());
    assert_eq!(text, if lacks_users { "0\nnobody\n" } else { "65534\nnobody\n" });
}

#[tokio::test]
async fn halting_ends_every_process_and_keeps_the_disk() {
    let lab = Lab::new();
    let machine = lab.boot(&world(8080)).await;
    let mark = mark();
    output(
        &lab.processes,
        &machine,
        &format!("echo kept > /opt/kept; setsid sleep {mark} & nohup sh -c 'trap \"\" TERM; sleep {mark}; true' &"),
    )
    .await;
    output(&lab.processes, &machine, &serve("kept", 8080)).await;
    until("the page", || page(&machine, 8080)).await;
    assert!(marked(&mark) >= 2);
    lab.processes.halt(&machine.id).await.unwrap();
    assert_eq!(marked(&mark), 0);
    assert!(is_refused(&machine, 8080));
    assert_eq!(run(&lab.processes, &machine, command("true")).await.ending, Ending::NotStarted("the machine is not running".to_owned()));
    lab.processes.halt(&machine.id).await.unwrap();

    lab.processes.boot(&machine, &[]).await.unwrap();
    assert_eq!(output(&lab.processes, &machine, "cat /opt/kept").await, "kept");
}

#[tokio::test]
async fn removal_ends_every_process_and_takes_the_disk_whatever_is_on_it() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let mark = mark();
    output(
        &lab.processes,
        &machine,
        &format!("mkdir -p /opt/a/b && touch /opt/a/b/c && chmod 0 /opt/a/b && chmod 500 /opt/a; chown nobody /opt/a 2>/dev/null; nohup sleep {mark} &"),
    )
    .await;
    until("the process", async || (marked(&mark) > 0).then_some(())).await;
    lab.processes.remove(&machine.id).await.unwrap();
    assert_eq!(marked(&mark), 0);
    assert!(!lab.directory.join(&machine.id).exists());
    lab.processes.remove(&machine.id).await.unwrap();
}

#[tokio::test]
async fn booting_twice_is_one_machine() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    output(&lab.processes, &machine, "touch /run/first-life").await;
    lab.processes.boot(&machine, &world(8080)).await.unwrap();
    output(&lab.processes, &machine, "test -e /run/first-life").await;
    let again = spec();
    let (one, two) = tokio::join!(lab.processes.boot(&again, &[]), lab.processes.boot(&again, &[]));
    one.unwrap();
    two.unwrap();
}

#[tokio::test]
async fn a_machine_outlives_the_server_and_is_adopted_by_the_next() {
    let mut lab = Lab::new();
    let (known, stray, dead) = (lab.boot(&world(8080)).await, lab.boot(&[]).await, lab.boot(&[]).await);
    let mark = mark();
    output(&lab.processes, &known, &serve("adopted", 8080)).await;
    output(&lab.processes, &stray, &format!("nohup sleep {mark} &")).await;
    until("the page", || page(&known, 8080)).await;
    lab.processes.halt(&dead.id).await.unwrap();

    lab.processes = processes(&lab.directory, lab.gateway);
    assert!(page(&known, 8080).await.is_some(), "answers without a server");
    let alive = lab.processes.adopt(&[known.clone(), dead.clone(), spec()]).await.unwrap();
    assert_eq!(alive, [known.id.as_str()]);
    assert!(page(&known, 8080).await.is_some());
    assert_eq!(marked(&mark), 0, "a stray is ended");
    assert!(!lab.directory.join(&stray.id).exists());
    assert!(lab.directory.join(&dead.id).exists(), "a halted machine keeps its disk");
    assert_eq!(output(&lab.processes, &known, "cat /srv/www/name").await, "adopted");
}

#[tokio::test]
async fn a_command_goes_on_without_the_server_and_is_found_again() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let spec = command("echo begun; until [ -e /tmp/go ]; do sleep 0.01; done; echo ended; exit 4");
    let (_keep, stop) = watch::channel(false);
    let heard = Arc::new(tokio::sync::Notify::new());
    let told = heard.clone();
    tokio::select! {
        _ = lab.processes.run(&machine, spec.clone(), Arc::new(move |_| told.notify_one()), stop.clone()) => panic!("can't end yet"),
        () = heard.notified() => {}
    }
    assert_eq!(lab.processes.status(&machine.id).await.unwrap().commands, 1);
    let next = processes(&lab.directory, lab.gateway);
    output(&next, &machine, "touch /tmp/go").await;
    let outcome = next.run(&machine, spec, Arc::new(|_| {}), stop).await;
    assert_eq!((outcome.ending, outcome.output.as_slice()), (Ending::Exited(4), b"begun\nended\n".as_slice()));
}

#[tokio::test]
async fn the_death_of_the_agent_ends_everything_and_the_machine_boots_again() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let mark = mark();
    output(&lab.processes, &machine, &format!("setsid sleep {mark} &")).await;
    until("the process", async || (marked(&mark) == 1).then_some(())).await;
    kill_agent(&lab, &machine);
    until("the end of all", async || (marked(&mark) == 0).then_some(())).await;
    until("the next life", async || lab.processes.boot(&machine, &[]).await.ok()).await;
    output(&lab.processes, &machine, "true").await;
}

/// Kills the half of a machine that stays on the host.
fn kill_agent(lab: &Lab, machine: &MachineSpec) {
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(lab.directory.join(&machine.id).join("agent.json")).unwrap()).unwrap();
    let supervisor = record["supervisor"]["pid"].as_i64().unwrap() as i32;
    rustix::process::kill_process(rustix::process::Pid::from_raw(supervisor).unwrap(), rustix::process::Signal::KILL).unwrap();
}

/// A server that stands for the local cloud: answers what it was asked.
fn gateway() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.extend(byte);
            }
            let head = String::from_utf8(head).unwrap();
            let host = head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap_or("none");
            let body = format!("{} for {host}", head.lines().next().unwrap_or_default());
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

fn urlopen(url: &str) -> String {
    format!("/usr/bin/python3 -c 'import urllib.request as r; print(r.urlopen(\"{url}\", timeout=10).read().decode())'")
}

#[tokio::test]
async fn names_of_the_cloud_reach_the_local_one_and_the_hosts_loopback_stays_closed() {
    let address = gateway();
    let lab = Lab::with_gateway(address);
    let machine = lab.boot(&[]).await;
    let bucket = "bucket.oss-cn-hangzhou-internal.aliyuncs.com";
    let text = output(&lab.processes, &machine, &urlopen(&format!("http://{bucket}/a/b?c=d"))).await;
    assert_eq!(text, format!("GET /a/b?c=d HTTP/1.1 for {bucket}"));
    let text = output(&lab.processes, &machine, &urlopen("http://100.100.100.200/latest/meta-data/instance-id")).await;
    assert_eq!(text, "GET /latest/meta-data/instance-id HTTP/1.1 for 100.100.100.200");
    let tunnel = format!(
        "/usr/bin/python3 -c 'import http.client, os; p = os.environ[\"http_proxy\"].split(\"//\")[1]; c = http.client.HTTPConnection(p); \
         c.set_tunnel(\"{bucket}\", 80); c.request(\"GET\", \"/t\"); print(c.getresponse().read().decode())'"
    );
    assert_eq!(output(&lab.processes, &machine, &tunnel).await, format!("GET /t HTTP/1.1 for {bucket}"));

    let forced = format!("no_proxy= NO_PROXY= {}", urlopen(&format!("http://127.0.0.1:{}/", address.port())));
    let outcome = run(&lab.processes, &machine, command(&forced)).await;
    assert_ne!(outcome.ending, Ending::Exited(0));
    assert!(String::from_utf8_lossy(&outcome.output).contains("403"), "{}", String::from_utf8_lossy(&outcome.output));
}

#[tokio::test]
async fn one_machine_reaches_anothers_public_address_when_it_is_open() {
    let lab = Lab::new();
    let (client, server) = (lab.boot(&[]).await, lab.boot(&world(8080)).await);
    output(&lab.processes, &server, &serve("neighbour", 8080)).await;
    until("the page", || page(&server, 8080)).await;
    let url = format!("http://{}:8080/name", server.public_ip.unwrap());
    assert_eq!(output(&lab.processes, &client, &urlopen(&url)).await, "neighbour");
    lab.processes.open(&server, &[]).await.unwrap();
    assert_ne!(run(&lab.processes, &client, command(&urlopen(&url))).await.ending, Ending::Exited(0));
}

#[tokio::test]
async fn without_namespaces_commands_still_run_and_all_of_them_end() {
    let mut lab = Lab::with_gateway(gateway());
    lab.processes = processes(&lab.directory, lab.gateway).without_namespaces();
    let isolation = lab.processes.isolation().await;
    assert!(!isolation.namespaces && isolation.missing.iter().any(|missing| missing.starts_with("network:")));
    let machine = lab.boot(&[]).await;
    let disk = lab.directory.join(&machine.id).join("disk").canonicalize().unwrap();
    let text = output(&lab.processes, &machine, "echo $ALIFORM_ROOT; echo $HOME; pwd; echo $TMPDIR").await;
    let expected: Vec<String> = ["", "/root", "/root", "/tmp"].iter().map(|below| format!("{}{below}", disk.display())).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    lab.processes.write_file(&machine, file("/opt/app/x", b"here")).await.unwrap();
    assert_eq!(std::fs::read(disk.join("opt/app/x")).unwrap(), b"here");
    let text = output(&lab.processes, &machine, &urlopen("http://ecs.aliyuncs.com/")).await;
    assert_eq!(text, "GET / HTTP/1.1 for ecs.aliyuncs.com");
    let mark = mark();
    output(&lab.processes, &machine, &format!("setsid sleep {mark} & (setsid sleep {mark} &)")).await;
    until("both processes", async || (marked(&mark) == 2).then_some(())).await;
    lab.processes.halt(&machine.id).await.unwrap();
    assert_eq!(marked(&mark), 0);
    lab.processes.boot(&machine, &[]).await.unwrap();

    // The agent's own death ends nothing here: the next removal does.
    output(&lab.processes, &machine, &format!("setsid sleep {mark} &")).await;
    until("the process", async || (marked(&mark) == 1).then_some(())).await;
    kill_agent(&lab, &machine);
    lab.processes.remove(&machine.id).await.unwrap();
    until("the end of what was left", async || (marked(&mark) == 0).then_some(())).await;
    assert!(!lab.directory.join(&machine.id).exists());
}

#[tokio::test]
async fn a_followed_command_gives_all_of_its_output_from_where_it_was_left() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    let followed = command("seq 1 20000; until [ -e /srv/go ]; do sleep 0.02; done; echo end");
    let seen = Arc::new(Mutex::new(Vec::<u8>::new()));
    let follow = |from: u64| {
        let sink = seen.clone();
        let progress = Arc::new(move |piece: &[u8]| sink.lock().unwrap().extend(piece));
        let (keep, stop) = watch::channel(false);
        let (processes, machine, followed) = (&lab.processes, &machine, followed.clone());
        async move {
            let outcome = processes.follow(machine, followed, from, progress, stop).await;
            drop(keep);
            outcome
        }
    };
    let all: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    let first = async {
        tokio::select! {
            outcome = follow(0) => panic!("{outcome:?}"),
            () = until("all lines", async || (seen.lock().unwrap().len() == all.len()).then_some(())) => {}
        }
    };
    first.await;
    lab.processes.write_file(&machine, file("/srv/go", b"")).await.unwrap();
    let outcome = follow(all.len() as u64).await;
    assert_eq!((outcome.ending, outcome.output.len()), (Ending::Exited(0), 0));
    assert_eq!(String::from_utf8(seen.lock().unwrap().clone()).unwrap(), format!("{all}end\n"));
}

#[tokio::test]
async fn files_of_a_machine_are_listed_and_read() {
    let lab = Lab::new();
    let machine = lab.boot(&[]).await;
    lab.processes.write_file(&machine, file("/mnt/data/in/a", b"hello world")).await.unwrap();
    let listed = lab.processes.list_files(&machine, "/mnt/data").await.unwrap();
    assert_eq!(listed.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["in/a"]);
    assert!(listed[0].digest.starts_with("b94d27b9934d3e08"), "{listed:?}");
    assert_eq!(lab.processes.fetch_file(&machine, "/mnt/data/in/a").await.unwrap(), b"hello world");
    assert!(matches!(lab.processes.fetch_file(&machine, "/mnt/data/none").await, Err(FileFault::ReadFailed(_))));
    assert_eq!(lab.processes.list_files(&machine, "/mnt/nothing").await.unwrap(), []);
}
