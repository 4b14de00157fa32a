//! Which devices a container may open: the devices cgroup of version 1, or a program of the kernel's in version 2.
//!
//! It is the second lock. Every mount of a container is `nodev`, but one that was given `SYS_ADMIN` makes mounts of its own;
//! then only this says no. A privileged container has no rules.
//!
//! Sources: linux `Documentation/admin-guide/cgroup-v1/devices.rst`, `include/uapi/linux/bpf.h` (`bpf_cgroup_dev_ctx`).

use super::spec::Device;
use super::sys;
use rustix::fs::{FileType, OFlags};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

const MAKE: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MAKE | READ | WRITE;

/// Something that is allowed; a number that is missing means any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    is_block: bool,
    major: Option<u32>,
    minor: Option<u32>,
    /// Bits of making the file, reading, writing.
    access: u8,
}

/// What every container may do: make any device file (opening it is another matter, and package managers make some), and use
/// the harmless ones and its terminals.
const COMMON: &[Rule] = &[
    Rule { is_block: false, major: None, minor: None, access: MAKE },
    Rule { is_block: true, major: None, minor: None, access: MAKE },
    character(1, Some(3)),
    character(1, Some(5)),
    character(1, Some(7)),
    character(1, Some(8)),
    character(1, Some(9)),
    character(5, Some(0)),
    character(5, Some(2)),
    character(136, None),
];

const fn character(major: u32, minor: Option<u32>) -> Rule {
    Rule { is_block: false, major: Some(major), minor, access: ALL }
}

/// The rules of a container with some devices of the node.
pub fn rules(devices: &[Device]) -> io::Result<Vec<Rule>> {
    let own = devices.iter().filter(|device| !device.permissions.is_empty()).map(rule);
    COMMON.iter().copied().map(Ok).chain(own).collect()
}

fn rule(device: &Device) -> io::Result<Rule> {
    let stat = rustix::fs::stat(&device.host_path)?;
    let bit = |letter: char, bit: u8| if device.permissions.contains(letter) { bit } else { 0 };
    Ok(Rule {
        is_block: FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice,
        major: Some(rustix::fs::major(stat.st_rdev)),
        minor: Some(rustix::fs::minor(stat.st_rdev)),
        access: bit('m', MAKE) | bit('r', READ) | bit('w', WRITE),
    })
}

/// Puts rules on cgroups. A program is made once for each set of rules, which is mostly the common one.
#[derive(Default)]
pub struct Guard {
    programs: RefCell<BTreeMap<Vec<Rule>, Rc<OwnedFd>>>,
}

impl Guard {
    /// Allows in the devices cgroup `folder` of version 1 what the rules say, and nothing else.
    pub fn protect_one(&self, folder: &Path, rules: &[Rule]) -> io::Result<()> {
        std::fs::write(folder.join("devices.deny"), "a")?;
        for rule in rules {
            match std::fs::write(folder.join("devices.allow"), line(rule)) {
                // What the node itself may not do cannot be handed on, and fails where it is tried.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                written => written?,
            }
        }
        Ok(())
    }

    /// The same in the cgroup `folder` of version 2. The program goes with the cgroup.
    pub fn protect_two(&self, folder: &Path, rules: &[Rule]) -> io::Result<()> {
        let known = self.programs.borrow().get(rules).cloned();
        let program = match known {
            Some(program) => program,
            None => {
                let made = Rc::new(sys::load_device_program(&program(rules))?);
                self.programs.borrow_mut().insert(rules.to_vec(), made.clone());
                made
            }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        sys::attach_device_program(&program, rustix::fs::open(folder, flags, rustix::fs::Mode::empty())?)
    }
}

/// A rule as version 1 reads it: `c 1:3 rwm`.
fn line(rule: &Rule) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_string(), |number| number.to_string());
    let letters = [(READ, 'r'), (WRITE, 'w'), (MAKE, 'm')];
    let access: String = letters.iter().filter(|(bit, _)| rule.access & bit != 0).map(|(_, letter)| *letter).collect();
    let kind = if rule.is_block { 'b' } else { 'c' };
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

/// An instruction of the kernel's virtual machine: code, registers (source in the upper half), offset, number.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    number: i32,
}

// Registers: 0 is the answer, 1 points to what is asked and is free once that is read.
const ANSWER: u8 = 0;
const QUESTION: u8 = 1;
const SPARE: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
// Codes.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;
/// What the question calls its kinds.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

const fn instruction(code: u8, target: u8, source: u8, offset: i16, number: i32) -> Instruction {
    Instruction { code, registers: source << 4 | target, offset, number }
}

/// Rules as a program: each compares and answers 1, or leads to the next; behind the last one the answer is 0.
fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        // The first word has the access in its upper half and the kind in its lower.
        instruction(LOAD_WORD, KIND, QUESTION, 0, 0),
        instruction(MOVE_REGISTER, ACCESS, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, QUESTION, 4, 0),
        instruction(LOAD_WORD, MINOR, QUESTION, 8, 0),
    ];
    for rule in rules {
        let kind = if rule.is_block { BLOCK } else { CHARACTER };
        let numbers = [(KIND, Some(kind as u32)), (MAJOR, rule.major), (MINOR, rule.minor)];
        let mut tests: Vec<Instruction> = numbers
            .into_iter()
            .filter_map(|(register, number)| {
                number.map(|number| instruction(JUMP_UNLESS_EQUAL, register, 0, 0, number as i32))
            })
            .collect();
        // Nothing may be asked for beyond what is allowed.
        tests.push(instruction(MOVE_REGISTER, SPARE, ACCESS, 0, 0));
        tests.push(instruction(AND, SPARE, 0, 0, i32::from(ALL & !rule.access)));
        tests.push(instruction(JUMP_UNLESS_EQUAL, SPARE, 0, 0, 0));
        tests.push(instruction(MOVE, ANSWER, 0, 0, 1));
        tests.push(instruction(EXIT, 0, 0, 0, 0));
        let length = tests.len();
        for (at, test) in tests.iter_mut().enumerate().filter(|(_, test)| test.code == JUMP_UNLESS_EQUAL) {
            test.offset = (length - at - 1) as i16;
        }
        program.extend(tests);
    }
    program.extend([instruction(MOVE, ANSWER, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0)]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does what the kernel's virtual machine does.
    fn answer(program: &[Instruction], question: [u32; 3]) -> u64 {
        let mut registers = [0u64; 6];
        let mut at = 0;
        loop {
            let one = program[at];
            let (target, source) = (usize::from(one.registers & 15), usize::from(one.registers >> 4));
            at += 1;
            match one.code {
                LOAD_WORD => registers[target] = question[one.offset as usize / 4].into(),
                MOVE => registers[target] = one.number as u64,
                MOVE_REGISTER => registers[target] = registers[source],
                AND => registers[target] &= one.number as u64,
                SHIFT_RIGHT => registers[target] >>= one.number,
                JUMP_UNLESS_EQUAL if registers[target] != one.number as u64 => at += one.offset as usize,
                JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[0],
                code => panic!("{code:#x}"),
            }
        }
    }

    fn may(devices: &[Device], is_block: bool, major: u32, minor: u32, access: u8) -> bool {
        let kind = if is_block { BLOCK } else { CHARACTER } as u32;
        answer(&program(&rules(devices).unwrap()), [u32::from(access) << 16 | kind, major, minor]) == 1
    }

    #[test]
    fn harmless_devices_and_terminals_are_opened_and_others_only_made() {
        assert!(may(&[], false, 1, 3, READ | WRITE) && may(&[], false, 136, 77, READ));
        assert!(may(&[], true, 254, 0, MAKE) && may(&[], false, 1, 11, MAKE));
        assert!(!may(&[], true, 254, 0, READ) && !may(&[], true, 254, 0, MAKE | WRITE));
        assert!(!may(&[], false, 1, 11, READ), "the kernel's log");
        assert!(!may(&[], true, 1, 3, READ), "a block device of the numbers of /dev/null");
    }

    #[test]
    fn the_kernel_of_version_two_does_as_the_program_says() {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let Some(root) = roots.into_iter().find(|root| root.join("cgroup.procs").exists()) else {
            println!("skipped: there is no cgroup of version 2");
            return;
        };
        let folder = root.join(format!("coracle-devices-{}", std::process::id()));
        if std::fs::create_dir(&folder).is_err() {
            println!("skipped: making a cgroup needs root");
            return;
        }
        let protected = Guard::default().protect_two(&folder, &rules(&[]).unwrap());
        // Everybody may write to the kernel's log whom devices do not keep from it; `:` writes nothing.
        let script =
            format!("echo $$ >{}/cgroup.procs && : >/dev/null && ! (: >/dev/kmsg) 2>/dev/null", folder.display());
        let status = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
        std::fs::remove_dir(&folder).unwrap();
        protected.unwrap();
        assert!(status.success());
    }

    #[test]
    fn a_device_of_the_node_is_used_as_far_as_it_was_given() {
        let device = |permissions: &str| Device {
            container_path: "/dev/x".into(),
            host_path: "/dev/ptmx".into(),
            permissions: permissions.into(),
        };
        // By its numbers, whatever it is.
        let stat = rustix::fs::stat("/dev/full").unwrap();
        let full = Device { host_path: "/dev/full".into(), ..device("r") };
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let made = rule(&full).unwrap();
        assert_eq!((made.is_block, made.major, made.minor), (false, Some(major), Some(minor)));
        assert_eq!((line(&made), made.access), (format!("c {major}:{minor} r"), READ));
        assert_eq!(rules(&[device("")]).unwrap(), COMMON, "nothing was given");
        assert!(rules(&[Device { host_path: "/dev/nowhere".into(), ..device("rw") }]).is_err());
        assert_eq!(line(&COMMON[1]), "b *:* m");
    }
}
