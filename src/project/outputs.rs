//! What a job brought back, unpacked beside the manifest. Nothing is ever written outside of the folder it is given, no
//! link that leads out of it is made, and what is there already goes only when what takes its place is all there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, access};
use tar::EntryType;

/// What became of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// What was left out, and why: a lower-case fragment each.
    pub left_out: Vec<String>,
    /// Where lies now what lay in the folder before, if anything did.
    pub before: Option<PathBuf>,
}

/// `folder` with something added to its name.
fn beside(folder: &Path, ending: &str) -> PathBuf {
    let mut name = folder.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(ending);
    folder.with_file_name(name)
}

/// Whether outputs can be written to `folder` below `above`, as far as that can be known without writing anything.
///
/// # Errors
/// If they can't be: what is in the way.
pub fn room(above: &Path, folder: &Path) -> Result<(), String> {
    let mut place = folder.parent().filter(|parent| parent.starts_with(above)).unwrap_or(above);
    // What is not there yet is made in what it is to lie in.
    while place.symlink_metadata().is_err() {
        match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => place = parent,
            _ => place = Path::new("."),
        }
    }
    match place.metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(format!("`{}` is no folder", place.display())),
        Err(error) => return Err(format!("`{}` can't be read: {error}", place.display())),
    }
    access(place, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| format!("nothing can be written in `{}`: {error}", place.display()))
}

/// Unpacks a tar.gz beside `folder` and lets `choose` look at it: it says which folder it becomes, which is made anew, since
/// outputs of two runs are never mixed, and whether what lay there is kept as `<folder>.previous`, in place of what lies there.
/// `above`, which holds all outputs, says that it is no source: they belong neither into a commit nor into the files of the
/// next run.
///
/// # Errors
/// If the folder can't be written, or the archive is none or leads out of the folder. What was there is there still.
pub fn unpack(archive: &[u8], above: &Path, folder: &Path, choose: impl FnOnce(&Path) -> (PathBuf, bool)) -> io::Result<Unpacked> {
    let new = beside(folder, ".incoming");
    remove(&new)?;
    std::fs::create_dir_all(&new)?;
    match std::fs::OpenOptions::new().write(true).create_new(true).open(above.join(".gitignore")) {
        Ok(mut file) => io::Write::write_all(&mut file, b"*\n")?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let taken = take_out(archive, &new).and_then(|left_out| {
        let (folder, keep) = choose(&new);
        let there = folder.symlink_metadata().is_ok();
        let old = beside(&folder, ".previous");
        match (there, keep) {
            (true, true) => {
                remove(&old)?;
                std::fs::rename(&folder, &old)?;
            }
            (true, false) => remove(&folder)?,
            (false, _) => {}
        }
        std::fs::rename(&new, &folder)?;
        Ok(Unpacked { left_out, before: (there && keep).then_some(old) })
    });
    if taken.is_err() {
        // Half an archive is worth nothing: the whole one is where it was.
        drop(remove(&new));
    }
    taken
}

/// Removes whatever is there; a link is removed, not what it leads to.
fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The path of an entry below the folder, if it leads nowhere else.
fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            _ => return Err(io::Error::other(format!("`{}` leads out of the folder, which no output does", path.display()))),
        }
    }
    Ok(inside)
}

/// Whether a link at `path`, which is reached through real folders only, leads to a place inside whatever other links of
/// that kind there are: it goes up first, not further than its folder is deep, and then only down.
fn stays_inside(path: &Path, target: &Path) -> bool {
    let (mut up, mut down) = (0, false);
    for part in target.components() {
        match part {
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            Component::ParentDir if !down => up += 1,
            _ => return false,
        }
    }
    up < path.components().count()
}

/// Takes everything out of an archive that is a file, a folder, or a link to one of them; gives back what was left out.
fn take_out(archive: &[u8], folder: &Path) -> io::Result<Vec<String>> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let (mut left_out, mut links, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = inside(&entry.path()?)?;
        let (place, target) = (folder.join(&path), entry.link_name()?.map(std::borrow::Cow::into_owned));
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match (entry.header().entry_type(), target) {
            // Whatever it was there, its owner can write in it here.
            (EntryType::Directory, _) => std::fs::create_dir_all(&place)?,
            (EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse, _) => {
                entry.set_preserve_permissions(false);
                entry.unpack(&place)?;
                taken.insert(path);
            }
            (EntryType::Link, Some(target)) => {
                let target = inside(&target)?;
                if taken.contains(&target) {
                    std::fs::hard_link(folder.join(&target), &place)?;
                    taken.insert(path);
                } else {
                    left_out.push(format!("`{}` is another name of `{}`, which is no file", path.display(), target.display()));
                }
            }
            // They come last, so that nothing is written through one.
            (EntryType::Symlink, Some(target)) => links.push((path, target)),
            _ => left_out.push(format!("`{}` is neither a file nor a folder", path.display())),
        }
    }
    for (path, target) in links {
        let place = folder.join(&path);
        if !stays_inside(&path, &target) {
            left_out.push(format!("`{}` is a link that leads out of the outputs, to `{}`", path.display(), target.display()));
        } else if place.symlink_metadata().is_ok() {
            left_out.push(format!("`{}` is a link where something else is, too", path.display()));
        } else {
            std::os::unix::fs::symlink(target, place)?;
        }
    }
    Ok(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked_to(archive: &[u8], above: &Path, folder: &Path, keep: bool) -> io::Result<Unpacked> {
        unpack(archive, above, folder, |_| (folder.to_owned(), keep))
    }

    enum What<'a> {
        File(&'a str),
        Link(&'a str),
        Hard(&'a str),
        Folder,
        Pipe,
    }

    fn packed(entries: &[(&str, What<'_>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, what) in entries {
            let mut header = tar::Header::new_gnu();
            let (kind, target, content) = match what {
                What::File(content) => (EntryType::Regular, "", *content),
                What::Link(target) => (EntryType::Symlink, *target, ""),
                What::Hard(target) => (EntryType::Link, *target, ""),
                What::Folder => (EntryType::Directory, "", ""),
                What::Pipe => (EntryType::Fifo, "", ""),
            };
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(if matches!(what, What::Folder) { 0o555 } else { 0o644 });
            // As an evil archive has it: the builder itself would refuse such a path.
            let fields = header.as_gnu_mut().unwrap();
            fields.name[..path.len()].copy_from_slice(path.as_bytes());
            fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn text(path: impl AsRef<Path>) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn outputs_of_two_runs_are_not_mixed_and_those_of_the_run_before_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let (above, folder) = (home.path().join("outputs"), home.path().join("outputs/train"));
        let run = |name: &str, content: &str| unpacked_to(&packed(&[(name, What::File(content))]), &above, &folder, true).unwrap();
        assert_eq!(run("model/a", "1"), Unpacked::default());
        std::fs::write(folder.join("notes"), "mine").unwrap();
        assert_eq!(run("model/b", "2").before, Some(above.join("train.previous")));
        assert!(text(folder.join("model/b")) == "2" && !folder.join("model/a").exists());
        assert!(text(above.join("train.previous/model/a")) == "1" && text(above.join("train.previous/notes")) == "mine");
        run("model/c", "3");
        assert!(text(above.join("train.previous/model/b")) == "2" && !above.join("train.previous/model/a").exists());
        // A second one that nobody asked to keep leaves nothing.
        let other = above.join("train.failed");
        for content in ["4", "5"] {
            unpacked_to(&packed(&[("log", What::File(content))]), &above, &other, false).unwrap();
        }
        assert!(text(other.join("log")) == "5" && !above.join("train.failed.previous").exists() && text(above.join(".gitignore")) == "*\n");
    }

    #[test]
    fn what_can_t_be_unpacked_takes_nothing_away() {
        let home = tempfile::tempdir().unwrap();
        let (above, folder) = (home.path().join("outputs"), home.path().join("outputs/train"));
        unpacked_to(&packed(&[("model", What::File("good"))]), &above, &folder, true).unwrap();
        let long = "x".repeat(100_000);
        let whole = packed(&[("model", What::File("bad")), ("more", What::File(&long))]);
        for archive in [&whole[..whole.len() / 2], b"no archive", b""] {
            assert!(unpacked_to(archive, &above, &folder, true).is_err());
            assert_eq!(text(folder.join("model")), "good");
            assert!(!above.join("train.incoming").exists() && !above.join("train.previous").exists());
        }
    }

    #[test]
    fn an_archive_does_not_lead_out_of_its_folder() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("outputs/train");
        let evil = home.path().join("evil");
        for path in ["../evil", "a/../../../evil", evil.to_str().unwrap()] {
            for what in [What::File("x"), What::Link("a"), What::Folder] {
                let error = unpacked_to(&packed(&[(path, what)]), &home.path().join("outputs"), &folder, true).unwrap_err();
                assert!(error.to_string().contains("leads out of the folder"), "{error}");
                assert!(!evil.exists() && !folder.exists());
            }
        }
        std::fs::write(&evil, "mine").unwrap();
        for target in ["../../evil", evil.to_str().unwrap()] {
            assert!(unpacked_to(&packed(&[("a", What::Hard(target))]), &home.path().join("outputs"), &folder, true).is_err());
        }
    }

    #[test]
    fn a_link_is_made_only_if_it_stays_inside_and_nothing_is_written_through_one() {
        let home = tempfile::tempdir().unwrap();
        let (above, folder) = (home.path().join("outputs"), home.path().join("outputs/train"));
        let archive = packed(&[
            ("model/", What::Folder),
            ("model/new", What::File("1")),
            ("model/last", What::Link("new")),
            ("last", What::Link("./model/last")),
            ("model/deep/up", What::Link("../../model/new")),
            ("model/same", What::Hard("model/new")),
            ("model/passwd", What::Link("/etc/passwd")),
            ("model/out", What::Link("../../other")),
            // Through links that stay inside: `s/s/..` is the folder above.
            ("s", What::Link(".")),
            ("round", What::Link("s/s/..")),
            ("through", What::Link("..")),
            ("through/evil", What::File("x")),
            ("pipe", What::Pipe),
            ("of-a-link", What::Hard("model/passwd")),
        ]);
        let unpacked = unpacked_to(&archive, &above, &folder, true).unwrap();
        for inside in ["model/last", "last", "model/deep/up", "model/same", "s/model/new"] {
            assert_eq!(text(folder.join(inside)), "1", "{inside}");
        }
        for outside in ["model/passwd", "model/out", "round", "pipe", "of-a-link"] {
            assert!(folder.join(outside).symlink_metadata().is_err(), "{outside}");
            assert!(unpacked.left_out.iter().any(|said| said.contains(&format!("`{outside}`"))), "{:?}", unpacked.left_out);
        }
        assert!(!above.join("evil").exists());
    }

    #[test]
    fn whether_there_is_room_is_known_before_anything_is_written() {
        let home = tempfile::tempdir().unwrap();
        let (above, folder) = (home.path().join("outputs"), home.path().join("outputs/train"));
        room(&above, &folder).unwrap();
        assert!(!above.exists());
        std::fs::write(&above, "x").unwrap();
        assert!(room(&above, &folder).unwrap_err().contains("is no folder"));
        assert!(room(&above, &above.join("train/lr-0.1")).unwrap_err().contains("is no folder"));
        room(Path::new("outputs"), Path::new("outputs/train")).unwrap();
    }
}
