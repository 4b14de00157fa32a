//! Folders that live as long as their pod, on disk or in memory. Source: kubelet `pkg/volume/emptydir/empty_dir.go`.

use super::{Place, ownership};
use crate::node::quantity::Amount;
use k8s_openapi::api::core::v1::EmptyDirVolumeSource;
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes the folder, and mounts memory there if that is asked for; once, so that what is in it stays.
pub fn place(folder: &Path, source: &EmptyDirVolumeSource, group: Option<u32>) -> Result<Place, String> {
    make(folder, source, group).map_err(|error| error.to_string())?;
    Ok(Place::folder(folder.to_path_buf(), false))
}

fn make(folder: &Path, source: &EmptyDirVolumeSource, group: Option<u32>) -> io::Result<()> {
    let in_memory = source.medium.as_deref() == Some("Memory");
    let is_new = !folder.exists();
    std::fs::create_dir_all(folder)?;
    let mounts = in_memory && !is_mounted(folder)?;
    if mounts {
        let size =
            source.size_limit.as_ref().and_then(|limit| Amount::parse(&limit.0)).filter(|size| size.is_positive());
        let options = size.map_or_else(|| "mode=777".to_string(), |size| format!("mode=777,size={}", size.value()));
        mount("tmpfs", folder, "tmpfs", MountFlags::empty(), CString::new(options)?.as_c_str())?;
    }
    if is_new || mounts {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777))?;
        if let Some(group) = group {
            ownership::give(folder, group, false, None)?;
        }
    }
    Ok(())
}

fn is_mounted(folder: &Path) -> io::Result<bool> {
    let parent = folder.parent().unwrap_or(folder);
    Ok(std::fs::metadata(folder)?.dev() != std::fs::metadata(parent)?.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_is_for_everybody_and_keeps_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v");
        let source = EmptyDirVolumeSource::default();
        place(&path, &source, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o777);
        std::fs::write(path.join("a"), "1").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        place(&path, &source, None).unwrap();
        assert!(path.join("a").exists());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700, "what the pod changed stays");
    }
}
