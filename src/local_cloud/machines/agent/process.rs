//! The few things about processes that the standard library has no word for: fork, the end of a parent, privileges.
//! All of it is called while the process has a single thread, or between fork and exec.

use std::io;

/// Which side of a fork this is.
pub(super) enum Fork {
    /// The process that forked, with its child's number.
    Parent(i32),
    /// The new process.
    Child,
}

/// Splits the process in two.
///
/// Must be called while the process has one thread only: others would be missing in the child, with their locks held.
pub(super) fn fork() -> io::Result<Fork> {
    // SAFETY: the agent forks before it starts a runtime or a thread, so the child has everything the parent has.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent(child)),
    }
}

/// Closes what whoever started the server left open: a machine lives for long, and would keep pipes and locks of others.
///
/// Must be called first, while the process owns nothing but its standard streams.
pub(super) fn close_inherited() {
    #[cfg(target_os = "linux")]
    // SAFETY: nothing in this process has a descriptor yet besides the first three.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint);
    }
}

/// Waits for a child's end.
pub(super) fn wait_for(child: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(child) {
        while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()) {}
    }
}

/// What a command's process gives up between fork and exec. Only system calls: nothing may allocate there.
#[derive(Clone, Debug)]
pub(super) struct Surrender {
    /// Whether capabilities over the machine's own construction are dropped.
    pub(super) capabilities: bool,
    /// The user, the group and further groups to become; `None` stays as it is.
    pub(super) user: Option<(u32, u32, Vec<u32>)>,
}

impl Surrender {
    /// Becomes the leader of a session of its own, then gives up what it must.
    pub(super) fn carry_out(&self) -> io::Result<()> {
        // SAFETY: plain system calls on values that live as long as the calls.
        unsafe {
            check(libc::setsid())?;
            libc::umask(0o022);
            #[cfg(target_os = "linux")]
            if self.capabilities {
                for capability in 0..=63 {
                    // Fails above the last one that the kernel knows: nothing is left to drop there.
                    if !KEPT_CAPABILITIES.contains(&capability) && libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                        break;
                    }
                }
            }
            if let Some((user, group, groups)) = &self.user {
                check(libc::setgroups(groups.len() as _, groups.as_ptr()))?;
                check(libc::setgid(*group))?;
                check(libc::setuid(*user))?;
            }
        }
        Ok(())
    }
}

/// What root inside a machine keeps: enough for packages and servers, nothing that takes the machine apart (no mounts,
/// no tracing of its first process). CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
/// NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP. Source: capabilities(7), linux/capability.h.
#[cfg(target_os = "linux")]
const KEPT_CAPABILITIES: [libc::c_ulong; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
