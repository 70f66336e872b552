//! Sums and maxima of voxels of at most 16 bits, in 16-bit accumulators.
//!
//! A voxel is clipped in its own type and measured from the window's low end: `clip(v) - low` is at
//! most `high - low`, so `65535 / (high - low)` of them (87 for a window of 750 HU) fit into an
//! unsigned 16-bit lane before the lanes are added to 32-bit totals. `low` times the number of
//! voxels is added at the end. A vector register holds twice as many 16-bit lanes as 32-bit ones,
//! and memory, not arithmetic, sets the speed. Everything is exact.

use ndarray::{ArrayView1, ArrayView3, ArrayViewMut3, Axis};

use crate::simd::Kernel;
use crate::sum::{accumulate, parts, write};
use crate::voxel::Combine;
use crate::{Voxel, Window};

/// Rows that are added to the lanes at once, which are then loaded and stored once.
const ROWS: usize = 4;

/// Rows that stay in the cache while every window takes its turn.
const CACHED_ROWS: usize = 16;

/// A window for voxels that fit into 16-bit lanes.
#[derive(Clone, Copy)]
pub(crate) struct Narrow<T> {
    low: T,
    high: T,
    capacity: usize, // voxels that fit into a lane
}

impl<T: Voxel> Narrow<T> {
    /// The windows, where voxels clipped to each of them fit and sums of `length` of them fit `i32`.
    pub(crate) fn all(windows: &[Window], length: usize) -> Option<Vec<Self>> {
        if !T::NARROW || length > T::LONGEST_I32_SUM {
            return None;
        }
        windows.iter().map(|&window| Self::new(window)).collect()
    }

    fn new(window: Window) -> Option<Self> {
        let (low, high) = T::integer_bounds(window)?;
        let span = high.to_i64() - low.to_i64();
        let capacity = usize::try_from(i64::from(u16::MAX) / span.max(1)).ok()?;
        // Lanes that hold a voxel or two are widened too often to gain anything.
        (capacity >= ROWS).then_some(Self {
            low,
            high,
            capacity,
        })
    }

    #[inline(always)]
    fn lane(self, voxel: T) -> u16 {
        voxel.above(self.low, self.high)
    }
}

/// Reduces the first axis of `volume`, whose last axis is the nearest in memory of the other two;
/// for each window, an image after `every` voxels each.
pub(crate) struct Lanes<'a, T, C> {
    pub(crate) volume: ArrayView3<'a, T>,
    pub(crate) out: ArrayViewMut3<'a, f32>,
    pub(crate) windows: &'a [Narrow<T>],
    pub(crate) combine: C,
    pub(crate) every: usize,
}

impl<T: Voxel, C: Combine> Kernel for Lanes<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        if self.volume.strides()[0].abs() < self.volume.strides()[2].abs() {
            self.columns();
        } else {
            self.rows();
        }
    }
}

impl<T: Voxel, C: Combine> Lanes<'_, T, C> {
    /// A block of lanes for each window, with which row after row is combined.
    #[inline(always)]
    fn rows(mut self) {
        let (length, lines, width) = self.volume.dim();
        let images = length.div_ceil(self.every);
        let mut lanes = vec![0_u16; lines * width];
        let mut totals = vec![vec![0_i32; lines * width]; self.windows.len()];
        let fits = self
            .windows
            .iter()
            .map(|window| window.capacity)
            .min()
            .unwrap_or(1);
        let step = if self.windows.len() > 1 {
            fits.min(CACHED_ROWS)
        } else {
            fits
        };
        for (image, segment) in parts(length, self.every).enumerate() {
            for part in parts(segment.len(), step) {
                let part = segment.start + part.start..segment.start + part.end;
                let rows = self.volume.slice_axis(Axis(0), part.into());
                for (window, totals) in self.windows.iter().zip(&mut totals) {
                    combine_rows(&mut lanes, rows, *window, self.combine);
                    for (total, lane) in totals.iter_mut().zip(&mut lanes) {
                        C::add(total, i32::from(*lane));
                        *lane = 0;
                    }
                }
            }
            for (place, (window, totals)) in self.windows.iter().zip(&totals).enumerate() {
                let low = C::of_lows(window.low, segment.end);
                let mut out = self.out.index_axis_mut(Axis(0), place * images + image);
                for (out, totals) in out.outer_iter_mut().zip(totals.chunks_exact(width)) {
                    write(out, totals.iter().map(|total| (total + low) as f32));
                }
            }
        }
    }

    /// The pixels one after the other, each with the voxels that lie next to each other in memory.
    #[inline(always)]
    fn columns(mut self) {
        let length = self.volume.len_of(Axis(0));
        let images = length.div_ceil(self.every);
        for (line, mut out) in self.out.axis_iter_mut(Axis(1)).enumerate() {
            let plane = self.volume.index_axis(Axis(1), line);
            for (voxels, mut pixels) in plane.columns().into_iter().zip(out.columns_mut()) {
                for (window, mut pixels) in self
                    .windows
                    .iter()
                    .zip(pixels.axis_chunks_iter_mut(Axis(0), images))
                {
                    let mut total = 0_i32;
                    for (pixel, part) in pixels.iter_mut().zip(parts(length, self.every)) {
                        let low = C::of_lows(window.low, part.end);
                        let voxels = voxels.slice_axis_move(Axis(0), part.into());
                        C::add(&mut total, combined(voxels, *window, self.combine));
                        *pixel = (total + low) as f32;
                    }
                }
            }
        }
    }
}

/// Combines at most `capacity` rows of every line with the lanes.
#[inline(always)]
fn combine_rows<T: Voxel, C: Combine>(
    lanes: &mut [u16],
    rows: ArrayView3<'_, T>,
    window: Narrow<T>,
    _: C,
) {
    let width = rows.len_of(Axis(2));
    for rows in rows.axis_chunks_iter(Axis(0), ROWS) {
        for (line, lanes) in lanes.chunks_exact_mut(width).enumerate() {
            let rows = rows.index_axis(Axis(1), line);
            let row = |r| rows.index_axis_move(Axis(0), r);
            let four = (rows.nrows() == ROWS)
                .then(|| {
                    Some([
                        row(0).to_slice()?,
                        row(1).to_slice()?,
                        row(2).to_slice()?,
                        row(3).to_slice()?,
                    ])
                })
                .flatten();
            if let Some([first, second, third, fourth]) = four {
                let pairs = first.iter().zip(second).zip(third.iter().zip(fourth));
                for (lane, ((&a, &b), (&c, &d))) in lanes.iter_mut().zip(pairs) {
                    for voxel in [a, b, c, d] {
                        C::add(lane, window.lane(voxel));
                    }
                }
            } else {
                for row in rows.outer_iter() {
                    accumulate(lanes, row, |lane, voxel| C::add(lane, window.lane(voxel)));
                }
            }
        }
    }
}

/// All `voxels` combined, measured from the window's low end.
#[inline(always)]
fn combined<T: Voxel, C: Combine>(voxels: ArrayView1<'_, T>, window: Narrow<T>, _: C) -> i32 {
    const LANES: usize = 32;
    let mut total = 0_i32;
    let Some(slice) = voxels.to_slice() else {
        for &voxel in voxels {
            C::add(&mut total, i32::from(window.lane(voxel)));
        }
        return total;
    };
    for part in slice.chunks(LANES * window.capacity) {
        let (blocks, rest) = part.as_chunks::<LANES>();
        let mut lanes = [0_u16; LANES];
        for block in blocks {
            for (lane, &voxel) in lanes.iter_mut().zip(block) {
                C::add(lane, window.lane(voxel));
            }
        }
        for lane in lanes {
            C::add(&mut total, i32::from(lane));
        }
        for &voxel in rest {
            C::add(&mut total, i32::from(window.lane(voxel)));
        }
    }
    total
}
