//! The element types of volumes, and the types their sums are formed in.

use std::ops::AddAssign;

use crate::Window;

/// An element of a volume.
pub trait Voxel: Copy + Send + Sync + 'static {
    /// Longest sum of any such voxels that fits `i32`; zero where one voxel may not fit.
    const LONGEST_I32_SUM: usize;

    /// The value in HU.
    fn to_f64(self) -> f64;

    /// The window's bounds as voxels, where clipping to them is the same; `None` where the window
    /// has fractional bounds, lies beyond the type's range, or the voxels are no integers.
    fn integer_bounds(window: Window) -> Option<(Self, Self)>;

    /// The smaller of two voxels.
    #[must_use]
    fn at_most(self, high: Self) -> Self;

    /// The larger of two voxels.
    #[must_use]
    fn at_least(self, low: Self) -> Self;

    /// The value as `i64`, exact for integers; not used for floating-point voxels.
    fn to_i64(self) -> i64;
}

macro_rules! integer_voxel {
    ($($type:ty => $longest:expr),*) => {$(
        impl Voxel for $type {
            const LONGEST_I32_SUM: usize = $longest;

            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            fn integer_bounds(window: Window) -> Option<(Self, Self)> {
                let low = window.low().max(f64::from(Self::MIN));
                let high = window.high().min(f64::from(Self::MAX));
                let whole = low.fract() == 0.0 && high.fract() == 0.0;
                (whole && low <= high).then_some((low as Self, high as Self))
            }

            #[inline]
            fn at_most(self, high: Self) -> Self {
                self.min(high)
            }

            #[inline]
            fn at_least(self, low: Self) -> Self {
                self.max(low)
            }

            #[inline]
            fn to_i64(self) -> i64 {
                i64::from(self)
            }
        }
    )*};
}

// 2^31 / 2^16 = 32768 voxels of at most 16 bits cannot overflow i32.
integer_voxel!(i8 => 32_767, u8 => 32_767, i16 => 32_767, u16 => 32_767, i32 => 0);

macro_rules! float_voxel {
    ($($type:ty),*) => {$(
        impl Voxel for $type {
            const LONGEST_I32_SUM: usize = 0;

            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            fn integer_bounds(_: Window) -> Option<(Self, Self)> {
                None
            }

            #[inline]
            fn at_most(self, high: Self) -> Self {
                self.min(high)
            }

            #[inline]
            fn at_least(self, low: Self) -> Self {
                self.max(low)
            }

            #[inline]
            fn to_i64(self) -> i64 {
                self as i64
            }
        }
    )*};
}

float_voxel!(f32, f64);

/// A number that sums and maxima are formed in.
pub(crate) trait Number: Copy + Default + AddAssign + Send + Sync {
    /// Rounded once, to nearest.
    fn to_f32(self) -> f32;

    /// The larger of two; NaN if either is.
    fn larger(self, other: Self) -> Self;
}

macro_rules! integer_number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            #[inline]
            fn to_f32(self) -> f32 {
                self as f32
            }

            #[inline]
            fn larger(self, other: Self) -> Self {
                self.max(other)
            }
        }
    )*};
}

integer_number!(i32, i64);

impl Number for f64 {
    #[inline]
    fn to_f32(self) -> f32 {
        self as f32
    }

    #[inline]
    fn larger(self, other: Self) -> Self {
        if self > other || self.is_nan() {
            self
        } else {
            other
        }
    }
}

/// A computation that is written once for every number type its sums can be formed in.
pub(crate) trait Reduction<T: Voxel> {
    /// What it returns.
    type Output;

    /// Runs with `clip` turning voxels into clipped numbers.
    fn run<A: Number>(self, clip: impl Fn(T) -> A + Sync) -> Self::Output;
}

/// Runs `reduction` in the narrowest numbers in which a sum of `length` clipped voxels is exact.
pub(crate) fn in_exact_numbers<T: Voxel, R: Reduction<T>>(
    window: Window,
    length: usize,
    reduction: R,
) -> R::Output {
    match T::integer_bounds(window) {
        // Clipping happens in the voxel's own type: twice the lanes of a vector register.
        Some((low, high)) if length <= T::LONGEST_I32_SUM => {
            reduction.run(|voxel| voxel.at_least(low).at_most(high).to_i64() as i32)
        }
        Some((low, high)) => reduction.run(|voxel| voxel.at_least(low).at_most(high).to_i64()),
        None => reduction.run(|voxel| window.clip(voxel.to_f64())),
    }
}
