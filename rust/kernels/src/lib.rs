//! Kernels that turn CT volumes into images.
//!
//! | module | computes |
//! |---|---|
//! | [`window`] | the Hounsfield window that every voxel is clipped to first |
//! | [`sum`] | clipped sums and maxima along one axis, whole or running |
//! | `lanes` | the same for voxels of at most 16 bits, in 16-bit lanes |
//! | [`mask`] | clipped sums of the voxels that carry a label |
//! | [`slab`] | sums and maxima of a window sliding along one axis |
//! | [`shear`] | line integrals along any direction, by shear and warp |
//! | [`reslice`] | samples of an oblique grid, stacked or reduced along its depth |
//! | [`coverage`] | how much of each ray lies inside the volume |
//! | `spline` | cubic B-splines, for the two above |
//! | [`simd`] | instruction sets, chosen when the program runs |
//! | `parallel` | the split of work over threads |
//! | `walk` | the order in which memory is read, whatever the layout |
//! | `accumulate` | rows of voxels, added up |
//! | [`bandwidth`] | a plain read of memory, the bound of all of them |
//!
//! A volume is an [`ndarray::ArrayView3`] with any strides. Results are `f32`. Straight sums are
//! formed in integers where voxels and window are integers and in `f64` otherwise, each output pixel
//! by one thread in index order: they depend on neither layout nor threads nor instruction set.
//! Oblique images are formed in `f32`, in an order that depends on the layout alone.

mod accumulate;
pub mod bandwidth;
pub mod coverage;
mod lanes;
pub mod mask;
mod parallel;
pub mod reslice;
pub mod shear;
pub mod simd;
pub mod slab;
mod spline;
pub mod sum;
mod voxel;
mod walk;
pub mod window;

pub use parallel::Machine;
pub use voxel::Voxel;
pub use window::Window;

use std::fmt;

/// How the voxels along a ray become one pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// Their sum.
    Sum,
    /// The largest.
    Max,
}

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
    /// Voxels are NaN or infinite where they would spoil the image.
    NotFinite,
    /// The machine was told to stop.
    Stopped,
    /// The processor lacks the instructions asked for.
    Simd {
        /// What was asked for.
        wanted: String,
        /// What there is.
        present: Vec<&'static str>,
    },
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
            Self::NotFinite => write!(
                f,
                "the volume holds NaN or infinite voxels, which cubic interpolation would spread \
                 over the image: replace them, for example by np.nan_to_num(hu, nan=-1024)"
            ),
            Self::Stopped => write!(f, "stopped"),
            Self::Simd { wanted, present } => write!(
                f,
                "{} must be one of {} on this processor; got {wanted:?}",
                simd::VARIABLE,
                present.join(", ")
            ),
        }
    }
}

impl std::error::Error for KernelError {}

/// What kernels return.
pub type Result<T> = std::result::Result<T, KernelError>;
