//! Samples of a volume on an oblique grid.
//!
//! The grid maps an output position `(z, y, x)` to a fractional voxel index
//! `origin + z steps[0] + y steps[1] + x steps[2]`. A trilinear sample weighs the eight voxels
//! around it; for voxels `10` at index 0 and `20` at index 1 the sample at 0.25 is `12.5`. Beyond
//! its outermost voxels the volume goes on as voxels of one constant value.

use ndarray::{Array2, Array3, ArrayView3, Axis};

use crate::{Result, Voxel, Window, parallel};

/// A grid of `shape` samples `(z, y, x)`, in voxel indices `(k, j, i)` of the volume.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Samples along z, y and x.
    pub shape: [usize; 3],
    /// Voxel index of the first sample.
    pub origin: [f64; 3],
    /// Voxel index steps along z, y and x.
    pub steps: [[f64; 3]; 3],
}

impl Grid {
    #[inline]
    fn index(&self, z: usize, y: usize, x: usize) -> [f64; 3] {
        let [along_z, along_y, along_x] = self.steps;
        let (z, y, x) = (z as f64, y as f64, x as f64);
        [0, 1, 2].map(|axis| {
            self.origin[axis] + z * along_z[axis] + y * along_y[axis] + x * along_x[axis]
        })
    }

    fn samples(&self) -> usize {
        self.shape
            .iter()
            .fold(1, |product, &length| product.saturating_mul(length))
    }
}

/// How voxels make a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest voxel.
    Nearest,
    /// The eight voxels around, weighed by their distance along each axis.
    Trilinear,
}

/// Sums along the grid's y of trilinear samples of the volume clipped to `window` (clipped before
/// interpolation; the window's low end outside), and how many of the samples lie inside the volume
/// (within half a voxel of a voxel centre, along each axis).
///
/// # Errors
/// No memory for the result, or no threads.
pub fn summed<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    grid: &Grid,
    threads: usize,
) -> Result<(Array2<f32>, Array2<f32>)> {
    let [rows, depth, columns] = grid.shape;
    let mut output = parallel::zeros([2, rows, columns])?;
    let samples = grid.samples();
    parallel::for_each_line(&mut output.view_mut(), samples, threads, |z, mut out| {
        let mut sums = vec![(0.0_f64, 0_u32); columns];
        for y in 0..depth {
            for (x, (sum, inside)) in sums.iter_mut().enumerate() {
                let index = grid.index(z, y, x);
                *sum += trilinear(&volume, window, window.low(), index);
                *inside += u32::from(is_inside(&volume, index));
            }
        }
        for (mut pixel, (sum, inside)) in out.lanes_mut(Axis(0)).into_iter().zip(sums) {
            for (value, result) in pixel.iter_mut().zip([sum as f32, inside as f32]) {
                *value = result;
            }
        }
    })?;
    let inside = output.index_axis(Axis(0), 1).to_owned();
    Ok((output.index_axis_move(Axis(0), 0), inside))
}

/// Samples of the volume at every position of the grid, unclipped; `outside` beyond the volume.
///
/// # Errors
/// No memory for the result, or no threads.
pub fn stacked<T: Voxel>(
    volume: ArrayView3<'_, T>,
    grid: &Grid,
    interpolation: Interpolation,
    outside: f64,
    threads: usize,
) -> Result<Array3<f32>> {
    let mut output = parallel::zeros(grid.shape)?;
    // Lines of the parallel split are rows z; the split runs along the middle axis.
    let mut lines = output.view_mut();
    lines.swap_axes(0, 1);
    parallel::for_each_line(&mut lines, grid.samples(), threads, |z, mut out| {
        for ((y, _, x), value) in out.indexed_iter_mut() {
            let index = grid.index(z, y, x);
            *value = match interpolation {
                Interpolation::Nearest => nearest(&volume, outside, index) as f32,
                Interpolation::Trilinear => trilinear(&volume, Window::ALL, outside, index) as f32,
            };
        }
    })?;
    Ok(output)
}

#[inline]
fn is_inside<T>(volume: &ArrayView3<'_, T>, index: [f64; 3]) -> bool {
    let (k, j, i) = volume.dim();
    [k, j, i]
        .iter()
        .zip(index)
        .all(|(&length, position)| position >= -0.5 && position <= length as f64 - 0.5)
}

#[inline]
fn nearest<T: Voxel>(volume: &ArrayView3<'_, T>, outside: f64, index: [f64; 3]) -> f64 {
    if !is_inside(volume, index) {
        return outside;
    }
    // A half rounds up here and down nowhere, so the upper face falls off the end: keep it in.
    let (k, j, i) = volume.dim();
    let place = |position: f64, length: usize| ((position + 0.5) as usize).min(length - 1);
    let at = [place(index[0], k), place(index[1], j), place(index[2], i)];
    volume.get(at).map_or(outside, |voxel| voxel.to_f64())
}

#[inline]
fn trilinear<T: Voxel>(
    volume: &ArrayView3<'_, T>,
    window: Window,
    outside: f64,
    index: [f64; 3],
) -> f64 {
    let (k, j, i) = volume.dim();
    let near = [k, j, i]
        .iter()
        .zip(index)
        .all(|(&length, position)| position > -1.0 && position < length as f64);
    if !near {
        return outside; // NaN positions end here too
    }
    // Positions are above -1: after adding one, truncation is the floor. `base` is one too high.
    let base = index.map(|position| (position + 1.0) as usize);
    let [fk, fj, fi] = [0, 1, 2].map(|axis| index[axis] + 1.0 - base[axis] as f64);
    // Below the first voxel the subtraction wraps to an index that is out of bounds, as it should.
    let at = |dk: usize, dj: usize, di: usize| {
        let place = [
            (base[0] + dk).wrapping_sub(1),
            (base[1] + dj).wrapping_sub(1),
            (base[2] + di).wrapping_sub(1),
        ];
        volume
            .get(place)
            .map_or(outside, |voxel| window.clip(voxel.to_f64()))
    };
    let line = |dk, dj| at(dk, dj, 0) * (1.0 - fi) + at(dk, dj, 1) * fi;
    let plane = |dk| line(dk, 0) * (1.0 - fj) + line(dk, 1) * fj;
    plane(0) * (1.0 - fk) + plane(1) * fk
}
