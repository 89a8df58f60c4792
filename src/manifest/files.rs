//! Whether the files and folders that a manifest names are there and inside its folder. It must never open one.

use std::path::{Component, Path, PathBuf};

use super::reader::nearest;

/// The folder that paths are relative to.
pub(super) struct Base {
    /// As it was given.
    given: PathBuf,
    /// Without symbolic links, if it exists.
    real: PathBuf,
}

/// What a path has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    File,
    Folder,
}

/// Why a path can't be used.
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Base {
    pub(super) fn new(given: &Path) -> Self {
        let real = given.canonicalize().unwrap_or_else(|_| given.to_owned());
        Base { given: given.to_owned(), real }
    }

    /// The absolute path, without symbolic links, of something inside the folder.
    pub(super) fn find(&self, text: &str, wanted: Wanted) -> Result<PathBuf, Refusal> {
        let path = Path::new(text);
        let outside = || Refusal {
            code: "path-outside",
            message: format!("`{text}` is outside the folder of the manifest"),
            hint: "move the manifest up to a folder that holds everything it names".to_owned(),
        };
        if leads_out(path) {
            return Err(outside());
        }
        let joined = self.real.join(path);
        let real = joined.canonicalize().map_err(|error| self.missing(text, &joined, &error, wanted))?;
        if !real.starts_with(&self.real) {
            return Err(outside());
        }
        let wrong = |is: &str, should: &str| Refusal {
            code: "path-kind",
            message: format!("`{text}` is {is}, not {should}"),
            hint: format!("name {should}"),
        };
        match wanted {
            Wanted::Folder if !real.is_dir() => Err(wrong("a file", "a folder")),
            Wanted::File if real.is_dir() => Err(wrong("a folder", "a file")),
            Wanted::File if !real.is_file() => Err(wrong("no regular file", "a file")),
            _ => Ok(real),
        }
    }

    fn missing(&self, text: &str, joined: &Path, error: &std::io::Error, wanted: Wanted) -> Refusal {
        let what = if wanted == Wanted::File { "file" } else { "folder" };
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            _ => format!("can't be reached: {}", super::source::reason(error)),
        };
        let hint = match sibling(joined) {
            Some(name) => format!("did you mean `{}`?", Path::new(text).with_file_name(name).display()),
            None => format!("the path is relative to the folder of the manifest, `{}`", self.given.display()),
        };
        Refusal { code: "path-missing", message: format!("the {what} `{text}` {why}"), hint }
    }
}

/// Whether a path, read as it is written, leaves the folder it starts in.
fn leads_out(path: &Path) -> bool {
    let mut depth = 0_i64;
    path.components().any(|component| {
        match component {
            Component::Prefix(_) | Component::RootDir => return true,
            Component::CurDir => {}
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
        }
        depth < 0
    })
}

/// The name in the same folder that a misspelt one most likely meant.
fn sibling(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let names = std::fs::read_dir(path.parent()?).ok()?.take(1000).flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(base: &Base, text: &str, wanted: Wanted) -> Result<PathBuf, &'static str> {
        base.find(text, wanted).map_err(|refusal| refusal.code)
    }

    #[test]
    fn only_what_is_inside_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("stack");
        std::fs::create_dir_all(inside.join("src")).unwrap();
        std::fs::write(inside.join("train.py"), "").unwrap();
        std::fs::write(folder.path().join("secret"), "").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        let base = Base::new(&inside);
        let real = inside.canonicalize().unwrap();
        assert_eq!(code(&base, ".", Wanted::Folder), Ok(real.clone()));
        assert_eq!(code(&base, "src/../train.py", Wanted::File), Ok(real.join("train.py")));
        for text in ["..", "../secret", "src/../../secret", "/etc/passwd", "link"] {
            assert_eq!(code(&base, text, Wanted::File), Err("path-outside"), "{text}");
        }
        assert_eq!(code(&base, "src", Wanted::File), Err("path-kind"));
        assert_eq!(code(&base, "train.py", Wanted::Folder), Err("path-kind"));
        let refusal = base.find("trian.py", Wanted::File).err().unwrap();
        assert_eq!((refusal.code, refusal.hint.as_str()), ("path-missing", "did you mean `train.py`?"));
    }
}
