//! Clipped sums along one axis.
//!
//! `S(o, p) = sum over r of clip(v(r, o, p))`, and the running sums `S_m` over the first
//! `m * every` voxels. For the clipped volume `1 2 3 / 4 5 6` (two rows, three columns), summed
//! along the rows: `S = 5 7 9`; running, one row at a time: `1 2 3`, then `5 7 9`.
//!
//! A sum of `n` voxels of at most 16 bits is at most `2^16 n`, below `2^31` for `n < 2^15`; longer
//! sums, and those of 32-bit voxels, are formed in `i64`. Rounding to `f32` happens once, at the
//! end: integer results are exact below `2^24`.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut3, Axis};

use crate::voxel::{Number, Reduction, in_exact_numbers};
use crate::{KernelError, Result, Voxel, Window, parallel};

/// The sum along `axis` of the volume clipped to `window`; the other two axes keep their order.
///
/// ```
/// use ndarray::array;
/// use rhoa_kernels::{Window, sum};
/// let volume = array![[[-1000_i16, 100], [50, 3000]]]; // one slice of two rows
/// let image = sum::clipped(volume.view(), Window::new(-150.0, 600.0)?, 1, 1)?;
/// assert_eq!(image, array![[-100.0, 700.0]]);
/// # Ok::<(), rhoa_kernels::KernelError>(())
/// ```
///
/// # Errors
/// An axis above 2, no memory for the result, or no threads.
pub fn clipped<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    axis: usize,
    threads: usize,
) -> Result<Array2<f32>> {
    let length = length_along(&volume, axis)?;
    if length == 0 {
        let empty = volume.shape_without(axis);
        return Ok(parallel::zeros([1, empty[0], empty[1]])?.index_axis_move(Axis(0), 0));
    }
    let sums = running(volume, window, axis, length, threads)?;
    Ok(sums.index_axis_move(Axis(0), 0))
}

/// Running sums along `axis`, stacked first: one after every `every` voxels, the last of them all.
///
/// # Errors
/// As [`clipped`], and [`KernelError::Extent`] when `every` is zero.
pub fn running<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    axis: usize,
    every: usize,
    threads: usize,
) -> Result<Array3<f32>> {
    let length = length_along(&volume, axis)?;
    if every == 0 {
        return Err(KernelError::Extent("every must be at least 1"));
    }
    let [outer, inner] = volume.shape_without(axis);
    let mut output = parallel::zeros([length.div_ceil(every), outer, inner])?;
    let (volume, out) = oriented(volume, output.view_mut(), axis);
    in_exact_numbers(
        window,
        length,
        RunningSums {
            volume,
            out,
            every,
            threads,
        },
    )?;
    Ok(output)
}

struct RunningSums<'a, T> {
    volume: ArrayView3<'a, T>,
    out: ArrayViewMut3<'a, f32>,
    every: usize,
    threads: usize,
}

impl<T: Voxel> Reduction<T> for RunningSums<'_, T> {
    type Output = Result<()>;

    fn run<A: Number>(mut self, clip: impl Fn(T) -> A + Sync) -> Result<()> {
        let (volume, every) = (self.volume, self.every);
        let along_rows = volume.strides()[0].abs() < volume.strides()[2].abs();
        parallel::for_each_line(&mut self.out, volume.len(), self.threads, |line, out| {
            let plane = volume.index_axis(Axis(1), line);
            if along_rows {
                sum_lanes(plane, out, every, &clip);
            } else {
                sum_rows(plane, out, every, &clip);
            }
        })
    }
}

/// One row of accumulators, to which the rows of `plane` are added in turn.
fn sum_rows<T: Voxel, A: Number>(
    plane: ArrayView2<'_, T>,
    mut out: ArrayViewMut3<'_, f32>,
    every: usize,
    clip: impl Fn(T) -> A,
) {
    let mut sums = vec![A::default(); plane.ncols()];
    for (rows, mut image) in plane
        .axis_chunks_iter(Axis(0), every)
        .zip(out.outer_iter_mut())
    {
        for row in rows.outer_iter() {
            accumulate(&mut sums, row, |sum, voxel| *sum += clip(voxel));
        }
        for (pixel, sum) in image.iter_mut().zip(&sums) {
            *pixel = sum.to_f32();
        }
    }
}

/// One accumulator for each column of `plane`, whose voxels lie next to each other in memory.
fn sum_lanes<T: Voxel, A: Number>(
    plane: ArrayView2<'_, T>,
    mut out: ArrayViewMut3<'_, f32>,
    every: usize,
    clip: impl Fn(T) -> A,
) {
    for (lane, mut pixels) in plane.columns().into_iter().zip(out.lanes_mut(Axis(0))) {
        let mut sum = A::default();
        for (voxels, pixel) in lane.axis_chunks_iter(Axis(0), every).zip(&mut pixels) {
            match voxels.to_slice() {
                Some(slice) => slice.iter().for_each(|&voxel| sum += clip(voxel)),
                None => voxels.iter().for_each(|&voxel| sum += clip(voxel)),
            }
            *pixel = sum.to_f32();
        }
    }
}

/// `update(state, voxel)` along a row; a row without gaps goes through a slice, which vectorises.
pub(crate) fn accumulate<T: Copy, S>(
    states: &mut [S],
    row: ndarray::ArrayView1<'_, T>,
    update: impl Fn(&mut S, T),
) {
    match row.to_slice() {
        Some(slice) => {
            for (state, &voxel) in states.iter_mut().zip(slice) {
                update(state, voxel);
            }
        }
        None => {
            for (state, &voxel) in states.iter_mut().zip(row) {
                update(state, voxel);
            }
        }
    }
}

/// The volume with `axis` first, and of the other two the one nearest in memory last; the output
/// alike.
pub(crate) fn oriented<'v, 'o, T>(
    mut volume: ArrayView3<'v, T>,
    mut out: ArrayViewMut3<'o, f32>,
    axis: usize,
) -> (ArrayView3<'v, T>, ArrayViewMut3<'o, f32>) {
    for place in (0..axis).rev() {
        volume.swap_axes(place, place + 1);
    }
    if volume.strides()[1].abs() < volume.strides()[2].abs() {
        volume.swap_axes(1, 2);
        out.swap_axes(1, 2);
    }
    (volume, out)
}

pub(crate) fn length_along<T>(volume: &ArrayView3<'_, T>, axis: usize) -> Result<usize> {
    volume
        .shape()
        .get(axis)
        .copied()
        .ok_or(KernelError::Axis(axis))
}

/// The lengths of the axes that remain.
pub(crate) trait ShapeWithout {
    fn shape_without(&self, axis: usize) -> [usize; 2];
}

impl<T> ShapeWithout for ArrayView3<'_, T> {
    fn shape_without(&self, axis: usize) -> [usize; 2] {
        let (k, j, i) = self.dim();
        match axis {
            0 => [j, i],
            1 => [k, i],
            _ => [k, j],
        }
    }
}
