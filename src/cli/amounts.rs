//! Whether this machine has what a node is to have: more would only be said, not be there.

use super::{Context, Exit, Failure};
use crate::base::Hint;
use crate::config::Wanted;
use crate::config::values;

/// Refuses more processors or memory than there are; only warns where it is forced.
pub fn check(wanted: &Wanted, is_forced: bool, context: &Context) -> Result<(), Failure> {
    for (exit, what, hint) in too_much(wanted, values::all_cpus(), values::all_memory()) {
        if !is_forced {
            return Err(Failure { error: Box::new(Hint::new(what, hint)), exit });
        }
        context.printer.warn(what);
    }
    Ok(())
}

/// What is asked for beyond the thousandths of processors and the bytes of memory that there are. Values that cannot be read
/// are found elsewhere.
fn too_much(wanted: &Wanted, cpus: u32, memory: Option<u64>) -> Vec<(Exit, String, String)> {
    let value = |key: &str| wanted.settings.get(key).and_then(|values| values.first());
    let mut found = Vec::new();
    let asked = value("cpus").and_then(|text| values::cpus(text).ok().flatten());
    if let Some(asked) = asked.filter(|asked| *asked > cpus) {
        let (asked, cpus) = (values::cpus_text(asked), values::cpus_text(cpus));
        let what = format!("Requested cpu count {asked} is greater than the available cpus of {cpus}");
        found.push((Exit::Named(29, "RSRC_INSUFFICIENT_CORES"), what, format!("coracle start --cpus={cpus}")));
    }
    let asked = value("memory").and_then(|text| values::memory(text).ok().flatten());
    if let (Some(asked), Some(memory)) = (asked, memory.filter(|memory| asked.is_some_and(|asked| asked > *memory))) {
        let (asked, limit) = (asked >> 20, memory >> 20);
        let what = format!("Requested memory allocation {asked}MB is more than your system limit {limit}MB");
        // A quarter of the machine, in hundreds, as minikube advises.
        let advised = (limit / 400 * 100).max(values::LEAST_MEMORY >> 20);
        found.push((Exit::Named(10, "RSRC_OVER_ALLOC_MEM"), what, format!("coracle start --memory={advised}mb")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_machine_has_is_told_with_minikubes_reasons() {
        let asked = |cpus: &str, memory: &str| {
            let mut wanted = Wanted::named("one");
            wanted.set("cpus", vec![cpus.into()]);
            wanted.set("memory", vec![memory.into()]);
            too_much(&wanted, 2000, Some(8 << 30)).into_iter().map(|(exit, ..)| exit.id()).collect::<Vec<_>>()
        };
        assert_eq!(asked("99", "999999999"), ["RSRC_INSUFFICIENT_CORES", "RSRC_OVER_ALLOC_MEM"]);
        assert_eq!(asked("2", "8g"), Vec::<&str>::new());
        assert_eq!(asked("no-limit", "no-limit"), Vec::<&str>::new());
        assert_eq!(asked("many", "plenty"), Vec::<&str>::new());
    }
}
