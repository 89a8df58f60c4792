//! Builds a machine's root and moves into it: the system read-only, a few folders of its own, devices, processes and
//! temporary files of its own. Runs as the first process of new namespaces and must never run outside of them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change, unmount};

use super::note;
use crate::local_cloud::machines::disk;
use crate::local_cloud::machines::wire::Launch;

/// What is made anew instead of being taken from the host.
const ANEW: [&str; 3] = ["dev", "proc", "run"];
/// Devices that a machine may use. The disks of the host are not among them.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Parts of `/proc` through which root could change the host's kernel.
const KERNEL: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// Builds the root and moves into it. Answers what could not be isolated, in words.
pub(super) fn enter(launch: &Launch) -> Result<Vec<String>, String> {
    let at = |what: String| move |error: io::Error| format!("{what}: {error}");
    let root = launch.directory.join("mount");
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(|error| format!("mounts can't be made private: {error}"))?;
    mount_bind(disk::top(&launch.directory), &root).map_err(|error| format!("the root can't be mounted: {error}"))?;
    take_over(&root).map_err(at("the system can't be shown".to_owned()))?;
    set_read_only(&root, true).map_err(at("the system can't be shown read-only (Linux 5.12 is needed)".to_owned()))?;
    set_writable(&root).map_err(at("the root can't be opened".to_owned()))?;
    for name in disk::OWN {
        mount_bind(disk::folder(&launch.directory).join(name), root.join(name))
            .map_err(|error| format!("the machine's own `/{name}` can't be mounted: {error}"))?;
    }
    devices(&root).map_err(at("`/dev` can't be made".to_owned()))?;
    temporary(&root.join("run"), c"mode=0755").map_err(at("`/run` can't be made".to_owned()))?;
    fs::create_dir(root.join("run/lock")).map_err(at("`/run/lock` can't be made".to_owned()))?;
    let missing = processes(&root)?;
    for name in ["etc/hostname", "etc/hosts"] {
        // A link would lead out of the new root.
        if fs::symlink_metadata(root.join(name)).is_ok_and(|found| found.is_file()) {
            mount_bind(launch.directory.join(name), root.join(name)).map_err(|error| format!("`/{name}` can't be set: {error}"))?;
        }
    }
    hide(&root, &launch.hidden).map_err(at("the other machines can't be hidden".to_owned()))?;
    rustix::process::chdir(&root)
        .and_then(|()| rustix::process::pivot_root(".", "."))
        .and_then(|()| unmount(".", UnmountFlags::DETACH))
        .and_then(|()| rustix::process::chdir("/"))
        .map_err(|error| format!("the root can't be entered: {error}"))?;
    Ok(missing)
}

/// Shows every folder of the host's root, and makes the places for the machine's own. What is there is from its last
/// time up.
fn take_over(root: &Path) -> io::Result<()> {
    let unless_there = |made: io::Result<()>| match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    };
    for name in disk::OWN.into_iter().chain(ANEW) {
        unless_there(fs::create_dir(root.join(name)))?;
    }
    for entry in fs::read_dir("/")? {
        let entry = entry?;
        let target = root.join(entry.file_name());
        if entry.file_name().to_str().is_some_and(|name| disk::OWN.contains(&name) || ANEW.contains(&name)) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            unless_there(symlink(fs::read_link(entry.path())?, &target))?;
        } else if kind.is_dir() {
            unless_there(fs::create_dir(&target))?;
            if let Err(error) = mount_bind_recursive(entry.path(), &target) {
                note(&format!("`{}` can't be shown: {error}", entry.path().display()));
            }
        }
    }
    Ok(())
}

fn temporary(place: &Path, options: &std::ffi::CStr) -> io::Result<()> {
    Ok(mount("aliform", place, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options)?)
}

fn devices(root: &Path) -> io::Result<()> {
    let folder = root.join("dev");
    temporary(&folder, c"mode=0755")?;
    for name in DEVICES {
        let place = folder.join(name);
        File::create(&place)?;
        mount_bind(Path::new("/dev").join(name), &place)?;
    }
    for (name, target) in [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1")] {
        symlink(target, folder.join(name))?;
    }
    symlink("/proc/self/fd/2", folder.join("stderr"))?;
    fs::create_dir(folder.join("shm"))?;
    temporary(&folder.join("shm"), c"mode=1777")?;
    fs::create_dir(folder.join("pts"))?;
    let terminals =
        mount("devpts", folder.join("pts"), "devpts", MountFlags::NOSUID | MountFlags::NOEXEC, c"newinstance,ptmxmode=0666,mode=0620");
    match terminals {
        Ok(()) => symlink("pts/ptmx", folder.join("ptmx"))?,
        Err(error) => note(&format!("the machine has no terminals: {error}")),
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
}

/// Mounts `/proc`. Where the kernel refuses it, because parts of the host's own are covered (in a container), the
/// host's is shown instead.
fn processes(root: &Path) -> Result<Vec<String>, String> {
    let place = root.join("proc");
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if let Err(error) = mount("proc", &place, "proc", flags, None::<&std::ffi::CStr>) {
        note(&format!("`/proc` can't be mounted: {error}"));
        mount_bind_recursive("/proc", &place).map_err(|error| format!("`/proc` can't be shown: {error}"))?;
        set_read_only(&place, true).map_err(|error| format!("`/proc` can't be shown read-only: {error}"))?;
        return Ok(vec!["the list of processes: a machine sees the numbers of your own processes in `/proc`".to_owned()]);
    }
    for name in KERNEL {
        let part = place.join(name);
        if part.exists() {
            mount_bind(&part, &part)
                .map_err(io::Error::from)
                .and_then(|()| set_read_only(&part, false))
                .map_err(|error| format!("`/proc/{name}` can't be protected: {error}"))?;
        }
    }
    Ok(Vec::new())
}

/// Covers the directory of all machines: their disks, and the sockets that rule them.
fn hide(root: &Path, hidden: &Path) -> io::Result<()> {
    let place = root.join(hidden.strip_prefix("/").unwrap_or(hidden));
    // It may lie below a folder that the machine has for itself, and then can't be seen anyway.
    if !place.is_dir() {
        return Ok(());
    }
    temporary(&place, c"mode=0555,size=4k")?;
    set_read_only(&place, false)
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    namespace: u64,
}

fn set_read_only(place: &Path, recursive: bool) -> io::Result<()> {
    set_attributes(place, recursive, MountAttributes { set: libc::MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, namespace: 0 })
}

/// Lets the topmost folder take new ones, such as `/data`: it is the machine's own.
fn set_writable(root: &Path) -> io::Result<()> {
    set_attributes(root, false, MountAttributes { set: 0, clear: libc::MOUNT_ATTR_RDONLY, propagation: 0, namespace: 0 })
}

fn set_attributes(place: &Path, recursive: bool, attributes: MountAttributes) -> io::Result<()> {
    let path = std::ffi::CString::new(place.as_os_str().as_encoded_bytes())?;
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: path and attributes live through the call, and the size is theirs (mount_setattr(2)).
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags as libc::c_uint,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
