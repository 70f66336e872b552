//! Reading memory and nothing else: the bound that no kernel can beat.

use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use crate::Machine;
use crate::simd::Kernel;

/// The wrapping sum of all words, each read once.
#[must_use]
pub fn read_once(words: &[i64], machine: Machine) -> i64 {
    let total = AtomicI64::new(0);
    let part = words.len().div_ceil(machine.threads.max(1)).max(1);
    thread::scope(|scope| {
        for words in words.chunks(part) {
            let total = &total;
            scope.spawn(move || {
                total.fetch_add(machine.level.run(Words(words)), Ordering::Relaxed);
            });
        }
    });
    total.into_inner()
}

struct Words<'a>(&'a [i64]);

impl Kernel for Words<'_> {
    type Output = i64;

    #[inline(always)]
    fn run(self) -> i64 {
        self.0.iter().fold(0, |sum, &word| sum.wrapping_add(word))
    }
}
