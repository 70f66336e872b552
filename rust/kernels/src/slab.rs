//! Sums and maxima of a slab sliding along one axis (Napel et al. 1992).
//!
//! `M_s(o, p)` combines the `thickness` voxels from `s * step` on. For the row `3 1 4 1 5` and a
//! thickness of 2, the sums are `4 5 5 6` and the maxima `3 4 4 5`.
//!
//! The axis is cut into blocks as long as the slab (van Herk 1992). A slab that begins inside one
//! block ends inside the next, so it combines the first block from there on with the second block
//! up to there: two combinations for each slab, whatever its thickness, and no subtraction that
//! would let rounding errors pile up. Each voxel is read and clipped once, in the order in which
//! memory is read; voxels of at most 16 bits are combined in 16 bits where the combination of
//! `thickness` of them fits (`lanes`).

use ndarray::{Array3, ArrayView1, ArrayView2, ArrayView3, ArrayViewMut3, Axis, s};

use crate::accumulate::{accumulate, parts, write};
use crate::lanes::Narrow;
use crate::parallel::{self, Machine};
use crate::simd::{Kernel, Level};
use crate::voxel::{Combine, Max, Number, Reduction, Sum, in_exact_numbers};
use crate::walk::{
    self, ShapeWithout, Walk, columns_adjoin, length_along, lines_in_block, rows_adjoin,
};
use crate::{KernelError, Reduce, Result, Voxel, Window};

/// A slab of `thickness` voxels at every `step`-th place where it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slab {
    /// Voxels in a slab.
    pub thickness: usize,
    /// Voxels from one slab to the next.
    pub step: usize,
    /// How they are combined.
    pub reduce: Reduce,
}

impl Slab {
    /// How many slabs there are among `length` voxels.
    ///
    /// # Errors
    /// A zero thickness or step, or a slab thicker than that.
    pub(crate) fn images(self, length: usize) -> Result<usize> {
        if self.thickness == 0 || self.step == 0 {
            return Err(KernelError::Extent("thickness and step must be at least 1"));
        }
        if self.thickness > length {
            return Err(KernelError::Extent("the slab is thicker than the volume"));
        }
        Ok((length - self.thickness) / self.step + 1)
    }
}

/// Slabs along `axis` of the volume clipped to `window`, stacked first.
///
/// # Errors
/// An axis above 2, a zero thickness or step, a slab thicker than the volume, or no memory.
pub fn sliding<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    axis: usize,
    slab: Slab,
    machine: Machine,
) -> Result<Array3<f32>> {
    let images = slab.images(length_along(&volume, axis)?)?;
    let [outer, inner] = volume.shape_without(axis);
    let mut output = parallel::zeros([images, outer, inner])?;
    sliding_into(volume, window, axis, slab, output.view_mut(), machine)?;
    Ok(output)
}

/// As [`sliding`], into images that there are.
///
/// # Errors
/// As [`sliding`], and images of another shape.
pub fn sliding_into<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    axis: usize,
    slab: Slab,
    out: ArrayViewMut3<'_, f32>,
    machine: Machine,
) -> Result<()> {
    let images = slab.images(length_along(&volume, axis)?)?;
    let [outer, inner] = volume.shape_without(axis);
    walk::require_shape(&out, [images, outer, inner])?;
    if out.is_empty() {
        return Ok(());
    }
    let walk = Walk::new(&volume, axis);
    let (volume, mut out) = (walk.volume(volume), walk.images(out));
    let voxels = volume.len();
    let lines = if rows_adjoin(&volume) || columns_adjoin(&volume) {
        1
    } else {
        // What is held of a block is to stay in the second-level cache.
        let held = 2 * size_of::<T>() * slab.thickness.saturating_mul(volume.len_of(Axis(2)));
        lines_in_block(&volume).min(CACHE / held.max(1)).max(1)
    };
    let narrow = Narrow::of_slab(window, slab.thickness, slab.reduce);
    parallel::for_each_block(&mut out, lines, voxels, machine, &|first, out| {
        let lines = first..first + out.len_of(Axis(1));
        let voxels = volume.slice(s![.., lines, ..]);
        machine.level.run(Block {
            voxels,
            window,
            narrow,
            slab,
            out,
        });
    })
}

/// Bytes that a second-level cache holds for sure.
const CACHE: usize = 1 << 19;

/// Slabs along the first axis of samples `(y, 1, x)`.
pub(crate) fn slide_samples(
    samples: ArrayView3<'_, f32>,
    out: ArrayViewMut3<'_, f32>,
    slab: Slab,
    level: Level,
) {
    level.run(Block {
        voxels: samples,
        window: Window::ALL,
        narrow: None,
        slab,
        out,
    });
}

/// The slabs of some lines.
struct Block<'a, T> {
    voxels: ArrayView3<'a, T>,
    window: Window,
    narrow: Option<Narrow<T>>,
    slab: Slab,
    out: ArrayViewMut3<'a, f32>,
}

impl<T: Voxel> Kernel for Block<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.slab.reduce {
            Reduce::Sum => self.with(Sum),
            Reduce::Max => self.with(Max),
        }
    }
}

impl<T: Voxel> Block<'_, T> {
    #[inline(always)]
    fn with<C: Combine>(self, combine: C) {
        let (window, narrow, thickness) = (self.window, self.narrow, self.slab.thickness);
        let slabs = Slabs {
            block: self,
            combine,
        };
        if T::NARROW
            && let Some(narrow) = narrow
        {
            let lows = C::of_lows(narrow.low, thickness);
            slabs.all(
                |voxel| narrow.lane(voxel),
                |lane: u16| (i32::from(lane) + lows) as f32,
            );
        } else {
            in_exact_numbers(window, thickness, slabs);
        }
    }
}

/// The slabs of some lines, combined.
struct Slabs<'a, T, C> {
    block: Block<'a, T>,
    combine: C,
}

impl<T: Voxel, C: Combine> Reduction<T> for Slabs<'_, T, C> {
    type Combine = C;

    #[inline(always)]
    fn run<A: Number>(self, clip: impl Fn(T) -> A, _: impl Fn(T) -> bool) {
        self.all(clip, Number::to_f32);
    }
}

impl<T: Voxel, C: Combine> Slabs<'_, T, C> {
    /// Voxels clipped by `clip`, and their combinations turned into pixels by `pixel`.
    #[inline(always)]
    fn all<A: Number>(self, clip: impl Fn(T) -> A, pixel: impl Fn(A) -> f32) {
        let Self {
            block:
                Block {
                    voxels,
                    slab,
                    mut out,
                    ..
                },
            combine,
        } = self;
        if !columns_adjoin(&voxels) {
            let read = |row: usize, numbers: &mut [A]| {
                let plane = voxels.index_axis(Axis(0), row);
                clip_plane(plane, numbers, &clip);
            };
            slide(voxels.len_of(Axis(0)), read, out, slab, combine, pixel);
            return;
        }
        let (length, lines, width) = voxels.dim();
        let mut turned = vec![A::default(); length * width.min(COLUMNS)];
        let mut column = vec![A::default(); (length + PAD) * TILE];
        for line in 0..lines {
            for columns in parts(width, COLUMNS) {
                let plane = voxels.slice(s![.., line, columns.clone()]);
                let width = columns.len();
                turn(plane, &mut turned, &mut column, &clip);
                let read = |row: usize, numbers: &mut [A]| {
                    numbers.copy_from_slice(&turned[row * width..][..width]);
                };
                let out = out.slice_mut(s![.., line..=line, columns]);
                slide(length, read, out, slab, combine, &pixel);
            }
        }
    }
}

/// Columns whose voxels lie next to each other are worked on so many at a time.
const COLUMNS: usize = 128;

/// Rows and columns that are turned together.
const TILE: usize = 32;

/// Numbers between columns, so that they do not compete for the same places of the cache.
const PAD: usize = 32;

/// The numbers of a plane (row, column) of adjoining columns, row by row: `turned` is filled.
#[inline(always)]
fn turn<T: Voxel, A: Number>(
    plane: ArrayView2<'_, T>,
    turned: &mut [A],
    clipped: &mut [A],
    clip: impl Fn(T) -> A,
) {
    let (length, width) = plane.dim();
    let mut tile = [[A::default(); TILE]; TILE];
    for columns in parts(width, TILE) {
        let place = columns.clone();
        let columns = plane.slice(s![.., columns]);
        let columns = columns.columns().into_iter();
        for (clipped, column) in clipped.chunks_exact_mut(length + PAD).zip(columns) {
            accumulate(clipped, column, |number, voxel| *number = clip(voxel));
        }
        let rows = turned[..length * width].chunks_mut(TILE * width);
        for (part, turned) in rows.enumerate() {
            for (column, clipped) in clipped.chunks_exact(length + PAD).enumerate() {
                // The last rows of a tile may be of the gap between columns.
                let Some(numbers) = clipped[part * TILE..].first_chunk::<TILE>() else {
                    continue;
                };
                for (row, &number) in tile.iter_mut().zip(numbers) {
                    row[column] = number;
                }
            }
            for (turned, tile) in turned.chunks_exact_mut(width).zip(&tile) {
                turned[place.clone()].copy_from_slice(&tile[..place.len()]);
            }
        }
    }
}

/// The numbers of a plane (line, column).
#[inline(always)]
fn clip_plane<T: Voxel, A: Number>(
    plane: ArrayView2<'_, T>,
    numbers: &mut [A],
    clip: impl Fn(T) -> A,
) {
    if let Some(voxels) = plane.to_slice() {
        accumulate(numbers, ArrayView1::from(voxels), |number, voxel| {
            *number = clip(voxel);
        });
        return;
    }
    for (numbers, row) in numbers
        .chunks_exact_mut(plane.ncols())
        .zip(plane.outer_iter())
    {
        accumulate(numbers, row, |number, voxel| *number = clip(voxel));
    }
}

/// Slides over `length` rows, which `read` clips; each is read once, in their order.
#[inline(always)]
fn slide<A: Number, C: Combine>(
    length: usize,
    read: impl Fn(usize, &mut [A]),
    mut out: ArrayViewMut3<'_, f32>,
    slab: Slab,
    _: C,
    pixel: impl Fn(A) -> f32,
) {
    let Slab {
        thickness, step, ..
    } = slab;
    let (_, lines, width) = out.dim();
    let row = lines * width;
    // Of a block: each row combined with all later ones of the block.
    let mut tails = vec![A::default(); thickness * row];
    // The rows of the next block, clipped; and all that were read combined.
    let mut next = tails.clone();
    let mut head = vec![C::nothing::<A>(); row];
    for (place, next) in next.chunks_exact_mut(row).take(thickness - 1).enumerate() {
        read(place, next);
    }
    for start in 0..=length - thickness {
        let offset = start % thickness;
        let last = start + thickness - 1;
        if offset == 0 {
            read(last, &mut next[(thickness - 1) * row..]);
            std::mem::swap(&mut tails, &mut next);
            combine_later::<A, C>(&mut tails, row);
            head.fill(C::nothing());
        } else {
            let numbers = &mut next[(offset - 1) * row..][..row];
            read(last, numbers);
            for (head, &number) in head.iter_mut().zip(&*numbers) {
                C::add(head, number);
            }
        }
        if !start.is_multiple_of(step) {
            continue;
        }
        let mut image = out.index_axis_mut(Axis(0), start / step);
        let tails = &tails[offset * row..][..row];
        let ends = |(&tail, &head): (&A, &A)| {
            let mut number = tail;
            C::add(&mut number, head);
            pixel(number)
        };
        if let Some(pixels) = image.as_slice_mut() {
            for (pixel, both) in pixels.iter_mut().zip(tails.iter().zip(&head)) {
                *pixel = ends(both);
            }
            continue;
        }
        let rows = tails.chunks_exact(width).zip(head.chunks_exact(width));
        for (pixels, (tails, head)) in image.outer_iter_mut().zip(rows) {
            write(pixels, tails.iter().zip(head).map(ends));
        }
    }
}

/// Combines each row with all later ones, from the last on.
#[inline(always)]
fn combine_later<A: Number, C: Combine>(rows: &mut [A], row: usize) {
    let add = |numbers: &mut [A], later: &[A]| {
        for (number, &later) in numbers.iter_mut().zip(later) {
            let mut both = later;
            C::add(&mut both, *number);
            *number = both;
        }
    };
    let count = rows.len() / row;
    let nothing = vec![C::nothing::<A>(); row];
    add(&mut rows[(count - 1) * row..], &nothing);
    for place in (0..count - 1).rev() {
        let (before, later) = rows.split_at_mut((place + 1) * row);
        add(&mut before[place * row..], &later[..row]);
    }
}
