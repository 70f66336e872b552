//! Kernels that turn CT volumes into images.
//!
//! | module | computes |
//! |---|---|
//! | [`window`] | the Hounsfield window that every voxel is clipped to first |
//! | [`sum`] | clipped sums along one axis, whole or running |
//! | [`slab`] | sums and maxima of a window sliding along one axis |
//! | [`reslice`] | trilinear samples of an oblique grid, stacked or summed |
//! | [`parallel`] | the split of work over threads |
//!
//! A volume is an [`ndarray::ArrayView3`] with any strides. Results are `f32`; sums are formed in
//! integers where voxels and window are integers and in `f64` otherwise, each output pixel by one
//! thread in index order, so that results depend on neither layout nor thread count.

pub mod parallel;
pub mod reslice;
pub mod slab;
pub mod sum;
mod voxel;
pub mod window;

pub use voxel::Voxel;
pub use window::Window;

use std::fmt;

/// Why a kernel could not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelError {
    /// The window's bounds are NaN or not in ascending order.
    Window,
    /// The axis is not 0, 1 or 2.
    Axis(usize),
    /// A step, thickness or stride of the output is zero, or the slab is thicker than the volume.
    Extent(&'static str),
    /// The output would not fit into memory.
    Memory {
        /// Elements asked for.
        elements: usize,
    },
    /// The threads could not be started.
    Threads(String),
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window => write!(f, "window must have low < high"),
            Self::Axis(axis) => write!(f, "axis must be 0, 1 or 2; got {axis}"),
            Self::Extent(what) => write!(f, "{what}"),
            Self::Memory { elements } => {
                write!(
                    f,
                    "an output of {elements} float32 values does not fit into memory"
                )
            }
            Self::Threads(cause) => write!(f, "threads could not be started: {cause}"),
        }
    }
}

impl std::error::Error for KernelError {}

/// What kernels return.
pub type Result<T> = std::result::Result<T, KernelError>;
