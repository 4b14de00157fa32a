//! The executable: everything is in the library, this returns its exit code.

fn main() -> std::process::ExitCode {
    coracle::cli::main()
}
