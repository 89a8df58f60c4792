//! The code package of a function that runs a job: the job's files in a folder of their own, and beside them what runs
//! them. The same bytes for the same files; nothing of what a run is told goes into it.

use std::io::{self, Cursor, Read, Write};

use bytes::Bytes;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use tar::EntryType;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::bundle::Bundle;

const PYTHON: &str = include_str!("index.py");
const NODE: &str = include_str!("index.js");
const RUN: &str = include_str!("run.sh");
const PACK: &str = include_str!("pack.sh");
const SERVER: &str = include_str!("server.py");
/// Where a container's server listens.
pub const PORT: u16 = 9000;
/// What runs them, as a function is told of it.
pub const HANDLER: &str = "index.handler";
/// What the cloud tells of a package to know it by.
const CRC64: crc::Crc<u64> = crc::Crc::<u64>::new(&crc::CRC_64_XZ);

/// What starts in a container: a server that fetches the package and runs what is in it. A container takes no package of
/// its own, so the image needs Python and nothing of ours.
pub fn entrypoint() -> Vec<String> {
    ["python3", "-u", "-c", SERVER].map(str::to_owned).into()
}

/// A built-in runtime, by what it has besides a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpreter {
    /// Python.
    Python,
    /// Node.
    Node,
}

impl Interpreter {
    /// What a command needs: Node if it begins with something of Node's own, else Python.
    pub fn of(command: &str) -> Self {
        match command.split_whitespace().next() {
            Some("node" | "npm" | "npx" | "yarn" | "pnpm") => Interpreter::Node,
            _ => Interpreter::Python,
        }
    }

    /// The runtime's name.
    pub const fn runtime(self) -> &'static str {
        match self {
            Interpreter::Python => "python3.10",
            Interpreter::Node => "nodejs20",
        }
    }
}

/// A code package.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its SHA-256, in hex.
    pub digest: String,
    /// Its CRC-64, in decimal.
    pub checksum: String,
    /// The zip archive.
    pub archive: Bytes,
    /// The bytes of all the job's files.
    pub unpacked: u64,
}

/// Packs a job's files for a runtime.
///
/// # Errors
/// If the bundle is no archive, which would be a bug, or too large for a zip archive.
pub fn package(bundle: &Bundle, interpreter: Interpreter) -> io::Result<Package> {
    let options = |mode: u32| {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        options.last_modified_time(DateTime::default()).unix_permissions(mode)
    };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let (name, handler) = match interpreter {
        Interpreter::Python => ("index.py", PYTHON),
        Interpreter::Node => ("index.js", NODE),
    };
    for (name, text) in [(name, handler), ("run.sh", RUN), ("pack.sh", PACK)] {
        zip.start_file(name, options(0o644))?;
        zip.write_all(text.as_bytes())?;
    }
    let mut unpacked = 0;
    let mut files = tar::Archive::new(GzDecoder::new(bundle.archive.as_ref()));
    for entry in files.entries()? {
        let mut entry = entry?;
        let name = format!("job/{}", entry.path()?.display());
        if entry.header().entry_type() == EntryType::Symlink {
            let target = entry.link_name()?.map(|target| target.display().to_string()).unwrap_or_default();
            zip.add_symlink(name, target, options(0o777))?;
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        unpacked += content.len() as u64;
        zip.start_file(name, options(entry.header().mode()?))?;
        zip.write_all(&content)?;
    }
    if bundle.files.is_empty() {
        // What runs them looks for the folder.
        zip.add_directory("job/", options(0o755))?;
    }
    let archive = Bytes::from(zip.finish()?.into_inner());
    let (digest, checksum) = (hex::encode(Sha256::digest(&archive)), CRC64.checksum(&archive).to_string());
    Ok(Package { digest, checksum, archive, unpacked })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::bundle::pack;

    #[test]
    fn a_package_holds_the_files_apart_from_what_runs_them_and_is_always_the_same() {
        let folder = tempfile::tempdir().unwrap();
        // As a job may well call it: what runs it must not take it for its own.
        for (name, text) in [("json.py", "a"), ("index.py", "b"), ("lib/x", "c")] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("lib/x", folder.path().join("link")).unwrap();
        let bundle = pack(folder.path()).unwrap();
        let packed = package(&bundle, Interpreter::Python).unwrap();
        assert_eq!(packed.digest, package(&bundle, Interpreter::Python).unwrap().digest);
        assert_ne!(packed.digest, package(&bundle, Interpreter::Node).unwrap().digest);
        assert_eq!(packed.unpacked, 3);

        let mut archive = zip::ZipArchive::new(Cursor::new(packed.archive)).unwrap();
        let mut names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
        names.sort();
        assert_eq!(names, ["index.py", "job/index.py", "job/json.py", "job/lib/x", "job/link", "pack.sh", "run.sh"]);
        assert!(archive.by_name("job/link").unwrap().is_symlink());
    }

    #[test]
    fn the_command_says_which_runtime_it_needs() {
        assert_eq!(Interpreter::of("node './a.js'"), Interpreter::Node);
        assert_eq!(Interpreter::of("npm test"), Interpreter::Node);
        for command in ["python3 './train.py'", "sh './a.sh'", "echo node", ""] {
            assert_eq!(Interpreter::of(command), Interpreter::Python, "{command}");
        }
    }
}
