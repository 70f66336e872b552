//! The split of work over threads.
//!
//! Work is cut into fixed pieces, independent of the number of threads, and each piece is computed
//! whole by one thread: results cannot depend on how many there are. A pool lives for one call, so
//! that there is no state to break when a process forks.

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayViewMut3, Axis};

use crate::{KernelError, Result};

/// Below this many voxels starting threads costs more than it saves.
const LEAST_VOXELS: usize = 1 << 18;

/// Calls `work(line, output)` for every line along `axis` 1 of `output`, on `threads` threads.
///
/// # Errors
/// [`KernelError::Threads`] when the system refuses to start them.
pub fn for_each_line<F>(
    output: &mut ArrayViewMut3<'_, f32>,
    voxels: usize,
    threads: usize,
    work: F,
) -> Result<()>
where
    F: Fn(usize, ArrayViewMut3<'_, f32>) + Sync,
{
    let threads = threads.min(output.len_of(Axis(1)));
    let lines = output.axis_chunks_iter_mut(Axis(1), 1);
    if threads <= 1 || voxels < LEAST_VOXELS {
        lines.enumerate().for_each(|(line, out)| work(line, out));
        return Ok(());
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| KernelError::Threads(error.to_string()))?
        .install(|| {
            lines
                .into_par_iter()
                .enumerate()
                .for_each(|(line, out)| work(line, out));
        });
    Ok(())
}

/// An array of zeros, or an error where there is no memory for it.
///
/// # Errors
/// [`KernelError::Memory`] when the size overflows or the allocation fails.
pub fn zeros(shape: [usize; 3]) -> Result<Array3<f32>> {
    let elements = shape
        .iter()
        .try_fold(1_usize, |product, &length| product.checked_mul(length));
    let Some(elements) = elements else {
        return Err(KernelError::Memory {
            elements: usize::MAX,
        });
    };
    let mut values = Vec::new();
    values
        .try_reserve_exact(elements)
        .map_err(|_| KernelError::Memory { elements })?;
    values.resize(elements, 0.0);
    Array3::from_shape_vec(shape, values).map_err(|_| KernelError::Memory { elements })
}
