//! System call filters: the default profile that Docker and containerd agree on, and profiles in OCI's JSON form.
//!
//! `seccompiler` compiles one action for all rules of a filter; OCI's profiles have one for each, so the program is made here
//! ([`program`]): ranges of numbers first, which the kernel turns into a bitmap, then calls whose arguments matter.

mod default;
mod numbers;
mod program;

pub use default::default;

use numbers::number;
use program::{Condition, Operator, Program, Rule};
use serde::Deserialize;
use std::path::Path;

/// What a process gets for a call that is refused, when a profile does not say.
const EPERM: u32 = 1;

/// A profile as runtime-spec `config-linux.md#seccomp` has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Vec<Calls>,
}

/// One action for some calls.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calls {
    names: Vec<String>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Vec<Argument>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// The filter of a profile file.
pub fn load(path: &Path) -> Result<Vec<libc::sock_filter>, String> {
    let failed = |why: String| format!("cannot load seccomp profile \"{}\": {why}", path.display());
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let profile: Profile = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    compile(&profile).map_err(failed)
}

fn compile(profile: &Profile) -> Result<Vec<libc::sock_filter>, String> {
    let mut program = Program::new(action(&profile.default_action, profile.default_errno_ret)?);
    for calls in &profile.syscalls {
        let action = action(&calls.action, calls.errno_ret)?;
        let conditions: Vec<Condition> = calls.args.iter().map(condition).collect::<Result<_, String>>()?;
        // Names of other architectures mean nothing here.
        for number in calls.names.iter().filter_map(|name| number(name)) {
            program.add(Rule { number, action, conditions: conditions.clone() });
        }
    }
    Ok(program.assemble())
}

fn action(name: &str, errno: Option<u32>) -> Result<u32, String> {
    let data = errno.unwrap_or(EPERM) & libc::SECCOMP_RET_DATA;
    Ok(match name {
        "SCMP_ACT_ALLOW" => libc::SECCOMP_RET_ALLOW,
        "SCMP_ACT_ERRNO" => libc::SECCOMP_RET_ERRNO | data,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => libc::SECCOMP_RET_KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => libc::SECCOMP_RET_KILL_PROCESS,
        "SCMP_ACT_TRAP" => libc::SECCOMP_RET_TRAP,
        "SCMP_ACT_TRACE" => libc::SECCOMP_RET_TRACE | data,
        "SCMP_ACT_LOG" => libc::SECCOMP_RET_LOG,
        other => return Err(format!("action {other} is not supported")),
    })
}

fn condition(argument: &Argument) -> Result<Condition, String> {
    let Argument { index, value, value_two, .. } = *argument;
    if index > 5 {
        return Err(format!("a call has no argument {index}"));
    }
    let operator = match argument.op.as_str() {
        "SCMP_CMP_EQ" => Operator::Equal,
        "SCMP_CMP_NE" => Operator::NotEqual,
        "SCMP_CMP_LT" => Operator::Less,
        "SCMP_CMP_LE" => Operator::LessOrEqual,
        "SCMP_CMP_GT" => Operator::Greater,
        "SCMP_CMP_GE" => Operator::GreaterOrEqual,
        "SCMP_CMP_MASKED_EQ" => {
            return Ok(Condition { index, operator: Operator::MaskedEqual(value), value: value_two });
        }
        other => return Err(format!("comparison {other} is not known")),
    };
    Ok(Condition { index, operator, value })
}

#[cfg(test)]
mod tests {
    use super::program::test::run;
    use super::*;
    use rustix::thread::CapabilitySet;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | EPERM;

    fn call(program: &[libc::sock_filter], name: &str, arguments: &[u64]) -> u32 {
        run(program, number(name).unwrap(), arguments)
    }

    #[test]
    fn the_default_allows_what_programs_need_and_refuses_the_rest() {
        let plain = default(CapabilitySet::empty());
        for name in
            ["read", "execve", "futex", "socket", "openat2", "exit_group", "epoll_pwait", "futex_waitv", "ptrace"]
        {
            assert_eq!(call(&plain, name, &[0; 6]), ALLOW, "{name}");
        }
        for name in
            ["mount", "unshare", "bpf", "init_module", "reboot", "keyctl", "kexec_load", "io_uring_setup", "setns"]
        {
            assert_eq!(call(&plain, name, &[0; 6]), REFUSE, "{name}");
        }
        assert!(plain.len() < 400, "{} instructions", plain.len());
    }

    #[test]
    fn the_default_looks_at_arguments() {
        let plain = default(CapabilitySet::empty());
        assert_eq!(call(&plain, "clone", &[libc::CLONE_VM as u64]), ALLOW);
        assert_eq!(call(&plain, "clone", &[libc::CLONE_NEWUSER as u64]), REFUSE);
        assert_eq!(call(&plain, "clone3", &[0]), libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
        assert_eq!(call(&plain, "socket", &[libc::AF_VSOCK as u64]), REFUSE);
        assert_eq!([0, 8, 5].map(|kind| call(&plain, "personality", &[kind])), [ALLOW, ALLOW, REFUSE]);
    }

    #[test]
    fn capabilities_open_the_calls_that_go_with_them() {
        let mighty = default(CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_TIME);
        for name in ["mount", "unshare", "clone3", "settimeofday"] {
            assert_eq!(call(&mighty, name, &[u64::MAX]), ALLOW, "{name}");
        }
        assert_eq!(call(&mighty, "clone", &[libc::CLONE_NEWUSER as u64]), ALLOW);
        assert_eq!(call(&mighty, "reboot", &[]), REFUSE);
    }

    #[test]
    fn profiles_have_an_action_for_each_rule() {
        let profile: Profile = serde_json::from_str(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["mkdir", "mkdirat", "nothing"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
                {"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS", "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}]},
                {"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "args": [
                    {"index": 1, "value": 4294967296, "op": "SCMP_CMP_GT"}, {"index": 2, "value": 2, "op": "SCMP_CMP_LE"}]}]}"#,
        )
        .unwrap();
        let program = compile(&profile).unwrap();
        assert_eq!(call(&program, "mkdirat", &[]), libc::SECCOMP_RET_ERRNO | 13);
        assert_eq!(call(&program, "kill", &[1, 9]), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(call(&program, "kill", &[1, 15]), ALLOW);
        let seek = |offset: u64, whence: u64| call(&program, "lseek", &[0, offset, whence]);
        assert_eq!([seek(1 << 32, 0), seek((1 << 32) + 1, 2), seek(1 << 33, 3)], [ALLOW, REFUSE, ALLOW]);
        let unknown = r#"{"defaultAction": "SCMP_ACT_FLY"}"#;
        assert!(compile(&serde_json::from_str(unknown).unwrap()).is_err());
    }
}
