//! The limits of a machine: as many processors and as much memory as its instance type has, by control groups of either
//! version, where this process may make them. A machine without limits is still a machine: nothing here ever keeps one
//! from coming up, and what can't be done is told in words.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The file in a machine's directory that names its groups.
const RECORD: &str = "groups";
/// The span that processor time is given for, in microseconds.
const PERIOD: u64 = 100_000;

/// How much a machine may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) vcpu: u32,
    pub(super) memory_mib: u64,
}

/// A place where groups can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// One tree with both controllers.
    Unified(PathBuf),
    /// A tree for each controller.
    Split { cpu: PathBuf, memory: PathBuf },
}

/// Makes the groups of a machine and puts a process in them; its children are born there.
pub(super) fn enter(directory: &Path, limits: Limits, process: i32) -> Result<(), String> {
    let name = name(directory);
    let made = place()?.make(&name, limits)?;
    let record: String = made.iter().map(|group| format!("{}\n", group.display())).collect();
    let entered = fs::write(directory.join(RECORD), record)
        .and_then(|()| made.iter().try_for_each(|group| fs::write(group.join("cgroup.procs"), process.to_string())));
    entered.map_err(|error| {
        let _ = leave(directory);
        format!("the machine can't enter its control group: {error}")
    })
}

/// Removes the groups of a machine whose processes have ended; whether they are gone. The kernel keeps a group for a
/// moment after its last process.
pub(super) fn leave(directory: &Path) -> bool {
    let record = directory.join(RECORD);
    let Ok(groups) = fs::read_to_string(&record) else { return true };
    let name = name(directory);
    // Only what bears this machine's name is its group.
    let own = groups.lines().map(Path::new).filter(|group| group.ends_with(&name));
    let stays = own.filter(|group| fs::remove_dir(group).is_err_and(|error| error.kind() != io::ErrorKind::NotFound)).count();
    stays == 0 && fs::remove_file(record).is_ok()
}

/// Why machines have no limits here, if they have none: found out by making a group and removing it.
pub(super) fn missing(directory: &Path) -> Option<String> {
    let name = format!("{}-probe-{}", name(directory), std::process::id());
    let tried = place().and_then(|place| place.make(&name, Limits { vcpu: 1, memory_mib: 64 }));
    match tried {
        Ok(groups) => {
            groups.iter().for_each(|group| drop(fs::remove_dir(group)));
            None
        }
        Err(reason) => Some(format!("processor and memory: the limits of the instance type are not enforced ({reason})")),
    }
}

/// A name that no other machine's group has.
fn name(directory: &Path) -> String {
    let digest = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    format!("aliform-{}", hex::encode(&digest[..12]))
}

fn place() -> Result<Place, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("`{path}` can't be read: {error}"));
    let (mounts, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
    unified(&mounts, &own)
        .or_else(|| Some(Place::Split { cpu: split(&mounts, &own, "cpu")?, memory: split(&mounts, &own, "memory")? }))
        .ok_or_else(|| "no control group can be divided here".to_owned())
}

/// A mount of control groups: its root within the tree, where it is, its kind and its options.
fn mount(mounts: &str, fits: impl Fn(&str, &str) -> bool) -> Option<(&str, &str)> {
    mounts.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ');
        let (root, place) = (front.nth(3)?, front.next()?);
        let mut back = back.split(' ');
        let (kind, options) = (back.next()?, back.nth(1)?);
        fits(kind, options).then_some((root, place))
    })
}

/// This process's own group in the tree whose line starts with `number:` and names `controller`.
fn own_group(own: &str, controller: &str) -> Option<String> {
    own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|known| known == controller).then(|| path.to_owned())
    })
}

/// The folder of a group, given where its tree is mounted.
fn folder((root, place): (&str, &str), group: &str) -> PathBuf {
    // In a container the tree may be mounted from the container's own group on.
    let below = Path::new(group).strip_prefix(root).unwrap_or_else(|_| Path::new(group.trim_start_matches('/')));
    Path::new(place).join(below)
}

/// The nearest group above this process's own that gives both controllers to its children: one with processes can't.
fn unified(mounts: &str, own: &str) -> Option<Place> {
    let mounted = mount(mounts, |kind, _| kind == "cgroup2")?;
    let top = Path::new(mounted.1);
    let group = folder(mounted, &own_group(own, "")?);
    let gives = |folder: &Path| {
        let control = folder.join("cgroup.subtree_control");
        let has = || {
            let given = fs::read_to_string(&control).unwrap_or_default();
            ["cpu", "memory"].iter().all(|wanted| given.split_whitespace().any(|known| known == *wanted))
        };
        has() || (fs::write(&control, "+cpu +memory").is_ok() && has())
    };
    let found = group.ancestors().take_while(|folder| folder.starts_with(top)).find(|folder| gives(folder))?;
    Some(Place::Unified(found.to_owned()))
}

fn split(mounts: &str, own: &str, controller: &str) -> Option<PathBuf> {
    let mounted = mount(mounts, |kind, options| kind == "cgroup" && options.split(',').any(|option| option == controller))?;
    Some(folder(mounted, &own_group(own, controller)?)).filter(|folder| folder.is_dir())
}

impl Place {
    /// Makes groups with these limits, and none if one of them can't be made.
    fn make(&self, name: &str, limits: Limits) -> Result<Vec<PathBuf>, String> {
        let time = u64::from(limits.vcpu) * PERIOD;
        let memory = limits.memory_mib.saturating_mul(1 << 20).to_string();
        let wanted: Vec<(PathBuf, Vec<(&str, String)>)> = match self {
            Place::Unified(parent) => {
                vec![(parent.join(name), vec![("cpu.max", format!("{time} {PERIOD}")), ("memory.max", memory)])]
            }
            Place::Split { cpu, memory: tree } => vec![
                (cpu.join(name), vec![("cpu.cfs_period_us", PERIOD.to_string()), ("cpu.cfs_quota_us", time.to_string())]),
                (tree.join(name), vec![("memory.limit_in_bytes", memory)]),
            ],
        };
        let mut made = Vec::new();
        for (group, settings) in wanted {
            let prepared = make_folder(&group).and_then(|()| {
                made.push(group.clone());
                settings.iter().try_for_each(|(file, value)| fs::write(group.join(file), value))
            });
            if let Err(error) = prepared {
                made.iter().for_each(|group| drop(fs::remove_dir(group)));
                return Err(format!("`{}`: {error}", group.display()));
            }
        }
        Ok(made)
    }
}

/// One that is there was left by an earlier life of the machine.
fn make_folder(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLIT: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                         35 31 0:32 /docker/a /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                         41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_group_is_found_from_where_its_tree_is_mounted() {
        let own = "4:memory:/docker/a/job\n1:cpu,cpuacct:/\n0::/user.slice\n";
        assert_eq!(own_group(own, "memory").as_deref(), Some("/docker/a/job"));
        assert_eq!(own_group(own, "cpu").as_deref(), Some("/"));
        assert_eq!(own_group(own, "").as_deref(), Some("/user.slice"));
        let memory = mount(SPLIT, |_, options| options == "rw,memory").unwrap();
        assert_eq!(folder(memory, "/docker/a/job"), Path::new("/sys/fs/cgroup/memory/job"));
        let unified = mount(SPLIT, |kind, _| kind == "cgroup2").unwrap();
        assert_eq!(folder(unified, "/user.slice"), Path::new("/sys/fs/cgroup/unified/user.slice"));
        assert_eq!(folder(unified, "/"), Path::new("/sys/fs/cgroup/unified/"));
    }

    #[test]
    fn groups_get_what_the_type_has_or_are_not_made_at_all() {
        let scratch = tempfile::tempdir().unwrap();
        let place = Place::Unified(scratch.path().to_owned());
        let made = place.make("m", Limits { vcpu: 2, memory_mib: 512 }).unwrap();
        assert_eq!(made, [scratch.path().join("m")]);
        assert_eq!(fs::read_to_string(scratch.path().join("m/cpu.max")).unwrap(), "200000 100000");
        assert_eq!(fs::read_to_string(scratch.path().join("m/memory.max")).unwrap(), "536870912");
        let nowhere = Place::Split { cpu: scratch.path().to_owned(), memory: scratch.path().join("none") };
        assert!(nowhere.make("n", Limits { vcpu: 1, memory_mib: 1 }).is_err());
    }
}
