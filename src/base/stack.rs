//! Stacks for deep recursion.

pub use super::sys::on_stack as on;

#[cfg(test)]
mod tests {
    use super::*;

    /// How deep a recursion goes whose frames are at least 64 KiB.
    fn deep(left: usize) -> usize {
        let frame = std::hint::black_box([left as u8; 64 << 10]);
        match left {
            0 => 0,
            left => deep(left - 1) + usize::from(frame[left] == left as u8),
        }
    }

    #[test]
    fn work_has_as_much_stack_as_it_asks_for_and_its_own_thread() {
        let thread = || std::thread::current().id();
        let done = on(256 << 20, || (deep(1000), thread())).unwrap();
        assert_eq!(done, (1000, thread()));
    }

    #[test]
    #[should_panic(expected = "it broke")]
    fn a_panic_comes_through() {
        on(1 << 20, || panic!("it broke")).unwrap();
    }

    #[test]
    fn without_address_space_it_fails() {
        assert!(on(1 << 50, || ()).is_err());
    }
}
