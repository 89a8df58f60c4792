//! What a job brought back, unpacked beside the manifest. Nothing is ever written outside of the folder it is given.

use std::io;
use std::path::Path;

/// Unpacks a tar.gz into `folder`, which is made anew: outputs of two runs are never mixed. The folder above says that it
/// is no source: it belongs neither into a commit nor into the files of the next run.
///
/// # Errors
/// If the folder can't be written, or the archive is none or leads out of the folder.
pub fn unpack(archive: &[u8], folder: &Path) -> io::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    if let Some(above) = folder.parent() {
        std::fs::write(above.join(".gitignore"), "*\n")?;
    }
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    archive.set_preserve_permissions(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if !entry.unpack_in(folder)? {
            return Err(io::Error::other(format!("`{}` leads out of the folder", path.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(path: &str, content: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // As an evil archive has it: the builder itself would refuse such a path.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn outputs_of_the_last_run_are_there_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("outputs/train");
        unpack(&packed("model/a", "1"), &folder).unwrap();
        unpack(&packed("model/b", "2"), &folder).unwrap();
        assert_eq!(std::fs::read_to_string(folder.join("model/b")).unwrap(), "2");
        assert!(!folder.join("model/a").exists());
    }

    #[test]
    fn an_archive_does_not_lead_out_of_its_folder() {
        let home = tempfile::tempdir().unwrap();
        assert!(unpack(&packed("../evil", "x"), &home.path().join("outputs")).is_err());
        assert!(!home.path().join("evil").exists());
        assert!(unpack(b"no archive", &home.path().join("outputs")).is_err());
    }
}
