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

use ndarray::{Array3, ArrayView2, ArrayView3, ArrayViewMut3, Axis, s};

use crate::accumulate::{accumulate, accumulate_rows, cache_aligned, parts, prefetch_after, write};
use crate::lanes::{Lanes, Narrow};
use crate::parallel::{self, Machine};
use crate::simd::{Kernel, Level, prefetch};
use crate::voxel::{Combine, Max, Number, Reduction, Sum, in_exact_numbers};
use crate::walk::{
    ShapeWithout, Walk, columns_adjoin, length_along, lines_in_block, require_shape, rows_adjoin,
};
use crate::{KernelError, Reduce, Result, Voxel, Window};

/// Numbers of one column that are combined at once.
const LANES: usize = 32;

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
    running_into(volume, window, axis, every, output.view_mut(), machine)?;
    Ok(output)
}

/// As [`running`], into images that there are.
///
/// # Errors
/// As [`running`], and images of another shape.
pub fn running_into<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    axis: usize,
    every: usize,
    out: ArrayViewMut3<'_, f32>,
    machine: Machine,
) -> Result<()> {
    let length = length_along(&volume, axis)?;
    if every == 0 {
        return Err(KernelError::Extent("every must be at least 1"));
    }
    let [outer, inner] = volume.shape_without(axis);
    require_shape(&out, [length.div_ceil(every), outer, inner])?;
    if length == 0 {
        return Ok(());
    }
    fill(volume, out, &[window], Sum, axis, every, machine)
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
    parallel::for_each_block(&mut out, lines, voxels, machine, &|first, out| {
        let lines = first..first + out.len_of(Axis(1));
        let volume = volume.slice(s![.., lines, ..]);
        if T::NARROW
            && let Some(narrow) = &narrow
        {
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
    type Combine = C;

    #[inline(always)]
    fn run<A: Number>(mut self, clip: impl Fn(T) -> A, exact: impl Fn(T) -> bool) {
        let Self {
            volume,
            every,
            combine,
            ..
        } = self;
        let lines = if rows_adjoin(&volume) || columns_adjoin(&volume) {
            1
        } else {
            volume.len_of(Axis(1))
        };
        let outs = self.out.axis_chunks_iter_mut(Axis(1), lines.max(1));
        for (volume, out) in volume.axis_chunks_iter(Axis(1), lines.max(1)).zip(outs) {
            if columns_adjoin(&volume) {
                let plane = volume.index_axis_move(Axis(1), 0);
                reduce_columns(plane, out, every, combine, &clip, &exact);
            } else {
                reduce_rows(volume, out, every, combine, &clip);
            }
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
    let (length, lines, width) = volume.dim();
    let mut numbers = Vec::new();
    let numbers = cache_aligned(&mut numbers, lines * width, C::nothing::<A>());
    for (rows, mut image) in parts(length, every).zip(out.outer_iter_mut()) {
        accumulate_rows(numbers, volume, rows, |number, voxel| {
            C::add(number, clip(voxel));
        });
        for (pixels, numbers) in image.outer_iter_mut().zip(numbers.chunks_exact(width)) {
            write(pixels, numbers.iter().map(|number| number.to_f32()));
        }
    }
}

/// One accumulator for each column of `plane`, whose voxels lie next to each other in memory; eight
/// columns at a time, so that one sum need not wait for another. They are clipped first, one column
/// after the other: that vectorises, and reads memory in its own order.
#[inline(always)]
fn reduce_columns<T: Voxel, A: Number, C: Combine>(
    plane: ArrayView2<'_, T>,
    mut out: ArrayViewMut3<'_, f32>,
    every: usize,
    _: C,
    clip: impl Fn(T) -> A,
    exact: impl Fn(T) -> bool,
) {
    const COLUMNS: usize = 8;
    const LONGEST: usize = 1024;
    const ROWS_PREFETCHED: usize = 16;
    let (length, width) = plane.dim();
    let adjoin = width > 0 && plane.column(0).to_slice().is_some();
    let longest = length.min(LONGEST);
    let mut clipped = Vec::new();
    let clipped = cache_aligned(&mut clipped, COLUMNS * longest, A::default());
    for columns in parts(width, COLUMNS) {
        let mut any_order = adjoin && every >= LANES;
        if any_order {
            for column in columns.clone() {
                prefetch_after(plane, column);
                let mut number = C::nothing::<A>();
                let voxels = plane.index_axis_move(Axis(1), column).to_slice();
                for (image, voxels) in voxels.unwrap_or_default().chunks(every).enumerate() {
                    let part = combined::<T, A, C>(voxels, &clip, &exact);
                    any_order &= part.is_some();
                    C::add(&mut number, part.unwrap_or_default());
                    out[[image, 0, column]] = number.to_f32();
                }
                if !any_order {
                    break;
                }
            }
        }
        if any_order {
            continue;
        }
        let mut numbers = [C::nothing::<A>(); COLUMNS];
        for rows in parts(length, LONGEST) {
            let here = plane.slice(s![rows.clone(), columns.clone()]);
            let clipped = &mut clipped[..COLUMNS * rows.len()];
            for (clipped, column) in clipped.chunks_exact_mut(rows.len()).zip(here.columns()) {
                accumulate(clipped, column, |number, voxel| *number = clip(voxel));
            }
            let next: [&[T]; COLUMNS] = std::array::from_fn(|number| {
                let column = columns.end + number;
                if column < width {
                    let voxels = plane.index_axis_move(Axis(1), column).to_slice();
                    voxels
                        .and_then(|voxels| voxels.get(rows.clone()))
                        .unwrap_or_default()
                } else {
                    &[]
                }
            });
            let mut start = rows.start;
            while start < rows.end {
                let end = rows.end.min((start / every + 1).saturating_mul(every));
                let end = end.min(start + ROWS_PREFETCHED);
                // Adding leaves memory idle: what comes next is brought nearer meanwhile.
                for voxels in next {
                    if let Some(voxels) = voxels.get(start - rows.start..end - rows.start) {
                        prefetch(voxels);
                    }
                }
                add_columns::<A, C, COLUMNS>(
                    &mut numbers,
                    clipped,
                    start - rows.start,
                    end - start,
                );
                if end.is_multiple_of(every) || end == length {
                    for (column, number) in columns.clone().zip(&numbers) {
                        out[[(end - 1) / every, 0, column]] = number.to_f32();
                    }
                }
                start = end;
            }
        }
    }
}

/// All `voxels` combined, in whatever order; `None` where one is not `exact`.
#[inline(always)]
fn combined<T: Voxel, A: Number, C: Combine>(
    voxels: &[T],
    clip: impl Fn(T) -> A,
    exact: impl Fn(T) -> bool,
) -> Option<A> {
    let mut inexact = 0_u32;
    for &voxel in voxels {
        inexact |= u32::from(!exact(voxel));
    }
    if inexact > 0 {
        return None;
    }
    let both = |mut one: A, other: A| {
        C::add(&mut one, other);
        one
    };
    let (blocks, rest) = voxels.as_chunks::<LANES>();
    let lanes = blocks.iter().fold([C::nothing(); LANES], |lanes, block| {
        std::array::from_fn(|lane| both(lanes[lane], clip(block[lane])))
    });
    let folded: [A; LANES / 4] = std::array::from_fn(|lane| {
        let [one, other, third, fourth] = [0, 1, 2, 3].map(|part| lanes[lane + part * LANES / 4]);
        both(both(one, other), both(third, fourth))
    });
    let rest = rest.iter().map(|&voxel| clip(voxel));
    Some(folded.into_iter().chain(rest).fold(C::nothing(), both))
}

/// Combines `count` numbers of each column, from `start` on, with that column's own.
#[inline(always)]
fn add_columns<A: Number, C: Combine, const COLUMNS: usize>(
    numbers: &mut [A; COLUMNS],
    clipped: &[A],
    start: usize,
    count: usize,
) {
    let length = clipped.len() / COLUMNS;
    let columns: [&[A]; COLUMNS] =
        std::array::from_fn(|column| &clipped[column * length + start..][..count]);
    for row in 0..count {
        for (number, column) in numbers.iter_mut().zip(&columns) {
            C::add(number, column[row]);
        }
    }
}
