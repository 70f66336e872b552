//! The Hounsfield window.

use ndarray::ArrayView1;

use crate::accumulate::accumulate;
use crate::{KernelError, Result, Voxel};

/// The interval that voxels are clipped to: `clip(v) = min(max(v, low), high)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    // Invariant: low < high, neither is NaN.
    low: f64,
    high: f64,
}

impl Window {
    /// The window that clips nothing.
    pub const ALL: Self = Self {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };

    /// A window from `low` to `high`.
    ///
    /// # Errors
    /// [`KernelError::Window`] unless `low < high`.
    pub fn new(low: f64, high: f64) -> Result<Self> {
        if low < high {
            Ok(Self { low, high })
        } else {
            Err(KernelError::Window)
        }
    }

    /// The lower bound.
    #[must_use]
    pub fn low(self) -> f64 {
        self.low
    }

    /// The upper bound.
    #[must_use]
    pub fn high(self) -> f64 {
        self.high
    }

    /// `value` clipped to the window; NaN stays NaN.
    ///
    /// ```
    /// let window = rhoa_kernels::Window::new(-150.0, 600.0)?;
    /// assert_eq!([-1000.0, 40.0, 3000.0].map(|hu| window.clip(hu)), [-150.0, 40.0, 600.0]);
    /// # Ok::<(), rhoa_kernels::KernelError>(())
    /// ```
    #[inline(always)]
    #[must_use]
    pub fn clip(self, value: f64) -> f64 {
        let raised = if value < self.low { self.low } else { value };
        if raised > self.high {
            self.high
        } else {
            raised
        }
    }

    /// How far clipped voxels lie above the window's low end; NaN stays NaN.
    #[inline(always)]
    pub(crate) fn above<T: Voxel>(self, voxels: ArrayView1<'_, T>, values: &mut [f32]) {
        if T::INTEGER
            && let Some((low, high)) = T::integer_bounds(self)
        {
            let base = self.low as f32;
            accumulate(values, voxels, |value, voxel| {
                *value = voxel.at_least(low).at_most(high).to_f32() - base;
            });
        } else {
            accumulate(values, voxels, |value, voxel| {
                *value = (self.clip(voxel.to_f64()) - self.low) as f32;
            });
        }
    }
}
