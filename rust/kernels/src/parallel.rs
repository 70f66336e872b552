//! The split of work over threads.
//!
//! Work is cut into fixed pieces, independent of the number of threads, and each piece is computed
//! whole by one thread: results cannot depend on how many there are. Threads live for one call, so
//! that there is no state to break when a process forks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ndarray::{Array3, ArrayViewMut3, Axis};

use crate::simd::Level;
use crate::{KernelError, Result};

/// Below this many voxels starting threads costs more than it saves.
const LEAST_VOXELS: usize = 1 << 18;

/// Between two questions whether to stop: asking may have to wait for a lock.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a kernel may use: threads, and instructions; and who may stop it.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Threads, at least one.
    pub threads: usize,
    /// Instructions.
    pub level: Level,
    /// Whether to stop, asked now and then by the thread that called the kernel.
    pub stop: fn() -> bool,
}

impl Machine {
    /// `threads` threads and these instructions, never to be stopped.
    #[must_use]
    pub const fn new(threads: usize, level: Level) -> Self {
        Self {
            threads,
            level,
            stop: || false,
        }
    }

    /// `threads` threads, and the instructions that the environment allows.
    ///
    /// # Errors
    /// As [`Level::from_environment`].
    pub fn with_threads(threads: usize) -> Result<Self> {
        Ok(Self::new(threads, Level::from_environment()?))
    }
}

/// Calls `work(first line, block)` for every block of `lines` lines along axis 1 of `output`, whose
/// making reads `voxels` voxels in all.
///
/// Where the system refuses to start threads, those that there are do the work.
///
/// # Errors
/// [`KernelError::Stopped`] where the machine was told to stop: some blocks are then not made.
pub(crate) fn for_each_block(
    output: &mut ArrayViewMut3<'_, f32>,
    lines: usize,
    voxels: usize,
    machine: Machine,
    work: &(dyn Fn(usize, ArrayViewMut3<'_, f32>) + Sync),
) -> Result<()> {
    let lines = lines.max(1);
    let blocks = output.len_of(Axis(1)).div_ceil(lines);
    let threads = if voxels < LEAST_VOXELS {
        1
    } else {
        machine.threads.min(blocks)
    };
    let queue = Mutex::new(output.axis_chunks_iter_mut(Axis(1), lines).enumerate());
    let stopped = AtomicBool::new(false);
    let take = || {
        if stopped.load(Ordering::Relaxed) {
            return None;
        }
        queue.lock().unwrap_or_else(PoisonError::into_inner).next()
    };
    let drain = |ask: &mut dyn FnMut()| {
        while let Some((block, out)) = take() {
            work(block * lines, out);
            ask();
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            let helper = thread::Builder::new().spawn_scoped(scope, || drain(&mut || ()));
            if helper.is_err() {
                break;
            }
        }
        let mut asked = Instant::now();
        drain(&mut || {
            if asked.elapsed() >= PATIENCE {
                stopped.store((machine.stop)(), Ordering::Relaxed);
                asked = Instant::now();
            }
        });
    });
    if stopped.into_inner() {
        return Err(KernelError::Stopped);
    }
    Ok(())
}

/// An array of zeros, or an error where there is no memory for it.
///
/// # Errors
/// [`KernelError::Memory`] when the size overflows or the allocation fails.
pub(crate) fn zeros(shape: [usize; 3]) -> Result<Array3<f32>> {
    let elements = shape
        .iter()
        .try_fold(1_usize, |product, &length| product.checked_mul(length));
    let Some(elements) = elements else {
        return Err(KernelError::Memory {
            elements: usize::MAX,
        });
    };
    // Untouched pages of zeros cost nothing until the thread that fills them comes by.
    let values = bytemuck::allocation::try_zeroed_vec(elements)
        .map_err(|()| KernelError::Memory { elements })?;
    Array3::from_shape_vec(shape, values).map_err(|_| KernelError::Memory { elements })
}
