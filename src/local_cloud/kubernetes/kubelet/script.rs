//! The script that becomes a container's command: it puts volumes in their places, goes to the working directory, and is
//! replaced by the command with exactly its arguments.

use std::collections::BTreeMap;

use crate::local_cloud::kubernetes::pod::{Container, PodSpec};

/// Where volumes and the numbers of processes are kept on a pod's machine.
pub(super) const HOME: &str = "/var/lib/kubelet/pod";

/// The line that says that a container could not be started, before why.
const FAILURE: &str = "aliform: the container can't be started: ";

/// A text as one word of a shell.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A path on the machine; without namespaces machines lie below a folder of their own.
fn place(path: &str) -> String {
    format!("\"${{ALIFORM_ROOT:-}}\"{}", quote(path))
}

/// What a volume of the pod is kept in.
pub(super) fn volume(name: &str) -> String {
    format!("{HOME}/volumes/{name}")
}

/// The script of one container.
pub(super) fn of(container: &Container, spec: &PodSpec, argv: &[String]) -> String {
    let fail = |what: &str| format!("{{ printf '%s\\n' {}; exit 128; }}", quote(&format!("{FAILURE}{what}")));
    let mut lines = vec![format!("mkdir -p {0} && echo $$ > {0}/{1}.pid", place(HOME), container.name)];
    let empty: BTreeMap<&str, ()> =
        spec.volumes.iter().filter(|volume| volume.empty_dir.is_some()).map(|volume| (volume.name.as_str(), ())).collect();
    for mount in &container.volume_mounts {
        let source = if mount.sub_path.is_empty() { volume(&mount.name) } else { format!("{}/{}", volume(&mount.name), mount.sub_path) };
        let (source, target) = (place(&source), place(mount.mount_path.trim_end_matches('/')));
        let cannot = fail(&format!("volume \"{}\" can't be mounted at \"{}\"", mount.name, mount.mount_path));
        if empty.contains_key(mount.name.as_str()) {
            lines.push(format!("mkdir -p {source} || {cannot}"));
        }
        // What was at the place is hidden by the volume; a folder of the system can't be taken away, and says so.
        let put = format!("mkdir -p \"$(dirname {target})\" && {{ [ -L {target} ] || rm -rf {target}; }} && ln -sfn {source} {target}");
        lines.push(format!("{{ {put}; }} 2>/dev/null || {cannot}"));
    }
    if !container.working_dir.is_empty() {
        let directory = place(&container.working_dir);
        lines.push(format!("mkdir -p {directory} 2>/dev/null; cd {directory} || {}", fail("the working directory can't be made")));
    } else {
        lines.push(format!("cd {} || exit 128", place("/")));
    }
    let program = argv.first().map(String::as_str).unwrap_or_default();
    let missing = fail(&format!("exec: \"{program}\": executable file not found in $PATH"));
    lines.push(format!("command -v -- {} >/dev/null 2>&1 || {missing}", quote(program)));
    lines.push(format!("exec {}", argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")));
    lines.join("\n") + "\n"
}

/// Why a container could not be started, if its output says so.
pub(super) fn failure(code: i32, output: &str) -> Option<&str> {
    let line = output.trim_end_matches('\n');
    if code == 128 && !line.contains('\n') { line.strip_prefix(FAILURE) } else { None }
}

/// Asks a container's process to end.
pub(super) fn terminate(container: &str) -> String {
    // It may just be about to start.
    format!(
        "file={}/{container}.pid; tries=0\nwhile [ ! -s \"$file\" ] && [ $tries -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done\n\
         kill -TERM \"$(cat \"$file\")\" 2>/dev/null; exit 0\n",
        place(HOME)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_stay_what_they_are() {
        let argv = ["sh", "-c", "echo 'it''s' \"$HOME\"; exit 3"].map(str::to_owned);
        let script = of(&Container { name: "main".to_owned(), ..Container::default() }, &PodSpec::default(), &argv);
        assert!(script.ends_with("exec 'sh' '-c' 'echo '\\''it'\\'''\\''s'\\'' \"$HOME\"; exit 3'\n"), "{script}");
    }

    #[test]
    fn only_its_own_words_say_that_a_container_did_not_start() {
        let line = format!("{FAILURE}exec: \"x\": executable file not found in $PATH\n");
        assert_eq!(failure(128, &line), Some("exec: \"x\": executable file not found in $PATH"));
        assert_eq!(failure(1, &line), None);
        assert_eq!(failure(128, &format!("hello\n{line}")), None);
    }
}
