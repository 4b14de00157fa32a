//! Part of the build script: writes the folders of `addons/` as a Rust table, so that no Rust file names an addon.

use std::fmt::Write;
use std::path::Path;

/// Writes `OUT_DIR/addons.rs`.
pub fn generate(root: &Path, out: &Path) {
    println!("cargo:rerun-if-changed={}", root.display());
    let mut table = String::from("&[\n");
    for folder in sorted(root).into_iter().filter(|path| path.is_dir()) {
        println!("cargo:rerun-if-changed={}", folder.display());
        let files: Vec<_> =
            sorted(&folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
        let include = |path: &Path| format!("include_str!({:?})", path.display().to_string());
        writeln!(
            table,
            "Addon {{ name: {:?}, description: {}, manifests: &[",
            name(&folder),
            include(&folder.join("addon.toml"))
        )
        .unwrap();
        for file in files {
            println!("cargo:rerun-if-changed={}", file.display());
            writeln!(table, "({:?}, {}),", name(&file), include(&file)).unwrap();
        }
        table.push_str("] },\n");
    }
    table.push(']');
    std::fs::write(out.join("addons.rs"), table).unwrap();
}

fn sorted(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
