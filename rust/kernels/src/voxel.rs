//! The element types of volumes, and the numbers that their sums and maxima are formed in.

use std::ops::AddAssign;

use crate::Window;

/// An element of a volume.
pub trait Voxel: Copy + Default + Send + Sync + 'static {
    /// Whether the element is an integer. Where that is asked before anything that depends on a window,
    /// what cannot be is not compiled.
    const INTEGER: bool;

    /// Whether the element is an integer of at most 16 bits.
    const NARROW: bool;

    /// The value in HU.
    fn to_f64(self) -> f64;

    /// The window's bounds as voxels, where clipping to them is the same; `None` where the window
    /// has fractional bounds, lies beyond the type's range, or the voxels are no integers.
    fn integer_bounds(window: Window) -> Option<(Self, Self)>;

    /// The window's bounds as floating-point voxels, where they are such exactly; `None` where they
    /// are not, or the voxels are integers.
    fn float_bounds(window: Window) -> Option<(Self, Self)>;

    /// The smaller of two voxels.
    #[must_use]
    fn at_most(self, high: Self) -> Self;

    /// The larger of two voxels.
    #[must_use]
    fn at_least(self, low: Self) -> Self;

    /// The value as `i64`, exact for integers; not used for floating-point voxels.
    fn to_i64(self) -> i64;

    /// The value as `f32`, rounded to nearest.
    fn to_f32(self) -> f32;

    /// How far the clipped voxel lies above `low`; for [`Self::NARROW`] voxels, where it fits.
    fn above(self, low: Self, high: Self) -> u16;

    /// The least voxel above zero with which `f64` holds every sum of `length` voxels of the window
    /// exactly; `None` where there are sums that it does not hold, and for integers.
    fn least_exact(window: Window, length: usize) -> Option<Self>;

    /// Whether the voxel is zero or at least as far from it as `least`.
    fn is_zero_or_beyond(self, least: Self) -> bool;
}

macro_rules! integer_voxel {
    ($($type:ty: $narrow:expr),*) => {$(
        impl Voxel for $type {
            const INTEGER: bool = true;
            const NARROW: bool = $narrow;

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            fn integer_bounds(window: Window) -> Option<(Self, Self)> {
                let low = window.low().max(f64::from(Self::MIN));
                let high = window.high().min(f64::from(Self::MAX));
                let whole = low.fract() == 0.0 && high.fract() == 0.0;
                (whole && low <= high).then_some((low as Self, high as Self))
            }

            fn float_bounds(_: Window) -> Option<(Self, Self)> {
                None
            }

            #[inline(always)]
            fn at_most(self, high: Self) -> Self {
                self.min(high)
            }

            #[inline(always)]
            fn at_least(self, low: Self) -> Self {
                self.max(low)
            }

            #[inline(always)]
            fn to_i64(self) -> i64 {
                i64::from(self)
            }

            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }

            #[inline(always)]
            fn above(self, low: Self, high: Self) -> u16 {
                // Clipping in the voxel's own type: twice the lanes of a vector register.
                (self.at_least(low).at_most(high) as u16).wrapping_sub(low as u16)
            }

            fn least_exact(_: Window, _: usize) -> Option<Self> {
                None
            }

            #[inline(always)]
            fn is_zero_or_beyond(self, least: Self) -> bool {
                (self == 0) | (self >= least)
            }
        }
    )*};
}

integer_voxel!(i8: true, u8: true, i16: true, u16: true, i32: false);

macro_rules! float_voxel {
    ($($type:ty),*) => {$(
        impl Voxel for $type {
            const INTEGER: bool = false;
            const NARROW: bool = false;

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            fn integer_bounds(_: Window) -> Option<(Self, Self)> {
                None
            }

            fn float_bounds(window: Window) -> Option<(Self, Self)> {
                let (low, high) = (window.low() as Self, window.high() as Self);
                let bits = [f64::from(low), f64::from(high)].map(f64::to_bits);
                (bits == [window.low(), window.high()].map(f64::to_bits)).then_some((low, high))
            }

            #[inline(always)]
            fn at_most(self, high: Self) -> Self {
                if self > high { high } else { self } // NaN stays NaN
            }

            #[inline(always)]
            fn at_least(self, low: Self) -> Self {
                if self < low { low } else { self }
            }

            #[inline(always)]
            fn to_i64(self) -> i64 {
                self as i64
            }

            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }

            #[inline(always)]
            fn above(self, low: Self, high: Self) -> u16 {
                (self.at_least(low).at_most(high) - low) as u16
            }

            fn least_exact(window: Window, length: usize) -> Option<Self> {
                // A voxel v is a multiple of 2^-DIGITS |v|, and f64 holds 2^53 multiples of a number.
                let digits = f64::MANTISSA_DIGITS.checked_sub(Self::MANTISSA_DIGITS)?;
                let largest = length as f64 * window.low().abs().max(window.high().abs());
                let least = (largest / f64::from(digits).exp2()) as Self;
                (digits > 0 && least.is_finite()).then(|| least.next_up())
            }

            #[inline(always)]
            fn is_zero_or_beyond(self, least: Self) -> bool {
                (self == 0.0) | (self.abs() >= least)
            }
        }
    )*};
}

float_voxel!(f32, f64);

/// A number that sums and maxima are formed in.
pub(crate) trait Number: Copy + Default + AddAssign + Send + Sync {
    /// What no number is smaller than.
    const LEAST: Self;

    /// Rounded once, to nearest.
    fn to_f32(self) -> f32;

    /// The larger of two; NaN if either is.
    fn larger(self, other: Self) -> Self;
}

macro_rules! integer_number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const LEAST: Self = <$type>::MIN;

            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }

            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                self.max(other)
            }
        }
    )*};
}

integer_number!(u16, i32, i64);

macro_rules! float_number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const LEAST: Self = <$type>::NEG_INFINITY;

            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }

            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                if self > other || self.is_nan() {
                    self
                } else {
                    other
                }
            }
        }
    )*};
}

float_number!(f32, f64);

/// A computation that is written once for every type of number that it can be formed in.
pub(crate) trait Reduction<T: Voxel> {
    /// How numbers are combined.
    type Combine: Combine;

    /// Runs with `clip` turning voxels into clipped numbers; voxels that are all `exact` give the same
    /// result in any order.
    fn run<A: Number>(self, clip: impl Fn(T) -> A, exact: impl Fn(T) -> bool);
}

/// Voxels of [`Voxel::NARROW`] types of which `i32` holds any sum: `2^31 / 2^16` less one.
pub(crate) const LONGEST_I32_SUM: usize = 32_767;

/// Runs `reduction` in numbers in which a sum of `length` clipped voxels is exact, narrow ones where
/// that is quick.
#[inline(always)]
pub(crate) fn in_exact_numbers<T: Voxel, R: Reduction<T>>(
    window: Window,
    length: usize,
    reduction: R,
) {
    if T::INTEGER {
        if let Some((low, high)) = T::integer_bounds(window) {
            let clip = |voxel: T| voxel.at_least(low).at_most(high).to_i64();
            if R::Combine::ANY_ORDER {
                return reduction.run(|voxel| clip(voxel) as i32, |_| true);
            } else if !T::NARROW {
                return reduction.run(clip, |_| true);
            } else if length <= LONGEST_I32_SUM {
                return reduction.run(|voxel| clip(voxel) as i32, |_| true);
            }
        }
    } else if let Some((low, high)) = T::float_bounds(window) {
        let clip = |voxel: T| voxel.at_least(low).at_most(high);
        if R::Combine::ANY_ORDER {
            // Rounding keeps the order: the largest may be rounded before it is known.
            return reduction.run(|voxel| clip(voxel).to_f32(), |_| true);
        }
        let number = |voxel: T| clip(voxel).to_f64();
        return match T::least_exact(window, length) {
            Some(least) => {
                reduction.run(number, |voxel| clip(voxel).is_zero_or_beyond(least));
            }
            None => reduction.run(number, |_| false),
        };
    }
    // Sums of narrow integers that are too long for i32 are exact in f64, too.
    reduction.run(
        |voxel| window.clip(voxel.to_f64()),
        |_| R::Combine::ANY_ORDER,
    );
}

/// How voxels become one number.
pub(crate) trait Combine: Copy + Send + Sync {
    /// Whether the result is the same where numbers are rounded before they are combined, and where
    /// they come in another order.
    const ANY_ORDER: bool;

    /// The result of no voxels at all.
    fn nothing<A: Number>() -> A;

    /// `into` combined with one more number.
    fn add<A: Number>(into: &mut A, other: A);

    /// `count` voxels of value `low`, combined; with the combination of how far the voxels lie
    /// above `low`, it adds up to that of the voxels.
    fn of_lows<T: Voxel>(low: T, count: usize) -> i32;
}

/// Their sum.
#[derive(Clone, Copy)]
pub(crate) struct Sum;

impl Combine for Sum {
    const ANY_ORDER: bool = false;

    #[inline(always)]
    fn nothing<A: Number>() -> A {
        A::default()
    }

    #[inline(always)]
    fn add<A: Number>(into: &mut A, other: A) {
        *into += other;
    }

    #[inline(always)]
    fn of_lows<T: Voxel>(low: T, count: usize) -> i32 {
        low.to_i64() as i32 * count as i32
    }
}

/// The largest.
#[derive(Clone, Copy)]
pub(crate) struct Max;

impl Combine for Max {
    const ANY_ORDER: bool = true;

    #[inline(always)]
    fn nothing<A: Number>() -> A {
        A::LEAST
    }

    #[inline(always)]
    fn add<A: Number>(into: &mut A, other: A) {
        *into = into.larger(other);
    }

    #[inline(always)]
    fn of_lows<T: Voxel>(low: T, _: usize) -> i32 {
        low.to_i64() as i32
    }
}
