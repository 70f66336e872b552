//! Cubic B-splines (Unser, Aldroubi and Eden 1993).
//!
//! A spline through the samples `v(n)` is `sum over n of c(n) B(x - n)`. The coefficients `c` come
//! from `v` by a recursive filter with the pole `z = sqrt(3) - 2`, first forward, then backward. At a
//! fraction `t` behind sample `n` the spline weighs `c(n - 1) .. c(n + 2)` by `((1 - t)^3,
//! 3 t^3 - 6 t^2 + 4, ..., t^3) / 6`: for `t = 0`, `(1, 4, 1, 0) / 6`.
//!
//! Samples go on as zeros beyond their ends, where the coefficients fall off as powers of `z`.

use ndarray::{ArrayViewMut3, Axis};

use crate::Result;
use crate::parallel::{self, Machine};
use crate::simd::Kernel;

/// The pole of the filter, `sqrt(3) - 2`: each coefficient beyond the end is this times the one before.
pub(crate) const POLE: f32 = -0.267_949_2;

/// Weights of the coefficients before, at, one after and two after, at `fraction` behind the second.
#[inline(always)]
pub(crate) fn weights(fraction: f64) -> [f32; 4] {
    let t = fraction as f32;
    let s = 1.0 - t;
    let before = s * s * s * (1.0 / 6.0);
    let after = t * t * t * (1.0 / 6.0);
    let at = (t * t * (3.0 * t - 6.0) + 4.0) * (1.0 / 6.0);
    [before, at, 1.0 - before - at - after, after]
}

/// Four values times four weights.
#[inline(always)]
pub(crate) fn dot(values: [f32; 4], weights: [f32; 4]) -> f32 {
    (values[0] * weights[0] + values[1] * weights[1])
        + (values[2] * weights[2] + values[3] * weights[3])
}

/// Turns samples into coefficients along `axis`, in place, `times` times over.
pub(crate) fn prefilter(
    mut samples: ArrayViewMut3<'_, f32>,
    axis: usize,
    times: usize,
    machine: Machine,
) -> Result<()> {
    samples.swap_axes(0, axis);
    if samples.strides()[2].abs() < samples.strides()[1].abs() {
        samples.swap_axes(1, 2);
    }
    let voxels = samples.len();
    parallel::for_each_block(&mut samples, LINES, voxels, machine, &|_, lines| {
        machine.level.run(Filter { lines, times });
    })
}

/// Lines that are filtered side by side.
const LINES: usize = 16;

/// Lines along axis 0: at most [`LINES`] of them along axis 1, any number along axis 2.
struct Filter<'a> {
    lines: ArrayViewMut3<'a, f32>,
    times: usize,
}

impl Kernel for Filter<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let mut lines = vec![[0.0_f32; LINES]; self.lines.len_of(Axis(0))];
        for mut samples in self.lines.axis_iter_mut(Axis(2)) {
            for (values, row) in lines.iter_mut().zip(samples.outer_iter()) {
                for (value, &sample) in values.iter_mut().zip(row) {
                    *value = sample;
                }
            }
            for _ in 0..self.times {
                filter(&mut lines);
            }
            for (values, mut row) in lines.iter().zip(samples.outer_iter_mut()) {
                for (&value, coefficient) in values.iter().zip(&mut row) {
                    *coefficient = value;
                }
            }
        }
    }
}

#[inline(always)]
fn filter(lines: &mut [[f32; LINES]]) {
    let mut before = [0.0_f32; LINES];
    for values in lines.iter_mut() {
        for (value, before) in values.iter_mut().zip(&mut before) {
            *value = 6.0 * *value + POLE * *before;
            *before = *value;
        }
    }
    // Beyond the end the forward pass goes on as powers of the pole; this is their sum, backward.
    let tail = POLE * POLE / (POLE * POLE - 1.0);
    let mut after = before.map(|last| tail * last);
    for values in lines.iter_mut().rev() {
        for (value, after) in values.iter_mut().zip(&mut after) {
            *value = POLE * (*after - *value);
            *after = *value;
        }
    }
}
