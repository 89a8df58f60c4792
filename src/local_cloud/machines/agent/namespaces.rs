//! Makes a machine's namespaces and its first process. The supervisor stays outside, a middle process enters and waits,
//! the first process of the new process namespace becomes the machine: when one of them ends, the kernel ends the rest.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

use super::channel::{self, Channel};
use super::inside::{Inside, Place};
use super::process::{Fork, fork, wait_for};
use super::users::Identities;
use super::{launch as start, loopback, note, root};
use crate::local_cloud::machines::wire::Launch;

/// A machine as its supervisor sees it.
pub(super) struct Enclosed {
    /// The middle process, a child of the supervisor.
    pub(super) container: i32,
    /// The machine's first process, by its number on the host.
    pub(super) init: i32,
    /// The supervisor's end.
    pub(super) channel: OwnedFd,
    /// What could not be isolated.
    pub(super) missing: Vec<String>,
}

/// Makes the machine and waits until it is up.
pub(super) fn enclose(launch: &Launch, listener: UnixListener) -> Result<Enclosed, String> {
    let (outer, inner) = channel::pair().map_err(|error| format!("no channel: {error}"))?;
    let (near, far) = UnixStream::pair().map_err(|error| format!("no channel: {error}"))?;
    let supervisor = std::process::id() as i32;
    match fork().map_err(|error| format!("no process: {error}"))? {
        Fork::Child => {
            drop((outer, near));
            let mut talk = Talk(far);
            if let Err(reason) = contain(launch, supervisor, listener, inner, &mut talk) {
                note(&reason);
                talk.say("failed", &reason);
            }
            std::process::exit(1)
        }
        Fork::Parent(container) => {
            drop((inner, far, listener));
            match guide(launch, container, near) {
                Ok((init, missing)) => Ok(Enclosed { container, init, channel: outer, missing }),
                Err(reason) => {
                    if let Some(pid) = Pid::from_raw(container) {
                        let _ = rustix::process::kill_process(pid, Signal::KILL);
                    }
                    wait_for(container);
                    Err(reason)
                }
            }
        }
    }
}

/// The supervisor's side of the making.
fn guide(launch: &Launch, container: i32, near: UnixStream) -> Result<(i32, Vec<String>), String> {
    let mut answers = BufReader::new(near.try_clone().map_err(|error| error.to_string())?);
    let mut talk = Talk(near);
    let mut hear = |wanted: &str| -> Result<String, String> {
        let mut line = String::new();
        answers.read_line(&mut line).map_err(|error| format!("the machine can't be heard: {error}"))?;
        match line.trim_end_matches('\n').split_once(' ') {
            Some((word, rest)) if word == wanted => Ok(rest.to_owned()),
            Some(("failed", reason)) => Err(reason.to_owned()),
            _ => Err(format!("the machine ended before it was {wanted}")),
        }
    };
    hear("apart")?;
    let identities = map_users(container).map_err(|error| format!("users can't be mapped: {error}"))?;
    start::limit(launch, container);
    talk.say("mapped", if identities == Identities::All { "all" } else { "own" });
    let init = hear("first")?.parse().map_err(|_| "the machine's first process has no number".to_owned())?;
    let missing = serde_json::from_str(&hear("ready")?).map_err(|error| format!("the machine can't be understood: {error}"))?;
    Ok((init, missing))
}

/// Lines between the supervisor and the machine while it is made. Read byte by byte: a fork must not inherit what was
/// read ahead.
struct Talk(UnixStream);

impl Talk {
    fn say(&mut self, word: &str, rest: &str) {
        // If nobody hears, the other side has ended, and this one will with it.
        let _ = self.0.write_all(format!("{word} {}\n", rest.replace('\n', " ")).as_bytes());
    }

    fn hear(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.0.read(&mut byte)? == 1 && byte != *b"\n" {
            line.extend(byte);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Lets a process of the machine be any user that this process could be, or else only root, who is this user outside.
fn map_users(container: i32) -> io::Result<Identities> {
    let folder = format!("/proc/{container}");
    let own = |what: &str| std::fs::read_to_string(format!("/proc/self/{what}"));
    if rustix::process::geteuid().is_root() {
        let (users, groups) = (every(&own("uid_map")?), every(&own("gid_map")?));
        if std::fs::write(format!("{folder}/gid_map"), groups).is_ok() && std::fs::write(format!("{folder}/uid_map"), users).is_ok() {
            return Ok(Identities::All);
        }
    }
    // Source: user_namespaces(7); without privileges, a group map needs `deny` first.
    std::fs::write(format!("{folder}/setgroups"), "deny")?;
    std::fs::write(format!("{folder}/gid_map"), format!("0 {} 1\n", rustix::process::getegid().as_raw()))?;
    std::fs::write(format!("{folder}/uid_map"), format!("0 {} 1\n", rustix::process::geteuid().as_raw()))?;
    Ok(Identities::Own)
}

/// A map that gives every number its own meaning: `inside outside count` to `inside inside count`.
fn every(map: &str) -> String {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (inside, count) = (fields.next()?, fields.nth(1)?);
        Some(format!("{inside} {inside} {count}\n"))
    };
    map.lines().filter_map(line).collect()
}

/// The middle process: enters the namespaces and waits for the machine's end.
fn contain(launch: &Launch, supervisor: i32, listener: UnixListener, inner: OwnedFd, talk: &mut Talk) -> Result<(), String> {
    let apart = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    // SAFETY: this process has one thread and shares no descriptors: `FILES` and `FS` are not among the flags.
    unsafe { rustix::thread::unshare_unsafe(apart) }.map_err(|error| format!("namespaces are not permitted here: {error}"))?;
    end_with_parent()?;
    if rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(supervisor) {
        return Err("the supervisor is gone".to_owned());
    }
    talk.say("apart", "");
    let identities = match talk.hear().map_err(|error| format!("the supervisor can't be heard: {error}"))?.as_str() {
        "mapped all" => Identities::All,
        "mapped own" => Identities::Own,
        _ => return Err("the supervisor is gone".to_owned()),
    };
    match fork().map_err(|error| format!("no first process: {error}"))? {
        Fork::Parent(init) => {
            talk.say("first", &init.to_string());
            drop((listener, inner));
            let _ = talk.0.shutdown(std::net::Shutdown::Read);
            wait_for(init);
            std::process::exit(0)
        }
        Fork::Child => {
            end_with_parent()?;
            first_process(launch, identities, listener, inner, talk)
        }
    }
}

fn end_with_parent() -> Result<(), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| format!("can't end with the parent: {error}"))
}

/// The machine itself.
fn first_process(launch: &Launch, identities: Identities, listener: UnixListener, inner: OwnedFd, talk: &mut Talk) -> Result<(), String> {
    rustix::process::setsid().map_err(|error| format!("no session of its own: {error}"))?;
    rustix::system::sethostname(launch.hostname.as_bytes()).map_err(|error| format!("the host name can't be set: {error}"))?;
    let addresses: Vec<_> = launch.public_ip.into_iter().chain([launch.private_ip]).collect();
    loopback::raise(&addresses).map_err(|error| format!("the loopback can't be raised: {error}"))?;
    let mut missing = root::enter(launch)?;
    if identities == Identities::Own {
        missing.push("users: every process of a machine runs as you, under the name root".to_owned());
    }
    std::fs::create_dir(Path::new("/run/aliform"))
        .and_then(|()| std::fs::set_permissions("/run/aliform", std::os::unix::fs::PermissionsExt::from_mode(0o711)))
        .map_err(|error| format!("`/run/aliform` can't be made: {error}"))?;
    let ready = serde_json::to_string(&missing).map_err(|error| error.to_string())?;
    if launch.probe {
        talk.say("ready", &ready);
        std::process::exit(0)
    }
    let runtime = start::runtime()?;
    runtime.block_on(async {
        let place = Place::machine(launch, identities);
        let channel = Channel::new(inner).map_err(|error| format!("no channel: {error}"))?;
        let inside = Inside::start_enclosed(place, launch, channel).await.map_err(|error| format!("the machine can't start: {error}"))?;
        talk.say("ready", &ready);
        inside.serve(listener).await;
        std::process::exit(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_keeps_every_number_that_this_process_knows() {
        assert_eq!(every("         0     100000      65536\n      70000          5          1\n"), "0 0 65536\n70000 70000 1\n");
    }
}
