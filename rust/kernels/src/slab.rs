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

use crate::parallel::{self, Machine};
use crate::simd::{Kernel, Level};
use crate::sum::{ShapeWithout, Walk, accumulate, length_along, write};
use crate::voxel::{Combine, Max, Number, Reduction, Sum, in_exact_numbers};
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
    if output.is_empty() {
        return Ok(output);
    }
    let walk = Walk::new(&volume, axis);
    let (volume, mut out) = (walk.volume(volume), walk.images(output.view_mut()));
    let voxels = volume.len();
    parallel::for_each_block(&mut out, 1, voxels, machine, |line, out| {
        let plane = volume.index_axis(Axis(1), line);
        machine.level.run(Plane {
            voxels: plane,
            window,
            slab,
            out,
        });
    })?;
    Ok(output)
}

/// Slabs along the first axis of samples `(y, 1, x)`.
pub(crate) fn slide_samples(
    samples: ArrayView3<'_, f32>,
    out: ArrayViewMut3<'_, f32>,
    slab: Slab,
    level: Level,
) {
    let plane = samples.index_axis_move(Axis(1), 0);
    level.run(Plane {
        voxels: plane,
        window: Window::ALL,
        slab,
        out,
    });
}

/// The slabs of one plane.
struct Plane<'a, T> {
    voxels: ArrayView2<'a, T>,
    window: Window,
    slab: Slab,
    out: ArrayViewMut3<'a, f32>,
}

impl<T: Voxel> Kernel for Plane<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.slab.reduce {
            Reduce::Sum => self.with(Sum),
            Reduce::Max => self.with(Max),
        }
    }
}

impl<T: Voxel> Plane<'_, T> {
    #[inline(always)]
    fn with<C: Combine>(self, combine: C) {
        let (window, thickness) = (self.window, self.slab.thickness);
        in_exact_numbers(
            window,
            thickness,
            Slabs {
                plane: self,
                combine,
            },
        );
    }
}

/// The slabs of one plane, combined.
struct Slabs<'a, T, C> {
    plane: Plane<'a, T>,
    combine: C,
}

impl<T: Voxel, C: Combine> Reduction<T> for Slabs<'_, T, C> {
    #[inline(always)]
    fn run<A: Number>(self, clip: impl Fn(T) -> A) {
        let Plane {
            voxels, slab, out, ..
        } = self.plane;
        slide(voxels, out, slab, self.combine, clip);
    }
}

#[inline(always)]
fn slide<T: Voxel, A: Number, C: Combine>(
    plane: ArrayView2<'_, T>,
    mut out: ArrayViewMut3<'_, f32>,
    slab: Slab,
    _: C,
    clip: impl Fn(T) -> A,
) {
    let (length, width) = plane.dim();
    let Slab {
        thickness, step, ..
    } = slab;
    // Of a block: each row combined with all later ones, and with an empty row behind the last.
    let mut tails = vec![C::nothing::<A>(); (thickness + 1) * width];
    // Of the next block: its first rows combined.
    let mut head = vec![C::nothing::<A>(); width];
    for start in 0..=length - thickness {
        let offset = start % thickness;
        if offset == 0 {
            for row in (0..thickness).rev() {
                let (row_and_before, later) = tails.split_at_mut((row + 1) * width);
                let tail = &mut row_and_before[row * width..];
                tail.copy_from_slice(&later[..width]);
                accumulate(
                    tail,
                    plane.index_axis(Axis(0), start + row),
                    |tail, voxel| {
                        C::add(tail, clip(voxel));
                    },
                );
            }
            head.fill(C::nothing());
        } else {
            let last = plane.index_axis(Axis(0), start + thickness - 1);
            accumulate(&mut head, last, |head, voxel| C::add(head, clip(voxel)));
        }
        if start.is_multiple_of(step) {
            let mut image = out.index_axis_mut(Axis(0), start / step);
            let ends = tails[offset * width..][..width].iter().zip(&head);
            let combined = ends.map(|(&tail, &head)| {
                let mut value = tail;
                C::add(&mut value, head);
                value.to_f32()
            });
            write(image.index_axis_mut(Axis(0), 0), combined);
        }
    }
}
