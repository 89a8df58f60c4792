//! The scripts that an application needs on its machine: set up, start, verify, show the log, go back, stop.
//!
//! They are texts for `sh`, the same for the same settings, and are shown to a person in the plan. A secret is never
//! in them: secrets come to the machine as a file and go into the app's own environment only.
//!
//! What they expect from whoever sends them: `start` is preceded by `RELEASE`, `BUNDLE_URL` and `BUNDLE_SHA256`;
//! `rollback` may be preceded by `ROLLBACK_TO` (else it goes to the release before), `stop` by `REMOVE=1`, `verify`
//! by `WITHIN` (seconds), `logs` by `LINES_WANTED`. `ALIFORM_ROOT` in the environment goes before every path.

pub mod job;

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::failure::FATAL_SIGNS;
use crate::model::runtime::Runtime;

const PROCESS: &str = include_str!("process.sh");
const STOP_OWN: &str = include_str!("stop_own.sh");
const DOWNLOAD: &str = include_str!("download.sh");
const FIND_PYTHON: &str = include_str!("find_python.sh");
const LAUNCH: &str = concat!(
    "# What starts the app again where there is no systemd.\nwrite_supervisor() {\n  cat >\"$APP_HOME/supervise\" <<'SUPERVISE_END'\n",
    include_str!("supervise.sh"),
    "SUPERVISE_END\n}\n\n",
    include_str!("launch.sh")
);

/// What installs packages on the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageManager {
    /// Alibaba Cloud Linux 3, CentOS 8 and later, Anolis.
    Dnf,
    /// CentOS 7, Alibaba Cloud Linux 2.
    Yum,
    /// Ubuntu, Debian.
    Apt,
}

/// Everything that the scripts of an application depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// The stack's name: lower-case letters, digits and hyphens.
    pub stack: String,
    /// The app's name in the stack, likewise.
    pub app: String,
    /// What runs it.
    pub runtime: Runtime,
    /// The command that brings its dependencies.
    pub install: Option<String>,
    /// The command that builds it.
    pub build: Option<String>,
    /// The command that runs it in the foreground.
    pub start: String,
    /// A command to run before it is stopped.
    pub stop: Option<String>,
    /// The port it listens on, given to it as `PORT`.
    pub port: Option<u16>,
    /// Its plain environment.
    pub environment: BTreeMap<String, String>,
    /// The names of its secrets.
    pub secrets: Vec<String>,
    /// The path that answers 2xx or 3xx when it is well; without one a listening port is enough.
    pub health_path: Option<String>,
    /// How long it may take until it is well, in seconds.
    pub within_seconds: u64,
    /// What installs packages on its image.
    pub package_manager: PackageManager,
}

/// The scripts of one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scripts {
    /// Installs the runtime if it is missing.
    pub setup: String,
    /// Unpacks a release, installs its dependencies, builds it, makes it current and starts it.
    pub start: String,
    /// Stops it; takes its folder away when `REMOVE=1`.
    pub stop: String,
    /// Prints one line a check, `check=port ok=1 detail=...`; exit code 0 when all hold, else 1 with the log after `--- log ---`.
    pub verify: String,
    /// Prints the end of its log.
    pub logs: String,
    /// Makes an earlier release current and starts it.
    pub rollback: String,
}

/// Writes the scripts of an application.
pub fn scripts(settings: &AppSettings) -> Scripts {
    Scripts {
        setup: setup(settings),
        start: start(settings),
        stop: stop(settings),
        verify: verify(settings),
        logs: logs(settings),
        rollback: format!(
            "{}{}{PROCESS}\n{STOP_OWN}\n{LAUNCH}\n{}",
            head(settings, "goes back to an earlier release of", "set -eu\n"),
            port(settings),
            include_str!("rollback.sh")
        ),
    }
}

/// `text` as one word of a shell command.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What every script begins with.
fn head(settings: &AppSettings, what: &str, mode: &str) -> String {
    format!(
        "# aliform {what} `{app}` of `{stack}` ({runtime})\n\
         {mode}STACK={stack_word}\nAPP={app_word}\n\
         ROOT=\"${{ALIFORM_ROOT:-}}\"\nAPP_HOME=\"$ROOT/opt/aliform/$STACK/$APP\"\n\
         RUNTIMES=\"$ROOT/opt/aliform/runtimes\"\nUNIT=\"aliform-$STACK-$APP.service\"\n\n",
        app = settings.app,
        stack = settings.stack,
        runtime = settings.runtime,
        stack_word = quote(&settings.stack),
        app_word = quote(&settings.app),
    )
}

/// The port, for the scripts that look at it; in the others it would be a difference without a meaning.
fn port(settings: &AppSettings) -> String {
    format!("PORT={}\n", quote(&settings.port.map(|port| port.to_string()).unwrap_or_default()))
}

/// `text` as a here-document for the command before it; the mark is one that no line of the text is.
fn document(text: &str) -> String {
    let mut mark = "END".to_owned();
    while text.lines().any(|line| line == mark) {
        mark.push('_');
    }
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("<<'{mark}'\n{text}{end}{mark}\n")
}

fn setup(settings: &AppSettings) -> String {
    let mut script = head(settings, "installs what is missing for", "set -eu\n");
    let manager = match settings.package_manager {
        PackageManager::Dnf => "dnf",
        PackageManager::Yum => "yum",
        PackageManager::Apt => "apt-get",
    };
    let install = settings.install.as_deref().unwrap_or_default();
    // Fetching an image asks nothing of the machine that another image would not.
    let build = settings.build.as_deref().filter(|_| !settings.start.starts_with("run_image ")).unwrap_or_default();
    let _ = write!(script, "MANAGER={manager}\nINSTALL={}\nBUILD={}\nPATH=\"$RUNTIMES/node/bin:$PATH\"\n\n", quote(install), quote(build));
    script += "say() { printf 'aliform: %s\\n' \"$*\"; }\n\n";
    script += include_str!("setup.sh");
    script.push('\n');
    match settings.runtime {
        Runtime::Python => script = script + FIND_PYTHON + "\n" + include_str!("setup_python.sh"),
        Runtime::Node => script = script + DOWNLOAD + "\n" + include_str!("setup_node.sh"),
        Runtime::Static => script += SETUP_STATIC,
        Runtime::Docker => {
            let compose = u8::from(!settings.start.starts_with("run_image "));
            let _ = write!(script, "COMPOSE={compose}\n\n{}", include_str!("setup_docker.sh"));
        }
        _ => {}
    }
    for (program, dnf, apt) in programs(settings) {
        let _ = writeln!(script, "need {program} {} {}", quote(dnf), quote(apt));
    }
    if settings.runtime != Runtime::Static && settings.start.starts_with("serve ") {
        script += SETUP_STATIC;
    }
    let _ = write!(script, "mkdir -p \"$APP_HOME\"\ndate -u +%Y-%m-%dT%H:%M:%SZ >\"$APP_HOME/setup\"\n");
    script
}

const SETUP_STATIC: &str = "\
# Any of them can hand out files.
have python3 || have busybox || have php || have ruby || need python3 python3 python3
";

/// The programs that the other languages need, with the packages of dnf and apt that bring them.
fn programs(settings: &AppSettings) -> Vec<(&'static str, &'static str, &'static str)> {
    let commands = [settings.install.as_deref(), settings.build.as_deref(), Some(settings.start.as_str())];
    let uses =
        |word: &str| commands.iter().flatten().any(|command| command.split_whitespace().any(|part| part.trim_start_matches("./") == word));
    let mut programs = Vec::new();
    match settings.runtime {
        Runtime::Go if settings.build.is_some() || uses("go") => programs.push(("go", "golang", "golang-go")),
        Runtime::Java => {
            if settings.build.is_some() {
                programs.push(("javac", "java-17-openjdk-devel", "default-jdk-headless"));
            } else {
                programs.push(("java", "java-17-openjdk-headless", "default-jre-headless"));
            }
            if uses("mvn") {
                programs.push(("mvn", "maven", "maven"));
            }
            if uses("gradle") {
                programs.push(("gradle", "gradle", "gradle"));
            }
        }
        Runtime::Php => {
            programs.push(("php", "php-cli php-mbstring php-xml php-pdo", "php-cli php-mbstring php-xml php-curl"));
            if uses("composer") {
                programs.push(("composer", "composer unzip", "composer unzip"));
            }
        }
        Runtime::Ruby => {
            programs.push(("ruby", "ruby ruby-devel gcc make redhat-rpm-config", "ruby-full build-essential"));
            if uses("bundle") {
                programs.push(("bundle", "rubygem-bundler", "bundler"));
            }
        }
        Runtime::Dotnet => programs.push(("dotnet", "dotnet-sdk-8.0", "dotnet-sdk-8.0")),
        Runtime::Rust if settings.build.is_some() => programs.push(("cargo", "cargo gcc", "cargo gcc")),
        _ => {}
    }
    programs
}

fn start(settings: &AppSettings) -> String {
    let install = settings.install.as_deref().filter(|command| !command.trim().is_empty());
    let build = settings.build.as_deref().filter(|command| !command.trim().is_empty());
    let prepared = format!("{}\n{}\n{}", settings.runtime, install.unwrap_or_default(), build.unwrap_or_default());
    let mut script = head(settings, "starts", "set -eu\n") + &port(settings);
    let _ = write!(script, "PREPARED={}\n\n{PROCESS}\n{STOP_OWN}\n{DOWNLOAD}\n{LAUNCH}\n", hex::encode(&Sha256::digest(prepared)[..6]));
    let _ = write!(
        script,
        "# The app's plain environment.\nwrite_env() {{\n  (umask 077 && cat >\"$SETTINGS/env\") {}}}\n\n",
        document(&environment(settings))
    );
    let _ = write!(script, "# What becomes the app.\nwrite_run() {{\n  cat >\"$SETTINGS/run\" {}}}\n\n", document(&launcher(settings)));
    if settings.runtime == Runtime::Python {
        script = script + FIND_PYTHON + "\n";
    }
    script += include_str!("start.sh");
    if settings.runtime == Runtime::Python {
        script += include_str!("prepare_python.sh");
    }
    script += "\n# Dependencies and build, once for each release.\nprepare() {\n  :\n";
    if let (Runtime::Python, Some(_)) = (settings.runtime, install) {
        script += "  make_venv\n";
    }
    for (name, command) in [("install", install), ("build", build)] {
        if let Some(command) = command {
            let _ = writeln!(script, "  step {name} {}", quote(command));
        }
    }
    script += "}\n";
    script + include_str!("start_end.sh")
}

/// The app's environment as assignments: what its runtime wants, then what its owner says, then its port.
fn environment(settings: &AppSettings) -> String {
    let mut variables: BTreeMap<&str, String> = BTreeMap::new();
    let port = settings.port.map(|port| port.to_string());
    let defaults: &[(&str, &str)] = match settings.runtime {
        Runtime::Python => &[("PYTHONUNBUFFERED", "1")],
        Runtime::Node => &[("NODE_ENV", "production")],
        Runtime::Ruby => {
            &[("RAILS_ENV", "production"), ("RACK_ENV", "production"), ("RAILS_LOG_TO_STDOUT", "1"), ("RAILS_SERVE_STATIC_FILES", "1")]
        }
        Runtime::Dotnet => &[("ASPNETCORE_ENVIRONMENT", "Production")],
        Runtime::Go => &[("GIN_MODE", "release")],
        _ => &[],
    };
    variables.extend(defaults.iter().map(|(name, value)| (*name, (*value).to_owned())));
    variables.insert("COMPOSE_PROJECT_NAME", format!("aliform-{}-{}", settings.stack, settings.app));
    if let Some(port) = &port {
        match settings.runtime {
            Runtime::Java => drop(variables.insert("SERVER_PORT", port.clone())),
            Runtime::Dotnet => drop(variables.insert("ASPNETCORE_URLS", format!("http://0.0.0.0:{port}"))),
            _ => {}
        }
    }
    if settings.runtime == Runtime::Docker {
        let names = settings.environment.keys().chain(&settings.secrets).map(|name| format!("--env {name}"));
        variables.insert("CONTAINER_ENV", names.collect::<Vec<_>>().join(" "));
    }
    variables.extend(settings.environment.iter().map(|(name, value)| (name.as_str(), value.clone())));
    variables.extend(port.map(|port| ("PORT", port)));
    variables.iter().fold(String::new(), |text, (name, value)| text + name + "=" + &quote(value) + "\n")
}

/// The program that the machine starts: it becomes the app.
fn launcher(settings: &AppSettings) -> String {
    let mut script = format!(
        "#!/bin/sh\n# written by aliform: becomes `{}` of `{}`\nSTACK={}\nAPP={}\nROOT=\"${{ALIFORM_ROOT:-}}\"\n",
        settings.app,
        settings.stack,
        quote(&settings.stack),
        quote(&settings.app)
    );
    script += include_str!("run.sh");
    if !settings.secrets.is_empty() {
        script += include_str!("secrets.sh");
        let missing =
            "aliform: the secret \\`$aliform_name\\` was not delivered, or is gone since the machine started anew; run \\`aliform apply\\`";
        let _ = write!(
            script,
            "for aliform_name in {}; do\n  if ! eval \"[ -n \\\"\\${{$aliform_name+set}}\\\" ]\"; then\n    echo \"{missing}\"\n    exit 1\n  fi\ndone\n",
            settings.secrets.join(" ")
        );
    }
    script += "set -a\n. \"$APP_HOME/env\"\nset +a\n";
    for (word, helper) in [
        ("serve ", include_str!("serve.sh")),
        ("serve_php ", include_str!("serve_php.sh")),
        ("run_jar ", include_str!("run_jar.sh")),
        ("run_image ", include_str!("container.sh")),
    ] {
        if settings.start.starts_with(word) {
            script += helper;
        }
    }
    script += &becoming(&settings.start);
    script.push('\n');
    script
}

/// A plain command replaces the shell, so that signals reach it; anything more is left to the shell.
fn becoming(start: &str) -> String {
    const SHELL_WORDS: &[&str] = &[
        "cd",
        "exec",
        "export",
        "for",
        "if",
        "while",
        "case",
        "set",
        "trap",
        "ulimit",
        "umask",
        "eval",
        "source",
        ".",
        "serve",
        "serve_php",
        "run_jar",
        "run_image",
    ];
    let start = start.trim();
    let first = start.split_whitespace().next().unwrap_or_default();
    let compound = start.contains(['\n', ';', '&', '|', '(', '{', '`', '<', '>', '!', '#']);
    if compound || first.contains('=') || SHELL_WORDS.contains(&first) { start.to_owned() } else { format!("exec {start}") }
}

fn stop(settings: &AppSettings) -> String {
    let mut script = head(settings, "stops", "");
    script = script + PROCESS + "\n" + STOP_OWN;
    script += include_str!("stop.sh");
    script.push('\n');
    if let Some(command) = settings.stop.as_deref().filter(|command| !command.trim().is_empty()) {
        let _ = write!(
            script,
            "if [ -d \"$APP_HOME/current\" ]; then\n  (cd \"$APP_HOME/current\" && set -a && . \"$APP_HOME/env\" && set +a && sh -c {}) || say 'the stop command failed'\nfi\n",
            quote(command)
        );
    }
    script += "stop_own\n";
    if settings.runtime == Runtime::Docker {
        script += STOP_CONTAINERS;
    }
    script += "if [ \"${REMOVE:-0}\" = 1 ]; then\n  remove_own\nfi\n";
    script
}

/// Containers outlive a killed client. Those of compose carry the project's name, and one by itself is called so.
const STOP_CONTAINERS: &str = "\
PROJECT=\"aliform-$STACK-$APP\"
for own in \"label=com.docker.compose.project=$PROJECT\" \"name=^/?$PROJECT\\$\"; do
  for container in $(docker ps -aq --filter \"$own\" 2>/dev/null); do
    docker rm -f \"$container\" >/dev/null
  done
done
";

fn verify(settings: &AppSettings) -> String {
    let mut script = head(settings, "looks whether it is well with", "") + &port(settings);
    let path = settings.health_path.as_deref().unwrap_or_default();
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    // Where nothing is asked of it, or a port answers before it does, only living on for a while tells an app from one
    // that is about to end.
    let settle = settings.port.is_none() || (settings.runtime == Runtime::Docker && settings.health_path.is_none());
    let _ = write!(
        script,
        "SETTLE={}\nWITHIN=\"${{WITHIN:-{}}}\"\nHEALTH={}\n# Signs after which the app does not come up any more.\nSIGNS={}\n\n{PROCESS}",
        if settle { 3 } else { 0 },
        settings.within_seconds,
        quote(&format!("{slash}{path}")),
        quote(&FATAL_SIGNS.join("|")),
    );
    script + include_str!("verify.sh")
}

fn logs(settings: &AppSettings) -> String {
    let mut script = head(settings, "shows the log of", "");
    script += "case ${LINES_WANTED:-200} in *[!0-9]*) LINES_WANTED=200 ;; esac\n\
               if [ -f \"$APP_HOME/app.log\" ]; then\n  tail -n \"${LINES_WANTED:-200}\" \"$APP_HOME/app.log\" | tail -c 17000\nelse\n  echo 'aliform: there is no log yet'\nfi\n";
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn settings(runtime: Runtime) -> AppSettings {
        AppSettings {
            stack: "shop".into(),
            app: "web".into(),
            runtime,
            install: Some("fetch 'it all'".into()),
            build: Some("make".into()),
            start: "serve public".into(),
            stop: Some("echo bye".into()),
            port: Some(8080),
            environment: BTreeMap::from([("GREETING".into(), "it's\nEND\n$(id) `id`".into())]),
            secrets: vec!["API_KEY".into()],
            health_path: Some("/healthz".into()),
            within_seconds: 60,
            package_manager: PackageManager::Dnf,
        }
    }

    fn all(scripts: &Scripts) -> [(&'static str, &String); 6] {
        [
            ("setup", &scripts.setup),
            ("start", &scripts.start),
            ("stop", &scripts.stop),
            ("verify", &scripts.verify),
            ("logs", &scripts.logs),
            ("rollback", &scripts.rollback),
        ]
    }

    #[test]
    fn every_script_parses_and_fits_into_one_command() {
        for runtime in Runtime::ALL {
            for (name, script) in all(&scripts(&settings(runtime))) {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), script).unwrap();
                let out = Command::new("sh").arg("-n").arg(file.path()).output().unwrap();
                assert!(out.status.success(), "{runtime} {name}: {}", String::from_utf8_lossy(&out.stderr));
                // Cloud Assistant takes 24 KB after Base64; a presigned address goes before it.
                assert!(script.len() < 16 * 1024, "{runtime} {name} is {} bytes", script.len());
            }
        }
    }

    #[test]
    fn equal_settings_give_equal_scripts() {
        assert_eq!(scripts(&settings(Runtime::Node)), scripts(&settings(Runtime::Node)));
    }

    #[test]
    fn the_stop_script_holds_no_exit() {
        for runtime in Runtime::ALL {
            assert!(!scripts(&settings(runtime)).stop.split_whitespace().any(|word| word == "exit"));
        }
    }

    #[test]
    fn a_plain_command_replaces_the_shell_and_no_other_does() {
        assert_eq!(becoming("python3 app.py"), "exec python3 app.py");
        for start in ["cd api && node x.js", "FOO=1 node x.js", "serve public", "a; b", "node x.js | tee log"] {
            assert_eq!(becoming(start), start);
        }
    }

    #[test]
    fn a_value_survives_the_environment_file() {
        let text = environment(&settings(Runtime::Python));
        let out = Command::new("sh").arg("-c").arg(format!("{text}\nprintf %s \"$GREETING\"")).output().unwrap();
        assert_eq!(String::from_utf8(out.stdout).unwrap(), "it's\nEND\n$(id) `id`");
        let start = scripts(&settings(Runtime::Python)).start;
        assert!(start.contains("<<'END_'\n"), "the mark of the document must not be a line of it");
    }
}
