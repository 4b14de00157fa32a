//! Part of the build script: writes the files of the dashboard's page as a table of names and bytes.

use std::fmt::Write;
use std::path::Path;

/// Writes `OUT_DIR/page.rs`.
pub fn generate(root: &Path, out: &Path) {
    let mut table = String::from("&[\n");
    add(root, "", &mut table);
    table.push(']');
    std::fs::write(out.join("page.rs"), table).unwrap();
}

/// Adds the files below a folder, whose names begin with `prefix`.
fn add(folder: &Path, prefix: &str, table: &mut String) {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = format!("{prefix}{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            add(&path, &format!("{name}/"), table);
        } else {
            println!("cargo:rerun-if-changed={}", path.display());
            writeln!(table, "({name:?}, include_bytes!({:?})),", path.display().to_string()).unwrap();
        }
    }
}
