//! The heap of a process that is over soon: blocks in bins of their thread, cut from one stretch of memory, the most of it in huge
//! pages, of which nothing is given back.
//!
//! A command that reads, renders and prints takes and frees a hundred thousand small blocks in a few milliseconds. The C
//! library's heap takes a lock for each where threads share it, looks at neighbours and merges, and gets its memory page by page:
//! together a third of the command's time. Here a block costs a few instructions, as Rust says its size when it is
//! freed. Processes that stay do not use it: what one thread frees is of no use to another.

mod sys;

pub use sys::Heap;

/// The allocator of this executable.
#[global_allocator]
pub static HEAP: Heap = Heap::idle();

/// What small sizes are rounded to, and the alignment of every block.
const STEP: usize = 16;
/// Sizes up to this are multiples of [`STEP`]; above it there are four for every doubling.
const FINE: usize = 1 << FINE_BITS;
const FINE_BITS: usize = 10;
/// Larger blocks are the C library's.
const LARGEST: usize = 512 << 10;
/// How many classes there are.
const CLASSES: usize = class(LARGEST) + 1;

/// The class of a size, which is at most [`LARGEST`].
const fn class(size: usize) -> usize {
    let last = size.saturating_sub(1);
    if last < FINE {
        return last / STEP;
    }
    let exponent = last.ilog2() as usize;
    let quarter = (last >> (exponent - 2)) & 3;
    FINE / STEP + (exponent - FINE_BITS) * 4 + quarter
}

/// The size of a class's blocks.
const fn size(class: usize) -> usize {
    if class < FINE / STEP {
        return (class + 1) * STEP;
    }
    let coarse = class - FINE / STEP;
    let (exponent, quarter) = (FINE_BITS + coarse / 4, coarse % 4);
    (1 << exponent) + ((quarter + 1) << (exponent - 2))
}

#[cfg(test)]
mod tests {
    use super::sys::Block;
    use super::*;

    fn begun() -> Heap {
        let heap = Heap::idle();
        heap.begin();
        heap
    }

    fn is_full_of(block: &Block, size: usize, byte: u8) -> bool {
        block.bytes(size).iter().all(|found| *found == byte)
    }

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        for wanted in (0..=40_000).chain(LARGEST - 40_000..=LARGEST) {
            let class = class(wanted);
            assert!(size(class) >= wanted, "{wanted}");
            assert!(class == 0 || size(class - 1) < wanted, "{wanted}");
            assert!(size(class).is_multiple_of(STEP) && class < CLASSES, "{wanted}");
        }
    }

    #[test]
    fn blocks_are_apart_aligned_and_used_again() {
        let heap = begun();
        let mut blocks: Vec<(usize, Block)> =
            (1..=LARGEST).step_by(997).map(|size| (size, Block::new(&heap, size))).collect();
        blocks.iter_mut().for_each(|(size, block)| block.fill(*size as u8));
        assert!(
            blocks.iter().all(|(size, block)| block.address() % STEP == 0 && is_full_of(block, *size, *size as u8))
        );
        let first = blocks[0].1.address();
        drop(blocks);
        assert_eq!(Block::new(&heap, 1).address(), first);
    }

    #[test]
    fn a_block_keeps_what_is_in_it_as_it_grows_and_shrinks() {
        let heap = begun();
        let mut block = Block::new(&heap, 10);
        block.fill(7);
        for size in [12, 17, 2000, LARGEST, LARGEST + 1, 4 * LARGEST, 900, 10] {
            block.resize(size);
            assert!(block.bytes(10) == [7; 10], "{size}");
        }
    }

    #[test]
    fn zeroed_blocks_are_zero_though_they_were_used() {
        let heap = begun();
        let mut block = Block::new(&heap, 100);
        block.fill(9);
        drop(block);
        assert!(is_full_of(&Block::zeroed(&heap, 100), 100, 0));
    }

    #[test]
    fn what_one_thread_took_another_may_free() {
        let heap = begun();
        let mut block = Block::new(&heap, 64);
        block.fill(5);
        std::thread::scope(|scope| {
            scope.spawn(move || assert!(is_full_of(&block, 64, 5)));
        });
        assert!(is_full_of(&Block::zeroed(&heap, 64), 64, 0));
    }

    #[test]
    fn pages_that_are_cleared_ahead_keep_what_is_in_them() {
        let heap = begun();
        let mut blocks: Vec<Block> = (0..16).map(|_| Block::new(&heap, LARGEST)).collect();
        blocks.iter_mut().for_each(|block| block.fill(6));
        let cleared = (0..99).take_while(|_| heap.clear_ahead()).count();
        assert!(blocks.iter().all(|block| is_full_of(block, LARGEST, 6)));
        assert!((1..99).contains(&cleared) && !Heap::idle().clear_ahead(), "{cleared}");
    }

    #[test]
    fn more_is_cleared_when_little_is_left_of_it() {
        let heap = begun();
        while heap.clear_ahead() {}
        let _usual: Vec<Block> = (0..4).map(|_| Block::new(&heap, LARGEST)).collect();
        assert!(!heap.clear_ahead());
        let _more: Vec<Block> = (0..2).map(|_| Block::new(&heap, LARGEST)).collect();
        assert!(heap.clear_ahead());
        assert!(!heap.clear_ahead());
    }

    #[test]
    fn before_it_began_blocks_are_the_c_librarys_and_stay_so() {
        let heap = Heap::idle();
        let mut block = Block::new(&heap, 64);
        block.fill(3);
        heap.begin();
        block.resize(80);
        assert!(block.bytes(64) == [3; 64]);
    }
}
