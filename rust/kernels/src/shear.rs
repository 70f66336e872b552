//! Parallel projection along any direction, by shear and warp (Lacroute and Levoy 1994).
//!
//! Let `D` be the direction of the rays in voxel indices and `p` its largest component, the
//! principal axis. Cut across `p`, the volume is a stack of slices; from one slice to the next a ray
//! moves by `s = D / D_p` within the slice. A ray that crosses the middle slice `c` at `(n, m)`
//! crosses slice `j` at `(n, m) + s (j - c)`: the whole slice is shifted by one and the same
//! fraction of a voxel, so interpolation is a filter with a few fixed weights. Summing all shifted
//! slices makes an intermediate image over `(n, m)`, which one affine map, the warp, brings to the
//! pixels; a step from slice to slice is `1 / |D_p|` mm of ray.
//!
//! Slices and image are interpolated by cubic B-splines (`spline`). The filter that makes
//! spline coefficients of samples commutes with shifts and sums. It is therefore not applied to
//! every slice, but twice to the intermediate image, once on behalf of the slices.
//!
//! Voxels count by how far they lie above the window's low end, so that the outside is zero. A
//! depth range cuts the ray where the straight lines between its samples are cut: voxel `t` slices
//! behind the front has the weight `H(t)`, the integral of the hat function up to `t` (0 for
//! `t <= -1`, 1/2 at the front itself, 1 for `t >= 1`). Beyond the centres of the first and the last
//! slice the ray goes on through half a voxel of the same value: there `H(t)` grows by `t` (1 for
//! `t >= 1/2`). Where the front is tilted against the slices,
//! `t` changes by `w` from a voxel to its neighbours in the slice, and the weight is the mean of
//! `H` from `t - w / 2` to `t + w / 2`: a front that would jump slices is as blurred as the voxels.
//!
//! Each row of the intermediate image is the work of one thread, which adds to it in the order of
//! the voxels' indices: the result depends on neither threads nor instruction set.

use std::ops::Range;

use ndarray::{Array3, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis, s};

use crate::accumulate::accumulate;
use crate::parallel::{self, Machine};
use crate::simd::{Kernel, prefetch};
use crate::{KernelError, Result, Voxel, Window, spline};

/// Parallel rays through a volume: where they start, in voxel indices `(k, j, i)`, and how far they
/// count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beam {
    /// Rows and columns of the image.
    pub shape: [usize; 2],
    /// Where the ray of pixel (0, 0) is at depth 0.
    pub origin: [f64; 3],
    /// From one row to the next.
    pub down: [f64; 3],
    /// One millimetre along a ray.
    pub along: [f64; 3],
    /// From one column to the next.
    pub across: [f64; 3],
    /// The depths in millimetres between which a ray counts.
    pub depth_mm: [f64; 2],
}

/// What one image shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// The window that voxels are clipped to.
    pub window: Window,
    /// HU that are subtracted after clipping.
    pub base: f64,
    /// The voxels that count; all of them where there is none.
    pub label: Option<u8>,
}

impl Channel {
    /// What a millimetre of ray outside the volume counts.
    fn outside(&self) -> f64 {
        if self.label.is_some() {
            0.0
        } else {
            self.window.low() - self.base
        }
    }
}

/// Integrals along the rays of the volume clipped to each window, in HU mm: an image a channel.
///
/// Outside the volume is the window's low end. A channel with a label integrates the voxels that
/// `labels` (of the volume's shape) marks with it, and nothing else.
///
/// # Errors
/// No memory for the result, or voxels that are NaN.
pub fn projected<T: Voxel>(
    volume: ArrayView3<'_, T>,
    labels: Option<ArrayView3<'_, u8>>,
    channels: &[Channel],
    beam: &Beam,
    machine: Machine,
) -> Result<Array3<f32>> {
    let stack = Stack::new(volume, labels, beam)?;
    let mut sums = stack.sums(channels, machine)?;
    spline::prefilter(sums.view_mut(), 2, 2, machine)?;
    spline::prefilter(sums.view_mut(), 1, 2, machine)?;
    let [rows, columns] = beam.shape;
    let mut output = parallel::zeros([channels.len(), rows, columns])?;
    let warp = stack.warp(beam);
    let taps = output.len() * 16;
    parallel::for_each_block(
        &mut output.view_mut(),
        8,
        taps,
        machine,
        &|first, mut out| {
            let images = sums.outer_iter().zip(out.outer_iter_mut());
            for (channel, (sums, out)) in channels.iter().zip(images) {
                let outside = channel.outside() * (beam.depth_mm[1] - beam.depth_mm[0]);
                let (coefficients, step_mm) = (sums, stack.step_mm);
                machine.level.run(Warped {
                    coefficients,
                    warp,
                    first,
                    step_mm,
                    outside,
                    out,
                });
            }
        },
    )?;
    Ok(output)
}

/// Voxels beyond the shifted slices where spline coefficients have faded away: `0.27^16 < 1e-9`.
const MARGIN: isize = 16;

/// Most slices in a group: their rows stay in the first-level cache.
const GROUP: usize = 8;

/// Slices between the one whose row is worked on and the one whose row is asked for.
const AHEAD: usize = 24;

/// Zeros before and after a row of voxels, read by the taps of a group's shifted rows.
const PAD: usize = GROUP + 8;

/// Rows of the intermediate image that one thread makes at a time.
const BLOCK: usize = 64;

/// Where one slice lies relative to the intermediate image, along its rows or columns.
#[derive(Clone, Copy)]
struct Shift {
    whole: isize,
    taps: [f32; 4],
}

impl Shift {
    fn new(voxels: f64) -> Self {
        let whole = voxels.floor();
        Self {
            whole: whole as isize,
            taps: spline::weights(voxels - whole),
        }
    }
}

/// The volume as a stack of slices across the principal axis.
struct Stack<'a, T> {
    /// Axes: slice, row, column; columns are nearest in memory.
    volume: ArrayView3<'a, T>,
    labels: Option<ArrayView3<'a, u8>>,
    /// The axes of the volume as given.
    axes: [usize; 3],
    /// Middle slice and the shift per slice, along rows and columns.
    middle: f64,
    slopes: [f64; 2],
    shifts: Vec<[Shift; 2]>,
    /// Slices whose shift along rows has the same whole part.
    groups: Vec<Range<usize>>,
    /// First row and column of the intermediate image, and how many.
    first: [isize; 2],
    shape: [usize; 2],
    /// Millimetres of ray from slice to slice.
    step_mm: f64,
    cut: Cut,
}

impl<'a, T: Voxel> Stack<'a, T> {
    fn new(
        volume: ArrayView3<'a, T>,
        labels: Option<ArrayView3<'a, u8>>,
        beam: &Beam,
    ) -> Result<Self> {
        if labels.is_some_and(|labels| labels.dim() != volume.dim()) {
            return Err(KernelError::Extent(
                "the labels have another shape than the volume",
            ));
        }
        let size = |axis: usize| beam.along[axis].abs();
        let principal = (0..3).fold(
            1,
            |best, axis| if size(axis) > size(best) { axis } else { best },
        );
        let [mut row, mut column] = [[1, 2], [0, 2], [0, 1]][principal];
        if volume.strides()[row].abs() < volume.strides()[column].abs() {
            [row, column] = [column, row];
        }
        let axes = [principal, row, column];
        let volume = volume.permuted_axes(axes);
        let (slices, rows, columns) = volume.dim();
        let middle = (slices as f64 - 1.0) / 2.0;
        let slopes = [row, column].map(|axis| beam.along[axis] / beam.along[principal]);
        let shifts: Vec<_> = (0..slices)
            .map(|slice| slopes.map(|slope| Shift::new(slope * (slice as f64 - middle))))
            .collect();
        let extent = |axis: usize, length: usize| {
            let wholes = shifts.iter().map(|shifts| shifts[axis].whole);
            let (least, most) = wholes.fold((0, 0), |(least, most), whole| {
                (whole.min(least), whole.max(most))
            });
            (
                -most - 2 - MARGIN,
                (length as isize + most - least + 4 + 2 * MARGIN) as usize,
            )
        };
        let (first_row, rows) = extent(0, rows);
        let (first_column, columns) = extent(1, columns);
        Ok(Self {
            volume,
            labels: labels.map(|labels| labels.permuted_axes(axes)),
            axes,
            middle,
            slopes,
            groups: groups(&shifts),
            shifts,
            first: [first_row, first_column],
            shape: [rows, columns],
            step_mm: 1.0 / beam.along[principal].abs(),
            cut: Cut::new(beam, axes, slices),
        })
    }

    /// The intermediate images: sums of the shifted slices, smoothed by the taps of the B-spline.
    fn sums(&self, channels: &[Channel], machine: Machine) -> Result<Array3<f32>> {
        let [rows, columns] = self.shape;
        let mut sums = parallel::zeros([channels.len(), rows, columns])?;
        let voxels = self.volume.len();
        parallel::for_each_block(
            &mut sums.view_mut(),
            BLOCK,
            voxels,
            machine,
            &|first, out| {
                machine.level.run(Block {
                    stack: self,
                    channels,
                    first,
                    out,
                });
            },
        )?;
        if sums.iter().all(|sum| sum.is_finite()) {
            Ok(sums)
        } else {
            Err(KernelError::NotFinite)
        }
    }

    /// Has a row that will be read soon brought nearer.
    #[inline(always)]
    fn ask_for(&self, slice: usize, row: usize) {
        if slice < self.volume.len_of(Axis(0)) {
            let voxels = self.volume.index_axis_move(Axis(0), slice);
            if let Some(voxels) = voxels.index_axis_move(Axis(0), row).to_slice() {
                prefetch(voxels);
            }
        }
    }

    /// Where the ray of a pixel crosses the middle slice, in the intermediate image.
    fn warp(&self, beam: &Beam) -> Warp {
        let at = |index: [f64; 3], middle: f64, place: usize| {
            index[self.axes[place + 1]] + self.slopes[place] * (middle - index[self.axes[0]])
        };
        Warp {
            origin: [0, 1]
                .map(|place| at(beam.origin, self.middle, place) - self.first[place] as f64),
            down: [0, 1].map(|place| at(beam.down, 0.0, place)),
            across: [0, 1].map(|place| at(beam.across, 0.0, place)),
        }
    }
}

/// Consecutive slices with the same whole shift along rows.
fn groups(shifts: &[[Shift; 2]]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (slice, [shift, _]) in shifts.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if group.len() < GROUP && shifts[group.start][0].whole == shift.whole => {
                group.end += 1;
            }
            _ => groups.push(slice..slice + 1),
        }
    }
    groups
}

/// The part of the volume between the ends of the depth range.
struct Cut {
    /// Depth of voxel (0, 0, 0), in slices behind the front, and steps per slice, row and column.
    start: f64,
    steps: [f64; 3],
    /// From front to back, in slices.
    length: f64,
    /// By how many slices the depths within a voxel's own place in its slice differ.
    width: f64,
    /// The slices that have no neighbour before them, and behind them.
    ends: [usize; 2],
}

impl Cut {
    fn new(beam: &Beam, axes: [usize; 3], slices: usize) -> Self {
        // Depth is the coordinate along the rays in the basis (down, along, across).
        let [a, b] = [beam.down, beam.across];
        let normal = [0, 1, 2].map(|axis| {
            let (next, last) = ((axis + 1) % 3, (axis + 2) % 3);
            a[next] * b[last] - a[last] * b[next]
        });
        let dot = |other: [f64; 3]| (0..3).map(|axis| normal[axis] * other[axis]).sum::<f64>();
        let slices_per_mm = beam.along[axes[0]].abs();
        let scale = slices_per_mm / dot(beam.along);
        let steps = axes.map(|axis| normal[axis] * scale);
        Self {
            start: -dot(beam.origin) * scale - beam.depth_mm[0] * slices_per_mm,
            steps,
            width: steps[1].hypot(steps[2]),
            ends: if steps[0] < 0.0 {
                [slices.saturating_sub(1), 0]
            } else {
                [0, slices.saturating_sub(1)]
            },
            length: (beam.depth_mm[1] - beam.depth_mm[0]) * slices_per_mm,
        }
    }

    /// Slices behind the front of the first voxel of a row.
    #[inline(always)]
    fn of_row(&self, slice: usize, row: usize) -> f64 {
        self.start + slice as f64 * self.steps[0] + row as f64 * self.steps[1]
    }

    /// How much of a row of `length` voxels counts.
    #[inline(always)]
    fn part(&self, slice: usize, row: usize, length: usize) -> Part {
        let first = self.of_row(slice, row);
        let last = first + (length as f64 - 1.0) * self.steps[2];
        let (least, most) = (first.min(last), first.max(last));
        let reach = 1.0 + self.width / 2.0;
        if most <= -reach || least >= self.length + reach {
            Part::None
        } else if least >= reach && most <= self.length - reach {
            Part::All
        } else {
            Part::Some
        }
    }

    /// Multiplies a row of voxels by their weights.
    #[inline(always)]
    fn weigh(&self, slice: usize, row: usize, values: &mut [f32]) {
        let first = self.of_row(slice, row);
        let alone = self.ends.map(|end| end == slice);
        for (column, value) in values.iter_mut().enumerate() {
            let depth = first + column as f64 * self.steps[2];
            let planes = [depth, depth - self.length];
            let [front, back] = planes.map(|t| self.behind(t, alone));
            *value *= (front - back) as f32;
        }
    }

    /// How much of a voxel lies behind a plane that is `t` slices before it. `alone` tells whether it
    /// has no neighbour before it, and behind it.
    #[inline(always)]
    fn behind(&self, t: f64, alone: [bool; 2]) -> f64 {
        let half = self.width / 2.0;
        if alone == [false; 2] {
            if half < 1e-4 {
                return up_to(t);
            }
            return (summed_up_to(t + half) - summed_up_to(t - half)) / self.width;
        }
        let side = |t: f64| alone[usize::from(t < 0.0)];
        if half < 1e-4 {
            return 0.5 + reached(t.abs(), side(t)).copysign(t);
        }
        let [upper, lower] =
            [t + half, t - half].map(|t| 0.5 * t + summed_reached(t.abs(), side(t)));
        (upper - lower) / self.width
    }
}

enum Part {
    None,
    Some,
    All,
}

/// Integral of the hat function from below up to `t`.
#[inline(always)]
fn up_to(t: f64) -> f64 {
    let t = t.clamp(-1.0, 1.0);
    0.5 + t - 0.5 * t * t.abs()
}

/// Integral of [`up_to`].
#[inline(always)]
fn summed_up_to(t: f64) -> f64 {
    let inner = t.clamp(-1.0, 1.0);
    let rise = 1.0 + inner.min(0.0);
    let before = rise * rise * rise / 6.0;
    let after = inner.max(0.0);
    before + after * (0.5 + after * (0.5 - after / 6.0)) + (t - 1.0).max(0.0)
}

/// What lies within `distance` of a voxel's centre, on one side of it: 1/2 in all, of a hat function
/// where it has a neighbour there, of half a voxel where it is alone.
#[inline(always)]
fn reached(distance: f64, alone: bool) -> f64 {
    if alone {
        return distance.min(0.5);
    }
    let inner = distance.min(1.0);
    inner - 0.5 * inner * inner
}

/// Integral of [`reached`].
#[inline(always)]
fn summed_reached(distance: f64, alone: bool) -> f64 {
    let reach = if alone { 0.5 } else { 1.0 };
    let inner = distance.min(reach);
    let curved = if alone { 0.0 } else { inner / 3.0 };
    0.5 * inner * inner * (1.0 - curved) + 0.5 * (distance - inner)
}

/// Some rows of the intermediate images: `out` is (channel, row, column).
struct Block<'a, 'v, T> {
    stack: &'a Stack<'v, T>,
    channels: &'a [Channel],
    first: usize,
    out: ArrayViewMut3<'a, f32>,
}

impl<T: Voxel> Kernel for Block<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let stack = self.stack;
        let (_, rows, columns) = stack.volume.dim();
        // Three rows above and below belong to neighbours: four rows always lie side by side.
        let height = self.out.len_of(Axis(1)) + 6;
        let first = stack.first[0] + self.first as isize - 3;
        let width = stack.shape[1];
        let mut sums = vec![vec![0.0_f32; height * width]; self.channels.len()];
        let mut group_rows = GroupRows::new(columns);
        for row in 0..rows {
            for group in &stack.groups {
                let top = row as isize - stack.shifts[group.start][0].whole - 2 - first;
                if top < 0 || top + 4 > height as isize {
                    continue;
                }
                let place = top as usize * width;
                for (channel, sums) in self.channels.iter().zip(&mut sums) {
                    let sums = &mut sums[place..place + 4 * width];
                    group_rows.add(stack, channel, group.clone(), row, sums);
                }
            }
        }
        for (mut out, sums) in self.out.outer_iter_mut().zip(&sums) {
            for (mut out, sums) in out.outer_iter_mut().zip(sums.chunks_exact(width).skip(3)) {
                for (value, sum) in out.iter_mut().zip(sums) {
                    *value = *sum;
                }
            }
        }
    }
}

/// One row of every slice of a group.
struct GroupRows {
    columns: usize,
    /// The clipped voxels of one slice's row between zeros.
    voxels: Vec<f32>,
    /// The rows, shifted.
    shifted: Vec<f32>,
    /// The taps by which each of them is added to the intermediate image.
    taps: [[f32; 4]; GROUP],
}

impl GroupRows {
    fn new(columns: usize) -> Self {
        Self {
            columns,
            voxels: vec![0.0; columns + 2 * PAD],
            shifted: vec![0.0; GROUP * (columns + PAD)],
            taps: [[0.0; 4]; GROUP],
        }
    }

    /// Reads a row of a slice, unless it lies outside the depth range.
    #[inline(always)]
    fn read<T: Voxel>(
        &mut self,
        stack: &Stack<'_, T>,
        channel: &Channel,
        slice: usize,
        row: usize,
    ) -> bool {
        let part = stack.cut.part(slice, row, self.columns);
        if matches!(part, Part::None) {
            return false;
        }
        let values = &mut self.voxels[PAD..PAD + self.columns];
        stack.ask_for(slice + AHEAD, row);
        let voxels = stack.volume.index_axis_move(Axis(0), slice);
        channel
            .window
            .above(voxels.index_axis_move(Axis(0), row), values);
        if let (Some(label), Some(labels)) = (channel.label, stack.labels) {
            let raise = (channel.window.low() - channel.base) as f32;
            accumulate(values, labels.slice(s![slice, row, ..]), |value, voxel| {
                *value = if voxel == label { *value + raise } else { 0.0 };
            });
        }
        if matches!(part, Part::Some) {
            stack.cut.weigh(slice, row, values);
        }
        true
    }

    /// Adds row `row` of the group's slices to four rows of the intermediate image.
    #[inline(always)]
    fn add<T: Voxel>(
        &mut self,
        stack: &Stack<'_, T>,
        channel: &Channel,
        group: Range<usize>,
        row: usize,
        sums: &mut [f32],
    ) {
        let ends = [group.start, group.end - 1].map(|slice| stack.shifts[slice][1].whole);
        // Columns of the intermediate image that any of the rows reaches.
        let begin = -ends[0].max(ends[1]) - 2;
        let length = (self.columns as isize - ends[0].min(ends[1]) + 1 - begin) as usize;
        let mut count = 0;
        for slice in group {
            if !self.read(stack, channel, slice, row) {
                continue;
            }
            let [down, left] = stack.shifts[slice];
            let first = (PAD as isize + begin + left.whole - 1) as usize;
            let [before, at, after, last] = left.taps;
            shift(
                &mut self.shifted[count * length..(count + 1) * length],
                &self.voxels[first..first + length + 3],
                [before / at, after / at, last / at],
            );
            self.taps[count] = down.taps.map(|tap| tap * at);
            count += 1;
        }
        let width = sums.len() / 4;
        let place = (begin - stack.first[1]) as usize;
        let (upper, lower) = sums.split_at_mut(2 * width);
        let (first, second) = upper.split_at_mut(width);
        let (third, fourth) = lower.split_at_mut(width);
        // A row further down sees the slice through an earlier tap.
        let mut rows = [fourth, third, second, first].map(|row| &mut row[place..place + length]);
        let mut shifted = self.shifted[..count * length].chunks_exact(length);
        let mut taps = &self.taps[..count];
        let mut next = || shifted.next().unwrap_or_default();
        while let Some((&four, rest)) = taps.split_first_chunk::<4>() {
            blend(&mut rows, [next(), next(), next(), next()], four);
            taps = rest;
        }
        if let Some((&two, rest)) = taps.split_first_chunk::<2>() {
            blend(&mut rows, [next(), next()], two);
            taps = rest;
        }
        if let [one] = taps {
            blend(&mut rows, [next()], [*one]);
        }
    }
}

/// A row seen through four taps at a constant fraction of a voxel, over the second of them, which is
/// never below 1/6: one product less.
#[inline(always)]
fn shift(shifted: &mut [f32], voxels: &[f32], others: [f32; 3]) {
    let near = shifted.len();
    let [a, b, c, d] = [0, 1, 2, 3].map(|tap| &voxels[tap..tap + near]);
    let [before, after, last] = others;
    for (x, shifted) in shifted.iter_mut().enumerate() {
        *shifted = (before * a[x] + b[x]) + (after * c[x] + last * d[x]);
    }
}

/// Adds rows to four others, each times its taps, one row after the other.
#[inline(always)]
fn blend<const ROWS: usize>(
    sums: &mut [&mut [f32]; 4],
    rows: [&[f32]; ROWS],
    taps: [[f32; 4]; ROWS],
) {
    let [a, b, c, d] = sums;
    let length = a.len();
    let [a, b, c, d] = [
        &mut a[..length],
        &mut b[..length],
        &mut c[..length],
        &mut d[..length],
    ];
    let rows = rows.map(|row| &row[..length]);
    for x in 0..length {
        let mut totals = [a[x], b[x], c[x], d[x]];
        for (row, taps) in rows.iter().zip(taps) {
            for (total, tap) in totals.iter_mut().zip(taps) {
                *total += tap * row[x];
            }
        }
        [a[x], b[x], c[x], d[x]] = totals;
    }
}

/// The affine map from pixels to the intermediate image.
#[derive(Clone, Copy)]
struct Warp {
    origin: [f64; 2],
    down: [f64; 2],
    across: [f64; 2],
}

/// Some rows of an image.
struct Warped<'a> {
    coefficients: ArrayView2<'a, f32>,
    warp: Warp,
    first: usize,
    step_mm: f64,
    outside: f64,
    out: ArrayViewMut2<'a, f32>,
}

impl Kernel for Warped<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let Some(values) = self.coefficients.as_slice() else {
            return;
        };
        let [height, width]: [usize; 2] = self.coefficients.dim().into();
        for (row, mut out) in self.out.outer_iter_mut().enumerate() {
            let row = (self.first + row) as f64;
            let start = [0, 1].map(|axis| self.warp.origin[axis] + row * self.warp.down[axis]);
            for (run, mut pixels) in out.axis_chunks_iter_mut(Axis(0), RUN).enumerate() {
                let places = Places::new(start, self.warp.across, run * RUN, [height, width]);
                for (x, pixel) in pixels.iter_mut().enumerate() {
                    let value = places.sample(x, values, width);
                    *pixel = (f64::from(value) * self.step_mm + self.outside) as f32;
                }
            }
        }
    }
}

/// Pixels of a row whose places are worked out together.
const RUN: usize = 16;

/// Where a run of pixels lies between the coefficients of the intermediate image, by row and column.
struct Places {
    /// The first of the four coefficients that a pixel is made of.
    first: [[i32; RUN]; 2],
    weights: [[[f32; RUN]; 4]; 2],
    /// 1, or 0 where one of the coefficients does not exist.
    inside: [f32; RUN],
}

impl Places {
    #[inline(always)]
    fn new(start: [f64; 2], across: [f64; 2], column: usize, shape: [usize; 2]) -> Self {
        let mut places = Self {
            first: [[0; RUN]; 2],
            weights: [[[0.0; RUN]; 4]; 2],
            inside: [1.0; RUN],
        };
        for axis in 0..2 {
            let end = shape[axis] as f64 - 2.0;
            for x in 0..RUN {
                let place = start[axis] + (column + x) as f64 * across[axis];
                let within = place >= 1.0 && place < end;
                let place = if within { place } else { 1.0 };
                let whole = place as i32;
                let weights = spline::weights(place - f64::from(whole));
                for (tap, weight) in weights.into_iter().enumerate() {
                    places.weights[axis][tap][x] = weight;
                }
                places.first[axis][x] = whole - 1;
                places.inside[x] *= f32::from(u8::from(within));
            }
        }
        places
    }

    /// The spline at one of the places.
    #[inline(always)]
    fn sample(&self, x: usize, values: &[f32], width: usize) -> f32 {
        let [row, column] = [0, 1].map(|axis| self.first[axis][x] as usize);
        let values = &values[row * width + column..][..3 * width + 4];
        let mut sums = [0.0_f32; 4];
        for (tap, weights) in self.weights[0].iter().enumerate() {
            let row = &values[tap * width..][..4];
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += weights[x] * value;
            }
        }
        spline::dot(sums, [0, 1, 2, 3].map(|tap| self.weights[1][tap][x])) * self.inside[x]
    }
}
