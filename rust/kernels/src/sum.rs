//! Clipped sums and maxima along one axis.
//!
//! `S(o, p) = sum over r of clip(v(r, o, p))`, and the running sums `S_m` over the first
//! `m * every` voxels. For the clipped volume `1 2 3 / 4 5 6` (two rows, three columns), summed
//! along the rows: `S = 5 7 9`; running, one row at a time: `1 2 3`, then `5 7 9`; the maxima are
//! `4 5 6`.
//!
//! The volume is read once, in the order in which it lies in memory: with the axis' voxels next to
//! each other, a pixel's voxels are combined one after the other; otherwise a block of pixels that
//! lie next to each other is held in accumulators, to which row after row is added. Voxels of at
//! most 16 bits go through 16-bit accumulators (`lanes`); a sum of `n` of them is below
//! `2^31` for `n < 2^15`; longer sums, and those of 32-bit voxels, are formed in `i64`, those of
//! floating-point voxels in `f64`, in index order. Rounding to `f32` happens once, at the end:
//! integer results are exact below `2^24`.

use std::ops::Range;

use ndarray::{Array3, ArrayView1, ArrayView2, ArrayView3, ArrayViewMut1, ArrayViewMut3, Axis, s};

use crate::lanes::{Lanes, Narrow};
use crate::parallel::{self, Machine};
use crate::simd::{Kernel, Level};
use crate::voxel::{Combine, Max, Number, Reduction, Sum, in_exact_numbers};
use crate::{KernelError, Reduce, Result, Voxel, Window};

/// The volume clipped to each of the `windows` and reduced along `axis`, one image a window; the
/// other two axes keep their order. The largest of no voxels is the window's low end.
///
/// ```
/// use ndarray::array;
/// use rhoa_kernels::{Machine, Reduce, Window, sum};
/// let volume = array![[[-1000_i16, 100], [50, 3000]]]; // one slice of two rows
/// let windows = [Window::new(-150.0, 600.0)?];
/// let images = sum::reduced(volume.view(), &windows, Reduce::Sum, 1, Machine::with_threads(1)?)?;
/// assert_eq!(images, array![[[-100.0, 700.0]]]);
/// # Ok::<(), rhoa_kernels::KernelError>(())
/// ```
///
/// # Errors
/// An axis above 2, or no memory for the result.
pub fn reduced<T: Voxel>(
    volume: ArrayView3<'_, T>,
    windows: &[Window],
    reduce: Reduce,
    axis: usize,
    machine: Machine,
) -> Result<Array3<f32>> {
    let length = length_along(&volume, axis)?;
    let [outer, inner] = volume.shape_without(axis);
    let mut output = parallel::zeros([windows.len(), outer, inner])?;
    if length == 0 {
        if reduce == Reduce::Max {
            for (mut image, window) in output.outer_iter_mut().zip(windows) {
                image.fill(window.low() as f32);
            }
        }
        return Ok(output);
    }
    match reduce {
        Reduce::Sum => fill(
            volume,
            output.view_mut(),
            windows,
            Sum,
            axis,
            length,
            machine,
        )?,
        Reduce::Max => fill(
            volume,
            output.view_mut(),
            windows,
            Max,
            axis,
            length,
            machine,
        )?,
    }
    Ok(output)
}

/// Running sums along `axis`, stacked first: one after every `every` voxels, the last of them all.
///
/// # Errors
/// As [`reduced`], and [`KernelError::Extent`] when `every` is zero.
pub fn running<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    axis: usize,
    every: usize,
    machine: Machine,
) -> Result<Array3<f32>> {
    let length = length_along(&volume, axis)?;
    if every == 0 {
        return Err(KernelError::Extent("every must be at least 1"));
    }
    let [outer, inner] = volume.shape_without(axis);
    let mut output = parallel::zeros([length.div_ceil(every), outer, inner])?;
    if length > 0 {
        fill(
            volume,
            output.view_mut(),
            &[window],
            Sum,
            axis,
            every,
            machine,
        )?;
    }
    Ok(output)
}

/// Reduces along `axis`, `every` voxels at a time: for each window, one image after each.
fn fill<T: Voxel, C: Combine>(
    volume: ArrayView3<'_, T>,
    out: ArrayViewMut3<'_, f32>,
    windows: &[Window],
    combine: C,
    axis: usize,
    every: usize,
    machine: Machine,
) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let walk = Walk::new(&volume, axis);
    let (volume, mut out) = (walk.volume(volume), walk.images(out));
    let voxels = volume.len();
    let lines = lines_in_block(&volume);
    let narrow = Narrow::all(windows, volume.len_of(Axis(0)));
    parallel::for_each_block(&mut out, lines, voxels, machine, |first, out| {
        let lines = first..first + out.len_of(Axis(1));
        let volume = volume.slice(s![.., lines, ..]);
        if let Some(narrow) = &narrow {
            machine.level.run(Lanes {
                volume,
                out,
                windows: narrow,
                combine,
                every,
            });
        } else {
            machine.level.run(General {
                volume,
                out,
                windows,
                combine,
                every,
            });
        }
    })
}

/// Lines that are reduced together: where neighbouring lines are nearer in memory than the next
/// voxel along the axis, as many as make a stretch that is worth a jump.
fn lines_in_block<T>(volume: &ArrayView3<'_, T>) -> usize {
    const STRETCH: usize = 8192;
    let [along, outer, _] = [0, 1, 2].map(|axis| volume.strides()[axis].unsigned_abs());
    if outer < along {
        (STRETCH / volume.len_of(Axis(2)).max(1)).clamp(1, 64)
    } else {
        1
    }
}

/// Reduces the first axis of samples `(y, 1, x)`, `every` at a time.
pub(crate) fn reduce_samples(
    volume: ArrayView3<'_, f32>,
    out: ArrayViewMut3<'_, f32>,
    reduce: Reduce,
    every: usize,
    level: Level,
) {
    let (windows, every) = (&[Window::ALL], every.max(1));
    match reduce {
        Reduce::Sum => level.run(General {
            volume,
            out,
            windows,
            combine: Sum,
            every,
        }),
        Reduce::Max => level.run(General {
            volume,
            out,
            windows,
            combine: Max,
            every,
        }),
    }
}

/// The reduction in `i32`, `i64` or `f64`.
struct General<'a, T, C> {
    volume: ArrayView3<'a, T>,
    out: ArrayViewMut3<'a, f32>,
    windows: &'a [Window],
    combine: C,
    every: usize,
}

impl<T: Voxel, C: Combine> Kernel for General<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let images = self.out.len_of(Axis(0)) / self.windows.len().max(1);
        let (volume, every, combine) = (self.volume, self.every, self.combine);
        let outs = self.out.axis_chunks_iter_mut(Axis(0), images.max(1));
        for (&window, out) in self.windows.iter().zip(outs) {
            let images = Images {
                volume,
                out,
                combine,
                every,
            };
            in_exact_numbers(window, volume.len_of(Axis(0)), images);
        }
    }
}

/// The images of one window.
struct Images<'v, 'o, T, C> {
    volume: ArrayView3<'v, T>,
    out: ArrayViewMut3<'o, f32>,
    combine: C,
    every: usize,
}

impl<T: Voxel, C: Combine> Reduction<T> for Images<'_, '_, T, C> {
    #[inline(always)]
    fn run<A: Number>(mut self, clip: impl Fn(T) -> A) {
        let Self {
            volume,
            every,
            combine,
            ..
        } = self;
        if volume.strides()[0].abs() < volume.strides()[2].abs() {
            for (line, out) in self.out.axis_iter_mut(Axis(1)).enumerate() {
                let plane = volume.index_axis(Axis(1), line);
                reduce_columns(plane, out.insert_axis(Axis(1)), every, combine, &clip);
            }
        } else {
            reduce_rows(volume, self.out, every, combine, &clip);
        }
    }
}

/// A block of accumulators, with which the rows of each line are combined in turn.
#[inline(always)]
fn reduce_rows<T: Voxel, A: Number, C: Combine>(
    volume: ArrayView3<'_, T>,
    mut out: ArrayViewMut3<'_, f32>,
    every: usize,
    _: C,
    clip: impl Fn(T) -> A,
) {
    let (_, lines, width) = volume.dim();
    let mut numbers = vec![C::nothing::<A>(); lines * width];
    for (rows, mut image) in volume
        .axis_chunks_iter(Axis(0), every)
        .zip(out.outer_iter_mut())
    {
        for plane in rows.outer_iter() {
            for (numbers, row) in numbers.chunks_exact_mut(width).zip(plane.outer_iter()) {
                accumulate(numbers, row, |number, voxel| C::add(number, clip(voxel)));
            }
        }
        for (pixel, number) in image.iter_mut().zip(&numbers) {
            *pixel = number.to_f32();
        }
    }
}

/// One accumulator for each column of `plane`, whose voxels lie next to each other in memory; eight
/// columns at a time, so that one sum need not wait for another.
#[inline(always)]
fn reduce_columns<T: Voxel, A: Number, C: Combine>(
    plane: ArrayView2<'_, T>,
    mut out: ArrayViewMut3<'_, f32>,
    every: usize,
    _: C,
    clip: impl Fn(T) -> A,
) {
    const COLUMNS: usize = 8;
    let (length, width) = plane.dim();
    for first in (0..width).step_by(COLUMNS) {
        let columns = first..(first + COLUMNS).min(width);
        let lanes: Vec<ArrayView1<'_, T>> = columns
            .clone()
            .map(|column| plane.index_axis(Axis(1), column))
            .collect();
        let mut numbers = [C::nothing::<A>(); COLUMNS];
        for (image, start) in (0..length).step_by(every).enumerate() {
            let rows = start..(start + every).min(length);
            for row in rows {
                for (number, lane) in numbers.iter_mut().zip(&lanes) {
                    C::add(number, clip(lane[row]));
                }
            }
            for (column, number) in columns.clone().zip(&numbers) {
                out[[image, 0, column]] = number.to_f32();
            }
        }
    }
}

/// `update(state, voxel)` along a row; a row without gaps goes through a slice, which vectorises.
#[inline(always)]
pub(crate) fn accumulate<T: Copy, S>(
    states: &mut [S],
    row: ArrayView1<'_, T>,
    update: impl Fn(&mut S, T),
) {
    if let Some(slice) = row.to_slice() {
        for (state, &voxel) in states.iter_mut().zip(slice) {
            update(state, voxel);
        }
    } else {
        for (state, &voxel) in states.iter_mut().zip(row) {
            update(state, voxel);
        }
    }
}

/// Writes a row; one without gaps goes through a slice, which vectorises.
#[inline(always)]
pub(crate) fn write(mut row: ArrayViewMut1<'_, f32>, values: impl Iterator<Item = f32>) {
    if let Some(slice) = row.as_slice_mut() {
        slice
            .iter_mut()
            .zip(values)
            .for_each(|(pixel, value)| *pixel = value);
    } else {
        row.iter_mut()
            .zip(values)
            .for_each(|(pixel, value)| *pixel = value);
    }
}

/// The order in which a volume's axes are walked: the reduced one first, and of the other two the
/// one nearest in memory last, in ascending order.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    axes: [usize; 3],
    backward: bool,
}

impl Walk {
    pub(crate) fn new<T>(volume: &ArrayView3<'_, T>, axis: usize) -> Self {
        let [mut outer, mut inner] = [[1, 2], [0, 2], [0, 1]][axis.min(2)];
        if volume.strides()[outer].abs() < volume.strides()[inner].abs() {
            [outer, inner] = [inner, outer];
        }
        Self {
            axes: [axis, outer, inner],
            backward: volume.strides()[inner] < 0,
        }
    }

    pub(crate) fn volume<'a, T>(&self, volume: ArrayView3<'a, T>) -> ArrayView3<'a, T> {
        let mut volume = volume.permuted_axes(self.axes);
        if self.backward {
            volume.invert_axis(Axis(2));
        }
        volume
    }

    /// A stack of images of the other two axes.
    pub(crate) fn images<'a>(&self, mut images: ArrayViewMut3<'a, f32>) -> ArrayViewMut3<'a, f32> {
        if self.axes[1] > self.axes[2] {
            images.swap_axes(1, 2);
        }
        if self.backward {
            images.invert_axis(Axis(2));
        }
        images
    }
}

/// Where the parts of `0..length` of at most `step` end.
pub(crate) fn parts(length: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length)
        .step_by(step.max(1))
        .map(move |start| start..start.saturating_add(step).min(length))
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
