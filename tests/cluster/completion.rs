//! Completion in real shells: the scripts load, and what is offered is what there is now. A shell that is not installed is
//! skipped, which is said.

use super::harness::Cluster;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A folder with `coracle` in it, as users have it on their path.
fn on_path(cluster: &Cluster) -> String {
    let folder = cluster.folder().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let link = folder.join("coracle");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_coracle"), link).unwrap();
    }
    let mut all = vec![folder];
    all.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    std::env::join_paths(all).unwrap().into_string().unwrap()
}

fn is_there(shell: &str) -> bool {
    let paths: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    let found = paths.iter().any(|folder| folder.join(shell).exists());
    if !found {
        println!("skipped: there is no `{shell}`");
    }
    found
}

/// What a shell prints that runs a script file.
fn run(cluster: &Cluster, shell: &str, words: &[&str], script: &str) -> String {
    let file: PathBuf = cluster.folder().join(format!("script.{shell}"));
    std::fs::write(&file, script).unwrap();
    let mut command = Command::new(shell);
    command.args(words).arg(&file).env("PATH", on_path(cluster)).env("HOME", cluster.folder());
    command.env("XDG_CONFIG_HOME", cluster.folder().join("config")).env("TERM", "dumb");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = cluster.spawn(command).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shell}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// What bash offers at the end of a line.
fn bash(cluster: &Cluster, line: &str) -> String {
    let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(coracle completion bash)\nCOMP_WORDS=({})\nCOMP_CWORD={}\nCOMP_TYPE=9\n\
         \"$(complete -p coracle | sed 's/.*-F \\([^ ]*\\).*/\\1/')\" coracle '{}' ''\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        words.join(" "),
        words.len() - 1,
        line.split(' ').next_back().unwrap(),
    );
    run(cluster, "bash", &[], &script)
}

/// What zsh's script hands to zsh at the end of a line: the shell's own widget cannot be run without a terminal, so what it
/// would be given is printed instead.
fn zsh(cluster: &Cluster, line: &str) -> String {
    let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
    let script = format!(
        "autoload -Uz compinit && compinit -u -D\nsource <(coracle completion zsh)\n\
         _describe() {{ print -l -- \"${{other[@]}}\" }}\n\
         words=({})\nCURRENT={}\n$_comps[coracle]\ntrue\n",
        words.join(" "),
        words.len(),
    );
    run(cluster, "zsh", &["-f"], &script)
}

fn fish(cluster: &Cluster, line: &str) -> String {
    let script = format!("coracle completion fish | source\ncomplete --do-complete '{line}'\n");
    run(cluster, "fish", &["--no-config"], &script)
}

#[test]
fn shells_offer_what_there_is_now() {
    let Some(cluster) = Cluster::started("harbours") else { return };
    cluster.coracle("snapshot save calm").ok();
    cluster.kubectl("create service clusterip pier --tcp=80:8080").ok();
    type Ask = fn(&Cluster, &str) -> String;
    let shells: [(&str, Ask); 3] = [("bash", bash), ("zsh", zsh), ("fish", fish)];
    for (shell, ask) in shells.into_iter().filter(|(shell, _)| is_there(shell)) {
        for (line, wanted) in [
            ("coracle sta", "status"),
            ("coracle profile harb", "harbours"),
            ("coracle -p harbours addons enable default-st", "default-storageclass"),
            ("coracle -p harbours service pi", "pier"),
            ("coracle -p harbours snapshot restore c", "calm"),
            ("coracle start --driver nat", "native"),
            ("coracle config set mem", "memory"),
            // A profile of that name would be a profile all the same.
            ("coracle -p status addons enable default-st", "default-storageclass"),
        ] {
            let offered = ask(&cluster, line);
            assert!(offered.contains(wanted), "{shell}: `{line}` offers {offered:?}");
        }
    }
}
