//! Rows of voxels, added to a row of states; and the parts that lengths are cut into.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2, ArrayView3, ArrayViewMut1, Axis};

use crate::Voxel;
use crate::simd::{LINE, prefetch};
use crate::walk::rows_adjoin;

/// Rows that are added at once where they lie far apart: the states are loaded and stored once.
const ROWS: usize = 4;

/// Bytes between what is added and what is asked for. A processor looks ahead as many instructions
/// as it can hold; of a plain read that is many lines of memory, of sums it is few.
const AHEAD: usize = 1 << 13;

/// Voxels that are asked for at once.
const PIECE: usize = 2048;

/// `count` states that begin where a line of the cache does: a vector register that lies across two
/// lines is stored twice.
pub(crate) fn cache_aligned<S: Copy>(memory: &mut Vec<S>, count: usize, state: S) -> &mut [S] {
    memory.clear();
    memory.resize(count + LINE / size_of::<S>(), state);
    let start = memory
        .as_ptr()
        .align_offset(LINE)
        .min(LINE / size_of::<S>());
    &mut memory[start..start + count]
}

/// Asks for the column that lies [`AHEAD`] bytes behind one of `plane`, whose columns adjoin.
#[inline(always)]
pub(crate) fn prefetch_after<T: Voxel>(plane: ArrayView2<'_, T>, column: usize) {
    let ahead = AHEAD / (plane.nrows() * size_of::<T>()).max(1);
    let later = column + ahead.max(1);
    if later < plane.ncols() {
        let voxels = plane.index_axis_move(Axis(1), later).to_slice();
        prefetch(voxels.unwrap_or_default());
    }
}

/// `update(state, voxel)` along a row; a row without gaps goes through a slice, which vectorises.
#[inline(always)]
pub(crate) fn accumulate<T: Copy, S>(
    states: &mut [S],
    row: ArrayView1<'_, T>,
    update: impl Fn(&mut S, T),
) {
    if let Some(slice) = row.to_slice() {
        for (state, &voxel) in states.iter_mut().zip(slice) {
            update(state, voxel);
        }
    } else {
        for (state, &voxel) in states.iter_mut().zip(row) {
            update(state, voxel);
        }
    }
}

/// `update(state, voxel)` for every voxel of some `rows` of a volume (row, line, column): of each
/// pixel row by row.
///
/// Memory is read in its own order: one row after the other where rows adjoin, [`ROWS`] of them at
/// once where they lie far apart. Where there are no gaps, `states` may be as long as several rows:
/// of each pixel there are then several states, which take its voxels in turn.
#[inline(always)]
pub(crate) fn accumulate_rows<T: Voxel, S>(
    states: &mut [S],
    volume: ArrayView3<'_, T>,
    rows: Range<usize>,
    update: impl Fn(&mut S, T),
) {
    let (_, lines, width) = volume.dim();
    if let Some(voxels) = volume.to_slice() {
        let end = rows.end * lines * width;
        let length = states.len().max(1);
        for start in (rows.start * lines * width..end).step_by(length) {
            let row = &voxels[start..(start + length).min(end)];
            let pieces = states.chunks_mut(PIECE).zip(row.chunks(PIECE));
            for (number, (states, row)) in pieces.enumerate() {
                let ahead = start + number * PIECE + AHEAD / size_of::<T>();
                if let Some(later) = voxels.get(ahead..(ahead + row.len()).min(voxels.len())) {
                    prefetch(later);
                }
                for (state, &voxel) in states.iter_mut().zip(row) {
                    update(state, voxel);
                }
            }
        }
        return;
    }
    let rows = volume.slice_axis_move(Axis(0), rows.into());
    let count = rows.len_of(Axis(0));
    let together = if rows_adjoin(&rows) { 1 } else { ROWS };
    let no_gaps = rows.index_axis(Axis(0), 0).to_slice().is_some();
    let row = if no_gaps { lines * width } else { width };
    for part in parts(count, together) {
        for (line, states) in states.chunks_exact_mut(row.max(1)).enumerate() {
            let slice = |number: usize| {
                let row = rows.index_axis_move(Axis(0), part.start + number);
                if no_gaps {
                    row.to_slice()
                } else {
                    row.index_axis_move(Axis(0), line).to_slice()
                }
            };
            let four = (part.len() == ROWS)
                .then(|| Some([slice(0)?, slice(1)?, slice(2)?, slice(3)?]))
                .flatten();
            if let Some([first, second, third, fourth]) = four {
                let pairs = first.iter().zip(second).zip(third.iter().zip(fourth));
                for (state, ((&a, &b), (&c, &d))) in states.iter_mut().zip(pairs) {
                    for voxel in [a, b, c, d] {
                        update(state, voxel);
                    }
                }
                continue;
            }
            for number in part.clone() {
                accumulate_plane(states, rows.index_axis(Axis(0), number), line, &update);
            }
        }
    }
}

/// A line of `plane`, or all of them where `states` holds all.
#[inline(always)]
fn accumulate_plane<T: Copy, S>(
    states: &mut [S],
    plane: ArrayView2<'_, T>,
    line: usize,
    update: impl Fn(&mut S, T),
) {
    match plane.to_slice() {
        Some(voxels) => {
            for (state, &voxel) in states.iter_mut().zip(voxels) {
                update(state, voxel);
            }
        }
        None => accumulate(states, plane.index_axis_move(Axis(0), line), update),
    }
}

/// Writes a row; one without gaps goes through a slice, which vectorises.
#[inline(always)]
pub(crate) fn write(mut row: ArrayViewMut1<'_, f32>, values: impl Iterator<Item = f32>) {
    if let Some(slice) = row.as_slice_mut() {
        slice
            .iter_mut()
            .zip(values)
            .for_each(|(pixel, value)| *pixel = value);
    } else {
        row.iter_mut()
            .zip(values)
            .for_each(|(pixel, value)| *pixel = value);
    }
}

/// Where the parts of `0..length` of at most `step` end.
pub(crate) fn parts(length: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length)
        .step_by(step.max(1))
        .map(move |start| start..start.saturating_add(step).min(length))
}
