//! From rules to a program of the kernel's classic packet filter.

use libc::sock_filter;
use std::collections::BTreeMap;

/// Offsets in `seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
/// Numbers from here on are of the x32 interface.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// `AUDIT_ARCH_…` of this executable.
#[cfg(target_arch = "x86_64")]
const OWN_ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OWN_ARCHITECTURE: u32 = 0xc000_00b7;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const IF_GREATER_OR_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// What happens on a call, if its arguments are so.
#[derive(Clone, Debug)]
pub struct Rule {
    pub number: u32,
    /// `SECCOMP_RET_…`.
    pub action: u32,
    /// All must hold.
    pub conditions: Vec<Condition>,
}

/// A comparison of an argument.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    pub index: u32,
    pub operator: Operator,
    pub value: u64,
}

#[derive(Clone, Copy, Debug)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The argument's bits under this mask.
    MaskedEqual(u64),
}

/// Where a comparison goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Next,
    Holds,
    Fails,
}

/// Rules being gathered.
#[derive(Debug)]
pub struct Program {
    default: u32,
    /// Without conditions; the first rule of a call counts.
    plain: BTreeMap<u32, u32>,
    conditional: BTreeMap<u32, Vec<Rule>>,
}

impl Program {
    /// A program that does `default` when no rule fits.
    pub fn new(default: u32) -> Self {
        Self { default, plain: BTreeMap::new(), conditional: BTreeMap::new() }
    }

    pub fn add(&mut self, rule: Rule) {
        match rule.conditions.is_empty() {
            true => {
                self.plain.entry(rule.number).or_insert(rule.action);
            }
            false => self.conditional.entry(rule.number).or_default().push(rule),
        }
    }

    /// The instructions. Calls of another architecture are not there.
    pub fn assemble(&self) -> Vec<sock_filter> {
        let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        let mut code = vec![
            one(LOAD, ARCHITECTURE, 0, 0),
            one(IF_EQUAL, OWN_ARCHITECTURE, 1, 0),
            one(RETURN, absent, 0, 0),
            one(LOAD, NUMBER, 0, 0),
        ];
        #[cfg(target_arch = "x86_64")]
        code.extend([one(IF_GREATER_OR_EQUAL, X32, 0, 1), one(RETURN, absent, 0, 0)]);
        for (number, rules) in &self.conditional {
            let otherwise = self.plain.get(number).copied().unwrap_or(self.default);
            let mut body: Vec<sock_filter> = rules.iter().flat_map(checked).collect();
            body.push(one(RETURN, otherwise, 0, 0));
            code.extend([one(IF_EQUAL, *number, 1, 0), one(JUMP, body.len() as u32, 0, 0)]);
            code.extend(body);
        }
        for (first, last, action) in self.ranges() {
            // Calls below the range have been dealt with, or do what the default says.
            code.extend([
                one(IF_GREATER, last, 3, 0),
                one(IF_GREATER_OR_EQUAL, first, 1, 0),
                one(RETURN, self.default, 0, 0),
                one(RETURN, action, 0, 0),
            ]);
        }
        code.push(one(RETURN, self.default, 0, 0));
        code
    }

    /// Runs of calls with the same action, in order. A call with conditions never gets here, so it parts nothing.
    fn ranges(&self) -> Vec<(u32, u32, u32)> {
        let mut ranges: Vec<(u32, u32, u32)> = Vec::new();
        for (number, action) in &self.plain {
            match ranges.last_mut() {
                Some((_, last, same)) if same == action && self.is_next(*last, *number) => *last = *number,
                _ => ranges.push((*number, *number, *action)),
            }
        }
        ranges
    }

    fn is_next(&self, last: u32, number: u32) -> bool {
        (last + 1..number).all(|between| self.conditional.contains_key(&between))
    }
}

/// A rule whose conditions are checked one after the other; the first that fails goes on behind it.
fn checked(rule: &Rule) -> Vec<sock_filter> {
    let parts: Vec<Vec<(u16, u32, To, To)>> = rule.conditions.iter().map(comparison).collect();
    let mut left: usize = parts.iter().map(Vec::len).sum();
    let mut code = Vec::with_capacity(left + 1);
    for part in parts {
        let mut here = part.len();
        for (operation, value, yes, no) in part {
            here -= 1;
            left -= 1;
            let distance = |to: To| match to {
                To::Next => 0,
                To::Holds => here as u8,
                // Behind the remaining comparisons and the return. At most six of them of at most five instructions.
                To::Fails => left as u8 + 1,
            };
            code.push(one(operation, value, distance(yes), distance(no)));
        }
    }
    code.push(one(RETURN, rule.action, 0, 0));
    code
}

/// Arguments have 64 bits, the machine 32: the high half decides unless it is equal.
fn comparison(condition: &Condition) -> Vec<(u16, u32, To, To)> {
    use To::{Fails, Holds, Next};
    let (high, low) = ((condition.value >> 32) as u32, condition.value as u32);
    let offset = ARGUMENTS + 8 * condition.index;
    let (load_high, load_low) = ((LOAD, offset + 4, Next, Next), (LOAD, offset, Next, Next));
    let ordered = |more, less, last| {
        vec![load_high, (IF_GREATER, high, more, Next), (IF_EQUAL, high, Next, less), load_low, last]
    };
    match condition.operator {
        Operator::Equal => {
            vec![load_high, (IF_EQUAL, high, Next, Fails), load_low, (IF_EQUAL, low, Next, Fails)]
        }
        Operator::NotEqual => {
            vec![load_high, (IF_EQUAL, high, Next, Holds), load_low, (IF_EQUAL, low, Fails, Next)]
        }
        Operator::Greater => ordered(Holds, Fails, (IF_GREATER, low, Next, Fails)),
        Operator::GreaterOrEqual => ordered(Holds, Fails, (IF_GREATER_OR_EQUAL, low, Next, Fails)),
        Operator::Less => ordered(Fails, Holds, (IF_GREATER_OR_EQUAL, low, Fails, Next)),
        Operator::LessOrEqual => ordered(Fails, Holds, (IF_GREATER, low, Fails, Next)),
        Operator::MaskedEqual(mask) => vec![
            load_high,
            (AND, (mask >> 32) as u32, Next, Next),
            (IF_EQUAL, high, Next, Fails),
            load_low,
            (AND, mask as u32, Next, Next),
            (IF_EQUAL, low, Next, Fails),
        ],
    }
}

fn one(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
pub mod test {
    //! A machine to run programs on.

    use super::*;

    /// What a program answers to a call.
    pub fn run(program: &[sock_filter], number: u32, arguments: &[u64]) -> u32 {
        run_on(program, OWN_ARCHITECTURE, number, arguments)
    }

    fn run_on(program: &[sock_filter], architecture: u32, number: u32, arguments: &[u64]) -> u32 {
        let word = |offset: u32| match offset {
            NUMBER => number,
            ARCHITECTURE => architecture,
            other => {
                let argument = arguments.get((other - ARGUMENTS) as usize / 8).copied().unwrap_or(0);
                if other % 8 == 0 { argument as u32 } else { (argument >> 32) as u32 }
            }
        };
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let branch = |is_so: bool| usize::from(if is_so { jt } else { jf });
            match code {
                LOAD => accumulator = word(k),
                AND => accumulator &= k,
                JUMP => at += k as usize,
                IF_EQUAL => at += branch(accumulator == k),
                IF_GREATER => at += branch(accumulator > k),
                IF_GREATER_OR_EQUAL => at += branch(accumulator >= k),
                RETURN => return k,
                other => panic!("instruction {other}"),
            }
        }
    }

    #[test]
    fn calls_of_other_architectures_are_not_there() {
        let program = Program::new(libc::SECCOMP_RET_ALLOW).assemble();
        let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        assert_eq!(run_on(&program, 0x4000_0003, 1, &[]), absent);
        assert_eq!(run(&program, 1, &[]), libc::SECCOMP_RET_ALLOW);
    }

    #[test]
    fn calls_between_ranges_do_what_the_default_says() {
        let mut program = Program::new(7);
        for number in [1, 2, 4, 9] {
            program.add(Rule { number, action: 5, conditions: vec![] });
        }
        let code = program.assemble();
        let answers: Vec<u32> = (0..11).map(|number| run(&code, number, &[])).collect();
        assert_eq!(answers, [7, 5, 5, 7, 5, 7, 7, 7, 7, 5, 7]);
    }
}
