//! Sums and maxima of voxels of at most 16 bits, in 16-bit accumulators.
//!
//! A voxel is clipped in its own type and measured from the window's low end: `clip(v) - low` is at
//! most `high - low`, so `65535 / (high - low)` of them (87 for a window of 750 HU) fit into an
//! unsigned 16-bit lane before the lanes are added to 32-bit totals. `low` times the number of
//! voxels is added at the end. A vector register holds twice as many 16-bit lanes as 32-bit ones,
//! and memory, not arithmetic, sets the speed. Everything is exact.

use ndarray::{ArrayView3, ArrayViewMut3, Axis};

use crate::accumulate::{accumulate_rows, cache_aligned, parts, prefetch_after, write};
use crate::simd::Kernel;
use crate::voxel::{Combine, LONGEST_I32_SUM};
use crate::walk::{columns_adjoin, rows_adjoin};
use crate::{Reduce, Voxel, Window};

/// Voxels that a lane must hold: where it is widened after fewer, nothing is gained.
const LEAST_CAPACITY: usize = 4;

/// Lanes that narrow rows fill together: starting on a row costs as much as many voxels.
const LANES: usize = 512;

/// Rows that stay in the cache while every window takes its turn.
const CACHED_ROWS: usize = 16;

/// A window for voxels that fit into 16-bit lanes.
#[derive(Clone, Copy)]
pub(crate) struct Narrow<T> {
    pub(crate) low: T,
    high: T,
    capacity: usize, // voxels that fit into a lane
}

impl<T: Voxel> Narrow<T> {
    /// The windows, where voxels clipped to each of them fit and sums of `length` of them fit `i32`.
    pub(crate) fn all(windows: &[Window], length: usize) -> Option<Vec<Self>> {
        if !T::NARROW || length > LONGEST_I32_SUM {
            return None;
        }
        windows.iter().map(|&window| Self::new(window)).collect()
    }

    fn new(window: Window) -> Option<Self> {
        // Lanes that hold a voxel or two are widened too often to gain anything.
        Self::of_any_capacity(window).filter(|narrow| narrow.capacity >= LEAST_CAPACITY)
    }

    /// The window of a slab, where a lane holds all of it and its sum fits `i32`.
    pub(crate) fn of_slab(window: Window, thickness: usize, reduce: Reduce) -> Option<Self> {
        if !T::NARROW || thickness > LONGEST_I32_SUM {
            return None;
        }
        Self::of_any_capacity(window)
            .filter(|narrow| reduce == Reduce::Max || narrow.capacity >= thickness)
    }

    fn of_any_capacity(window: Window) -> Option<Self> {
        let (low, high) = T::integer_bounds(window)?;
        let span = high.to_i64() - low.to_i64();
        let capacity = usize::try_from(i64::from(u16::MAX) / span.max(1)).ok()?;
        Some(Self {
            low,
            high,
            capacity,
        })
    }

    #[inline(always)]
    pub(crate) fn lane(self, voxel: T) -> u16 {
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
    fn run(mut self) {
        if columns_adjoin(&self.volume) {
            self.columns();
            return;
        }
        let (_, all, width) = self.volume.dim();
        let lines = if rows_adjoin(&self.volume) { 1 } else { all };
        let pixels = lines * width;
        let (mut lanes, mut totals) = (Vec::new(), Vec::new());
        let lanes = cache_aligned(&mut lanes, pixels * LANES.div_ceil(pixels), 0);
        let totals = cache_aligned(&mut totals, pixels * self.windows.len(), 0);
        let outs = self.out.axis_chunks_iter_mut(Axis(1), lines);
        for (volume, out) in self.volume.axis_chunks_iter(Axis(1), lines).zip(outs) {
            let block = Lanes {
                volume,
                out,
                windows: self.windows,
                combine: self.combine,
                every: self.every,
            };
            totals.fill(0);
            block.rows(lanes, totals);
        }
    }
}

impl<T: Voxel, C: Combine> Lanes<'_, T, C> {
    /// Row after row is combined with lanes, which are emptied into each window's totals in time.
    #[inline(always)]
    fn rows(mut self, lanes: &mut [u16], totals: &mut [i32]) {
        let (length, lines, width) = self.volume.dim();
        let pixels = lines * width;
        let images = length.div_ceil(self.every);
        // Rows that lie one behind the other without gaps are one long row of several lanes a pixel.
        let together = if self.volume.to_slice().is_some() {
            (lanes.len() / pixels).min(self.every).max(1)
        } else {
            1
        };
        let lanes = &mut lanes[..together * pixels];
        let fits = self.windows.iter().map(|window| window.capacity);
        let mut step = fits.min().unwrap_or(1);
        if self.windows.len() > 1 {
            step = step.min(CACHED_ROWS);
        }
        let step = step.saturating_mul(together);
        for (image, segment) in parts(length, self.every).enumerate() {
            for part in parts(segment.len(), step) {
                let rows = segment.start + part.start..segment.start + part.end;
                for (&window, totals) in self.windows.iter().zip(totals.chunks_exact_mut(pixels)) {
                    accumulate_rows(lanes, self.volume, rows.clone(), |lane, voxel| {
                        C::add(lane, window.lane(voxel));
                    });
                    for lanes in lanes.chunks_exact_mut(pixels) {
                        for (total, lane) in totals.iter_mut().zip(lanes) {
                            C::add(total, i32::from(*lane));
                            *lane = 0;
                        }
                    }
                }
            }
            for (place, window) in self.windows.iter().enumerate() {
                let low = C::of_lows(window.low, segment.end);
                let totals = &totals[place * pixels..][..pixels];
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
            let columns = plane.columns().into_iter().zip(out.columns_mut());
            for (column, (voxels, mut pixels)) in columns.enumerate() {
                prefetch_after(plane, column);
                for (&window, mut pixels) in self
                    .windows
                    .iter()
                    .zip(pixels.axis_chunks_iter_mut(Axis(0), images))
                {
                    if let (Some(voxels), 1) = (voxels.to_slice(), images) {
                        let total = combined(voxels, window, self.combine);
                        pixels[0] = (total + C::of_lows(window.low, length)) as f32;
                        continue;
                    }
                    let mut total = 0_i32;
                    for (pixel, part) in pixels.iter_mut().zip(parts(length, self.every)) {
                        let low = C::of_lows(window.low, part.end);
                        let voxels = voxels.slice_axis_move(Axis(0), part.into());
                        if let Some(voxels) = voxels.to_slice() {
                            C::add(&mut total, combined(voxels, window, self.combine));
                        } else {
                            for &voxel in voxels {
                                C::add(&mut total, i32::from(window.lane(voxel)));
                            }
                        }
                        *pixel = (total + low) as f32;
                    }
                }
            }
        }
    }
}

/// All `voxels` combined, measured from the window's low end.
#[inline(always)]
fn combined<T: Voxel, C: Combine>(voxels: &[T], window: Narrow<T>, _: C) -> i32 {
    const LANES: usize = 32;
    let mut total = 0_i32;
    for part in voxels.chunks(LANES * window.capacity) {
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
