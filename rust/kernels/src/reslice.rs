//! Samples of a volume on an oblique grid, and their reduction along the grid's depth.
//!
//! The grid maps an output position `(z, y, x)` to a fractional voxel index
//! `origin + z steps[0] + y steps[1] + x steps[2]`. A trilinear sample weighs the eight voxels
//! around it: for voxels `10` at index 0 and `20` at index 1 the sample at 0.25 is `12.5`. A cubic
//! sample weighs 64 coefficients of the B-spline through the voxels (`spline`). Beyond its
//! outermost voxels the volume goes on as voxels of one constant value.
//!
//! A row of samples crosses the volume on a line, so where it enters and leaves is computed, not
//! tried; in between no sample needs to look whether its voxels exist.

use std::ops::Range;

use ndarray::{Array3, ArrayView3, ArrayViewMut3, Axis, s};

use crate::accumulate::parts;
use crate::parallel::{self, Machine};
use crate::simd::Kernel;
use crate::slab::{self, Slab};
use crate::walk::require_shape;
use crate::{KernelError, Reduce, Result, Voxel, Window, spline, sum};

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
    /// The samples of one row of the grid, along x.
    fn row(&self, z: usize, y: usize) -> Line {
        let [along_z, along_y, step] = self.steps;
        let (z, y) = (z as f64, y as f64);
        let start = [0, 1, 2].map(|axis| self.origin[axis] + z * along_z[axis] + y * along_y[axis]);
        Line {
            start: start.map(fixed),
            step: step.map(fixed),
        }
    }

    /// The shape of the images that its samples become.
    fn images(&self, depth: Depth) -> Result<[usize; 3]> {
        let [rows, length, columns] = self.shape;
        if length > DEEPEST {
            return Err(KernelError::Extent(
                "the grid has too many samples along its depth",
            ));
        }
        Ok([depth.images(length)?, rows, columns])
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
    /// The cubic B-spline through the voxels; needs a copy of the volume in `f32`.
    Cubic,
}

/// What becomes of the samples along the grid's y.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// One image of them all.
    Reduced(Reduce),
    /// Running sums, one image after every so many samples.
    Running(usize),
    /// Slabs.
    Sliding(Slab),
}

impl Depth {
    fn images(self, length: usize) -> Result<usize> {
        match self {
            Self::Reduced(_) => Ok(1),
            Self::Running(0) => Err(KernelError::Extent("every must be at least 1")),
            Self::Running(every) => Ok(length.div_ceil(every)),
            Self::Sliding(slab) => slab.images(length),
        }
    }
}

/// Samples of the volume clipped to `window` (before interpolation; the window's low end outside),
/// reduced along the grid's y: images stacked first.
///
/// # Errors
/// No memory for the result, lengths that do not fit the grid or are more than [`DEEPEST`], or voxels
/// that are NaN where the interpolation would spread them.
pub fn projected<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    grid: &Grid,
    interpolation: Interpolation,
    depth: Depth,
    machine: Machine,
) -> Result<Array3<f32>> {
    let mut output = parallel::zeros(grid.images(depth)?)?;
    let out = output.view_mut();
    projected_into(volume, window, grid, interpolation, depth, out, machine)?;
    Ok(output)
}

/// As [`projected`], into images that there are.
///
/// # Errors
/// As [`projected`], and images of another shape.
pub fn projected_into<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    grid: &Grid,
    interpolation: Interpolation,
    depth: Depth,
    mut out: ArrayViewMut3<'_, f32>,
    machine: Machine,
) -> Result<()> {
    require_shape(&out, grid.images(depth)?)?;
    let [_, length, columns] = grid.shape;
    let source = Source::new(volume, window, window.low(), interpolation, machine)?;
    let (samples, level) = (grid.samples(), machine.level);
    parallel::for_each_block(
        &mut out,
        (MOST_SAMPLES / (length * columns).max(1)).clamp(1, ROWS),
        samples,
        machine,
        &|first, mut out| {
            let rows: Vec<_> = (first..first + out.len_of(Axis(1)))
                .map(|z| source.rows(grid, z))
                .collect();
            let mut values = vec![0.0; length * TILE];
            for columns in parts(columns, TILE) {
                let mut out = out.slice_axis_mut(Axis(2), columns.clone().into());
                for (rows, out) in rows.iter().zip(out.axis_chunks_iter_mut(Axis(1), 1)) {
                    let shape = [length, 1, columns.len()];
                    let Ok(mut plane) =
                        ArrayViewMut3::from_shape(shape, &mut values[..length * columns.len()])
                    else {
                        continue;
                    };
                    level.run(Samples {
                        source: &source,
                        rows,
                        columns: columns.clone(),
                        out: plane.view_mut(),
                    });
                    match depth {
                        Depth::Reduced(reduce) => {
                            sum::reduce_samples(plane.view(), out, reduce, length, level);
                        }
                        Depth::Running(every) => {
                            sum::reduce_samples(plane.view(), out, Reduce::Sum, every, level);
                        }
                        Depth::Sliding(slab) => slab::slide_samples(plane.view(), out, slab, level),
                    }
                }
            }
        },
    )
}

/// Most samples along the depth of a grid that is reduced: they are held for a tile of rays at a time.
pub const DEEPEST: usize = 1 << 16;

/// Rows and columns of the grid that are sampled through its depth before others are: the voxels
/// that neighbouring samples share stay in the cache.
const ROWS: usize = 8;
const TILE: usize = 64;

/// Samples that are made before anybody is asked whether to stop, but for a row that has more.
const MOST_SAMPLES: usize = 1 << 22;

/// Samples of the volume at every position of the grid, unclipped; `outside` beyond the volume.
///
/// # Errors
/// No memory for the result, or voxels that are NaN where the interpolation would spread them.
pub fn stacked<T: Voxel>(
    volume: ArrayView3<'_, T>,
    grid: &Grid,
    interpolation: Interpolation,
    outside: f64,
    machine: Machine,
) -> Result<Array3<f32>> {
    let mut output = parallel::zeros(grid.shape)?;
    let out = output.view_mut();
    stacked_into(volume, grid, interpolation, outside, out, machine)?;
    Ok(output)
}

/// As [`stacked`], into a stack that there is.
///
/// # Errors
/// As [`stacked`], and a stack of another shape.
pub fn stacked_into<T: Voxel>(
    volume: ArrayView3<'_, T>,
    grid: &Grid,
    interpolation: Interpolation,
    outside: f64,
    mut out: ArrayViewMut3<'_, f32>,
    machine: Machine,
) -> Result<()> {
    require_shape(&out, grid.shape)?;
    let source = Source::new(volume, Window::ALL, outside, interpolation, machine)?;
    out.swap_axes(0, 1); // blocks run along the middle axis: one row z each
    parallel::for_each_block(&mut out, 1, grid.samples(), machine, &|z, out| {
        let rows = source.rows(grid, z);
        machine.level.run(Samples {
            source: &source,
            rows: &rows,
            columns: 0..grid.shape[2],
            out,
        });
    })
}

/// What samples are taken from.
struct Source<'a, T> {
    volume: ArrayView3<'a, T>,
    coefficients: Option<Array3<f32>>,
    interpolation: Interpolation,
    low: f32,
    high: f32,
    outside: f32,
}

impl<'a, T: Voxel> Source<'a, T> {
    fn new(
        volume: ArrayView3<'a, T>,
        window: Window,
        outside: f64,
        interpolation: Interpolation,
        machine: Machine,
    ) -> Result<Self> {
        let [low, high, outside] = [window.low(), window.high(), outside].map(|hu| hu as f32);
        let mut source = Self {
            volume,
            coefficients: None,
            interpolation,
            low,
            high,
            outside,
        };
        if interpolation == Interpolation::Cubic {
            let (k, j, i) = volume.dim();
            let mut values = parallel::zeros([k, j, i])?;
            let voxels = values.len();
            parallel::for_each_block(
                &mut values.view_mut(),
                8,
                voxels,
                machine,
                &|first, mut out| {
                    let lines = first..first + out.len_of(Axis(1));
                    let voxels = volume.slice(s![.., lines, ..]);
                    out.zip_mut_with(&voxels, |value, &voxel| {
                        *value = source.clip(voxel) - outside;
                    });
                },
            )?;
            if !values.iter().all(|value: &f32| value.is_finite()) {
                return Err(KernelError::NotFinite);
            }
            for axis in 0..3 {
                spline::prefilter(values.view_mut(), axis, 1, machine)?;
            }
            source.coefficients = Some(values);
        }
        Ok(source)
    }

    /// The rows of the grid's plane `z`.
    fn rows(&self, grid: &Grid, z: usize) -> Vec<Row> {
        let lengths: [usize; 3] = self.volume.dim().into();
        let [_, depth, columns] = grid.shape;
        // How far from the first and last voxel a sample may be, to be made of voxels at all, and
        // of voxels that all exist.
        let [near, inner] = match self.interpolation {
            Interpolation::Nearest => [(-0.5, 0.5), (-0.5, 0.5)],
            Interpolation::Trilinear => [(-1.0, 0.0), (0.0, 1.0)],
            Interpolation::Cubic => [(-3.0, -2.0), (1.0, 2.0)],
        };
        let fast: [usize; 3] = match self.interpolation {
            Interpolation::Trilinear => lengths.map(|length| length.min(FITS)),
            Interpolation::Nearest | Interpolation::Cubic => lengths,
        };
        (0..depth)
            .map(|y| {
                let line = grid.row(z, y);
                Row {
                    near: line.within(near.0, lengths, near.1, columns),
                    inner: line.within(inner.0, fast, inner.1, columns),
                    line,
                }
            })
            .collect()
    }

    /// NaN stays NaN.
    #[inline(always)]
    fn clip(&self, voxel: T) -> f32 {
        let value = voxel.to_f32();
        let raised = if value < self.low { self.low } else { value };
        if raised > self.high {
            self.high
        } else {
            raised
        }
    }

    /// The clipped voxel, or what lies outside.
    #[inline(always)]
    fn at(&self, index: [isize; 3]) -> f32 {
        let voxel = self.volume.get(index.map(|place| place as usize));
        voxel.map_or(self.outside, |&voxel| self.clip(voxel))
    }
}

/// Bits of the fraction of a position.
const FRACTION: u32 = 32;

/// Positions below this many voxels fit 64 bits.
const FITS: usize = 1 << 31;

/// No volume reaches as far as this many voxels; farther positions are as good as these, and the
/// arithmetic of a line of them cannot overflow.
const FAR: f64 = (1_u64 << 50) as f64;

/// A position in voxels as an integer of `2^-32` voxels.
fn fixed(voxels: f64) -> i128 {
    (voxels.clamp(-FAR, FAR) * f64::from(FRACTION).exp2()).round() as i128
}

/// Positions on a line, `start + x step`, in integers: exact, so that what holds at both ends of a
/// range of `x` holds in it.
#[derive(Clone, Copy)]
struct Line {
    start: [i128; 3],
    step: [i128; 3],
}

impl Line {
    #[inline(always)]
    fn at(&self, x: usize) -> [i128; 3] {
        [0, 1, 2].map(|axis| self.start[axis] + self.step[axis] * x as i128)
    }

    /// The voxel at or before each position, and how far behind it the position is.
    #[inline(always)]
    fn voxel(&self, x: usize) -> ([isize; 3], [f64; 3]) {
        let places = self.at(x);
        let unit = f64::from(FRACTION).exp2().recip();
        (
            places.map(|place| (place >> FRACTION) as isize),
            places.map(|place| f64::from(place as u32) * unit),
        )
    }

    /// The `x` below `count` at which every position is at least `low` and below its axis' length
    /// less `less`.
    fn within(&self, low: f64, lengths: [usize; 3], less: f64, count: usize) -> Range<usize> {
        let (mut first, mut end) = (0_i128, count as i128);
        for (axis, length) in lengths.into_iter().enumerate() {
            let (start, step) = (self.start[axis], self.step[axis]);
            let (low, high) = (fixed(low), fixed(length as f64 - less));
            // low <= start + x step < high, solved for whole x.
            let (least, most) = match step.signum() {
                1 => (ceil(low - start, step), ceil(high - start, step)),
                -1 => (ceil(start - high + 1, -step), ceil(start - low + 1, -step)),
                _ if start >= low && start < high => (first, end),
                _ => (0, 0),
            };
            (first, end) = (first.max(least), end.min(most));
        }
        first as usize..end.max(first) as usize
    }
}

/// The smallest integer not below `dividend / divisor`, for a positive divisor.
fn ceil(dividend: i128, divisor: i128) -> i128 {
    dividend.div_euclid(divisor) + i128::from(dividend.rem_euclid(divisor) > 0)
}

/// One row of samples, and which of them are near the volume and between its voxels.
struct Row {
    line: Line,
    near: Range<usize>,
    inner: Range<usize>,
}

/// Some columns of the rows of a plane: `out` is (row, 1, column).
struct Samples<'a, 'v, T> {
    source: &'a Source<'v, T>,
    rows: &'a [Row],
    columns: Range<usize>,
    out: ArrayViewMut3<'a, f32>,
}

impl<T: Voxel> Kernel for Samples<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            source,
            rows,
            columns,
            mut out,
        } = self;
        for (row, mut out) in rows.iter().zip(out.outer_iter_mut()) {
            let Some(out) = out.as_slice_mut() else {
                return;
            };
            out.fill(source.outside);
            let Row { line, near, inner } = row;
            let [near, inner] = [near, inner].map(|range| {
                let start = range.start.clamp(columns.start, columns.end);
                start..range.end.clamp(start, columns.end)
            });
            let edges =
                (near.start..inner.start.min(near.end)).chain(inner.end.max(near.start)..near.end);
            match (source.interpolation, &source.coefficients) {
                (Interpolation::Nearest, _) => {
                    for x in inner {
                        let (whole, fraction) = line.voxel(x);
                        let nearest =
                            [0, 1, 2].map(|axis| whole[axis] + isize::from(fraction[axis] >= 0.5));
                        out[x - columns.start] = source.at(nearest);
                    }
                }
                (Interpolation::Cubic, Some(coefficients)) => {
                    for x in inner {
                        out[x - columns.start] =
                            source.outside + cubic(coefficients, line.voxel(x));
                    }
                    for x in edges {
                        let sample = cubic_at_edge(coefficients, line.voxel(x));
                        out[x - columns.start] = source.outside + sample;
                    }
                }
                _ => {
                    for x in edges {
                        out[x - columns.start] = trilinear_at_edge(source, line.voxel(x));
                    }
                    let out = &mut out[inner.start - columns.start..inner.end - columns.start];
                    if source.volume.strides()[2] == 1 {
                        trilinear::<T, true>(source, line, inner, out);
                    } else {
                        trilinear::<T, false>(source, line, inner, out);
                    }
                }
            }
        }
    }
}

/// Samples between voxels that all exist.
#[inline(always)]
#[allow(unsafe_code, reason = "no sample looks whether its voxels exist")]
fn trilinear<T: Voxel, const CONTIGUOUS: bool>(
    source: &Source<'_, T>,
    line: &Line,
    inner: Range<usize>,
    out: &mut [f32],
) {
    const LANES: usize = 16;
    let strides = source.volume.strides();
    let [down, back, left] = [strides[0], strides[1], strides[2]];
    let voxels = source.volume.as_ptr();
    // Positions in the volume fit 64 bits; what is cut off on the way there cancels.
    let step = line.step.map(|step| step as i64);
    for first in inner.clone().step_by(LANES) {
        let start = line.at(first).map(|start| start as i64);
        let mut places = [0_isize; LANES];
        let mut fractions = [[0.0_f32; LANES]; 3];
        let lanes = (inner.end - first).min(LANES) as i64 - 1;
        for lane in 0..LANES {
            // The last block repeats its last sample.
            let x = (lane as i64).min(lanes);
            let index = [0, 1, 2].map(|axis| start[axis].wrapping_add(x.wrapping_mul(step[axis])));
            let whole = index.map(|place| (place >> FRACTION) as isize);
            places[lane] = whole[0] * down + whole[1] * back + whole[2] * left;
            for axis in 0..3 {
                let fraction = (index[axis] as u32 >> 8) as i32 as f32;
                fractions[axis][lane] = fraction * (-24.0_f32).exp2();
            }
        }
        let mut pairs = [[[T::default(); 2]; LANES]; 4];
        for (pairs, corner) in pairs.iter_mut().zip([0, back, down, down + back]) {
            for (pair, place) in pairs.iter_mut().zip(places) {
                // SAFETY: the positions of the line within `inner` fit 64 bits (`FITS`), are at least
                // 0 and below the length less one on each axis; so the voxel of the whole parts and
                // the next one along each axis exist. Neighbours along the last axis lie side by
                // side where the stride is 1, as in an array of two.
                // GAIN: three times the speed of checked access (`benches/kernels.rs`).
                *pair = unsafe {
                    let voxel = voxels.offset(place + corner);
                    if CONTIGUOUS {
                        *voxel.cast::<[T; 2]>()
                    } else {
                        [*voxel, *voxel.offset(left)]
                    }
                };
            }
        }
        let mut samples = [0.0_f32; LANES];
        for lane in 0..LANES {
            let [fk, fj, fi] = [0, 1, 2].map(|axis| fractions[axis][lane]);
            let line = |corner: usize| {
                let [near, far] = pairs[corner][lane].map(|voxel| source.clip(voxel));
                near + fi * (far - near)
            };
            let plane = |corner| {
                let near = line(corner);
                near + fj * (line(corner + 1) - near)
            };
            let near = plane(0);
            samples[lane] = near + fk * (plane(2) - near);
        }
        let samples = &samples[..(inner.end - first).min(LANES)];
        out[first - inner.start..][..samples.len()].copy_from_slice(samples);
    }
}

/// A sample near the volume's border: voxels that do not exist are outside.
fn trilinear_at_edge<T: Voxel>(
    source: &Source<'_, T>,
    ([k, j, i], fraction): ([isize; 3], [f64; 3]),
) -> f32 {
    let [fk, fj, fi] = fraction.map(|fraction| fraction as f32);
    let at = |dk, dj, di| source.at([k + dk, j + dj, i + di]);
    let line = |dk, dj| at(dk, dj, 0) + fi * (at(dk, dj, 1) - at(dk, dj, 0));
    let plane = |dk| line(dk, 0) + fj * (line(dk, 1) - line(dk, 0));
    plane(0) + fk * (plane(1) - plane(0))
}

/// A sample among coefficients that all exist.
#[inline(always)]
fn cubic(coefficients: &Array3<f32>, (whole, fraction): ([isize; 3], [f64; 3])) -> f32 {
    let (_, j, i) = coefficients.dim();
    let Some(values) = coefficients.as_slice() else {
        return cubic_at_edge(coefficients, (whole, fraction));
    };
    let before = whole.map(|place| place as usize - 1);
    let [down, back, left] = fraction.map(spline::weights);
    let first = (before[0] * j + before[1]) * i + before[2];
    let mut sums = [0.0_f32; 4];
    for (k, &weight_k) in down.iter().enumerate() {
        for (row, &weight_j) in back.iter().enumerate() {
            let place = first + (k * j + row) * i;
            let weight = weight_k * weight_j;
            for (sum, &value) in sums.iter_mut().zip(&values[place..place + 4]) {
                *sum += weight * value;
            }
        }
    }
    spline::dot(sums, left)
}

/// A sample near the border, beyond which coefficients fall off as powers of the pole.
fn cubic_at_edge(coefficients: &Array3<f32>, (whole, fraction): ([isize; 3], [f64; 3])) -> f32 {
    let lengths: [usize; 3] = coefficients.dim().into();
    let weights = fraction.map(spline::weights);
    // The coefficient to take along each axis, and by how much it has fallen off.
    let tap = |axis: usize, tap: usize| {
        let place = whole[axis] + tap as isize - 1;
        let last = lengths[axis].cast_signed() - 1;
        let inside = place.clamp(0, last);
        let fall = spline::POLE.powi(place.abs_diff(inside) as i32);
        (inside as usize, weights[axis][tap] * fall)
    };
    let mut sum = 0.0;
    for (k, weight_k) in (0..4).map(|t| tap(0, t)) {
        for (j, weight_j) in (0..4).map(|t| tap(1, t)) {
            for (i, weight_i) in (0..4).map(|t| tap(2, t)) {
                sum += weight_k * weight_j * weight_i * coefficients[[k, j, i]];
            }
        }
    }
    sum
}
