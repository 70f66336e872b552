//! How much of each ray lies inside the volume.
//!
//! A voxel reaches half a voxel to each side of its centre, so the volume is a box from `-1/2` to
//! `n - 1/2` along each axis. A ray is inside between the last of the three faces that it enters by
//! and the first of those that it leaves by (Kay and Kajiya 1986).

use ndarray::{Array2, ArrayView3, ArrayViewMut3, Axis};

use crate::parallel;
use crate::shear::Beam;
use crate::simd::Kernel;
use crate::{Machine, Result};

/// Millimetres of each ray that lie inside the volume and between the beam's depths.
///
/// # Errors
/// No memory for the result.
pub fn inside_mm<T: Sync>(
    volume: ArrayView3<'_, T>,
    beam: &Beam,
    machine: Machine,
) -> Result<Array2<f32>> {
    let lengths: [usize; 3] = volume.dim().into();
    let [rows, columns] = beam.shape;
    let mut output = parallel::zeros([1, rows, columns])?;
    let pixels = output.len();
    parallel::for_each_block(
        &mut output.view_mut(),
        16,
        pixels,
        machine,
        &|first, out| {
            machine.level.run(Rows {
                beam,
                lengths,
                first,
                out,
            });
        },
    )?;
    Ok(output.index_axis_move(Axis(0), 0))
}

struct Rows<'a> {
    beam: &'a Beam,
    lengths: [usize; 3],
    first: usize,
    out: ArrayViewMut3<'a, f32>,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let Beam {
            origin,
            down,
            along,
            across,
            depth_mm: [front, back],
            ..
        } = *self.beam;
        for (row, mut pixels) in self.out.axis_iter_mut(Axis(1)).enumerate() {
            let Some(pixels) = pixels.as_slice_mut() else {
                return;
            };
            let row = (self.first + row) as f64;
            let start = [0, 1, 2].map(|axis| origin[axis] + row * down[axis]);
            for (column, pixel) in pixels.iter_mut().enumerate() {
                let (mut enter, mut leave) = (front, back);
                for axis in 0..3 {
                    let here = start[axis] + column as f64 * across[axis];
                    let (near, far) = (-0.5 - here, self.lengths[axis] as f64 - 0.5 - here);
                    // Along a face the ray never leaves (infinite), or it was never inside.
                    let [one, other] = [near, far].map(|voxels| voxels / along[axis]);
                    enter = enter.max(one.min(other));
                    leave = leave.min(one.max(other));
                }
                *pixel = (leave - enter).max(0.0) as f32;
            }
        }
    }
}
