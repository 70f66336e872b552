//! Sums and maxima of a slab sliding along one axis (Napel et al. 1992).
//!
//! `M_s(o, p)` combines the `thickness` voxels from `s * step` on. For the row `3 1 4 1 5` and a
//! thickness of 2, the sums are `4 5 5 6` and the maxima `3 4 4 5`.
//!
//! The axis is cut into blocks as long as the slab (van Herk 1992). A slab that begins inside one
//! block ends inside the next, so it combines the first block from there on with the second block
//! up to there: two voxels read and two combinations for each slab, whatever its thickness, and no
//! subtraction that would let rounding errors pile up.

use ndarray::{Array3, ArrayView2, ArrayView3, ArrayViewMut3, Axis};

use crate::sum::{ShapeWithout, accumulate, length_along, oriented};
use crate::voxel::{Number, Reduction, in_exact_numbers};
use crate::{KernelError, Result, Voxel, Window, parallel};

/// How the voxels of a slab are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// Their sum.
    Sum,
    /// The largest.
    Max,
}

/// A slab of `thickness` voxels at every `step`-th place where it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slab {
    /// Voxels in a slab.
    pub thickness: usize,
    /// Voxels from one slab to the next.
    pub step: usize,
    /// How they are combined.
    pub combine: Combine,
}

/// Slabs along `axis` of the volume clipped to `window`, stacked first.
///
/// # Errors
/// An axis above 2, a zero thickness or step, a slab thicker than the volume, no memory or threads.
pub fn sliding<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    axis: usize,
    slab: Slab,
    threads: usize,
) -> Result<Array3<f32>> {
    let length = length_along(&volume, axis)?;
    if slab.thickness == 0 || slab.step == 0 {
        return Err(KernelError::Extent("thickness and step must be at least 1"));
    }
    if slab.thickness > length {
        return Err(KernelError::Extent("the slab is thicker than the volume"));
    }
    let [outer, inner] = volume.shape_without(axis);
    let count = (length - slab.thickness) / slab.step + 1;
    let mut output = parallel::zeros([count, outer, inner])?;
    let (volume, out) = oriented(volume, output.view_mut(), axis);
    in_exact_numbers(
        window,
        slab.thickness,
        Sliding {
            volume,
            out,
            slab,
            threads,
        },
    )?;
    Ok(output)
}

struct Sliding<'a, T> {
    volume: ArrayView3<'a, T>,
    out: ArrayViewMut3<'a, f32>,
    slab: Slab,
    threads: usize,
}

impl<T: Voxel> Reduction<T> for Sliding<'_, T> {
    type Output = Result<()>;

    fn run<A: Number>(mut self, clip: impl Fn(T) -> A + Sync) -> Result<()> {
        let (volume, slab) = (self.volume, self.slab);
        parallel::for_each_line(&mut self.out, volume.len(), self.threads, |line, out| {
            let plane = volume.index_axis(Axis(1), line);
            match slab.combine {
                Combine::Sum => slide(plane, out, slab, &clip, |into: &mut A, other| {
                    *into += other;
                }),
                Combine::Max => {
                    slide(plane, out, slab, &clip, |into: &mut A, other| {
                        *into = into.larger(other);
                    });
                }
            }
        })
    }
}

fn slide<T: Voxel, A: Number>(
    plane: ArrayView2<'_, T>,
    mut out: ArrayViewMut3<'_, f32>,
    slab: Slab,
    clip: impl Fn(T) -> A,
    combine: impl Fn(&mut A, A),
) {
    let (length, width) = plane.dim();
    let Slab {
        thickness, step, ..
    } = slab;
    let mut write = |start: usize, tail: &[A], head: Option<&[A]>| {
        if !start.is_multiple_of(step) || start + thickness > length {
            return;
        }
        let mut image = out.index_axis_mut(Axis(0), start / step);
        for (column, (pixel, &from)) in image.iter_mut().zip(tail).enumerate() {
            let mut value = from;
            if let Some(&up_to) = head.and_then(|head| head.get(column)) {
                combine(&mut value, up_to);
            }
            *pixel = value.to_f32();
        }
    };
    let mut head = vec![A::default(); width];
    for block in (0..=length - thickness).step_by(thickness) {
        let tails = tails_of_block(plane, block..block + thickness, &clip, &combine);
        let mut tails = tails.chunks_exact(width.max(1));
        if let Some(whole) = tails.next() {
            write(block, whole, None);
        }
        for (offset, tail) in tails.enumerate() {
            let row = block + thickness + offset;
            if row >= length {
                break;
            }
            let voxels = plane.index_axis(Axis(0), row);
            if offset == 0 {
                accumulate(&mut head, voxels, |value, voxel| *value = clip(voxel));
            } else {
                accumulate(&mut head, voxels, |value, voxel| {
                    combine(value, clip(voxel));
                });
            }
            write(block + 1 + offset, tail, Some(&head));
        }
    }
}

/// For each row of a block, its combination with all later rows of the block; row-major.
fn tails_of_block<T: Voxel, A: Number>(
    plane: ArrayView2<'_, T>,
    rows: std::ops::Range<usize>,
    clip: impl Fn(T) -> A,
    combine: impl Fn(&mut A, A),
) -> Vec<A> {
    let width = plane.ncols();
    let mut tails = vec![A::default(); rows.len() * width];
    let mut later: Option<Vec<A>> = None;
    for (row, tail) in rows.rev().zip(tails.chunks_exact_mut(width.max(1)).rev()) {
        accumulate(tail, plane.index_axis(Axis(0), row), |value, voxel| {
            *value = clip(voxel);
        });
        if let Some(later) = &later {
            for (value, &rest) in tail.iter_mut().zip(later) {
                combine(value, rest);
            }
        }
        later = Some(tail.to_vec());
    }
    tails
}
