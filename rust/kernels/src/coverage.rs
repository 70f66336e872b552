//! How much of each ray lies inside the volume.
//!
//! A voxel reaches half a voxel to each side of its centre, so the volume is a box from `-1/2` to
//! `n - 1/2` along each axis. A ray is inside between the last of the three faces that it enters by
//! and the first of those that it leaves by (Kay and Kajiya 1986).

use ndarray::{Array2, ArrayView3, Axis};

use crate::parallel;
use crate::shear::Beam;
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
    let (pixels, threads) = (output.len(), machine.threads);
    parallel::for_each_block(
        &mut output.view_mut(),
        16,
        pixels,
        threads,
        |first, mut out| {
            for ((_, row, column), pixel) in out.indexed_iter_mut() {
                let (row, column) = ((first + row) as f64, column as f64);
                let start = [0, 1, 2].map(|axis| {
                    beam.origin[axis] + row * beam.down[axis] + column * beam.across[axis]
                });
                *pixel = length_mm(start, beam.along, lengths, beam.depth_mm) as f32;
            }
        },
    );
    Ok(output.index_axis_move(Axis(0), 0))
}

fn length_mm(start: [f64; 3], along: [f64; 3], lengths: [usize; 3], depth_mm: [f64; 2]) -> f64 {
    let [mut enter, mut leave] = depth_mm;
    for axis in 0..3 {
        let (near, far) = (-0.5 - start[axis], lengths[axis] as f64 - 0.5 - start[axis]);
        if along[axis] == 0.0 {
            if near > 0.0 || far < 0.0 {
                return 0.0;
            }
        } else {
            let [one, other] = [near / along[axis], far / along[axis]];
            enter = enter.max(one.min(other));
            leave = leave.min(one.max(other));
        }
    }
    (leave - enter).max(0.0)
}
