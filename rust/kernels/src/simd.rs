//! Instruction sets, chosen when the program runs.
//!
//! A hot loop is written once, as plain Rust, and compiled once for every [`Level`]; the fastest one
//! that the processor has is taken. No copy fuses a multiplication with an addition and none
//! changes the order of floating-point operations, so every level gives the same bits.
//! `RHOA_SIMD=scalar|avx2|avx512` forces one. `scalar` is what the target always has: SSE2 on x86-64,
//! NEON on AArch64.

use crate::{KernelError, Result, Voxel};

/// The environment variable that forces a level.
pub const VARIABLE: &str = "RHOA_SIMD";

/// A set of instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(Set); // private field: a level exists only where its instructions do

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// A hot loop. `run`, and all it calls in the loop, is `#[inline(always)]`: only what is inlined is
/// compiled for the level.
pub trait Kernel {
    /// What it computes.
    type Output;

    /// Runs it.
    fn run(self) -> Self::Output;
}

impl Level {
    /// The instructions that every processor of the target has.
    pub const SCALAR: Self = Self(Set::Scalar);

    /// All levels of this processor, the fastest last.
    #[must_use]
    pub fn all() -> Vec<Self> {
        #[allow(unused_mut, reason = "other processors have one level only")]
        let mut levels = vec![Self::SCALAR];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                levels.push(Self(Set::Avx2));
            }
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if wide {
                levels.push(Self(Set::Avx512));
            }
        }
        levels
    }

    /// The level that [`VARIABLE`] names, else the fastest.
    ///
    /// # Errors
    /// [`KernelError::Simd`] when the processor has no level of that name.
    pub fn from_environment() -> Result<Self> {
        let levels = Self::all();
        let Some(wanted) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else {
            return Ok(levels.last().copied().unwrap_or(Self::SCALAR));
        };
        let found = levels.iter().find(|level| wanted == level.name());
        found.copied().ok_or_else(|| KernelError::Simd {
            wanted: wanted.to_string_lossy().into_owned(),
            present: levels.iter().map(|level| level.name()).collect(),
        })
    }

    /// Its name, as in [`VARIABLE`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
        }
    }

    /// Runs a kernel compiled for this level.
    #[allow(unsafe_code, reason = "the one place where a level is entered")]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Scalar => kernel.run(),
            // SAFETY: the processor has the instructions, or `all` would not have made this level.
            // GAIN: twice the speed of oblique sums over SSE2 (`benches/kernels.rs`).
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512(kernel) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// Bytes that come from memory together.
pub(crate) const LINE: usize = 64;

/// Asks for values that will be read soon, where the processor takes such hints: between blocks of
/// work its own guesses stop.
#[inline(always)]
pub(crate) fn prefetch<T: Voxel>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(LINE / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        #[allow(unsafe_code, reason = "shear::projected takes 0.9 of the time with it")]
        // SAFETY: a prefetch is a hint, which neither reads nor writes nor faults; x86-64 has it.
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
        }
    }
}
