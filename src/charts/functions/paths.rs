//! Paths with slashes, and those of the system, which are the same here.

use super::fixed;
use crate::charts::chart::archive::clean;
use crate::charts::template::Function;
use crate::charts::template::Type::Str;

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    fixed("base", &[Str], |call| Ok(base(&call.str(0)).into())),
    fixed("dir", &[Str], |call| Ok(directory(&call.str(0)).into())),
    fixed("clean", &[Str], |call| Ok(clean(&call.str(0)).into())),
    fixed("ext", &[Str], |call| Ok(extension(&call.str(0)).into())),
    fixed("isAbs", &[Str], |call| Ok(call.str(0).starts_with('/').into())),
    fixed("osBase", &[Str], |call| Ok(base(&call.str(0)).into())),
    fixed("osDir", &[Str], |call| Ok(directory(&call.str(0)).into())),
    fixed("osClean", &[Str], |call| Ok(clean(&call.str(0)).into())),
    fixed("osExt", &[Str], |call| Ok(extension(&call.str(0)).into())),
    fixed("osIsAbs", &[Str], |call| Ok(call.str(0).starts_with('/').into())),
];

/// `path.Base`.
fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    match path.trim_end_matches('/') {
        "" => "/",
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

/// `path.Dir`.
fn directory(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

/// `path.Ext`.
fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').map_or("", |dot| &name[dot..])
}
